"""What `serve` saw, as tables: `results/serve.md` in full, the README's in short.

Knows what the figures are and what was asked of them; must not know how they were measured.
Every figure is taken of one life of an app, and shown as the median over the repeats with the
lowest and the highest; a ratio is taken within a repeat, where the two apps lived in turn.
"""

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Literal

from benchmarks.observations import App, Life, Observations, Visit, Wave

RESULTS = Path(__file__).parent / "results"
NOTHING = "–"
# What the fields of `Figures` are called.
COLUMNS = (
    "first character p50, s", "p95, s", "tokens/s a visitor", "tokens/s in all", "texts/min",
    "visitors' CPU, cores",
)  # fmt: skip


@dataclass(frozen=True)
class Figures:
    """One life's figures for so many visitors at once and texts of so many tokens.

    Times in seconds; in the order in which the table shows them. A text that failed counts in
    the time that all took, but adds no tokens and no latencies.
    """

    first_p50: float
    first_p95: float
    speed: float
    speed_in_all: float
    texts_per_minute: float
    client_cores: float


@dataclass(frozen=True)
class Claim:
    """Something asked of the app: the ratio of two figures of one repeat, and its bar.

    `kind` says how: so many times more than the other, so many times less, or within so
    many times of it. `measure` takes our life and the original's, and gives our figure and
    the one it is held against, or None where something was not measured.
    """

    sentence: str
    unit: str
    bar: float
    kind: Literal["more", "less", "within"]
    measure: Callable[[Life, Life], tuple[float, float] | None]

    def ratio(self, ours: float, other: float) -> float:
        """The larger, the better, unless the claim is `within`."""
        return other / ours if self.kind == "less" else ours / other

    def reached(self, ratio: float) -> bool:
        """Whether this ratio is what was asked for."""
        return ratio <= self.bar if self.kind == "within" else ratio >= self.bar

    def asked(self) -> str:
        """The bar as the table shows it."""
        return f"at {'most' if self.kind == 'within' else 'least'} {self.bar:g} times"


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
        """Both figures and the ratio, medians alone; bold if it is not what was asked for."""
        ours, other = (_number(statistics.median(side)) for side in (self.ours, self.other))
        ratio = statistics.median(self.ratios())
        times = f"{_number(ratio)} times"
        shown = times if self.claim.reached(ratio) else f"**{times}**"
        return f"{ours} against {other} {self.claim.unit}: {shown}"

    def row(self, checkpoint: str) -> str:
        """A row of the table of claims."""
        ratios = self.ratios()
        verdict = "yes" if self.claim.reached(statistics.median(ratios)) else "**no**"
        sides = (f"{spread(side)} {self.claim.unit}" for side in (self.ours, self.other))
        end = (str(len(ratios)), spread(ratios), self.claim.asked(), verdict)
        return _row(checkpoint, self.claim.sentence, *sides, *end)


def speed_claim(visitors: int, tokens: int, bar: float, in_all: bool) -> Claim:
    """Our tokens a second against the original's: in all, or as one visitor has them."""

    def measure(ours: Life, original: Life) -> tuple[float, float] | None:
        mine, theirs = figures(ours, visitors, tokens), figures(original, visitors, tokens)
        if mine is None or theirs is None:
            return None
        return (mine.speed_in_all, theirs.speed_in_all) if in_all else (mine.speed, theirs.speed)

    sentence = f"speed{' in all' if in_all else ''}, {_visitors(visitors)}, {tokens}-token texts"
    return Claim(sentence, "tokens/s", bar, "more", measure)


def first_claim(tokens: int, bar: float) -> Claim:
    """Our 95th percentile with 16 at once, against our own with one."""

    def measure(ours: Life, original: Life) -> tuple[float, float] | None:
        many, one = figures(ours, 16, tokens), figures(ours, 1, tokens)
        return (many.first_p95, one.first_p95) if many and one else None

    sentence = f"first character, p95, 16 at once against our own one, {tokens}-token texts"
    return Claim(sentence, "s", bar, "within", measure)


