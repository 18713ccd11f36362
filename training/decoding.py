"""`decoding`: with which temperature, top-p and repetition penalty texts look most like real ones.

Knows the grid and figures of texts; must not know how a text is drawn. The choice goes into the
checkpoint's `generation_config.json`, every setting that was tried into its `metrics.json`.
"""

import argparse
import itertools
import json
import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.card import EMBEDDED
from training.checkpoints import record
from training.files import read_metrics, write_json
from training.prepare import read_texts
from training.sampling import draw, engine_of
from training.subject import Subject
from training.text_figures import TextFigures, describe

TEMPERATURES = (0.8, 0.9, 1.0)
TOP_PS = (0.9, 0.95, 1.0)
REPETITION_PENALTIES = (1.0, 1.1)
FIRST_SEED = 1_000_000
# What is compared; all are shares, or grow with a share, and none is 0 for real tweets.
COMPARED = (
    "distinct_1", "distinct_2", "self_bleu", "within_280",
    "handles", "hashtags", "exclamations", "capitals", "shouted",
)  # fmt: skip

Decoding = Mapping[str, float]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's command line."""
    parser.add_argument("--checkpoint", type=Path, default=EMBEDDED, help="default: embedded/")
    parser.add_argument("--data", type=Path, default=Path("data"), help="what prepare wrote")
    parser.add_argument("--samples", type=int, default=300, help="texts drawn for each setting")


def run(arguments: argparse.Namespace) -> int:
    """Draws, compares with dev, prints and records."""
    dev = read_texts(arguments.data, "dev")
    metrics = read_metrics(arguments.checkpoint)
    count = min(arguments.samples, len(dev))
    real = describe(random.Random(FIRST_SEED).sample(dev, count))
    tried = []
    with engine_of(Subject.load(arguments.checkpoint)) as engine:
        for decoding in grid():
            samples = draw(engine, [""] * count, decoding, FIRST_SEED, _label(decoding))
            figures = describe([s.text for s in samples], [s.ended for s in samples])
            tried.append((decoding, figures, distance(figures, real)))
    best = min(tried, key=lambda one: one[2])
    print(_table(real, tried))
    print(f"Chosen: {_label(best[0])}.")
    _record(arguments.checkpoint, metrics, real, tried, best[0])
    return 0


def grid() -> list[Decoding]:
    """Every setting that is tried."""
    names = ("temperature", "top_p", "repetition_penalty")
    values = itertools.product(TEMPERATURES, TOP_PS, REPETITION_PENALTIES)
    return [dict(zip(names, one, strict=True)) for one in values]


def distance(figures: TextFigures, real: TextFigures) -> float:
    """How far generated texts are from real ones: the mean, over the figures compared and the
    three quantiles of length, of the difference as a share of the larger of the two."""
    pairs = [(getattr(figures, name), getattr(real, name)) for name in COMPARED]
    pairs += zip(figures.length, real.length, strict=True)
    apart = [abs(ours - theirs) / max(ours, theirs, 1e-9) for ours, theirs in pairs]
    return math.fsum(apart) / len(apart)


def _label(decoding: Decoding) -> str:
    return (
        f"temperature {decoding['temperature']:g}, top-p {decoding['top_p']:g}, "
        f"repetition penalty {decoding['repetition_penalty']:g}"
    )


def _table(real: TextFigures, tried: Sequence[tuple[Decoding, TextFigures, float]]) -> str:
    header = f"{'':<50}{'distance':>9}" + "".join(f"{name:>14}" for name in COMPARED)
    lines = [header, f"{'real':<50}{'':>9}" + _cells(real)]
    for decoding, figures, far in sorted(tried, key=lambda one: one[2]):
        lines.append(f"{_label(decoding):<50}{far:>9.4f}" + _cells(figures))
    return "\n".join(lines)


def _cells(figures: TextFigures) -> str:
    return "".join(f"{getattr(figures, name):>14.4f}" for name in COMPARED)


def _record(
    folder: Path,
    metrics: dict[str, Any],
    real: TextFigures,
    tried: Sequence[tuple[Decoding, TextFigures, float]],
    best: Decoding,
) -> None:
    config_path = folder / "generation_config.json"
    config: dict[str, Any] = json.loads(config_path.read_text(encoding="utf-8"))
    write_json(config_path, {**config, **best})
    metrics["decoding"] = {
        "samples": real.texts,
        "first_seed": FIRST_SEED,
        "real": real.as_dict(),
        "tried": [
            {**decoding, "distance": round(far, 4), **figures.as_dict()}
            for decoding, figures, far in tried
        ],
        "chosen": dict(best),
    }
    record(folder, metrics)
