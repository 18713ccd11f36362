"""`evaluate`: how well a checkpoint foresees held-out tweets, and how it writes beside them.

Knows checkpoints, prepared splits and files of texts; must not know how either was made.
Figures go into the checkpoint's `metrics.json`, and its card is rendered anew from them.
"""

import argparse
import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from demo.checkpoints.resolve import CheckpointError
from demo.generation.openvino.exported import exported_folder
from training.baselines import KNESER_NEY_ORDER, KneserNey, Unigram, score_bytes
from training.bits import Figure, Score, summarise
from training.card import EMBEDDED
from training.checkpoints import record
from training.fidelity import Fidelity, measure_fidelity
from training.files import read_metrics, read_texts_file
from training.prepare import read_texts
from training.sampling import engine_of
from training.subject import Subject
from training.text_report import Report, decoding_of, measure_texts

HELD_OUT = ("dev", "test", "test_time")

Scorer = Callable[[list[str]], list[Score]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's command line."""
    parser.add_argument("--checkpoint", type=Path, default=EMBEDDED, help="default: embedded/")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("data"),
        help="what prepare wrote, or one file of texts (.txt, .jsonl, .json, .csv, .parquet)",
    )
    parser.add_argument("--no-baselines", action="store_true", help="score the checkpoint alone")
    parser.add_argument("--no-openvino", action="store_true", help="leave the export unmeasured")
    parser.add_argument(
        "--samples", type=int, default=2_000, help="texts drawn and judged; 0 leaves that out"
    )
    parser.add_argument("--dry-run", action="store_true", help="print, and write nothing")


def run(arguments: argparse.Namespace) -> int:
    """Scores, prints, writes."""
    metrics = {} if arguments.dry_run else read_metrics(arguments.checkpoint)
    sets = _sets(arguments.data)
    baselines = {} if arguments.no_baselines else _baselines(arguments.data)
    subject = Subject.load(arguments.checkpoint)
    scorers: dict[str, Scorer] = {**baselines, "checkpoint": subject.score}
    figures = {
        name: {scorer: summarise(score(texts)) for scorer, score in scorers.items()}
        for name, texts in sets.items()
    }
    print(_table(figures))
    fidelity = None
    if "test" in sets and not arguments.no_openvino:
        kept = replace(subject, checkpoint=replace(subject.checkpoint, writable=False))
        measured = kept if arguments.dry_run else subject
        fidelity = _fidelity(measured, sets["test"], figures["test"]["checkpoint"])
    report = None
    if "test" in sets and arguments.samples:
        report = _report(arguments, subject, sets["test"])
        print(_report_lines(report))
    if not arguments.dry_run:
        _record(arguments.checkpoint, metrics, figures, fidelity, report)
    return 0


def _sets(data: Path) -> dict[str, list[str]]:
    if data.is_file():
        return {data.name: read_texts_file(data)}
    return {name: read_texts(data, name) for name in HELD_OUT}


def _baselines(data: Path) -> dict[str, Scorer]:
    """Trained on the train split beside the held-out ones; a lone file has none."""
    if data.is_file():
        return {}
    train = read_texts(data, "train")
    unigram, kneser_ney = Unigram(train), KneserNey(train)
    return {
        "byte unigram": lambda texts: score_bytes(texts, unigram),
        f"byte {KNESER_NEY_ORDER}-gram, Kneser-Ney": lambda texts: score_bytes(texts, kneser_ney),
    }


def _fidelity(subject: Subject, texts: list[str], reference: Figure) -> Fidelity | None:
    """Of its OpenVINO export; None, and said why, where there is none."""
    try:
        int8 = exported_folder(subject.checkpoint, subject.cache_dir, print)
    except CheckpointError as error:
        print(f"The export was not measured: {error}")
        return None
    found = measure_fidelity(
        subject.checkpoint.folder, int8, subject.model, subject.tokenizer, texts, reference
    )
    print(_fidelity_lines(found))
    return found


def _report(arguments: argparse.Namespace, subject: Subject, test: list[str]) -> Report:
    """What it writes with its own decoding defaults, by the demo's engine."""
    texts = {"train": read_texts(arguments.data, "train"), "test": test}
    decoding = decoding_of(subject.checkpoint.folder)
    with engine_of(subject) as engine:
        return measure_texts(engine, subject.tokenizer, texts, decoding, arguments.samples)


def _report_lines(report: Report) -> str:
    lines = [f"{'texts':<28}{'generated':>22}{'real':>22}"]
    for name, ours in report.generated.items():
        lines.append(f"{name:<28}{_shown(ours):>22}{_shown(report.real[name]):>22}")
    for n, ours in report.novelty["generated"].items():
        theirs = report.novelty["real"][n]
        lines.append(f"{f'new {n}-grams':<28}{_shown(ours):>22}{_shown(theirs):>22}")
    lines.append(
        f"{'repeat train verbatim':<28}{_shown(report.verbatim['generated']):>22}"
        f"{_shown(report.verbatim['real']):>22}"
    )
    completed = ", ".join(
        f"{share:.2%} of {report.prefixes[name]:,} openings of {name}"
        for name, share in report.completed.items()
    )
    return "\n".join((*lines, f"completed to the letter: {completed}"))


def _shown(value: Any) -> str:
    if isinstance(value, tuple | list):
        return "/".join(f"{one:.0f}" for one in value)
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _fidelity_lines(found: Fidelity) -> str:
    lines = [
        f"int8 OpenVINO, {name}: {bits:.4f} bits per byte, {found.differs[name]:+.3f} %"
        for name, bits in found.bits_per_byte.items()
    ]
    greedy = f"{found.greedy_equal} of {found.greedy_prompts}"
    return "\n".join((*lines, f"fp32 OpenVINO, greedy texts equal to transformers': {greedy}"))


def _table(figures: Mapping[str, Mapping[str, Figure]]) -> str:
    lines = [f"{'set':<16}{'model':<26}{'texts':>7}  {'bits per byte, 95 %':<26}{'perplexity':>11}"]
    for name, by_scorer in figures.items():
        lines += [
            f"{name:<16}{scorer:<26}{figure.texts:>7,}  {figure!s:<26}"
            + (f"{figure.perplexity:>11.2f}" if scorer == "checkpoint" else f"{'':>11}")
            for scorer, figure in by_scorer.items()
        ]
    return "\n".join(lines)


def _record(
    folder: Path,
    metrics: dict[str, Any],
    figures: Mapping[str, Mapping[str, Figure]],
    fidelity: Fidelity | None,
    report: Report | None,
) -> None:
    metrics.setdefault("evaluation", {}).update(
        {
            name: {scorer: figure.as_dict() for scorer, figure in by_scorer.items()}
            for name, by_scorer in figures.items()
        }
    )
    if fidelity is not None:
        metrics["openvino"] = fidelity.as_dict()
    if report is not None:
        metrics["texts"] = asdict(report)
    metrics["evaluated"] = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, "
        + ("GPU" if torch.cuda.is_available() else "no GPU"),
    }
    record(folder, metrics)
