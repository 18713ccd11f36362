"""What is being guessed right now, so that nothing else on the page gives it away.

Knows windows of texts (demo/judging/originals.py); must not know tickets or visits. Whoever asks
the originals' index for a text that is in play is told what it would be of a text that nobody
wrote before. The index itself is public with its checkpoint, and a cheat with a copy stays a cheat.
"""

import threading
from collections import Counter, OrderedDict
from collections.abc import Container

from demo.judging.originals import window_digests

MAX_TEXTS = 20_000


class InPlay:
    """The windows of the texts that wait for an answer. Safe to use from many threads."""

    def __init__(self, at_most: int = MAX_TEXTS) -> None:
        self._at_most = at_most
        self._texts: OrderedDict[str, int] = OrderedDict()
        self._windows: Counter[bytes] = Counter()
        self._lock = threading.Lock()

    @property
    def windows(self) -> Container[bytes]:
        """Always as it is now."""
        return self._windows

    def add(self, text: str) -> None:
        """It is asked; the one that was asked first is forgotten where there are too many."""
        with self._lock:
            self._texts[text] = self._texts.get(text, 0) + 1
            self._texts.move_to_end(text)
            if self._texts[text] == 1:
                self._windows.update(set(window_digests(text)))
            if len(self._texts) > self._at_most:
                self._forget(next(iter(self._texts)))

    def remove(self, text: str) -> None:
        """It is answered, by one of those who were asked."""
        with self._lock:
            if text not in self._texts:
                return
            self._texts[text] -= 1
            if not self._texts[text]:
                self._forget(text)

    def _forget(self, text: str) -> None:
        del self._texts[text]
        for digest in set(window_digests(text)):
            self._windows[digest] -= 1
            if not self._windows[digest]:
                del self._windows[digest]
