"""`decoding`: which temperature, top-p and repetition penalty make texts look most like real ones.

Draws texts as visitors get them: from the demo's engine, at its default length, half of them after
a prompt. Settings significantly farther from real tweets than the nearest are dropped, then those
whose shares of "!" and capitals are off, unless all are. Of the rest, the one with the lowest bits
per byte under a base goes into the checkpoint's `generation_config.json`, and all figures into its
`metrics.json`.
"""

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from demo.checkpoints.embedded import EMBEDDED
from demo.checkpoints.files import GENERATION_CONFIG
from demo.checkpoints.persona import persona_of
from demo.judging.canonical import ANONYMOUS_HANDLE
from demo.judging.judges import Share
from training import limits
from training.checkpoints import record
from training.command_line import number
from training.files import (
    print_persona,
    read_json,
    read_metrics,
    resolve_folder,
    rounded,
    write_json,
)
from training.openings import first_words
from training.prepare import read_texts
from training.sampling import MAX_NEW_TOKENS, draw, load_base, open_engine, read_decoding
from training.text_distance import (
    COMPARED,
    TextSet,
    measure_distance,
    measure_gap,
    measure_mauve,
    read_sets,
)
from training.text_figures import public_handles
from training.visitors import OF_REAL, SEEN
from training.working_tree import revision

NAMES = ("temperature", "top_p", "repetition_penalty")
# Tried beside the checkpoint's own defaults.
TRIED = (
    (0.9, 0.95, 1.0), (0.9, 1.0, 1.0), (0.9, 1.0, 1.05), (1.0, 0.9, 1.0), (1.0, 0.95, 1.0),
    (1.0, 1.0, 1.0),
)  # fmt: skip
FIRST_SEED = 1_000_000
# With fewer texts, the figures of one setting differ from seed to seed more than settings do.
MIN_TEXTS = 100
# A prompt is so many of a real tweet's words, or one in so many times an example of the page.
OPENING_WORDS = 3
EXAMPLE_EVERY = 4

Setting = Mapping[str, float]


@dataclass(frozen=True)
class Trial:
    """A set of texts and how it compares with the real ones; `decoding` is empty for real texts.
    `gap` is how much farther it is than the nearest setting."""

    decoding: Setting
    figures: Mapping[str, float]
    distance: Share
    mauve: Share
    gap: Share

    def as_dict(self) -> dict[str, Any]:
        shares = {name: asdict(getattr(self, name)) for name in ("distance", "mauve", "gap")}
        return {**self.decoding, **rounded({"figures": dict(self.figures), **shares})}

    def __str__(self) -> str:
        if not self.decoding:
            return "other real tweets"
        return "{temperature:g}, top-p {top_p:g}, penalty {repetition_penalty:g}".format(
            **self.decoding
        )


def decoding(
    checkpoint: Annotated[
        Path, typer.Option(help="default: embedded/", show_default=False)
    ] = EMBEDDED,
    data: Annotated[Path, typer.Option(help="the folder that prepare wrote")] = Path("data"),
    samples: Annotated[
        int | None,
        number("texts drawn for each setting; default: as many as dev has", *limits.SAMPLES),
    ] = None,
) -> None:
    dev = read_texts(data, "dev")
    metrics = read_metrics(checkpoint)
    print_persona(checkpoint)
    count = min(samples or len(dev), len(dev))
    if count < MIN_TEXTS:
        print(
            f"The defaults stay as they are: {count:,} texts (dev has {len(dev):,}) are too few to "
            f"compare settings; {MIN_TEXTS} are needed."
        )
        return
    # Before the texts are drawn: it may have to be fetched.
    base = load_base()
    chance = random.Random(FIRST_SEED)
    real = chance.sample(dev, count)
    train = read_texts(data, "train")
    # Its distance is what chance alone makes.
    others = chance.sample(train, min(count, len(train)))
    prompts = openings(real, persona_of(checkpoint).examples)
    own = {name: float(read_decoding(checkpoint)[name]) for name in NAMES}
    settings = [own, *(one for one in map(_setting, TRIED) if one != own)]
    sets: list[tuple[Sequence[str], Sequence[bool] | None]] = [(real, None), (others, None)]
    with open_engine(resolve_folder(checkpoint)) as engine:
        for setting in settings:
            label = ", ".join(f"{value:g}" for value in setting.values())
            drawn = draw(engine, prompts, setting, FIRST_SEED, label)
            sets.append(([one.text for one in drawn], [one.ended for one in drawn]))
    read = read_sets(sets, public_handles(train), *base, seed=FIRST_SEED)
    noise, *trials = compare_sets(*read, settings=[{}, *settings])
    figures = _figures(read[0])
    best = choose(trials, figures)
    chosen = best.decoding
    print(_table(read[0], noise, trials))
    least, most = OF_REAL
    print(
        f"Chosen: {best}. It has the lowest bits per byte under the base among the settings not "
        "significantly farther from real tweets than the nearest; if any of those have "
        f'{least:g} to {most:g} times real tweets\' share of "!" and capitals, only they count.'
    )
    before = read_json(checkpoint / GENERATION_CONFIG)
    config = {**before, "max_new_tokens": MAX_NEW_TOKENS, **chosen}
    if chosen != own:
        forget_texts(metrics)
    metrics["decoding"] = {
        "samples": count,
        "prompted": sum(map(bool, prompts)),
        "first_seed": FIRST_SEED,
        "max_new_tokens": MAX_NEW_TOKENS,
        "git_revision": revision(),
        "real": rounded(figures),
        "noise": noise.as_dict(),
        "tried": [trial.as_dict() for trial in trials],
        "chosen": dict(chosen),
    }
    record(checkpoint, metrics, {GENERATION_CONFIG: lambda path: write_json(path, config)})


