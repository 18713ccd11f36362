"""How often people were right, and how often the detector: counts, and nothing else.

They can be kept in a dataset on the Hub, which several processes may share and which outlives a
restart. Each process adds its own answers to what the dataset holds, in a commit on top of the one
that it read: no answer of another process is overwritten, and a file that is not understood is left
alone.
"""

import json
import tempfile
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from huggingface_hub import CommitOperationAdd, HfApi, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from demo.checkpoints.hub import REQUEST_TIMEOUT_SECONDS

COUNTS = "counts.json"
EVERY_SECONDS = 600.0
STOP_SECONDS = 10.0
MAX_CONFLICTS = 5
# What the Hub answers if the parent of a commit is no longer the latest commit.
CONFLICT_STATUS = (409, 412)

Say = Callable[[str], None]


@dataclass(frozen=True)
class Tally:
    """Answers of people and how many were right; the same for the detector, on the same texts."""

    answers: int = 0
    right: int = 0
    detector_answers: int = 0
    detector_right: int = 0

    @classmethod
    def read(cls, content: bytes) -> Self:
        """Reads JSON. Raises ValueError if it is not a tally."""
        try:
            tally = cls(**json.loads(content))
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError("These are not the fields of a tally.") from error
        counts = [getattr(tally, field.name) for field in fields(cls)]
        if not all(type(count) is int and count >= 0 for count in counts):
            raise ValueError("A count is no whole number from 0.")
        if tally.right > tally.answers or tally.detector_right > tally.detector_answers:
            raise ValueError("More are right than there are.")
        return tally

    def as_json(self) -> bytes:
        return f"{json.dumps(asdict(self))}\n".encode()

    def __add__(self, other: "Tally") -> "Tally":
        ours, theirs = asdict(self), asdict(other)
        return Tally(**{name: count + theirs[name] for name, count in ours.items()})

    def __sub__(self, other: "Tally") -> "Tally":
        ours, theirs = asdict(self), asdict(other)
        return Tally(**{name: count - theirs[name] for name, count in ours.items()})


@dataclass(frozen=True)
class Everyone(Tally):
    """The counts as the page gets them; `kept` says whether they outlive a restart."""

    kept: bool = False


class Counts:
    """The counts of everyone. Safe to use from many threads."""

    def __init__(self) -> None:
        # What the dataset held when it was last read or written, and the answers it lacks.
        self._stored, self._new = Tally(), Tally()
        self._kept = False
        # A commit that the Hub has not confirmed: the file, and the new answers that are in it.
        self._unconfirmed: tuple[bytes, Tally] | None = None
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, right: bool, detector_right: bool | None) -> None:
        """Counts one answer; `detector_right` is None without a detector."""
        judged = detector_right is not None
        with self._lock:
            self._new += Tally(1, int(right), int(judged), int(detector_right or False))

    def everyone(self) -> Everyone:
        with self._lock:
            return Everyone(**asdict(self._stored + self._new), kept=self._kept)

    def keep(self, dataset: str, say: Say) -> None:
        """Keeps the counts in a dataset from now on, in a thread of its own; returns at once. `say`
        is told once when that fails, and when it succeeds again."""
        # A daemon: some calls of the Hub's client never return.
        self._thread = threading.Thread(
            target=self._keep, args=(dataset, say), name="counts", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Saves what is new; gives up after ten seconds."""
        self._closing.set()
        if self._thread:
            self._thread.join(STOP_SECONDS)

    def save(self, dataset: str) -> None:
        """Adds the new answers to what the dataset holds. Not safe to call from several threads.
        Raises Exception if the Hub refuses or cannot be reached, or the file holds no tally."""
        for _ in range(MAX_CONFLICTS):
            parent, content = _read_dataset(dataset)
            stored = Tally() if content is None else Tally.read(content)
            with self._lock:
                if self._unconfirmed and content == self._unconfirmed[0]:
                    # It was committed, and only the Hub's answer got lost.
                    self._new -= self._unconfirmed[1]
                self._stored, new = stored, self._new
            self._unconfirmed = None
            if new.answers:
                total = stored + new
                self._unconfirmed = (total.as_json(), new)
                if not _commit(dataset, total.as_json(), parent):
                    self._unconfirmed = None
                    continue
                self._unconfirmed = None
                with self._lock:
                    self._stored, self._new = total, self._new - new
            self._kept = True
            return
        raise TimeoutError(f"Others committed to {dataset} {MAX_CONFLICTS} times meanwhile.")

    def _keep(self, dataset: str, say: Say) -> None:
        is_failing = is_last = False
        while not is_last:
            is_last = self._closing.is_set()
            try:
                if self._new.answers or not self._kept:
                    self.save(dataset)
                if is_failing:
                    say("The game's counts are kept again.")
                is_failing = False
            except Exception as error:
                self._kept = False
                # Only our own messages: the client's are long, and name addresses.
                reason = f"{COUNTS}: {error}" if type(error) is ValueError else type(error).__name__
                if not is_failing:
                    say(
                        f"The game's counts cannot be kept and {dataset} is left as it is "
                        f"({reason.rstrip('.')}). They are counted on in memory, and this is tried "
                        f"every {EVERY_SECONDS / 60:g} minutes."
                    )
                is_failing = True
            self._closing.wait(EVERY_SECONDS)


def _read_dataset(dataset: str) -> tuple[str, bytes | None]:
    """The latest commit of the dataset, which is made if it is missing, and the file, if any."""
    api = HfApi()
    try:
        info = api.dataset_info(dataset, revision="main", timeout=REQUEST_TIMEOUT_SECONDS)
    except RepositoryNotFoundError:
        api.create_repo(dataset, repo_type="dataset", private=True, exist_ok=True)
        info = api.dataset_info(dataset, revision="main", timeout=REQUEST_TIMEOUT_SECONDS)
    if COUNTS not in (file.rfilename for file in info.siblings or ()):
        return str(info.sha), None
    # Into a new folder: from its cache the client serves an old copy while the Hub is unreachable.
    with tempfile.TemporaryDirectory() as folder:
        options: dict[str, Any] = {"repo_type": "dataset", "revision": info.sha}
        path = hf_hub_download(dataset, COUNTS, local_dir=folder, **options)
        return str(info.sha), Path(path).read_bytes()


def _commit(dataset: str, content: bytes, parent: str) -> bool:
    """Replaces the file; False if `parent` is no longer the latest commit."""
    try:
        HfApi().create_commit(
            repo_id=dataset,
            repo_type="dataset",
            operations=[CommitOperationAdd(COUNTS, content)],
            commit_message="Counts of the guessing game",
            parent_commit=parent,
        )
    except HfHubHTTPError as error:
        if error.response.status_code in CONFLICT_STATUS:
            return False
        raise
    return True
