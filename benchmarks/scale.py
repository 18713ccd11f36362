"""`scale`: how many texts one page over many engines would carry, simulated.

The engines' speeds are those that `serve` measured on one machine, by how many texts are written at
once. Nothing here was measured on several machines.
"""

import heapq
import itertools
import math
import random
import statistics
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from benchmarks import BenchmarkError
from benchmarks.measuring import RESULTS, ResultsOption, number, table, today, write_page
from benchmarks.report import Life, Observations, figures, waves_of

# CPU seconds of the page's process for one text of TOKENS tokens from an engine elsewhere: measured
# from 0.061 to 0.093 on 2026-11-26, on a machine like that of the engines.
PAGE_SECONDS = 0.077
TOKENS = 60
SLOTS = 16
# The waves of `serve` that say how fast an engine is.
AT_ONCE, MEASURED_TOKENS = (1, 4, 16), 32
SECONDS = 600.0
# What "carries" means: 95 of 100 texts begin within this.
PATIENCE_SECONDS = 1.0
# At high rates this is enough to see whether a queue grows.
MAX_TEXTS = 10_000
# As in Ray Serve: so many texts under way for each engine that it aims at.
TARGET = 8
IDLE_SECONDS = 60.0
# Texts a second on a usual day.
MEAN = 1.0


@dataclass
class Engine:
    """Writes up to SLOTS texts at once, all equally fast: `done` is how many tokens each text that
    was there from the start would have by now."""

    speeds: Sequence[float]
    now: float = 0.0
    done: float = 0.0
    # A heap of the texts under way, by when they end, in `done`; their numbers settle ties.
    ends: list[tuple[float, int, "Text"]] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=itertools.count)
    waiting: deque["Text"] = field(default_factory=deque)

    @property
    def texts(self) -> int:
        return len(self.ends) + len(self.waiting)

    def advance(self, now: float) -> None:
        """Writes until then; texts that wait take the places of those that end."""
        if now <= self.now:
            return
        while self.ends and (end := self.next_end()) <= now:
            self.done, _, text = heapq.heappop(self.ends)
            self.now = text.ended = end
            self._admit()
        if self.ends:
            self.done += self.speeds[len(self.ends)] * (now - self.now)
        self.now = now

    def next_end(self) -> float:
        left = max(0.0, self.ends[0][0] - self.done)
        return self.now + left / self.speeds[len(self.ends)]

    def add(self, text: "Text") -> None:
        self.advance(text.sent)
        self.waiting.append(text)
        self._admit()

    def _admit(self) -> None:
        while self.waiting and len(self.ends) < SLOTS:
            text = self.waiting.popleft()
            text.begun = self.now
            heapq.heappush(self.ends, (self.done + text.tokens, next(self.numbers), text))


@dataclass
class Text:
    """When it was asked for, when the page sent it to an engine, when it began and ended."""

    asked: float
    tokens: int
    sent: float = 0.0
    begun: float = math.inf
    ended: float = math.inf

    @property
    def wait(self) -> float:
        return self.begun - self.asked


def speeds_of_each(at_once: Sequence[int], in_all: Sequence[float]) -> Sequence[float]:
    """Tokens a second of one text, by how many are written at once, from 0 to SLOTS: those of all
    of them together are known for some numbers."""
    return [0.0, *(float(np.interp(n, at_once, in_all)) / n for n in range(1, SLOTS + 1))]


@dataclass
class Fleet:
    """Engines behind one page, whose CPU handles one text after the other; `delay` seconds after
    more are needed they are there, up to `most`. More than `room` texts at once are refused."""

    speeds: Sequence[float]
    engines: int
    page_seconds: float = PAGE_SECONDS
    most: int = 0
    delay: float = 0.0
    room: float = math.inf

    def run(self, arrivals: Iterable[float], tokens: int = TOKENS) -> tuple[list[Text], int, int]:
        """The texts that were written, how many were refused, and the most engines at once."""
        engines = [Engine(self.speeds) for _ in range(self.engines)]
        starting: deque[float] = deque()
        texts: list[Text] = []
        page_free = needed_at = 0.0
        refused, peak = 0, self.engines
        for asked in arrivals:
            at_page = max(0.0, page_free - asked) / self.page_seconds if self.page_seconds else 0
            if sum(engine.texts for engine in engines) + at_page >= self.room:
                refused += 1
            else:
                page_free = max(page_free, asked) + self.page_seconds
                texts.append(Text(asked, tokens, page_free))
            now = max(page_free, asked)
            while starting and starting[0] <= now:
                engines.append(Engine(self.speeds, now=starting.popleft()))
            for engine in engines:
                engine.advance(now)
            if texts and texts[-1].sent == now:
                min(engines, key=lambda engine: engine.texts).add(texts[-1])
            needed = math.ceil(sum(engine.texts for engine in engines) / TARGET)
            wanted = min(self.most, needed) - len(engines) - len(starting)
            starting.extend([now + self.delay] * wanted)
            needed_at = now if needed >= len(engines) else needed_at
            idle = [engine for engine in engines[self.engines :] if not engine.texts]
            if idle and now - needed_at > IDLE_SECONDS:
                engines.remove(idle[0])
            peak = max(peak, len(engines))
        for engine in engines:
            engine.advance(math.inf)
        return texts, refused, peak


def poisson(rate: float, seconds: float, begin: float = 0.0, seed: int = 1) -> Iterator[float]:
    """Moments at which texts are asked for, at a mean rate a second."""
    chance, now = random.Random(seed), begin
    while (now := now + chance.expovariate(rate)) < begin + seconds:
        yield now


