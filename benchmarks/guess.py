"""`guess`: can a script win the guessing game without reading?

Knows the game's two routes, and what `next` returns before an answer is given; must not know a
language model. Every strategy guesses the same rounds, learns from each truth once it is
revealed, and should be right half of the time. What the detector makes of the same texts stands
beside them: it reads, and may be better.
"""

import argparse
import base64
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import httpx
import numpy as np

from benchmarks.errors import BenchmarkError
from benchmarks.machine import OutsideLoad, describe_machine
from benchmarks.report import RESULTS
from benchmarks.servers import Server, free_address, running

ROUNDS_A_VISIT = 10
POLL_SECONDS = 0.5
PATIENCE_SECONDS = 600.0
MARKS = "!?.,:;-'\"“”’…@#&$%()/"


@dataclass(frozen=True)
class Round:
    """What a script can see before it answers; `seconds` is what `next` took, `repeated` how much
    of the text `/detect` says a real tweet has too, in 0 to 1."""

    text: str
    ticket: bytes
    seconds: float
    repeated: float


@dataclass(frozen=True)
class Played:
    """A round and what was revealed; `detector` is None without one."""

    seen: Round
    is_computer: bool
    detector: bool | None


class Strategy(Protocol):
    """Guesses a round from what earlier ones revealed."""

    name: str

    def guess(self, seen: Round) -> bool:
        """Whether it was a computer."""
        ...

    def learn(self, seen: Round, is_computer: bool) -> None:
        """What it was."""
        ...


class Always:
    """The same answer every time."""

    name = "always “computer”"

    def guess(self, seen: Round) -> bool:
        return True

    def learn(self, seen: Round, is_computer: bool) -> None:
        pass


class Threshold:
    """One number of a round: the cut, and the side, that were best so far."""

    def __init__(self, name: str, feature: str) -> None:
        self.name, self._feature = name, feature
        self._values: list[float] = []
        self._truths: list[bool] = []

    def guess(self, seen: Round) -> bool:
        if not self._values:
            return True
        values, truths = np.array(self._values), np.array(self._truths)
        cuts = np.unique(values)
        rights = ((values >= cuts[:, None]) == truths).mean(axis=1)
        best, worst = rights.argmax(), rights.argmin()
        above = rights[best] >= 1 - rights[worst]
        cut = cuts[best if above else worst]
        return bool((self._value(seen) >= cut) == above)

    def learn(self, seen: Round, is_computer: bool) -> None:
        self._values.append(self._value(seen))
        self._truths.append(is_computer)

    def _value(self, seen: Round) -> float:
        if self._feature == "characters":
            return float(len(seen.text))
        return seen.seconds if self._feature == "seconds" else seen.repeated


class Neighbours:
    """What most texts of about that length were: the 15 nearest."""

    name = "length, as the 15 nearest were"

    def __init__(self) -> None:
        self._past: list[tuple[int, bool]] = []

    def guess(self, seen: Round) -> bool:
        nearest = sorted(self._past, key=lambda one: abs(one[0] - len(seen.text)))[:15]
        return 2 * sum(truth for _, truth in nearest) >= len(nearest)

    def learn(self, seen: Round, is_computer: bool) -> None:
        self._past.append((len(seen.text), is_computer))


class Regression:
    """Logistic regression by gradient steps, on features that are standardised as they come."""

    def __init__(self, name: str, feature: str) -> None:
        self.name, self._feature = name, feature
        self._rows: list[np.ndarray] = []
        self._weights = np.zeros(1)

    def guess(self, seen: Round) -> bool:
        if len(self._rows) < 2:
            return True
        return bool(self._row(seen) @ self._weights >= 0)

    def learn(self, seen: Round, is_computer: bool) -> None:
        self._rows.append(self._features(seen))
        row = self._row(seen)
        if len(self._weights) == 1:
            self._weights = np.zeros(len(row))
        error = is_computer - 1 / (1 + np.exp(-row @ self._weights))
        self._weights = self._weights * 0.999 + 0.05 * error * row

    def _row(self, seen: Round) -> np.ndarray:
        past = np.array(self._rows)
        row = (self._features(seen) - past.mean(axis=0)) / (past.std(axis=0) + 1e-6)
        return np.append(np.clip(row, -3, 3), 1.0)

    def _features(self, seen: Round) -> np.ndarray:
        if self._feature == "ticket":
            return np.frombuffer(seen.ticket, dtype=np.uint8).astype(float)
        return _character_classes(seen.text)


class Familiar:
    """Whether the text, or its opening words, came before: then as it was then."""

    def __init__(self, name: str, words: int | None) -> None:
        self.name, self._words = name, words
        self._known: dict[str, bool] = {}

    def guess(self, seen: Round) -> bool:
        return self._known.get(self._key(seen), True)

    def learn(self, seen: Round, is_computer: bool) -> None:
        self._known[self._key(seen)] = is_computer

    def _key(self, seen: Round) -> str:
        return " ".join(seen.text.split()[: self._words]).casefold()


