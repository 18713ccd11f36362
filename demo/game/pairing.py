"""Which text a visitor is shown next: a generated one or its real twin, by a fair coin.

Knows what each visit has seen; must not know tickets, counts or HTTP.

Each round has a generated text and a real one of the same length and looks, and one of both is
shown: so half of what is shown is real, whatever its length and its marks. Both are chosen before
the coin is thrown, so that neither takes longer than the other.
"""

import secrets
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from demo.game.deck import Deck
from demo.game.pool import Pool, Written
from demo.game.surface import CALIPER, Surface
from demo.game.tweets import Tweet

MAX_VISITS = 10_000
# So many texts in a row that look like no real one, and looks are let go: the game of a model that
# is easily told from the person is an easy one, but it is one.
MAX_MISFITS = 100

Truth = Literal["real", "computer"]


class SeenEverything(RuntimeError):
    """No real tweet is left that this visit has not seen."""


@dataclass(frozen=True)
class Shown:
    """What a visitor was shown: a real tweet, or a generated text and where it came from."""

    text: str
    truth: Truth
    tweet: Tweet | None = None
    source: str = ""


@dataclass(frozen=True)
class Deal:
    """A round: whose it is, and what is shown."""

    visit: str
    shown: Shown


class Visits:
    """What each visit has seen, as a `Deck`'s set; the one that came last longest ago is
    forgotten first. Not safe for several threads."""

    def __init__(self, at_most: int = MAX_VISITS) -> None:
        self._at_most = at_most
        self._seen: OrderedDict[str, int] = OrderedDict()

    def known(self, visit: str | None) -> str:
        """The visit, or a new one in its place."""
        return visit if visit is not None and visit in self._seen else secrets.token_hex(16)

    def seen(self, visit: str) -> int:
        """The numbers of the tweets it has seen, or texts that their openings began."""
        return self._seen.get(visit, 0)

    def add(self, visit: str, number: int | None) -> None:
        """It has seen one more; a text without a tweet at its root counts for none."""
        self._seen[visit] = self.seen(visit) | _only(number)
        self._seen.move_to_end(visit)
        if len(self._seen) > self._at_most:
            self._seen.popitem(last=False)


class Dealer:
    """Pairs generated texts with real tweets. Safe to use from many threads."""

    def __init__(
        self,
        tweets: Sequence[Tweet],
        deck: Deck,
        surface: Surface,
        pool: Pool,
        chance: Random,
        visits: Visits,
    ) -> None:
        """The deck's and the surface's numbers are the tweets' places."""
        self._tweets, self._deck, self._pool = tweets, deck, pool
        self._surface, self._chance, self._visits = surface, chance, visits
        self._misfits = 0
        self._lock = threading.Lock()

    def deal(self, visit: str | None) -> Deal | None:
        """The next round of a visit, None if there is no text for it yet.

        Raises:
            SeenEverything: nor will there be one.
        """
        with self._lock:
            visit = self._visits.known(visit)
            pair = self._pair(self._visits.seen(visit))
            if pair is not None:
                return Deal(visit, self._show(visit, *pair))
        if self._pool.is_full():
            raise SeenEverything
        self._pool.refill()
        return None

    def _pair(self, seen: int) -> tuple[Written, int] | None:
        """A text of the pool and its twin; texts that nobody could be shown are thrown away."""
        texts = self._pool.texts()
        self._chance.shuffle(texts)
        for written in texts:
            if seen & _only(written.root):
                continue
            number = self._twin(written.text, seen)
            if number is not None:
                self._misfits = 0
                return written, number
            if not self._deck.wants(len(written.text)):
                self._pool.remove(written)
            elif self._twin(written.text, 0) is None:
                self._misfits += 1
                self._pool.remove(written)
        return None

    def _twin(self, text: str, seen: int) -> int | None:
        """Of the real ones of about its length, the one that looks most like it, if any does."""
        near = self._deck.near(len(text), seen)
        if not near:
            return None
        distances = self._surface.distances(near, text)
        # The first of equals: before anything is known of looks, the nearest in length.
        best = int(distances.argmin())
        is_alike = distances[best] <= CALIPER or self._misfits >= MAX_MISFITS
        return near[best] if is_alike else None

    def _show(self, visit: str, written: Written, number: int) -> Shown:
        """One of both; the other stays where it is."""
        if secrets.randbelow(2):
            self._pool.remove(written)
            self._visits.add(visit, written.root)
            return Shown(written.text, "computer", source=written.source)
        self._deck.take(number)
        self._visits.add(visit, number)
        return Shown(self._tweets[number].text, "real", self._tweets[number])


def _only(number: int | None) -> int:
    """The set of this one number; of none, the empty one."""
    return 0 if number is None else 1 << number
