"""What `serve` measured, as records in `serve.json`, and as tables for `serve.md` and the README.

Every figure is taken from one process of an app, and shown as the median over the repeats with the
lowest and the highest; a ratio is taken within a repeat, where the two apps ran in turn.
"""

import json
import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from pydantic import TypeAdapter

from benchmarks.measuring import NOTHING, RESULTS, number, spread, table, write_page

App = Literal["ours", "original"]
COLUMNS = (
    "first character p50, s", "p95, s", "tokens/s a visitor", "tokens/s in all",
    "visitors' CPU, cores",
)  # fmt: skip


class Visit(NamedTuple):
    """One text as its visitor saw it, in seconds from sending.

    `first_seconds` is None if no generated character came; `failure` says why a text was not
    finished, and is empty for one that was.
    """

    first_seconds: float | None
    seconds: float
    new_tokens: int = 0
    failure: str = ""


@dataclass(frozen=True)
class Wave:
    """Visitors who came at once, each for one text of at most `tokens` tokens.

    `engine` is what the texts say they were made by; `client_cpu_seconds` is the CPU time of the
    visitors' own process.
    """

    visitors: int
    tokens: int
    engine: str
    client_cpu_seconds: float
    visits: tuple[Visit, ...]


@dataclass(frozen=True)
class Life:
    """One app process, from its start to its end.

    `cold_seconds` is from the start to the first generated character that a visitor saw;
    `memory_mib` is the PSS of its processes after that many visitors at once (a string, for JSON);
    `outside_cores` is how many cores other programs kept busy meanwhile.
    """

    app: App
    checkpoint: str
    engine: str
    repeat: int
    cold_seconds: float
    seconds: float
    outside_cores: float
    waves: tuple[Wave, ...] = ()
    memory_mib: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Observations:
    """One run of `serve`: when, on what, under which conditions, and every app process."""

    date: str
    machine: str
    conditions: tuple[str, ...]
    lives: tuple[Life, ...]

    def write(self, path: Path) -> None:
        """As JSON, with a line for each life."""
        value = asdict(self)
        lives = ",\n".join(json.dumps(life) for life in value.pop("lives"))
        text = json.dumps(value, indent=1).removesuffix("\n}")
        path.write_text(f'{text},\n "lives": [\n{lives}\n]}}\n', encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "Observations":
        return TypeAdapter(cls).validate_json(path.read_bytes())

    def by_checkpoint(self) -> dict[str, list[Life]]:
        names = dict.fromkeys(life.checkpoint for life in self.lives)
        return {name: [one for one in self.lives if one.checkpoint == name] for name in names}


def waves_of(life: Life, visitors: int, tokens: int) -> list[Wave]:
    return [one for one in life.waves if (one.visitors, one.tokens) == (visitors, tokens)]


def figures(waves: Sequence[Wave]) -> dict[str, float]:
    """What was measured of one process in these waves, by column; empty if no text was finished.

    A text that failed counts in the time that all took, but adds no tokens and no latencies.
    """
    finished = [visit for wave in waves for visit in wave.visits if not visit.failure]
    if not finished:
        return {}
    seconds = sum(max(visit.seconds for visit in wave.visits) for wave in waves)
    firsts = [visit.first_seconds for visit in finished if visit.first_seconds is not None]
    found = (
        *np.percentile(firsts, [50, 95], method="inverted_cdf").tolist(),
        statistics.median(visit.new_tokens / visit.seconds for visit in finished),
        sum(visit.new_tokens for visit in finished) / seconds,
        sum(wave.client_cpu_seconds for wave in waves) / seconds,
    )
    return dict(zip(COLUMNS, found, strict=True))


# A figure of one life; NaN where it was not measured.
Measure = Callable[[Life], float]


def _figure(column: str, visitors: int, tokens: int) -> Measure:
    return lambda life: figures(waves_of(life, visitors, tokens)).get(column, math.nan)


def _memory_after(visitors: int) -> Measure:
    return lambda life: life.memory_mib.get(str(visitors), math.nan)


@dataclass(frozen=True)
class Claim:
    """Something asked of the app, and both figures of every repeat that measured it.

    `kind` says whether ours should be `bar` times more than the other, that many times less, or
    within that many times of it.
    """

    what: str
    unit: str
    bar: float
    kind: Literal["more", "less", "within"]
    ours: tuple[float, ...]
    other: tuple[float, ...]

    @property
    def ratios(self) -> list[float]:
        """One for each repeat: the larger, the better, unless the claim is `within`."""
        pairs = zip(self.ours, self.other, strict=True)
        return [other / ours if self.kind == "less" else ours / other for ours, other in pairs]

    @property
    def is_reached(self) -> bool:
        """Whether the median ratio is what was asked for."""
        ratio = statistics.median(self.ratios)
        return ratio <= self.bar if self.kind == "within" else ratio >= self.bar

    @property
    def asked(self) -> str:
        return f"at {'most' if self.kind == 'within' else 'least'} {self.bar:g} times"


def claims(lives: Sequence[Life]) -> list[Claim]:
    """What was asked of the app, as far as it was measured on one checkpoint."""
    originals = {life.repeat: life for life in lives if life.app == "original"}
    pairs = [
        (life, originals[life.repeat])
        for life in lives
        if life.app == "ours" and life.repeat in originals
    ]
    lengths = sorted({wave.tokens for life in lives for wave in life.waves})
    found: list[Claim] = []

    def ask(
        what: str,
        unit: str,
        bar: float,
        kind: Literal["more", "less", "within"],
        measure: Measure,
        own: Measure | None = None,
    ) -> None:
        """Against the same figure of the original, or against what `own` measures of our app."""
        both = [(measure(a), own(a) if own else measure(b)) for a, b in pairs]
        both = [pair for pair in both if not math.isnan(sum(pair))]
        if both:
            ours, other = zip(*both, strict=True)
            found.append(Claim(what, unit, bar, kind, ours, other))

    for tokens in lengths:
        speed = _figure("tokens/s a visitor", 1, tokens)
        ask(f"speed, one visitor, {tokens}-token texts", "tokens/s", 5.0, "more", speed)
    for tokens in lengths:
        speed = _figure("tokens/s in all", 16, tokens)
        ask(f"speed in all, 16 visitors, {tokens}-token texts", "tokens/s", 20.0, "more", speed)
    for tokens in lengths:
        what = f"first character, p95, 16 at once against our own one, {tokens}-token texts"
        many, alone = (_figure("p95, s", visitors, tokens) for visitors in (16, 1))
        ask(what, "s", 6.0, "within", many, own=alone)
    what = "process start to first character, how much shorter"
    ask(what, "s", 2.5, "less", lambda life: life.cold_seconds)
    for visitors, name in ((1, "one visitor"), (16, "16 visitors")):
        what = f"memory after {name}, how much smaller"
        ask(what, "MiB", 1.6, "less", _memory_after(visitors))
    return found


def failures(lives: Iterable[Life]) -> Counter[str]:
    """How many texts failed, by where and why."""
    return Counter(
        f"{life.app}, {wave.visitors} at once, {wave.tokens} tokens: {visit.failure}"
        for life in lives
        for wave in life.waves
        for visit in wave.visits
        if visit.failure
    )


def write(seen: Observations, folder: Path | None) -> None:
    """Prints the page; writes it as `serve.md` beside `serve.json`, which has every visit."""
    write_page(folder and folder / "serve.md", render(seen))
    if folder:
        seen.write(folder / "serve.json")


def render(seen: Observations) -> list[str]:
    header = ("checkpoint", "what", "ours", "held against", "repeats", "ratio", "asked", "reached")
    rows = [
        (
            checkpoint,
            claim.what,
            *(f"{spread(side)} {claim.unit}" for side in (claim.ours, claim.other)),
            str(len(claim.ratios)),
            spread(claim.ratios),
            claim.asked,
            "yes" if claim.is_reached else "**no**",
        )
        for checkpoint, lives in seen.by_checkpoint().items()
        for claim in claims(lives)
    ]
    parts = [
        "# The app over HTTP, beside the original's code path",
        f"Measured {seen.date} by `python -m benchmarks serve`. {seen.machine}",
        "\n".join(f"- {condition}" for condition in seen.conditions),
        "## What was asked",
        table(header, rows),
    ]
    for checkpoint, lives in seen.by_checkpoint().items():
        failed = [f"- failed {count} times: {what}" for what, count in failures(lives).items()]
        parts += [f"## {checkpoint}", _about(lives), _cells_table(lives), "\n".join(failed)]
    return parts


def _about(lives: Sequence[Life]) -> str:
    engines = dict.fromkeys(f"{life.app} by {life.engine}" for life in lives)
    busy = spread([life.outside_cores for life in lives])
    return f"Texts are {'; '.join(engines)}. Outside load: {busy} cores."


def _cells_table(lives: Sequence[Life]) -> str:
    """A row for each number of visitors and length of text, and each app that had them."""
    rows = []
    for visitors, tokens in sorted({(w.visitors, w.tokens) for life in lives for w in life.waves}):
        for app in ("ours", "original"):
            each = [waves_of(life, visitors, tokens) for life in lives if life.app == app]
            failed = [bool(one.failure) for waves in each for wave in waves for one in wave.visits]
            if not failed:
                continue
            found = [one for waves in each if (one := figures(waves))]
            shown = [spread([one[name] for one in found]) if found else NOTHING for name in COLUMNS]
            counts = map(str, (visitors, tokens, len(failed), sum(failed)))
            rows.append((app, *counts, *shown))
    return table(("app", "visitors", "tokens", "texts", "failed", *COLUMNS), rows)


def readme_table(results: Path = RESULTS) -> str:
    """The README's short form of the last results: a column for each checkpoint; bold: missed."""
    seen = Observations.read(results / "serve.json")
    found = {name: claims(lives) for name, lives in seen.by_checkpoint().items()}
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for name, some in found.items():
        for claim in some:
            ours, other, ratio = (
                number(statistics.median(values))
                for values in (claim.ours, claim.other, claim.ratios)
            )
            times = f"{ratio} times" if claim.is_reached else f"**{ratio} times**"
            row = cells.setdefault((claim.what, claim.asked), {})
            row[name] = f"{ours} against {other} {claim.unit}: {times}"
    rows = [(*what, *(row.get(name, NOTHING) for name in found)) for what, row in cells.items()]
    caption = f"{seen.machine} {seen.date}. Ours against the original's code path; bold: missed."
    return f"{caption}\n\n{table(('what', 'asked', *found), rows)}"
