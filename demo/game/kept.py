"""The tally in a dataset on the Hub, so that it outlives a restart.

Knows the Hub's client; must not know what is counted. What is there is never overwritten with
less: unless it could be read, or is not there yet, nothing is written.
"""

import os
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

from huggingface_hub import (
    CommitInfo,
    CommitOperationAdd,
    CommitScheduler,
    HfApi,
    hf_hub_download,
)
from huggingface_hub.errors import RepositoryNotFoundError

from demo.checkpoints.hub import REQUEST_TIMEOUT_SECONDS
from demo.game.scores import Counts, Tally

COUNTS = "counts.json"
EVERY_MINUTES = 10.0
STOP_SECONDS = 10.0

Say = Callable[[str], None]


def keep_counts(counts: Counts, dataset: str, cache_dir: Path, say: Say) -> None:
    """Goes on from what the dataset holds, and keeps the counts there from now on. Where it
    cannot be read or made, they stay in memory, and one sentence says so."""
    folder = cache_dir / "counts" / dataset.replace("/", "--")
    try:
        content = _fetched(dataset)
        before = Tally() if content is None else _read(content)
        store = HubStore(dataset, folder, content, say)
    except _Nonsense as error:
        _give_up(dataset, f"{COUNTS} holds no counts: {error}", say)
    except Exception as error:
        _give_up(dataset, f"it could not be read or made: {type(error).__name__}", say)
    else:
        counts.keep(before, store)


class _Nonsense(ValueError):
    """What is kept are no counts."""


def _read(content: bytes) -> Tally:
    try:
        return Tally.read(content)
    except ValueError as error:
        raise _Nonsense(str(error)) from error


def _give_up(dataset: str, reason: str, say: Say) -> None:
    say(
        f"The game's counts are kept in memory alone, from zero, and {dataset} is left as it is "
        f"({reason.rstrip('.')})."
    )


def _fetched(dataset: str) -> bytes | None:
    """What the dataset holds now; None if there is no such file or dataset yet."""
    try:
        # Asked first: a download would be tried for half a minute where there is no Hub.
        info = HfApi().dataset_info(dataset, revision="main", timeout=REQUEST_TIMEOUT_SECONDS)
    except RepositoryNotFoundError:
        return None
    if COUNTS not in (file.rfilename for file in info.siblings or ()):
        return None
    # Into a new folder: elsewhere an old copy would do where the Hub is out of reach.
    with tempfile.TemporaryDirectory() as folder:
        options: dict[str, Any] = {"repo_type": "dataset", "revision": info.sha}
        return Path(hf_hub_download(dataset, COUNTS, local_dir=folder, **options)).read_bytes()


class HubStore(CommitScheduler):
    """The file of a folder, which is committed every ten minutes if it has changed."""

    def __init__(self, dataset: str, folder: Path, kept: bytes | None, say: Say) -> None:
        """`kept` is what the dataset holds, if it does.

        Raises:
            Exception: the dataset is not there and cannot be made.
        """
        self._file = folder / COUNTS
        self._pushed, self._say = kept, say
        self._failing = False
        self._pushing = threading.Lock()
        # Of an earlier run: what the dataset holds counts.
        self._file.unlink(missing_ok=True)
        super().__init__(
            repo_id=dataset,
            repo_type="dataset",
            folder_path=folder,
            every=EVERY_MINUTES,
            private=True,
            squash_history=False,
        )

    def write(self, tally: Tally) -> None:
        """Replaces the file, whole."""
        new = self._file.with_suffix(".new")
        with self.lock:
            try:
                new.write_bytes(tally.written())
                os.replace(new, self._file)
            except OSError as error:
                self._fail(error)

    def keeps(self) -> bool:
        """Whether the last attempt succeeded."""
        return not self._failing

    def close(self) -> None:
        """Pushes once more, for at most ten seconds."""
        with suppress(TimeoutError):
            self.trigger().result(STOP_SECONDS)
        self.stop()

    def trigger(self) -> "Future[Any]":
        """Pushes in a thread that does not keep the process: the client's own would, for as
        long as the Hub stalls."""
        outcome: Future[Any] = Future()

        def push() -> None:
            outcome.set_result(self.push_to_hub())

        threading.Thread(target=push, name="counts", daemon=True).start()
        return outcome

    def push_to_hub(self) -> CommitInfo | None:
        """Commits the file if it has changed. The scheduler's own way is made for files that
        only grow: it could commit half of one that is replaced."""
        with self._pushing:
            try:
                committed = self._commit()
            except Exception as error:
                self._fail(error)
                return None
        return committed

    def _commit(self) -> CommitInfo | None:
        with self.lock:
            content = self._file.read_bytes() if self._file.exists() else None
        if content is None or content == self._pushed:
            return None
        committed = self.api.create_commit(
            repo_id=self.repo_id,
            repo_type=self.repo_type,
            operations=[CommitOperationAdd(COUNTS, content)],
            commit_message="Counts of the guessing game",
        )
        self._pushed = content
        if self._failing:
            self._failing = False
            self._say("The game's counts are kept again.")
        return committed

    def _fail(self, error: Exception) -> None:
        if not self._failing:
            self._failing = True
            self._say(
                f"The game's counts could not be kept ({type(error).__name__}); they are counted "
                f"on, and this is tried every {EVERY_MINUTES:g} minutes."
            )
