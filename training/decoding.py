"""`decoding`: which temperature, top-p and repetition penalty make texts look most like real ones.

The choice goes into the checkpoint's `generation_config.json`, every setting that was tried into
its `metrics.json`.
"""

import itertools
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from demo.checkpoints.embedded import EMBEDDED
from demo.checkpoints.files import GENERATION_CONFIG
from training import limits
from training.checkpoints import record
from training.command_line import number
from training.files import print_persona, read_json, read_metrics, resolve_folder, write_json
from training.prepare import read_texts
from training.sampling import draw, open_engine
from training.text_figures import TextFigures, describe

TEMPERATURES = (0.8, 0.9, 1.0)
TOP_PS = (0.9, 0.95, 1.0)
REPETITION_PENALTIES = (1.0, 1.1)
FIRST_SEED = 1_000_000
# With fewer texts, the figures of one setting differ from seed to seed more than settings do.
MIN_TEXTS = 100
# The figures that are compared: shares, or figures that grow with one; none is 0 for real tweets.
COMPARED = (
    "distinct_1", "distinct_2", "self_bleu", "within_280",
    "handles", "hashtags", "exclamations", "capitals", "shouted",
)  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """One setting, the figures of the texts it wrote, and their distance from real ones."""

    decoding: Mapping[str, float]
    figures: TextFigures
    distance: float

    def __str__(self) -> str:
        return (
            f"temperature {self.decoding['temperature']:g}, top-p {self.decoding['top_p']:g}, "
            f"repetition penalty {self.decoding['repetition_penalty']:g}"
        )


def decoding(
    checkpoint: Annotated[
        Path, typer.Option(help="default: embedded/", show_default=False)
    ] = EMBEDDED,
    data: Annotated[Path, typer.Option(help="the folder that prepare wrote")] = Path("data"),
    samples: Annotated[int, number("texts drawn for each setting", *limits.SAMPLES)] = 300,
) -> None:
    dev = read_texts(data, "dev")
    metrics = read_metrics(checkpoint)
    print_persona(checkpoint)
    count = min(samples, len(dev))
    if count < MIN_TEXTS:
        print(
            f"The defaults stay as they are: among settings compared on {count:,} texts (dev has "
            f"{len(dev):,}) chance chooses one; {MIN_TEXTS} texts are needed."
        )
        return
    real = describe(random.Random(FIRST_SEED).sample(dev, count))
    trials = []
    with open_engine(resolve_folder(checkpoint)) as engine:
        for setting in settings():
            label = ", ".join(f"{value:g}" for value in setting.values())
            drawn = draw(engine, [""] * count, setting, FIRST_SEED, label)
            figures = describe([s.text for s in drawn], [s.ended for s in drawn])
            trials.append(Trial(setting, figures, distance(figures, real)))
    best = min(trials, key=lambda trial: trial.distance)
    print(_table(real, trials))
    print(f"Chosen: {best}.")
    config_before = read_json(checkpoint / GENERATION_CONFIG)
    config = {**config_before, **best.decoding}
    if any(config_before.get(name) != value for name, value in best.decoding.items()):
        forget_texts(metrics)
    metrics["decoding"] = {
        "samples": real.texts,
        "first_seed": FIRST_SEED,
        "real": real.as_dict(),
        "tried": [
            {**trial.decoding, "distance": round(trial.distance, 4), **trial.figures.as_dict()}
            for trial in trials
        ],
        "chosen": dict(best.decoding),
    }
    record(checkpoint, metrics, {GENERATION_CONFIG: lambda path: write_json(path, config)})


def forget_texts(metrics: dict[str, Any]) -> None:
    """Removes the figures of texts that were drawn with other defaults, and says how to get new
    ones."""
    if metrics.pop("texts", None) is not None:
        print("The figures of its texts were measured with other defaults: run evaluate again.")
    if metrics.get("judges", {}).get("detector"):
        print("The detector learnt from texts of other defaults: run judges again.")


def settings() -> list[dict[str, float]]:
    names = ("temperature", "top_p", "repetition_penalty")
    values = itertools.product(TEMPERATURES, TOP_PS, REPETITION_PENALTIES)
    return [dict(zip(names, one, strict=True)) for one in values]


def distance(figures: TextFigures, real: TextFigures) -> float:
    """How far generated texts are from real ones: the mean relative difference, each as a share of
    the larger value, over the compared figures and the three quantiles of length."""
    pairs = [(getattr(figures, name), getattr(real, name)) for name in COMPARED]
    pairs += zip(figures.length, real.length, strict=True)
    apart = [abs(ours - theirs) / max(ours, theirs, 1e-9) for ours, theirs in pairs]
    return math.fsum(apart) / len(apart)


def _table(real: TextFigures, trials: Sequence[Trial]) -> str:
    def cells(figures: TextFigures) -> str:
        return "".join(f"{getattr(figures, name):>14.4f}" for name in COMPARED)

    header = f"{'':<50}{'distance':>9}" + "".join(f"{name:>14}" for name in COMPARED)
    lines = [header, f"{'real':<50}{'':>9}" + cells(real)]
    for trial in sorted(trials, key=lambda trial: trial.distance):
        lines.append(f"{trial!s:<50}{trial.distance:>9.4f}" + cells(trial.figures))
    return "\n".join(lines)
