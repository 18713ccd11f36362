"""Both judges of a checkpoint, and how far its detector can be trusted.

Training puts their files beside the weights. A checkpoint from elsewhere may have none of them:
then nothing is said of its texts.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Self, TypeVar

from demo.checkpoints.files import METRICS, CheckpointError, find_file, read_object
from demo.judging import detector, originals
from demo.judging.detector import Detector
from demo.judging.files import UnusableFile
from demo.judging.originals import Originals, Passage

# Training makes four.
MAX_GROUPS = 50

_Judge = TypeVar("_Judge")


@dataclass(frozen=True)
class Share:
    """A figure, in most cases a share in 0 to 1, with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Trust:
    """How well the detector tells texts of one length group apart, measured on texts that it was
    not trained on. `minimum` and `maximum` are in characters, both inclusive; None is no limit.
    Chance is 0.5 for both `accuracy` and `roc_auc`."""

    minimum: int
    maximum: int | None
    real: int
    generated: int
    accuracy: Share
    roc_auc: Share

    def covers(self, characters: int) -> bool:
        return self.minimum <= characters and (self.maximum is None or characters <= self.maximum)

    def tells_apart(self) -> bool:
        """Whether both intervals lie above chance."""
        return min(self.accuracy.low, self.roc_auc.low) > 0.5


@dataclass(frozen=True)
class Judges:
    """The judges that a checkpoint has; `trust` is empty if nothing was measured. Windows whose
    digest is in `hidden` are never reported as repeated."""

    originals: Originals | None = None
    detector: Detector | None = None
    trust: tuple[Trust, ...] = ()
    hidden: Container[bytes] = ()

    @classmethod
    def load(cls, folder: Path, say: Callable[[str], None]) -> Self:
        """The judges of a checkpoint's folder; `say` is told of each that cannot be read."""
        return cls(
            _read(folder, originals.NAME, Originals.load, say),
            _read(folder, detector.NAME, Detector.load, say),
            _trust(read_metrics(folder)),
        )

    def repeats(self, text: str) -> tuple[Passage, ...]:
        """The passages that a real tweet contains too; none without an index."""
        return self.originals.repeats(text, self.hidden) if self.originals else ()

    def trust_in(self, characters: int) -> Trust | None:
        """What was measured on texts of that length, if anything was."""
        return next((trust for trust in self.trust if trust.covers(characters)), None)


def share_of(passages: Sequence[Passage], text: str) -> float:
    """The share of a text's characters in these passages, in 0 to 1."""
    return sum(end - start for start, end in passages) / len(text) if text else 0.0


def _read(
    folder: Path, name: str, load: Callable[[Path], _Judge], say: Callable[[str], None]
) -> _Judge | None:
    try:
        return load(folder / name) if find_file(folder, name) else None
    except (CheckpointError, UnusableFile) as error:
        say(f"{error} Its checkpoint is used without.")
        return None


def read_metrics(folder: Path) -> Mapping[str, Any]:
    """Reads what training measured of a checkpoint; empty if there is nothing to read."""
    with suppress(CheckpointError):
        return read_object(folder, METRICS)
    return {}


def _trust(metrics: Mapping[str, Any]) -> tuple[Trust, ...]:
    with suppress(ValueError, KeyError, TypeError, AttributeError, OverflowError):
        groups = metrics["judges"]["detector"]["by_length"].items()
        return tuple(_group(name, figures) for name, figures in islice(groups, MAX_GROUPS))
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