def burst(mean: float) -> Iterator[float]:
    """Ten minutes of the mean, ten of ten times as much, ten of the mean."""
    parts = ((mean, 0.0), (10 * mean, SECONDS), (mean, 2 * SECONDS))
    return itertools.chain.from_iterable(
        poisson(rate, SECONDS, begin, seed) for seed, (rate, begin) in enumerate(parts)
    )


def percentile(texts: Sequence[Text], share: float) -> float:
    return float(np.percentile([text.wait for text in texts], share)) if texts else 0.0


def carried(fleet: Fleet) -> float:
    """Texts a second at which PATIENCE_SECONDS is kept, by halving the interval."""
    engines = fleet.engines * fleet.speeds[SLOTS] * SLOTS / TOKENS
    low, high = 0.0, min(engines, 1 / fleet.page_seconds if fleet.page_seconds else math.inf)
    while high - low > 0.03 * high:
        middle = (low + high) / 2
        texts, *_ = fleet.run(poisson(middle, min(SECONDS, MAX_TEXTS / middle)))
        holds = percentile(texts, 95) <= PATIENCE_SECONDS
        low, high = (middle, high) if holds else (low, middle)
    return low


def measured_speeds(lives: Sequence[Life]) -> Sequence[float]:
    """By the median of what processes of ours wrote in all."""
    found = {
        visitors: [
            figures(waves)["tokens/s in all"]
            for life in lives
            if (waves := waves_of(life, visitors, MEASURED_TOKENS))
        ]
        for visitors in AT_ONCE
    }
    if not all(found.values()):
        raise BenchmarkError("serve.json lacks waves of ours: run `serve` first.")
    return speeds_of_each(AT_ONCE, [statistics.median(values) for values in found.values()])


def scale(results: ResultsOption = RESULTS) -> None:
    seen = Observations.read(results / "serve.json")
    lives = [one for one in seen.lives if (one.app, one.checkpoint) == ("ours", "embedded")]
    speeds = measured_speeds(lives)
    write_page(
        results / "scale.md",
        [
            "# One page over many engines, simulated",
            f"Written by `python -m benchmarks scale` on {today()}.",
            str(__doc__).partition("\n\n")[2].strip(),
            f"The engines: the embedded checkpoint, measured by `serve` on {seen.date} on "
            f"{seen.machine} The page: {PAGE_SECONDS} s of CPU a text. Texts have {TOKENS} tokens "
            f"and come at random moments; an engine writes {SLOTS} at once; each text goes to the "
            "engine with the fewest.",
            "## Held against a measurement",
            _held(speeds, lives),
            "## What is carried",
            f"The most texts a minute of which 95 in 100 begin within {PATIENCE_SECONDS:g} s.",
            _capacities(speeds),
            "## A front page",
            f"Ten minutes at {60 * MEAN:g} texts a minute, ten at ten times that, ten as before. "
            f"One engine is always there; more come when there are over {TARGET} texts for each, "
            f"and go after {IDLE_SECONDS:g} s without need.",
            _bursts(speeds),
        ],
    )


def _held(speeds: Sequence[float], lives: Sequence[Life]) -> str:
    visitors = 64
    fleet = Fleet(speeds, 1, page_seconds=0.0)
    texts, *_ = fleet.run([0.0] * visitors, MEASURED_TOKENS)
    rows = []
    for share, column in ((50, "first character p50, s"), (95, "p95, s")):
        measured = statistics.median(
            figures(waves_of(life, visitors, MEASURED_TOKENS)).get(column, math.nan)
            for life in lives
        )
        simulated = number(percentile(texts, share))
        rows.append((f"{visitors} texts at once, begin p{share}, s", simulated, number(measured)))
    return table(("one engine", "simulated", "measured"), rows)


def _capacities(speeds: Sequence[float]) -> str:
    rows = []
    for engines in (1, 2, 4, 16, 64):
        with_page = carried(Fleet(speeds, engines))
        without = carried(Fleet(speeds, engines, page_seconds=0.0))
        rows.append((str(engines), f"{60 * with_page:,.0f}", f"{60 * without:,.0f}"))
    rows.append(("any number", f"{60 / PAGE_SECONDS:,.0f}, then the page is full", ""))
    return table(("engines", "texts a minute, one page", "if the page took no time"), rows)


def _bursts(speeds: Sequence[float]) -> str:
    rows = []
    for name, most, delay, room in (
        ("one engine, no more", 1, 0.0, 80),
        ("16 engines always", 0, 0.0, 80),
        ("up to 16, there after 12 s", 16, 12.0, 80),
        ("up to 16, there after 60 s", 16, 60.0, 80),
        ("up to 16, there after 12 s", 16, 12.0, 1_000),
        ("up to 16, there after 60 s", 16, 60.0, 1_000),
    ):
        fleet = Fleet(speeds, 1 if most else 16, most=most, delay=delay, room=room)
        texts, refused, peak = fleet.run(burst(MEAN))
        waits = [number(percentile(texts, share)) for share in (50, 95, 100)]
        asked = len(texts) + refused
        rows.append((name, f"{room:,}", f"{asked:,}", f"{refused / asked:.1%}", *waits, str(peak)))
    header = ("engines", "`QUEUE_SIZE`", "texts", "refused", "begin p50, s", "p95, s", "latest, s",
              "most engines")  # fmt: skip
    return table(header, rows)
