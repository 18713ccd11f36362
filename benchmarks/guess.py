"""`guess`: can a script win the guessing game without reading?

Every strategy guesses the same rounds, learns from each truth once it is revealed, and should be
right half of the time. What the detector makes of the same texts stands beside them: it reads, and
may be better.
"""

import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import httpx
import pyarrow.parquet as pq
import typer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from benchmarks import BenchmarkError
from benchmarks.measuring import (
    RESULTS,
    OutsideLoad,
    ResultsOption,
    describe_run,
    table,
    write_page,
)
from benchmarks.servers import Server, started
from tests.app.calls import call
from training.intervals import share

ROUNDS_A_VISIT = 10
POLL_SECONDS = 0.5
PATIENCE_SECONDS = 600.0
PUNCTUATION = "!?.,:;-'\"“”’…@#&$%()/"
NEAREST = 15
WORD = re.compile(r"[^\W\d_]{2,}")


@dataclass(frozen=True)
class Round:
    """What a script can see before it answers; `seconds` is what `next` took, `repeated` how much
    of the text `/detect` says a real tweet has too, in 0 to 1, and `rare` how many of its words few
    real tweets have, which a script knows that has the archive."""

    text: str
    ticket: str
    seconds: float
    repeated: float
    rare: int


@dataclass(frozen=True)
class Played:
    """A round and what was revealed; `detector` says whether it was right, and is None without
    one."""

    seen: Round
    is_computer: bool
    detector: bool | None


# Guesses from what earlier rounds revealed whether a round is a computer's.
Strategy = Callable[[Round, Sequence[Played]], bool]


def _learned(features: Callable[[Round], Sequence[float]], model: Any) -> Strategy:
    """A classifier of numbers of a round, fitted anew to all earlier rounds; "computer" until both
    kinds were revealed often enough."""

    def guess(seen: Round, past: Sequence[Played]) -> bool:
        truths = [one.is_computer for one in past]
        if len(past) < NEAREST or len(set(truths)) < 2:
            return True
        model.fit([features(one.seen) for one in past], truths)
        return bool(model.predict([features(seen)])[0])

    return guess


def _best_cut(feature: Callable[[Round], float]) -> Strategy:
    return _learned(lambda seen: [feature(seen)], DecisionTreeClassifier(max_depth=1))


def _regression(features: Callable[[Round], Sequence[float]]) -> Strategy:
    return _learned(features, make_pipeline(StandardScaler(), LogisticRegression()))


def _remembered(words: int | None) -> Strategy:
    """What an earlier text with the same opening words was (None: all words); "computer" for what
    was never seen."""

    def opening(seen: Round) -> str:
        return " ".join(seen.text.split()[:words]).casefold()

    def guess(seen: Round, past: Sequence[Played]) -> bool:
        known = {opening(one.seen): one.is_computer for one in past}
        return known.get(opening(seen), True)

    return guess


def _describe_characters(text: str) -> list[float]:
    """Shares of characters and of words, and counts: nothing that knows a word."""
    words, length = text.split(), len(text)
    tests = (str.isupper, str.isdigit, str.isspace, str.isalpha, str.isascii)
    return [
        *(text.count(one) / length for one in PUNCTUATION),
        *(sum(map(test, text)) / length for test in tests),
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
    ]


STRATEGIES: dict[str, Strategy] = {
    "always “computer”": lambda seen, past: True,
    "length, best cut so far": _best_cut(lambda seen: len(seen.text)),
    f"length, as the {NEAREST} nearest were": _learned(
        lambda seen: [len(seen.text)], KNeighborsClassifier(NEAREST)
    ),
    "punctuation and character classes, logistic regression": _regression(
        lambda seen: _describe_characters(seen.text)
    ),
    "response time, best cut so far": _best_cut(lambda seen: seen.seconds),
    "what `/detect` says is repeated of a real tweet": _best_cut(lambda seen: seen.repeated),
    "number of rare words, best cut so far": _best_cut(lambda seen: seen.rare),
    "text seen before": _remembered(None),
    "first three words seen before": _remembered(3),
    "characters of the ticket, logistic regression": _regression(
        lambda seen: list(seen.ticket.encode())
    ),
}