def openings(texts: Sequence[str], examples: Sequence[str]) -> list[str]:
    """A prompt for each text: for every second one none, for the others its own first words or an
    example of the page, as it is where those words name nobody (`@user`)."""
    prompts, pages = [], itertools.cycle(examples)
    for i, text in enumerate(texts):
        own = first_words(text, OPENING_WORDS)
        takes_example = ANONYMOUS_HANDLE in own or i // 2 % EXAMPLE_EVERY == 0
        if i % 2 == 0:
            prompts.append("")
        elif examples and takes_example:
            prompts.append(next(pages))
        else:
            prompts.append("" if ANONYMOUS_HANDLE in own else own)
    return prompts


def compare_sets(real: TextSet, *sets: TextSet, settings: Sequence[Setting]) -> list[Trial]:
    """Each set beside the real texts; the first are other real ones."""
    distances = [measure_distance(one, real) for one in sets]
    nearest = min(range(1, len(sets)), key=lambda i: distances[i].value)
    return [
        Trial(
            setting,
            _figures(one),
            found,
            measure_mauve(one, real),
            measure_gap(one, sets[nearest], real, max(1, len(sets) - 2)),
        )
        for setting, one, found in zip(settings, sets, distances, strict=True)
    ]


def choose(trials: Sequence[Trial], real: Mapping[str, float]) -> Trial:
    """The setting with the lowest bits per byte under the base, among those not significantly
    farther than the nearest: distance says nothing of how well a text hangs together. Only settings
    within OF_REAL for every figure of SEEN are considered, if there are any."""
    near = [one for one in trials if one.gap.low <= 0]
    least, most = OF_REAL
    alike = [
        one
        for one in near
        if all(least * real[name] <= one.figures[name] <= most * real[name] for name in SEEN)
    ]
    return min(alike or near, key=lambda one: one.figures["base_bits_per_byte"])


def forget_texts(metrics: dict[str, Any]) -> None:
    """Removes the figures of texts that were drawn with other defaults, and says how to get new
    ones."""
    metrics.pop("visitors", None)
    if metrics.pop("texts", None) is not None:
        print("The figures of its texts were measured with other defaults: run evaluate again.")
    if metrics.get("judges", {}).get("detector"):
        print("The detector learnt from texts of other defaults: run judges again.")


def _setting(values: Sequence[float]) -> dict[str, float]:
    return dict(zip(NAMES, values, strict=True))


def _figures(texts: TextSet) -> dict[str, float]:
    values = texts.figures(np.arange(len(texts)))
    return dict(zip(COMPARED, values.tolist(), strict=False))


def _table(real: TextSet, noise: Trial, trials: Sequence[Trial]) -> str:
    def cells(figures: Mapping[str, float]) -> str:
        return "".join(f"{figures[name]:>{len(name) + 2}.4f}" for name in COMPARED)

    def shown(figure: Share) -> str:
        return f"{figure.value:.4f} [{figure.low:.4f}, {figure.high:.4f}]"

    header = f"{'temperature':<34}{'distance':<26}{'farther than the nearest':<28}{'MAUVE':<24}"
    lines = [header + "".join(f"  {name}" for name in COMPARED)]
    lines.append(f"{'real':<112}{cells(_figures(real))}")
    for one in (noise, *sorted(trials, key=lambda trial: trial.distance.value)):
        intervals = f"{shown(one.distance):<26}{shown(one.gap):<28}{shown(one.mauve):<24}"
        lines.append(f"{one!s:<34}{intervals}{cells(one.figures)}")
    return "\n".join(lines)
