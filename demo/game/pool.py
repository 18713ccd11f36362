"""The generated texts that wait to be shown, each of them once.

Knows texts and how many there may be; must not know who writes or shows them.
"""

import threading
from dataclasses import dataclass
from hashlib import blake2b

CAPACITY = 128
# Of how many texts it is remembered that they were here.
REMEMBERED = 20_000


@dataclass(frozen=True)
class Written:
    """A generated text, where it came from, and the number of the real tweet whose opening words
    began it, None if nothing did."""

    text: str
    source: str
    root: int | None = None


class Pool:
    """Safe to use from many threads: one writes, many take."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._texts: list[Written] = []
        self._known: dict[bytes, None] = {}
        self._closed = False
        self._filling = True
        self._changed = threading.Condition()

    def texts(self) -> list[Written]:
        """Those that are there."""
        with self._changed:
            return list(self._texts)

    def is_full(self) -> bool:
        """Whether it takes no more."""
        with self._changed:
            return len(self._texts) >= self._capacity

    def put(self, written: Written) -> bool:
        """Adds a text, unless the same one was here before."""
        digest = blake2b(written.text.casefold().encode(), digest_size=8).digest()
        with self._changed:
            if digest in self._known:
                return False
            self._known[digest] = None
            if len(self._known) > REMEMBERED:
                del self._known[next(iter(self._known))]
            self._texts.append(written)
            return True

    def remove(self, written: Written) -> None:
        """It is shown now. Its place is filled once `refill` is called, or half are gone: an
        engine that set to work at once would tell that what was shown was generated."""
        with self._changed:
            self._texts.remove(written)
            if len(self._texts) < self._capacity // 2:
                self._wake()

    def refill(self) -> None:
        """Places that became free may be filled."""
        with self._changed:
            self._wake()

    def wait_for_room(self) -> bool:
        """Returns once there is a place to fill; False if there never will be."""
        with self._changed:
            if len(self._texts) >= self._capacity:
                self._filling = False
            self._changed.wait_for(lambda: self._closed or self._filling)
            return not self._closed

    def close(self) -> None:
        """Nobody waits for a place any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _wake(self) -> None:
        self._filling = len(self._texts) < self._capacity
        self._changed.notify_all()