def guess(
    tweets: Annotated[Path, typer.Option(help="prepared data")] = Path("data"),
    rounds: Annotated[int, typer.Option(help="how many are played")] = 400,
    results: ResultsOption = RESULTS,
) -> None:
    load = OutsideLoad()
    with started(variables={"TWEETS": str(tweets.resolve())}) as server:
        played = _play(server, rounds, _count_rare_words(tweets))
    write_page(results / "guess.md", render(played, load.cores()))


def _count_rare_words(tweets: Path) -> Callable[[str], int]:
    """Counts a text's words that at most one real tweet in a hundred has: the game shows no text
    with few of them, which must not tell who wrote it."""

    def words(text: str) -> set[str]:
        return set(WORD.findall(text.casefold()))

    texts = [text for path in tweets.glob("*.parquet") for text in _texts_of(path)]
    counts = Counter(word for text in texts for word in words(text))
    return lambda text: sum(counts[word] <= len(texts) / 100 for word in words(text))


def _texts_of(path: Path) -> list[str]:
    texts: list[str] = pq.read_table(path, columns=["text"])["text"].to_pylist()
    return texts


def _play(server: Server, rounds: int, count_rare: Callable[[str], int]) -> list[Played]:
    """One round after the other, in visits of ten. What is answered does not matter."""
    played: list[Played] = []
    visit = None
    with httpx.Client(base_url=server.url, timeout=30) as client:
        for number in range(rounds):
            if number % ROUNDS_A_VISIT == 0:
                visit = None
            dealt, seconds = _next(client, visit)
            visit, text, ticket = dealt["visit"], dealt["text"], dealt["ticket"]
            # What the page's other tab says of the text while it is asked.
            _, (judged, *_) = call(server.url, "detect", text=text)
            seen = Round(text, ticket, seconds, judged["repeated_share"], count_rare(text))
            answer = {"ticket": ticket, "guess": "computer"}
            revealed = client.post("/guess/answer", json=answer).raise_for_status().json()
            detector = revealed["detector"]
            is_computer = revealed["truth"] == "computer"
            played.append(Played(seen, is_computer, detector["right"] if detector else None))
    return played


def _next(client: httpx.Client, visit: str | None) -> tuple[dict[str, Any], float]:
    """The next round, once there is one, and how long the answer took that had it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        started = time.perf_counter()
        dealt = client.post("/guess/next", json={"visit": visit}).raise_for_status().json()
        seconds = time.perf_counter() - started
        if dealt["state"] == "ready":
            return dealt, seconds
        if dealt["state"] == "off":
            raise BenchmarkError(dealt["reason"])
        time.sleep(POLL_SECONDS)
    raise BenchmarkError(f"No round was dealt for {PATIENCE_SECONDS:g} s.")


def render(played: Sequence[Played], outside_cores: float) -> list[str]:
    rights = {
        name: [
            strategy(one.seen, played[:number]) == one.is_computer
            for number, one in enumerate(played)
        ]
        for name, strategy in STRATEGIES.items()
    }
    judged = [one.detector for one in played if one.detector is not None]
    if judged:
        rights["**our detector**, which reads"] = judged
    computers = sum(one.is_computer for one in played)
    repeated = len(played) - len({one.seen.text for one in played})
    return [
        "# Guessing without reading",
        describe_run("guess", outside_cores),
        f"{len(played)} rounds against the running app, in visits of {ROUNDS_A_VISIT}; "
        f"{computers} generated, {repeated} shown before. Each strategy sees what `next` returns, "
        "and what `/detect` says of it, and learns from each answer. 95 % intervals by Wilson.",
        table(
            ("strategy", "right", "interval"),
            [(name, *share_right(found)) for name, found in rights.items()],
        ),
    ]


def share_right(right: Sequence[bool]) -> tuple[str, str]:
    """The share, and its 95 % interval."""
    found = share(sum(right), len(right))
    return f"{found.value:.1%}", f"{found.low:.1%} to {found.high:.1%}"