def memory_claim(visitors: int, bar: float) -> Claim:
    """Our memory against the original's."""

    def measure(ours: Life, original: Life) -> tuple[float, float] | None:
        key = str(visitors)
        if key not in ours.memory_mib or key not in original.memory_mib:
            return None
        return ours.memory_mib[key], original.memory_mib[key]

    return Claim(
        f"memory after {_visitors(visitors)}, how much smaller", "MiB", bar, "less", measure
    )


def cold_claim(bar: float) -> Claim:
    """Our start against the original's."""
    sentence = "process start to first character, how much shorter"
    return Claim(sentence, "s", bar, "less", lambda a, b: (a.cold_seconds, b.cold_seconds))


def claims(lives: Sequence[Life]) -> list[Claim]:
    """What was asked, for every length of text that these lives wrote."""
    lengths = sorted({wave.tokens for life in lives for wave in life.waves})
    return [
        *(speed_claim(1, tokens, 5.0, in_all=False) for tokens in lengths),
        *(speed_claim(16, tokens, 20.0, in_all=True) for tokens in lengths),
        *(first_claim(tokens, 6.0) for tokens in lengths),
        cold_claim(2.0),
        *(memory_claim(visitors, 1.6) for visitors in (1, 16)),
    ]


def figures(life: Life, visitors: int, tokens: int) -> Figures | None:
    """The figures of one cell, or None if no text of it was finished."""
    waves = _waves(life, visitors, tokens)
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


def failures(lives: Iterable[Life]) -> Counter[str]:
    """How many texts failed, by where and why."""
    return Counter(
        f"{life.app}, {_visitors(wave.visitors)}, {wave.tokens} tokens: {visit.failure}"
        for life in lives
        for wave in life.waves
        for visit in wave.visits
        if visit.failure
    )


def percentile(values: Sequence[float], rank: float) -> float:
    """The smallest value that `rank` percent of them do not exceed ("nearest rank")."""
    return sorted(values)[max(0, math.ceil(rank / 100 * len(values)) - 1)]


def spread(values: Sequence[float]) -> str:
    """The median, and in brackets the lowest and the highest."""
    middle, low, high = (
        _number(value) for value in (statistics.median(values), min(values), max(values))
    )
    return f"{middle} ({low} to {high})" if len(values) > 1 else middle


def outcomes(lives: Sequence[Life]) -> list[Outcome]:
    """The claims about one checkpoint, as far as they were measured."""
    originals = {life.repeat: life for life in lives if life.app == "original"}
    pairs = [(one, originals[one.repeat]) for one in _of(lives, "ours") if one.repeat in originals]
    found = []
    for claim in claims(lives):
        measured = [value for pair in pairs if (value := claim.measure(*pair))]
        if measured:
            ours, other = zip(*measured, strict=True)
            found.append(Outcome(claim, ours, other))
    return found


def render(seen: Observations) -> str:
    """All of it in Markdown."""
    parts = [
        "# The app over HTTP, beside the original's code path",
        f"Measured {seen.date} by `python -m benchmarks serve`. {seen.machine}",
        "\n".join(f"- {condition}" for condition in seen.conditions),
        "## What was asked",
        claims_table(seen),
    ]
    for checkpoint, lives in _by_checkpoint(seen).items():
        failed = [f"- failed {count} times: {what}" for what, count in failures(lives).items()]
        parts += [f"## {checkpoint}", _cells_table(lives), "\n".join(failed), _lives_table(lives)]
    return "\n\n".join(part for part in parts if part) + "\n"


def write(seen: Observations, folder: Path) -> None:
    """`serve.json`, which everything else is rendered from, and `serve.md`."""
    folder.mkdir(parents=True, exist_ok=True)
    seen.write(folder / "serve.json")
    (folder / "serve.md").write_text(render(seen), encoding="utf-8")


