"""What is being guessed right now, so that nothing else on the page gives it away.

Knows windows of texts (demo/judging/originals.py); must not know tickets or visits. Whoever asks
the originals' index for a text that is in play is told what it would be of a text that nobody
wrote before. The index itself is public with its checkpoint, and a cheat with a copy stays a cheat.
"""

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from demo.game.tickets import MAX_AGE_SECONDS
from demo.judging.originals import window_digests

MAX_TEXTS = 20_000


@dataclass
class _Asked:
    """By how many it is asked, and when the last one was."""

    visitors: int
    at: float


class InPlay:
    """The digests of the windows of the texts that wait for an answer: as long as there can be one.
    Safe to use from many threads."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, at_most: int = MAX_TEXTS
    ) -> None:
        self._clock, self._at_most = clock, at_most
        # In the order in which they were asked last.
        self._texts: OrderedDict[str, _Asked] = OrderedDict()
        self._windows: Counter[bytes] = Counter()
        self._lock = threading.Lock()

    def __contains__(self, digest: object) -> bool:
        with self._lock:
            self._forget_the_old()
            return digest in self._windows

    def add(self, text: str) -> None:
        """It is asked; the one that was asked first is forgotten where there are too many."""
        with self._lock:
            asked = self._texts.setdefault(text, _Asked(0, 0.0))
            self._texts.move_to_end(text)
            if not asked.visitors:
                self._windows.update(set(window_digests(text)))
            asked.visitors, asked.at = asked.visitors + 1, self._clock()
            if len(self._texts) > self._at_most:
                self._forget(next(iter(self._texts)))

    def remove(self, text: str) -> None:
        """It is answered, by one of those who were asked."""
        with self._lock:
            asked = self._texts.get(text)
            if asked is None:
                return
            asked.visitors -= 1
            if not asked.visitors:
                self._forget(text)

    def _forget_the_old(self) -> None:
        """Those whose tickets nobody could redeem any more."""
        while self._texts:
            text, asked = next(iter(self._texts.items()))
            if self._clock() - asked.at <= MAX_AGE_SECONDS:
                return
            self._forget(text)

    def _forget(self, text: str) -> None:
        del self._texts[text]
        for digest in set(window_digests(text)):
            self._windows[digest] -= 1
            if not self._windows[digest]:
                del self._windows[digest]
