"""`evaluate`: how well a checkpoint predicts held-out tweets, and how its texts compare with them.

Figures go into the checkpoint's `metrics.json`, and its card is rendered again from them.
"""

import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from demo.checkpoints.embedded import EMBEDDED
from demo.checkpoints.resolve import CheckpointError
from demo.generation.openvino.exported import exported_folder
from demo.settings import read_settings
from training import TrainingError, limits
from training.archive import read_archive
from training.bits_per_byte import (
    KNESER_NEY_ORDER,
    Figure,
    KneserNey,
    Score,
    Unigram,
    score_texts,
    summarise,
)
from training.checkpoints import record
from training.command_line import flag, number
from training.export_accuracy import measure_export
from training.files import print_persona, read_metrics, resolve_folder
from training.prepare import read_texts
from training.sampling import load_fp32, open_engine, read_decoding
from training.text_report import Report, measure_texts

HELD_OUT = ("dev", "test", "test_time")

Scorer = Callable[[list[str]], list[Score]]
# By the name of the set of texts, then by that of the model that was scored on it.
Figures = Mapping[str, Mapping[str, Figure]]


def evaluate(
    checkpoint: Annotated[
        Path, typer.Option(help="default: embedded/", show_default=False)
    ] = EMBEDDED,
    data: Annotated[
        Path,
        typer.Option(
            help="what prepare wrote, or one file of texts of any kind that prepare reads"
        ),
    ] = Path("data"),
    no_baselines: Annotated[bool, flag("no-baselines", "score the checkpoint alone")] = False,
    no_openvino: Annotated[bool, flag("no-openvino", "leave the export unmeasured")] = False,
    samples: Annotated[
        int,
        number("texts drawn and compared with real ones; 0 draws none", *limits.SAMPLES_OR_NONE),
    ] = 2_000,
    dry_run: Annotated[bool, flag("dry-run", "print, and write nothing")] = False,
) -> None:
    metrics = {} if dry_run else read_metrics(checkpoint)
    print_persona(checkpoint)
    if data.is_file():
        sets = {data.name: read_file(data)}
    else:
        sets = {name: read_texts(data, name) for name in HELD_OUT}
    scorers: dict[str, Scorer] = {}
    # The baselines are trained on the train split; a lone file has none.
    if not no_baselines and not data.is_file():
        train = read_texts(data, "train")
        scorers["byte unigram"] = Unigram(train).score
        scorers[f"byte {KNESER_NEY_ORDER}-gram, Kneser-Ney"] = KneserNey(train).score
    resolved = resolve_folder(checkpoint)
    model, tokenizer = load_fp32(resolved)
    scorers["checkpoint"] = lambda texts: score_texts(texts, model, tokenizer, "scoring")
    figures = {
        name: {scorer: summarise(score(texts)) for scorer, score in scorers.items()}
        for name, texts in sets.items()
    }
    print(_table(figures))
    metrics.setdefault("evaluation", {}).update(
        {
            name: {scorer: figure.as_dict() for scorer, figure in by_scorer.items()}
            for name, by_scorer in figures.items()
        }
    )
    test = sets.get("test", [])
    if test and not no_openvino:
        # A dry run writes no export into the checkpoint's folder either.
        exporting = replace(resolved, writable=False) if dry_run else resolved
        try:
            int8 = exported_folder(exporting, read_settings().cache_dir, print)
        except CheckpointError as error:
            print(f"The export was not measured: {error}")
        else:
            reference = figures["test"]["checkpoint"]
            export = measure_export(resolved.folder, int8, model, tokenizer, test, reference)
            print(export)
            metrics["openvino"] = asdict(export)
    if test and samples:
        with open_engine(resolved) as engine:
            report = measure_texts(
                engine,
                tokenizer,
                read_texts(data, "train"),
                test,
                read_decoding(checkpoint),
                samples,
            )
        print(_report_table(report))
        metrics["texts"] = asdict(report)
    if not dry_run:
        metrics["evaluated"] = {
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, "
            + ("GPU" if torch.cuda.is_available() else "no GPU"),
        }
        record(checkpoint, metrics)


def read_file(path: Path) -> list[str]:
    """The texts of a file as they are, empty ones left out. Raises TrainingError if it cannot be
    read, or holds no text."""
    rows = read_archive(str(path)).rows
    texts = [row.text for row in rows if row.text.strip()]
    if not texts:
        raise TrainingError(f"{path} holds no text.")
    return texts


def _table(figures: Figures) -> str:
    lines = [f"{'set':<16}{'model':<26}{'texts':>7}  {'bits per byte, 95 %':<26}{'perplexity':>11}"]
    for name, by_scorer in figures.items():
        for scorer, figure in by_scorer.items():
            line = f"{name:<16}{scorer:<26}{figure.texts:>7,}  {figure!s:<26}"
            perplexity = f"{figure.perplexity:>11.2f}" if scorer == "checkpoint" else ""
            lines.append(f"{line}{perplexity}")
    return "\n".join(lines)


def _report_table(report: Report) -> str:
    rows: list[tuple[str, Any, Any]] = [("texts", "generated", "real")]
    rows += [(name, value, report.real[name]) for name, value in report.generated.items()]
    real = report.novelty["real"]
    rows += [(f"new {n}-grams", v, real[n]) for n, v in report.novelty["generated"].items()]
    verbatim = report.verbatim
    rows.append(("repeat train verbatim", verbatim["generated"], verbatim["real"]))
    lines = [f"{name:<28}{_cell(ours):>22}{_cell(theirs):>22}" for name, ours, theirs in rows]
    completed = ", ".join(
        f"{share:.2%} of {report.prefixes[name]:,} openings of {name}"
        for name, share in report.completed.items()
    )
    return "\n".join((*lines, f"completed exactly: {completed}"))


def _cell(value: Any) -> str:
    if isinstance(value, tuple | list):
        return "/".join(f"{one:.0f}" for one in value)
    return f"{value:.4f}" if isinstance(value, float) else str(value)
