"""Both judges of a checkpoint, and how far its detector can be trusted.

Knows the files that training put beside the weights; must not know engines or pages. A checkpoint
from elsewhere may have none of them: then there is nothing to say of its texts.
"""

import json
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from demo.judging import detector, originals
from demo.judging.detector import Detector
from demo.judging.files import UnusableFile
from demo.judging.originals import Originals, Passage

METRICS = "metrics.json"

_Judge = TypeVar("_Judge")


@dataclass(frozen=True)
class Share:
    """A figure in 0 to 1 with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Trust:
    """How well the detector told texts of such a length apart, none of which it had learnt from.

    `minimum` and `maximum` are in characters, both included; None has no end. `accuracy` and
    `roc_auc` are 0.5 for a detector that knows nothing.
    """

    minimum: int
    maximum: int | None
    real: int
    generated: int
    accuracy: Share
    roc_auc: Share

    def covers(self, characters: int) -> bool:
        """Whether a text of that length is among them."""
        return self.minimum <= characters and (self.maximum is None or characters <= self.maximum)

    def tells_apart(self) -> bool:
        """Whether it does better than chance, as far as could be measured."""
        return min(self.accuracy.low, self.roc_auc.low) > 0.5


@dataclass(frozen=True)
class Judges:
    """What of both a checkpoint has; `trust` is empty where nothing was measured. Repeated
    windows whose digest is `hidden` are not told."""

    originals: Originals | None = None
    detector: Detector | None = None
    trust: tuple[Trust, ...] = ()
    hidden: Container[bytes] = ()

    @classmethod
    def load(cls, folder: Path, say: Callable[[str], None]) -> Self:
        """Of a checkpoint's folder; one that cannot be read is told and left out."""

        return cls(
            _read(folder / originals.NAME, Originals.load, say),
            _read(folder / detector.NAME, Detector.load, say),
            _trust(read_metrics(folder)),
        )

    def repeats(self, text: str) -> tuple[Passage, ...]:
        """The passages that a real tweet has too; empty too where that is not known."""
        return self.originals.repeats(text, self.hidden) if self.originals else ()

    def trust_in(self, characters: int) -> Trust | None:
        """What was measured on texts of that length."""
        return next((trust for trust in self.trust if trust.covers(characters)), None)


def share_of(passages: Sequence[Passage], text: str) -> float:
    """How much of a text these passages are, in 0 to 1."""
    return sum(end - start for start, end in passages) / len(text) if text else 0.0


def _read(path: Path, load: Callable[[Path], _Judge], say: Callable[[str], None]) -> _Judge | None:
    if not path.is_file():
        return None
    try:
        return load(path)
    except UnusableFile as error:
        say(f"{error} Its checkpoint is used without.")
        return None


def read_metrics(folder: Path) -> Mapping[str, Any]:
    """What training measured of a checkpoint; empty where it says nothing."""
    with suppress(OSError, ValueError, RecursionError):
        metrics = json.loads((folder / METRICS).read_text(encoding="utf-8"))
        return metrics if isinstance(metrics, Mapping) else {}
    return {}


def _trust(metrics: Mapping[str, Any]) -> tuple[Trust, ...]:
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        groups = metrics["judges"]["detector"]["by_length"]
        return tuple(_group(name, figures) for name, figures in groups.items())
    return ()


def _group(name: str, figures: Mapping[str, Any]) -> Trust:
    """From `0-59` or `200+`, as `training judges` names them."""
    first, _, last = name.rstrip("+").partition("-")
    return Trust(
        int(first),
        int(last) if last else None,
        int(figures["real"]),
        int(figures["generated"]),
        _share(figures["accuracy"]),
        _share(figures["roc_auc"]),
    )


def _share(figure: Mapping[str, Any]) -> Share:
    return Share(float(figure["value"]), float(figure["low"]), float(figure["high"]))
