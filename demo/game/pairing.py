"""Which text a visitor is shown next: a generated one or its real twin, by a fair coin.

Each round has a generated text and a real one of the same length and style, and one of the two is
shown. So half of what is shown is real, whatever its length and punctuation. Both are chosen before
the coin is thrown, so that neither takes longer than the other.

A set of real tweets is an `int` with a bit for each tweet's number, so that what thousands of
visitors have seen stays small.
"""

import secrets
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from random import Random
from typing import Literal

import numpy as np

from demo.game.pool import GeneratedText, Pool
from demo.game.tweets import Tweet

# The most that two texts of a round may differ in length.
NEAR_CHARACTERS = 3
# The most that a text with which a visitor fools a friend may differ in length from the real tweet
# beside it: more, and length alone would tell which one is real.
MAX_DIFFERENCE = 30
# After so many generated texts in a row without a real one as long, all real ones count as unseen
# again: a model hardly writes some lengths, and nobody should wait until it does.
MAX_MISSES = 8
# How many new generated texts it takes until the style score is fitted again, and how many of the
# latest ones it is fitted to.
BATCH = 64
MAX_TEXTS = 2_000
# The largest difference in the style score, in logits, between two texts of a round. With 1,828
# texts of the embedded checkpoint, in four orders, an online regression on such features is then
# right in 50 of 100 rounds, and in 55 if pairs match in length alone.
CALIPER = 0.3
# After so many generated texts in a row without a real one in the same style, pairs need to match
# in length only: an easier game is better than none.
MAX_MISMATCHES = 100
MAX_VISITS = 10_000
_MARKS = "!.,@#-:&?"

Truth = Literal["real", "computer"]


class SeenEverything(RuntimeError):
    """No real tweet is left that this visit has not seen."""


@dataclass(frozen=True)
class Shown:
    """What a visitor is shown: a real tweet, or a generated text and where it came from. `day` and
    `place`, from 0, are set in the Daily Ten."""

    text: str
    truth: Truth
    tweet: Tweet | None = None
    source: str = ""
    day: date | None = None
    place: int = 0


@dataclass(frozen=True)
class Deal:
    """One round of a visit."""

    visit: str
    shown: Shown


class Deck:
    """The numbers of the real tweets, each dealt once before any is dealt again."""

    def __init__(self, lengths: Sequence[int], rng: Random) -> None:
        """Takes the lengths of the tweets, in characters."""
        self._rng = rng
        self._size = len(lengths)
        self._left = set(range(self._size))
        self._misses = 0
        self._by_length: dict[int, list[int]] = defaultdict(list)
        for number, length in enumerate(lengths):
            self._by_length[length].append(number)

    def wants(self, length: int) -> bool:
        """Whether a tweet of about that length is left. After MAX_MISSES misses in a row every
        tweet may be dealt again."""
        near = [number for number, _ in self._near(length)]
        if not self._left.isdisjoint(near):
            self._misses = 0
        elif near:
            self._misses += 1
            if self._misses >= MAX_MISSES:
                self._left, self._misses = set(range(self._size)), 0
        return not self._left.isdisjoint(near)

    def near(self, length: int, seen: int = 0) -> list[int]:
        """The tweets of about that length that are left and not in `seen`, nearest first, ties in
        random order. They stay in the deck until they are taken."""
        near = [
            (distance, self._rng.random(), number)
            for number, distance in self._near(length)
            if number in self._left and not seen >> number & 1
        ]
        return [number for _, _, number in sorted(near)]

    def take(self, number: int) -> None:
        self._left.discard(number)

    def _near(self, length: int) -> Iterator[tuple[int, int]]:
        """Numbers, and the differences in length."""
        for other in range(length - NEAR_CHARACTERS, length + NEAR_CHARACTERS + 1):
            for number in self._by_length.get(other, ()):
                yield number, abs(other - length)


def style_features(text: str) -> np.ndarray:
    """Counts and shares of marks and kinds of characters, nothing that knows a word:
    `(features,)`, float64. The text has a word."""
    words, length = text.split(), len(text)
    return np.array(
        [
            *(min(text.count(mark), 3) for mark in _MARKS),
            min(sum(text.count(mark) for mark in '"“”'), 3),
            min(sum(text.count(mark) for mark in "'’"), 3),
            min(sum(map(str.isdigit, text)), 6),
            min(sum(word.isupper() and len(word) > 1 for word in words), 4),
            sum(word.istitle() for word in words) / len(words),
            10 * len(words) / length,
            sum(map(str.isupper, text)) / length,
            sum(character.isalpha() or character.isspace() for character in text) / length,
            length / 100,
            *(text[-1] == mark for mark in "!."),
            text[-1].isalnum(),
            text[0].isalpha(),
            "…" in text or "..." in text,
            not text.isascii(),
        ],
        dtype=np.float64,
    )