def readme_table(results: Path = RESULTS) -> str:
    """The README's short form of the last results: a column for each checkpoint."""
    seen = Observations.read(results / "serve.json")
    found = {name: outcomes(lives) for name, lives in _by_checkpoint(seen).items()}
    shown = {
        name: {outcome.claim.sentence: outcome.short() for outcome in some}
        for name, some in found.items()
    }
    claims = {o.claim.sentence: o.claim.asked() for some in found.values() for o in some}
    rows = [
        _row(sentence, asked, *(column.get(sentence, NOTHING) for column in shown.values()))
        for sentence, asked in claims.items()
    ]
    caption = f"{seen.machine} {seen.date}. Ours against the original's code path; bold: missed."
    return f"{caption}\n\n{_table(('what', 'asked', *shown), rows)}"


def claims_table(seen: Observations) -> str:
    """What was asked, and what came of it."""
    header = ("checkpoint", "what", "ours", "held against", "repeats", "ratio", "asked", "reached")
    rows = [
        outcome.row(checkpoint)
        for checkpoint, lives in _by_checkpoint(seen).items()
        for outcome in outcomes(lives)
    ]
    return _table(header, rows)


def _cells_table(lives: Sequence[Life]) -> str:
    header = ("app", "visitors", "tokens", "texts", "failed", *COLUMNS)
    cells = sorted({(wave.visitors, wave.tokens) for life in lives for wave in life.waves})
    rows = [
        row for cell in cells for app in ("ours", "original") if (row := _cell(lives, app, *cell))
    ]
    return _table(header, rows)


def _cell(lives: Sequence[Life], app: App, visitors: int, tokens: int) -> str:
    """A row, empty if this app had no such visitors."""
    mine = _of(lives, app)
    visits = _visits(mine, visitors, tokens)
    if not visits:
        return ""
    counts = (str(len(visits)), str(sum(bool(visit.failure) for visit in visits)))
    found = [one for life in mine if (one := figures(life, visitors, tokens))]
    shown = [spread(column) for column in zip(*map(astuple, found), strict=True)]
    return _row(app, str(visitors), str(tokens), *counts, *(shown or [NOTHING] * len(COLUMNS)))


def _lives_table(lives: Sequence[Life]) -> str:
    header = (
        "app", "engine", "repeat", "start to first character, s", "memory after 1, MiB",
        "after 16, MiB", "outside load, cores", "lived, s",
    )  # fmt: skip
    return _table(header, [_life_row(life) for life in lives])


def _life_row(life: Life) -> str:
    memory = [
        _number(life.memory_mib[key]) if key in life.memory_mib else NOTHING for key in ("1", "16")
    ]
    end = (f"{life.outside_cores:.2f}", f"{life.seconds:.0f}")
    return _row(life.app, life.engine, str(life.repeat), _number(life.cold_seconds), *memory, *end)


def _visits(lives: Iterable[Life], visitors: int, tokens: int) -> list[Visit]:
    return [
        visit for life in lives for one in _waves(life, visitors, tokens) for visit in one.visits
    ]


def _waves(life: Life, visitors: int, tokens: int) -> list[Wave]:
    return [one for one in life.waves if (one.visitors, one.tokens) == (visitors, tokens)]


def _of(lives: Sequence[Life], app: App) -> list[Life]:
    return [life for life in lives if life.app == app]


def _by_checkpoint(seen: Observations) -> dict[str, list[Life]]:
    names = dict.fromkeys(life.checkpoint for life in seen.lives)
    return {name: [one for one in seen.lives if one.checkpoint == name] for name in names}


def _visitors(count: int) -> str:
    return "one visitor" if count == 1 else f"{count} visitors"


def _number(value: float) -> str:
    """Three digits that count, and no more decimals than that."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(decimals, 3)}f}"


def _table(header: Sequence[str], rows: Sequence[str]) -> str:
    return "\n".join((_row(*header), "|---" * len(header) + "|", *rows))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