def _character_classes(text: str) -> np.ndarray:
    """Shares of characters and of words, and counts: nothing that knows a word."""
    words, length = text.split(), len(text)
    return np.array(
        [
            *(text.count(mark) / length for mark in MARKS),
            *(
                sum(map(test, text)) / length
                for test in (str.isupper, str.isdigit, str.isspace, str.isalpha, str.isascii)
            ),
            sum(word.isupper() for word in words) / len(words),
            sum(word.istitle() for word in words) / len(words),
            len(words),
            length / len(words),
            text[0].isalpha(),
            text[0].isupper(),
            text[-1].isalnum(),
            text[-1] == ".",
            text[-1] == "!",
            len(text.encode()) - length,
            len(text.encode("utf-16-le")) / 2 - length,
        ],
        dtype=float,
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's command line."""
    parser.add_argument("--tweets", type=Path, default=Path("data"), help="prepared data")
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the table is written")


def run(arguments: argparse.Namespace) -> int:
    """Starts the app, plays, prints and writes the table."""
    load, url = OutsideLoad(), free_address()
    variables = {"TWEETS": str(arguments.tweets.resolve())}
    with running(("app.py",), url, variables) as server:
        played = _play(server, arguments.rounds)
    page = markdown(played, load.cores())
    arguments.results.mkdir(parents=True, exist_ok=True)
    (arguments.results / "guess.md").write_text(page, encoding="utf-8")
    print(page)
    return 0


def _play(server: Server, rounds: int) -> list[Played]:
    """One round after the other, in visits of ten. What is answered does not matter."""
    played: list[Played] = []
    with httpx.Client(base_url=server.url, timeout=30) as client:
        visit = None
        while len(played) < rounds:
            if len(played) % ROUNDS_A_VISIT == 0:
                visit = None
            dealt, seconds = _next(server, client, visit)
            visit = dealt["visit"]
            repeated = _repeated(client, dealt["text"])
            answer = {"ticket": dealt["ticket"], "guess": "computer"}
            revealed = client.post("/guess/answer", json=answer).raise_for_status().json()
            ticket = base64.urlsafe_b64decode(dealt["ticket"])
            judged = revealed["detector"]
            played.append(
                Played(
                    Round(dealt["text"], ticket, seconds, repeated),
                    revealed["truth"] == "computer",
                    judged["right"] if judged else None,
                )
            )
    return played


def _next(server: Server, client: httpx.Client, visit: str | None) -> tuple[dict[str, Any], float]:
    """The next round, once there is one, and how long the answer took that had it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        server.require_alive()
        started = time.perf_counter()
        try:
            dealt = client.post("/guess/next", json={"visit": visit}).raise_for_status().json()
        except httpx.TransportError:
            time.sleep(POLL_SECONDS)
            continue
        seconds = time.perf_counter() - started
        if dealt["state"] == "ready":
            return dealt, seconds
        if dealt["state"] == "off":
            raise BenchmarkError(dealt["reason"])
        time.sleep(POLL_SECONDS)
    raise BenchmarkError(f"No round was dealt for {PATIENCE_SECONDS:g} s.")


def _repeated(client: httpx.Client, text: str) -> float:
    """What the page's other tab says of the text while it is asked."""
    posted = client.post("/gradio_api/call/v2/detect", json={"text": text}).raise_for_status()
    events = client.get(f"/gradio_api/call/detect/{posted.json()['event_id']}").text
    data = events.strip().split("\n\n")[-1].split("data: ", 1)[1]
    return float(json.loads(data)[0]["repeated_share"])


def _strategies() -> Sequence[Strategy]:
    return (
        Always(),
        Threshold("length, best cut so far", "characters"),
        Neighbours(),
        Regression("punctuation and character classes, online logistic regression", "text"),
        Threshold("response time, best cut so far", "seconds"),
        Threshold("what `/detect` says is repeated of a real tweet", "repeated"),
        Familiar("text seen before", None),
        Familiar("first three words seen before", 3),
        Regression("ticket bytes, online logistic regression", "ticket"),
    )


def _rights(strategy: Strategy, played: Sequence[Played]) -> int:
    right = 0
    for one in played:
        right += strategy.guess(one.seen) == one.is_computer
        strategy.learn(one.seen, one.is_computer)
    return right


def wilson(right: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    z = 1.96
    share, spread = right / count, z * z / count
    middle = (share + spread / 2) / (1 + spread)
    half = z * np.sqrt(share * (1 - share) / count + spread / (4 * count)) / (1 + spread)
    return middle - half, middle + half


def markdown(played: Sequence[Played], outside: float) -> str:
    """The table, with machine and date."""
    rows = [(strategy.name, _rights(strategy, played), len(played)) for strategy in _strategies()]
    judged = [one.detector for one in played if one.detector is not None]
    if judged:
        rows.append(("**our detector**, which reads", sum(judged), len(judged)))
    computers = sum(one.is_computer for one in played)
    repeated = len(played) - len({one.seen.text for one in played})
    return "\n".join(
        (
            "# Guessing without reading",
            "",
            f"Written by `python -m benchmarks guess` on {datetime.now(UTC):%Y-%m-%d}. "
            f"{describe_machine()} Others kept {outside:.2f} cores busy.",
            "",
            f"{len(played)} rounds against the running app, in visits of {ROUNDS_A_VISIT}; "
            f"{computers} generated, {repeated} shown before. Each strategy sees what `next` "
            "returns, and what `/detect` says of it, and learns from each answer. 95 % intervals "
            "by Wilson.",
            "",
            "| strategy | right | interval |",
            "|---|---:|---:|",
            *(_row(name, right, count) for name, right, count in rows),
            "",
        )
    )


def _row(name: str, right: int, count: int) -> str:
    low, high = wilson(right, count)
    return f"| {name} | {right / count:.1%} | {low:.1%} to {high:.1%} |"
