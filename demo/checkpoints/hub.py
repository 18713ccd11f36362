"""A pinned snapshot of a Hub repository: fetched, or the copy that an earlier start left.

Whether the bytes are right is for the caller to verify: the Hub's client compares sizes only.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass
from logging import ERROR
from pathlib import Path
from typing import Any, Literal

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import logging
from huggingface_hub.utils.tqdm import tqdm

from demo.checkpoints.files import EXPORT_SUBFOLDER, IGNORED, NEEDED, NEEDED_OF_EXPORT

REQUEST_TIMEOUT_SECONDS = 10.0

RepoType = Literal["model", "dataset"]
# The settings that name a repository and its commit.
SETTINGS: Mapping[RepoType, tuple[str, str]] = {
    "model": ("MODEL_ID", "MODEL_REVISION"),
    "dataset": ("TWEETS_DATASET", "TWEETS_REVISION"),
}


class HubError(RuntimeError):
    """The snapshot cannot be had; the message says why and is fit for an owner."""


class HubUnreachable(HubError):
    """The Hub did not answer, or stopped answering; a local copy may do instead."""


@dataclass(frozen=True)
class Snapshot:
    """A snapshot's folder; `sums` is the sha256 that the Hub announced for each weights file,
    `notice` says why this is an earlier start's copy, if it is one."""

    folder: Path
    sums: Mapping[str, str]
    notice: str = ""


def fetch_snapshot(model_id: str, revision: str, patience_seconds: float) -> Snapshot:
    """The files of one commit that a demo needs, in the Hub client's own cache; a local copy of
    that commit if the Hub cannot be reached, or sends nothing for `patience_seconds`. Raises
    HubError if there is no such repository or commit, no access, or neither the Hub nor a whole
    copy."""
    # By their full names: a pattern cannot except one subfolder from `*/*`.
    export = {"allow_patterns": [f"{EXPORT_SUBFOLDER}/{name}" for name in NEEDED_OF_EXPORT]}
    needed = {"allow_patterns": list(NEEDED), "ignore_patterns": list(IGNORED)}

    def download(**options: Any) -> Path:
        if "local_files_only" not in options:
            # The client would take a local copy even if access was withdrawn since.
            HfApi().model_info(model_id, revision=revision, timeout=REQUEST_TIMEOUT_SECONDS)
        _download(model_id, revision=revision, **export, **options)
        return _download(model_id, revision=revision, **needed, **options)

    folder, reason = _fetch(download, patience_seconds, model_id, revision, "model")
    notice = f"{reason} The copy of {model_id} from an earlier start runs." if reason else ""
    # The client's cache names a large file after the sha256 that the Hub announced for it.
    sums = {path.name: path.resolve().name for path in folder.glob("*.safetensors")}
    return Snapshot(folder, sums, notice)


def fetch_files(
    repo_id: str,
    revision: str,
    names: Iterable[str],
    patience_seconds: float,
    repo_type: RepoType = "model",
) -> Path:
    """A folder with the named small files that the commit has, fetched as `fetch_snapshot` does."""

    def download(**options: Any) -> Path:
        wanted = {"revision": revision, "repo_type": repo_type, "allow_patterns": list(names)}
        return _download(repo_id, **wanted, **options)

    return _fetch(download, patience_seconds, repo_id, revision, repo_type)[0]


def forget_snapshot(snapshot: Snapshot) -> None:
    """Deletes a snapshot's files, which the client would otherwise use again."""
    for path in [path for path in snapshot.folder.rglob("*") if not path.is_dir()]:
        path.resolve().unlink(missing_ok=True)
        path.unlink(missing_ok=True)


def _download(repo_id: str, **options: Any) -> Path:
    """Fetches files without a warning where none matches: few checkpoints ship an export."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(ERROR)
    try:
        return Path(snapshot_download(repo_id, **options))
    finally:
        logging.set_verbosity(verbosity)


def _fetch(
    download: Callable[..., Path],
    patience_seconds: float,
    repo_id: str,
    revision: str,
    repo_type: RepoType,
) -> tuple[Path, str]:
    """The folder that `download` gives, and why it is an earlier start's copy, if it is one."""
    try:
        return _run(download, patience_seconds), ""
    except Exception as error:
        reason = _explain(error, repo_id, revision, repo_type)
        if not isinstance(reason, HubUnreachable):
            raise reason from error
    try:
        return download(local_files_only=True), str(reason)
    except OSError as error:
        raise HubError(f"{reason} No whole copy of {repo_id} is kept here.") from error


def _explain(error: Exception, repo_id: str, revision: str, repo_type: RepoType) -> HubError:
    """Turns the client's error into one sentence for the owner."""
    setting, commit_setting = SETTINGS[repo_type]
    match error:
        case HubUnreachable():
            return error
        case RevisionNotFoundError():
            return HubError(f"{repo_id} has no commit {revision}: correct {commit_setting}.")
        case GatedRepoError():
            return HubError(f"{repo_id} is gated and HF_TOKEN has not been granted access.")
        case RepositoryNotFoundError():
            return HubError(f"{repo_id} does not exist, or HF_TOKEN may not read it.")
        case HFValidationError():
            return HubError(f"{setting} is {repo_id!r}; it must look like user/name.")
        case HfHubHTTPError() if error.response.status_code in (401, 403):
            status = error.response.status_code
            return HubError(f"The Hub refused access to {repo_id} ({status}): check HF_TOKEN.")
        case OSError() if is_of_this_disk(error):
            return HubError(f"{repo_id} could not be kept on this disk: {error.strerror}.")
    return HubUnreachable(f"The Hub could not be reached ({type(error).__name__}).")


def is_of_this_disk(error: BaseException) -> bool:
    """Whether an error came from the file system: network errors are OSErrors as well."""
    is_network = isinstance(error, ConnectionError | TimeoutError)
    return isinstance(error, OSError) and bool(error.errno) and not is_network


def _run(download: Callable[..., Path], patience_seconds: float) -> Path:
    """Runs the download, whose progress bars are of the class it is given, in a thread that is
    abandoned if it stalls: some of the client's requests have no timeout."""
    outcome = Future[Path]()
    moved_at = time.monotonic()

    class Bar(tqdm):
        def update(self, n: float | None = 1) -> Any:
            nonlocal moved_at
            moved_at = time.monotonic()
            return super().update(n)

    def run() -> None:
        try:
            outcome.set_result(download(tqdm_class=Bar))
        except Exception as error:
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    while (seconds := moved_at + patience_seconds - time.monotonic()) > 0:
        wait([outcome], timeout=seconds)
        if outcome.done():
            return outcome.result()
    raise HubUnreachable(f"The Hub stalled: nothing arrived for {patience_seconds:g} seconds.")
