"""The real tweets as a shuffled deck, out of which one of a certain length is taken.

Knows lengths and what was taken; must not know texts.
"""

import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from random import Random

# Of two texts of a round: nobody sees that one is three characters longer than the other was.
NEAR_CHARACTERS = 3
# So many texts in a row without a twin, and the deck counts as gone through: a model hardly
# writes some of the lengths that real tweets have, and nobody is to wait until it does.
MAX_MISSES = 8


class Deck:
    """Tweets by their numbers, from 0; a set of them is an `int` with a bit for each, so that
    what thousands of visitors have seen stays small. None that was taken comes again before the
    deck is gone through. Safe to use from many threads.
    """

    def __init__(self, lengths: Sequence[int], chance: Random) -> None:
        """`lengths` in characters."""
        self._chance = chance
        self._left = set(range(len(lengths)))
        self._size = len(lengths)
        self._misses = 0
        self._lock = threading.Lock()
        self._by_length: dict[int, list[int]] = defaultdict(list)
        for number, length in enumerate(lengths):
            self._by_length[length].append(number)

    def wants(self, length: int) -> bool:
        """Whether any of about that length is left; asked in vain too often, it is shuffled."""
        with self._lock:
            near = [number for number, _ in self._near(length)]
            if not self._left.isdisjoint(near):
                self._misses = 0
            elif near:
                self._misses += 1
                if self._misses >= MAX_MISSES:
                    self._left, self._misses = set(range(self._size)), 0
            return not self._left.isdisjoint(near)

    def near(self, length: int, seen: int = 0) -> list[int]:
        """Those left of about that length that were not seen, the nearest first; ties are drawn.
        They stay in the deck until they are taken."""
        with self._lock:
            near = [
                (distance, self._chance.random(), number)
                for number, distance in self._near(length)
                if number in self._left and not seen >> number & 1
            ]
        return [number for _, _, number in sorted(near)]

    def take(self, number: int) -> None:
        """It was shown."""
        with self._lock:
            self._left.discard(number)

    def _near(self, length: int) -> Iterator[tuple[int, int]]:
        """Numbers, and how far their lengths are away."""
        for other in range(length - NEAR_CHARACTERS, length + NEAR_CHARACTERS + 1):
            for number in self._by_length.get(other, ()):
                yield number, abs(other - length)
