"""`evaluate`: how well a checkpoint predicts held-out tweets, and how its texts compare with them.

Figures go into the checkpoint's `metrics.json`, and its card is rendered again from them.
"""

import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from demo.checkpoints.embedded import EMBEDDED
from demo.checkpoints.files import PLOT
from demo.checkpoints.resolve import CheckpointError
from demo.generation.openvino.exported import exported_folder
from demo.generation.profile import read_profile
from demo.settings import read_settings
from training import EXPECTED, TrainingError, limits, memorisation, text_figures, visitors
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
from training.files import print_persona, read_metrics, resolve_folder, rounded
from training.memorisation import Model, measure_memorisation
from training.plot import draw_curves
from training.prepare import read_texts
from training.sampling import load_base, load_fp32, open_engine, read_decoding
from training.text_figures import measure_texts
from training.visitors import draw_groups, measure_visitors
from training.working_tree import revision

HELD_OUT = ("dev", "test", "test_time")
ZERO_SHOT = "the base, not fine-tuned"

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
    no_baselines: Annotated[bool, flag("no-baselines", "measure the checkpoint alone")] = False,
    no_openvino: Annotated[bool, flag("no-openvino", "leave the export unmeasured")] = False,
    samples: Annotated[
        int,
        number(
            "texts drawn at the defaults, half of them after a prompt, and compared with real "
            "ones; 0 draws none",
            *limits.SAMPLES_OR_NONE,
        ),
    ] = 2_000,
    dry_run: Annotated[bool, flag("dry-run", "print, and write nothing")] = False,
) -> None:
    metrics = {} if dry_run else read_metrics(checkpoint)
    print_persona(checkpoint)
    # A lone file has no train split, by which the texts of a model are judged.
    train: list[str] = []
    test: list[str] = []
    if data.is_file():
        sets = {data.name: read_file(data)}
    else:
        sets = {name: read_texts(data, name) for name in HELD_OUT}
        train, test = read_texts(data, "train"), sets["test"]
    resolved = resolve_folder(checkpoint)
    models: dict[str, Model] = {}
    scorers: dict[str, Scorer] = {}
    if train and not no_baselines:
        scorers["byte unigram"] = Unigram(train).score
        scorers[f"byte {KNESER_NEY_ORDER}-gram, Kneser-Ney"] = KneserNey(train).score
        models |= _base(metrics)
    models["checkpoint"] = model, tokenizer = load_fp32(resolved)
    for name, one in models.items():
        scorers[name] = partial(_score, one, name)
    figures = {
        name: {scorer: summarise(score(texts)) for scorer, score in scorers.items()}
        for name, texts in sets.items()
    }
    print(_table(figures))
    metrics.setdefault("evaluation", {}).update(rounded(figures))
    if train and not no_baselines:
        metrics["memorisation"] = measure_memorisation(models, {"train": train, "test": test})
        print(memorisation.render(metrics["memorisation"]))
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
            groups = draw_groups(engine, read_profile(checkpoint), train, samples)
        unprompted, decoding = groups[visitors.NO_PROMPT].samples, read_decoding(checkpoint)
        report = measure_texts(unprompted, visitors.FIRST_SEED, decoding, train, test)
        print(text_figures.render(report))
        metrics["texts"] = asdict(report)
        metrics["visitors"] = measure_visitors(groups, train, test)
        print(visitors.render(metrics["visitors"]))
    if not dry_run:
        metrics["evaluated"] = {
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "git_revision": revision(),
            "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, "
            + ("GPU" if torch.cuda.is_available() else "no GPU"),
        }
        curves = {"": metrics["curve"]}
        record(checkpoint, metrics, {PLOT: lambda path: draw_curves(curves, path)})


def _score(model: Model, label: str, texts: list[str]) -> list[Score]:
    return score_texts(texts, *model, label)


def _base(metrics: Mapping[str, Any]) -> dict[str, Model]:
    """What the recipe started from, if it is a model that is to be had here."""
    source = metrics.get("recipe", {}).get("base")
    try:
        return {ZERO_SHOT: load_base(source)} if source else {}
    except EXPECTED as error:
        print(f"The base was not measured: {error}")
        return {}


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
