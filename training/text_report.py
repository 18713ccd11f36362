"""How a checkpoint's texts compare with real tweets, and what they repeat of its training data."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from training.files import rounded
from training.intervals import share
from training.sampling import Sample
from training.text_figures import REPEATING_RULE, describe, novelty, repeating, windows_of

SHOWN = 20


@dataclass(frozen=True)
class Report:
    """Figures of `samples` texts drawn without a prompt, for `metrics.json`.

    generated, real: figures of equally many generated and real texts of test.
    novelty: share of n-grams that train does not have, by n, of all generated and all real ones.
    verbatim: share of all generated texts, and of all real ones, that repeat train by
        `verbatim_rule`; `verbatim_intervals` has their 95 % intervals.
    unpicked: the first texts drawn.
    """

    samples: int
    first_seed: int
    decoding: Mapping[str, Any]
    generated: Mapping[str, Any]
    real: Mapping[str, Any]
    novelty: Mapping[str, Mapping[int, float]]
    verbatim: Mapping[str, float]
    verbatim_intervals: Mapping[str, Mapping[str, float]]
    verbatim_rule: str
    unpicked: Sequence[str]


def measure_texts(
    samples: Sequence[Sample],
    first_seed: int,
    decoding: Mapping[str, Any],
    train: Sequence[str],
    test: Sequence[str],
) -> Report:
    """Compares texts drawn without a prompt, with these seeds and settings, with real ones."""
    written = [sample.text for sample in samples]
    compared = min(len(written), len(test))
    ended = [sample.ended for sample in samples[:compared]]
    sides = {"generated": written, "real": test}
    known = windows_of(train)
    repeats = {name: repeating(side, known) for name, side in sides.items()}
    verbatim = {name: share(sum(found), len(found)) for name, found in repeats.items()}
    return Report(
        samples=len(samples),
        first_seed=first_seed,
        decoding=dict(decoding),
        generated=describe(written[:compared], ended).as_dict(),
        real=describe(random.Random(first_seed).sample(test, compared)).as_dict(),
        novelty={
            name: {n: round(value, 4) for n, value in novelty(side, train).items()}
            for name, side in sides.items()
        },
        verbatim={name: round(found.value, 4) for name, found in verbatim.items()},
        verbatim_intervals={name: rounded(asdict(found)) for name, found in verbatim.items()},
        verbatim_rule=REPEATING_RULE,
        unpicked=written[:SHOWN],
    )


def render(report: Report) -> str:
    """The report, for a terminal."""
    rows: list[tuple[str, Any, Any]] = [("texts", "generated", "real")]
    rows += [(name, value, report.real[name]) for name, value in report.generated.items()]
    real = report.novelty["real"]
    rows += [(f"new {n}-grams", v, real[n]) for n, v in report.novelty["generated"].items()]
    verbatim = report.verbatim
    rows.append(("repeat train verbatim", verbatim["generated"], verbatim["real"]))
    return "\n".join(
        f"{name:<28}{_cell(ours):>22}{_cell(theirs):>22}" for name, ours, theirs in rows
    )


def _cell(value: Any) -> str:
    if isinstance(value, tuple | list):
        return "/".join(f"{one:.0f}" for one in value)
    return f"{value:.4f}" if isinstance(value, float) else str(value)
