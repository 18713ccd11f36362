"""How often people were right, and how often the detector: counts, and nothing else.

Knows numbers; must not know where they are kept.
"""

import json
import threading
from dataclasses import asdict, dataclass, fields
from typing import Any, Protocol, Self


@dataclass(frozen=True)
class Tally:
    """Answers of people and those of them that were right; the same of the detector, on the same
    texts."""

    answers: int = 0
    right: int = 0
    detector_answers: int = 0
    detector_right: int = 0

    @classmethod
    def read(cls, content: bytes) -> Self:
        """From JSON.

        Raises:
            ValueError: it is no tally.
        """
        try:
            values = json.loads(content)
            tally = cls(**values)
        except (TypeError, RecursionError) as error:
            raise ValueError("These are not the fields of a tally.") from error
        counts = [getattr(tally, field.name) for field in fields(cls)]
        if not all(type(count) is int and count >= 0 for count in counts):
            raise ValueError("A count is no whole number from 0.")
        if tally.right > tally.answers or tally.detector_right > tally.detector_answers:
            raise ValueError("More are right than there are.")
        return tally

    def written(self) -> bytes:
        """As JSON."""
        return f"{json.dumps(asdict(self))}\n".encode()

    def __add__(self, other: "Tally") -> "Tally":
        """Both together."""
        return Tally(*(a + b for a, b in zip(_counts(self), _counts(other), strict=True)))


class Store(Protocol):
    """Where a tally outlives the process. Nothing that fails there is raised."""

    def write(self, tally: Tally) -> None:
        """Takes the newest tally."""
        ...

    def keeps(self) -> bool:
        """Whether it could, as far as it knows."""
        ...

    def close(self) -> None:
        """Keeps what it has, and ends in bounded time."""
        ...


class Counts:
    """The tally of everyone. Safe to use from many threads."""

    def __init__(self) -> None:
        self._tally = Tally()
        self._store: Store | None = None
        self._closed = False
        self._lock = threading.Lock()

    def keep(self, before: Tally, store: Store) -> None:
        """Goes on from what was kept before, and keeps from now on."""
        with self._lock:
            if not self._closed:
                self._store, self._tally = store, self._tally + before
                if self._tally != before:
                    store.write(self._tally)
                return
        store.close()

    def add(self, right: bool, detector_right: bool | None) -> None:
        """One answer; `detector_right` is None where there is no detector."""
        judged = detector_right is not None
        with self._lock:
            self._tally += Tally(1, int(right), int(judged), int(detector_right or False))
            if self._store:
                self._store.write(self._tally)

    def record(self) -> dict[str, Any]:
        """The counts as the page gets them; `kept` says whether they outlive a restart."""
        with self._lock:
            kept = self._store is not None and self._store.keeps()
            return {**asdict(self._tally), "kept": kept}

    def close(self) -> None:
        """Keeps the last of them."""
        with self._lock:
            self._closed, store = True, self._store
        if store:
            store.close()


def _counts(tally: Tally) -> tuple[int, ...]:
    return tuple(getattr(tally, field.name) for field in fields(tally))