class StyleScore:
    """How much a text looks generated to a script that counts marks.

    A model ends more of its texts with an exclamation mark than the person does, say. Pairs matched
    on this score teach such a script nothing (propensity score matching: Rosenbaum and Rubin 1983).
    The score is a linear discriminant between all real texts and the latest generated ones, in
    logits.
    """

    def __init__(self, real: Sequence[str]) -> None:
        """Takes the real texts, by number."""
        rows = np.array([style_features(text) for text in real])
        self._mean, self._deviation = rows.mean(axis=0), rows.std(axis=0) + 1e-6
        self._real = self._scale(rows)
        self._generated: deque[np.ndarray] = deque(maxlen=MAX_TEXTS)
        self._learnt = 0
        self._weights = np.zeros(rows.shape[1])

    def learn(self, text: str) -> None:
        row = self._scale(style_features(text))
        self._generated.append(row)
        self._learnt += 1
        if self._learnt % BATCH == 0:
            self._weights = _discriminant(self._real, np.array(self._generated))

    def distances(self, numbers: Sequence[int], text: str) -> np.ndarray:
        """How far each of these real texts is from a generated one, in logits; all 0 until enough
        texts are known."""
        differences = self._real[list(numbers)] - self._scale(style_features(text))
        return np.asarray(np.abs(differences @ self._weights))

    def apart(self, numbers: Sequence[int], text: str) -> np.ndarray:
        """How far each of these real texts is from a text in all features together, in standard
        deviations. Needs no generated text to be known, so it is the same in every process."""
        differences = self._real[list(numbers)] - self._scale(style_features(text))
        return np.asarray(np.linalg.norm(differences, axis=1))

    def _scale(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(np.clip((rows - self._mean) / self._deviation, -3, 3))


def _discriminant(real: np.ndarray, generated: np.ndarray) -> np.ndarray:
    """The weights of Fisher's linear discriminant, shrunk while there are few generated texts."""
    spread = (np.cov(real.T) + np.cov(generated.T)) / 2
    ridge = 20 / len(generated) * np.eye(len(spread))
    return np.asarray(np.linalg.solve(spread + ridge, generated.mean(axis=0) - real.mean(axis=0)))


class Visits:
    """The set of tweets that each visit has seen; the visit unseen for longest is forgotten
    first."""

    def __init__(self, max_visits: int = MAX_VISITS) -> None:
        self._max_visits = max_visits
        self._seen: OrderedDict[str, int] = OrderedDict()

    def known(self, visit: str | None) -> str:
        """The visit if it is known, else a new one."""
        return visit if visit is not None and visit in self._seen else secrets.token_hex(16)

    def seen(self, visit: str) -> int:
        """The tweets that it has seen, or texts that their first words opened."""
        return self._seen.get(visit, 0)

    def add(self, visit: str, number: int | None) -> None:
        """Notes a tweet as seen; None for a generated text that no tweet opened."""
        self._seen[visit] = self.seen(visit) | _only(number)
        self._seen.move_to_end(visit)
        if len(self._seen) > self._max_visits:
            self._seen.popitem(last=False)


class Dealer:
    """Pairs generated texts with real tweets."""

    def __init__(
        self,
        tweets: Sequence[Tweet],
        deck: Deck,
        style: StyleScore,
        pool: Pool,
        rng: Random,
        visits: Visits,
    ) -> None:
        """Numbers of the deck and the style score are indices into `tweets`."""
        self._tweets, self._deck, self._style = tweets, deck, style
        self._pool, self._rng, self._visits = pool, rng, visits
        self._mismatches = 0

    def deal(self, visit: str | None) -> Deal | None:
        """The next round of a visit, or of a new one; None if there is no text for it yet. Raises
        SeenEverything if there will be none."""
        visit = self._visits.known(visit)
        pair = self._pair(self._visits.seen(visit))
        if pair is not None:
            return Deal(visit, self._show(visit, *pair))
        if self._pool.is_full():
            raise SeenEverything
        self._pool.refill()
        return None

    def _pair(self, seen: int) -> tuple[GeneratedText, int] | None:
        """A text of the pool and its twin; texts that could be shown to nobody are removed."""
        texts = self._pool.texts()
        self._rng.shuffle(texts)
        for generated in texts:
            if seen & _only(generated.opened_by):
                continue
            number = self._twin(generated.text, seen)
            if number is not None:
                self._mismatches = 0
                return generated, number
            if not self._deck.wants(len(generated.text)):
                self._pool.remove(generated)
            elif self._twin(generated.text, 0) is None:
                self._mismatches += 1
                self._pool.remove(generated)
        return None

    def _twin(self, text: str, seen: int) -> int | None:
        """The real text of about its length that is nearest in style, if it is near enough."""
        near = self._deck.near(len(text), seen)
        if not near:
            return None
        distances = self._style.distances(near, text)
        # The first of equals: until the score is fitted, the nearest in length.
        best = int(distances.argmin())
        is_alike = distances[best] <= CALIPER or self._mismatches >= MAX_MISMATCHES
        return near[best] if is_alike else None

    def _show(self, visit: str, generated: GeneratedText, number: int) -> Shown:
        """One of the two; the other stays where it is."""
        if secrets.randbelow(2):
            self._pool.remove(generated)
            self._visits.add(visit, generated.opened_by)
            return Shown(generated.text, "computer", source=generated.source)
        self._deck.take(number)
        self._visits.add(visit, number)
        return Shown(self._tweets[number].text, "real", self._tweets[number])


def _only(number: int | None) -> int:
    """The set of this one number; the empty set for None."""
    return 0 if number is None else 1 << number


def tweet_beside(text: str, seed: int, tweets: Sequence[Tweet]) -> Tweet | None:
    """A real tweet about as long, the same for the same text and seed; None if there is none."""
    distances = [abs(len(tweet.text) - len(text)) for tweet in tweets]
    least = min(distances)
    if least > MAX_DIFFERENCE:
        return None
    most = max(NEAR_CHARACTERS, least)
    near = [tweet for tweet, far in zip(tweets, distances, strict=True) if far <= most]
    return near[seed % len(near)]
