"""What `serve` measured, as records in `serve.json`, and as tables for `serve.md` and the README.

Every figure is taken from one process of an app, and shown as the median over the repeats with the
lowest and the highest; a ratio is taken within a repeat, where the two apps ran in turn.
"""

import dataclasses
import json
import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import TypeAdapter

from benchmarks.measuring import NOTHING, RESULTS, number, spread, table, write_page

App = Literal["ours", "original"]
# What the fields of `Figures` are called.
COLUMNS = (
    "first character p50, s", "p95, s", "tokens/s a visitor", "tokens/s in all", "texts/min",
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

    @property
    def seconds(self) -> float:
        """From the moment when all sent to the last event of the last."""
        return max(visit.seconds for visit in self.visits)


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

    def waves_of(self, visitors: int, tokens: int) -> list[Wave]:
        """Its waves of that many visitors and texts of that length."""
        return [one for one in self.waves if (one.visitors, one.tokens) == (visitors, tokens)]


@dataclass(frozen=True)
class Observations:
    """One run of `serve`: when, on what, under which conditions, and every app process."""

    date: str
    machine: str
    conditions: tuple[str, ...]
    lives: tuple[Life, ...]

    def write(self, path: Path) -> None:
        """As JSON, with a line for each life."""
        value = dataclasses.asdict(self)
        lives = ",\n".join(json.dumps(life) for life in value.pop("lives"))
        text = json.dumps(value, indent=1).removesuffix("\n}")
        path.write_text(f'{text},\n "lives": [\n{lives}\n]}}\n', encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "Observations":
        """What `write` wrote."""
        return TypeAdapter(cls).validate_json(path.read_bytes())

    def by_checkpoint(self) -> dict[str, list[Life]]:
        """The lives of each checkpoint, in order."""
        names = dict.fromkeys(life.checkpoint for life in self.lives)
        return {name: [one for one in self.lives if one.checkpoint == name] for name in names}


@dataclass(frozen=True)
class Figures:
    """One life's figures for that many visitors at once and texts of that many tokens.

    Times in seconds; in the order in which the table shows them. A text that failed counts in
    the time that all took, but adds no tokens and no latencies.
    """

    first_p50: float
    first_p95: float
    speed: float
    speed_in_all: float
    texts_per_minute: float
    client_cores: float


def figures(life: Life, visitors: int, tokens: int) -> Figures | None:
    """The figures of one cell, or None if no text of it was finished."""
    waves = life.waves_of(visitors, tokens)
    finished = [visit for wave in waves for visit in wave.visits if not visit.failure]
    if not finished:
        return None
    seconds = sum(wave.seconds for wave in waves)
    firsts = [visit.first_seconds for visit in finished if visit.first_seconds is not None]
    return Figures(
        first_p50=percentile(firsts, 50),
        first_p95=percentile(firsts, 95),
        speed=statistics.median(visit.new_tokens / visit.seconds for visit in finished),
        speed_in_all=sum(visit.new_tokens for visit in finished) / seconds,
        texts_per_minute=60 * len(finished) / seconds,
        client_cores=sum(wave.client_cpu_seconds for wave in waves) / seconds,
    )


def percentile(values: Sequence[float], rank: float) -> float:
    """The smallest value that `rank` percent of them do not exceed ("nearest rank")."""
    return sorted(values)[max(0, math.ceil(rank / 100 * len(values)) - 1)]


# A figure of one life, or None where it was not measured.
Measure = Callable[[Life], float | None]


def figure_of(name: str, visitors: int, tokens: int) -> Measure:
    """Measures the field of `Figures` with that name."""

    def measure(life: Life) -> float | None:
        found = figures(life, visitors, tokens)
        return getattr(found, name) if found else None

    return measure


def memory_after(visitors: int) -> Measure:
    """Measures memory in MiB."""
    return lambda life: life.memory_mib.get(str(visitors))


@dataclass(frozen=True)
class Claim:
    """Something asked of the app: the ratio of two figures of one repeat, and its bar.

    `kind` says whether ours should be that many times more than the other, that many times less,
    or within that many times of it. The other figure is the original's, or, if `own` is given, what
    that measures of our own app.
    """

    sentence: str
    unit: str
    bar: float
    kind: Literal["more", "less", "within"]
    measure: Measure
    own: Measure | None = None

    def pair(self, ours: Life, original: Life) -> tuple[float, float] | None:
        """Our figure and the one it is held against."""
        mine = self.measure(ours)
        other = self.own(ours) if self.own else self.measure(original)
        return None if mine is None or other is None else (mine, other)

    def ratio(self, ours: float, other: float) -> float:
        """The larger, the better, unless the claim is `within`."""
        return other / ours if self.kind == "less" else ours / other

    def reached(self, ratio: float) -> bool:
        """Whether this ratio is what was asked for."""
        return ratio <= self.bar if self.kind == "within" else ratio >= self.bar

    def asked(self) -> str:
        """The bar as the table shows it."""
        return f"at {'most' if self.kind == 'within' else 'least'} {self.bar:g} times"


def claims(lengths: Iterable[int]) -> list[Claim]:
    """What was asked, for these lengths of text in tokens."""
    lengths = sorted(lengths)
    return [
        *(
            Claim(f"speed, one visitor, {tokens}-token texts", "tokens/s", 5.0, "more",
                  figure_of("speed", 1, tokens))
            for tokens in lengths
        ),
        *(
            Claim(f"speed in all, 16 visitors, {tokens}-token texts", "tokens/s", 20.0, "more",
                  figure_of("speed_in_all", 16, tokens))
            for tokens in lengths
        ),
        *(
            Claim(f"first character, p95, 16 at once against our own one, {tokens}-token texts",
                  "s", 6.0, "within",
                  figure_of("first_p95", 16, tokens), figure_of("first_p95", 1, tokens))
            for tokens in lengths
        ),
        Claim("process start to first character, how much shorter", "s", 2.0, "less",
              lambda life: life.cold_seconds),
        Claim("memory after one visitor, how much smaller", "MiB", 1.6, "less", memory_after(1)),
        Claim("memory after 16 visitors, how much smaller", "MiB", 1.6, "less", memory_after(16)),
    ]  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """A claim's figures over the repeats of one checkpoint."""

    claim: Claim
    ours: tuple[float, ...]
    other: tuple[float, ...]

    def ratios(self) -> list[float]:
        """One for each repeat."""
        return [self.claim.ratio(*pair) for pair in zip(self.ours, self.other, strict=True)]

    def short(self) -> str:
        """Both medians and that of the ratio; bold if it is not what was asked for."""
        ours, other = (number(statistics.median(side)) for side in (self.ours, self.other))
        ratio = statistics.median(self.ratios())
        times = f"{number(ratio)} times"
        shown = times if self.claim.reached(ratio) else f"**{times}**"
        return f"{ours} against {other} {self.claim.unit}: {shown}"

    def row(self) -> tuple[str, ...]:
        """A row of the table of claims, without the checkpoint's name."""
        ratios = self.ratios()
        verdict = "yes" if self.claim.reached(statistics.median(ratios)) else "**no**"
        sides = (f"{spread(side)} {self.claim.unit}" for side in (self.ours, self.other))
        end = (str(len(ratios)), spread(ratios), self.claim.asked(), verdict)
        return (self.claim.sentence, *sides, *end)


def outcomes(lives: Sequence[Life]) -> list[Outcome]:
    """The claims about one checkpoint, as far as they were measured."""
    originals = {life.repeat: life for life in lives if life.app == "original"}
    pairs = [
        (life, originals[life.repeat])
        for life in lives
        if life.app == "ours" and life.repeat in originals
    ]
    found = []
    for claim in claims({wave.tokens for life in lives for wave in life.waves}):
        measured = [value for pair in pairs if (value := claim.pair(*pair))]
        if measured:
            ours, other = zip(*measured, strict=True)
            found.append(Outcome(claim, ours, other))
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
    """The paragraphs of `serve.md`."""
    header = ("checkpoint", "what", "ours", "held against", "repeats", "ratio", "asked", "reached")
    rows = [
        (checkpoint, *outcome.row())
        for checkpoint, lives in seen.by_checkpoint().items()
        for outcome in outcomes(lives)
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
        parts += [f"## {checkpoint}", _cells_table(lives), "\n".join(failed), _lives_table(lives)]
    return parts


def readme_table(results: Path = RESULTS) -> str:
    """The README's short form of the last results: a column for each checkpoint."""
    seen = Observations.read(results / "serve.json")
    found = {name: outcomes(lives) for name, lives in seen.by_checkpoint().items()}
    cells = {
        (outcome.claim.sentence, name): outcome.short()
        for name, some in found.items()
        for outcome in some
    }
    asked = {one.claim.sentence: one.claim.asked() for some in found.values() for one in some}
    rows = [
        (sentence, bar, *(cells.get((sentence, name), NOTHING) for name in found))
        for sentence, bar in asked.items()
    ]
    caption = f"{seen.machine} {seen.date}. Ours against the original's code path; bold: missed."
    return f"{caption}\n\n{table(('what', 'asked', *found), rows)}"


def _cells_table(lives: Sequence[Life]) -> str:
    header = ("app", "visitors", "tokens", "texts", "failed", *COLUMNS)
    cells = sorted({(wave.visitors, wave.tokens) for life in lives for wave in life.waves})
    rows = []
    for visitors, tokens in cells:
        for app in ("ours", "original"):
            mine = [life for life in lives if life.app == app]
            waves = [wave for life in mine for wave in life.waves_of(visitors, tokens)]
            failed = [bool(visit.failure) for wave in waves for visit in wave.visits]
            if not waves:
                continue
            found = [one for life in mine if (one := figures(life, visitors, tokens))]
            shown = [spread(column) for column in zip(*map(astuple, found), strict=True)]
            counts = map(str, (visitors, tokens, len(failed), sum(failed)))
            rows.append((app, *counts, *(shown or [NOTHING] * len(COLUMNS))))
    return table(header, rows)


def _lives_table(lives: Sequence[Life]) -> str:
    header = (
        "app", "engine", "repeat", "start to first character, s", "memory after 1, MiB",
        "after 16, MiB", "outside load, cores", "lived, s",
    )  # fmt: skip
    rows = []
    for life in lives:
        memory = (life.memory_mib.get(key) for key in ("1", "16"))
        shown = [NOTHING if one is None else number(one) for one in memory]
        end = (f"{life.outside_cores:.2f}", f"{life.seconds:.0f}")
        rows.append(
            (life.app, life.engine, str(life.repeat), number(life.cold_seconds), *shown, *end)
        )
    return table(header, rows)
