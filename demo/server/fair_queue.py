"""Who writes next: of the visitors that wait, the one with the fewest texts under way."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

# One slot in this many is kept for visitors who have no text under way.
SLOTS_PER_RESERVED = 8


@dataclass(eq=False)
class Place:
    """A call's place in the queue."""

    visitor: str
    texts: int
    # Each has its own: of many who wait, only those whose turn comes are woken.
    turn: threading.Event = field(default_factory=threading.Event)

    @property
    def has_turn(self) -> bool:
        """Whether its texts may be written."""
        return self.turn.is_set()


class FairQueue:
    """Shares an engine's slots, asked anew each time, among visitors. Safe to use from many
    threads."""

    def __init__(self, slots: Callable[[], int]) -> None:
        self._slots = slots
        self._waiting: list[Place] = []
        self._writing: Counter[str] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def place(self, visitor: str, texts: int) -> Iterator[Place]:
        """A place at the end of the queue, given back when the block is left."""
        place = Place(visitor, texts)
        with self._lock:
            self._waiting.append(place)
            self._give_turns()
        try:
            yield place
        finally:
            with self._lock:
                if place.has_turn:
                    self._writing[visitor] -= texts
                    # Drops visitors who have none left.
                    self._writing += Counter()
                else:
                    self._waiting.remove(place)
                self._give_turns()

    def wait(self, place: Place, seconds: float) -> int:
        """Waits for the place's turn, for so many seconds; returns 0 once it came, else its place
        in line."""
        place.turn.wait(seconds)
        with self._lock:
            return 0 if place.has_turn else 1 + self._order().index(place)

    def waiting(self) -> int:
        """How many calls wait for their turn."""
        with self._lock:
            return len(self._waiting)

    def writing(self) -> int:
        """How many texts are being written."""
        with self._lock:
            return self._writing.total()

    def _order(self) -> list[Place]:
        """Visitors with few texts under way first; each visitor's calls in the order they came."""
        ahead: Counter[str] = Counter(self._writing)
        ranks: dict[Place, int] = {}
        for place in self._waiting:
            ranks[place] = ahead[place.visitor]
            ahead[place.visitor] += place.texts
        return sorted(ranks, key=ranks.__getitem__)

    def _give_turns(self) -> None:
        slots = self._slots()
        for place in self._order():
            free = slots - self._writing.total()
            if place.texts > free and self._writing:
                # Nobody behind it may begin either, or it could wait for ever.
                break
            reserved = slots // SLOTS_PER_RESERVED if self._writing[place.visitor] else 0
            # A call of more texts than there are slots begins once nobody else writes.
            if place.texts <= free - reserved or not self._writing:
                place.turn.set()
                self._waiting.remove(place)
                self._writing[place.visitor] += place.texts
