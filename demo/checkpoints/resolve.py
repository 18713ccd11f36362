"""Decides which checkpoint runs: one from the Hub, a folder, or the embedded one.

The one place that falls back: from the Hub to the local copy of an earlier start, and to the
embedded checkpoint if a Hub checkpoint cannot be had or run. Every checkpoint is verified; nothing
pickled is accepted, nor one that brings code.
"""

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from demo.checkpoints.cache import Sha256Cache
from demo.checkpoints.embedded import EMBEDDED, Say, merged_folder
from demo.checkpoints.files import (
    BASE,
    DEFINING,
    EARLY,
    NEEDED,
    CheckpointError,
    ChecksumMismatch,
    PrivateCheckpointError,
    is_difference,
    needed_files,
    read_checksums,
    require_file,
    verify_checksums,
    weights_of,
)
from demo.checkpoints.hub import HubError, fetch_files, fetch_snapshot, forget_snapshot
from demo.checkpoints.ordinary import require_ordinary, require_room
from demo.checkpoints.persona import persona_of

__all__ = ["Checkpoint", "CheckpointError", "early_folder", "resolve_checkpoint"]

HUB_PATIENCE_SECONDS = 30.0
# Where a training run puts its checkpoint, inside the run's own folder.
RUNS_FOLDER = "checkpoint"


@dataclass(frozen=True)
class Checkpoint:
    """An ordinary, verified checkpoint folder, and how its texts name it.

    `name` is a Hub id, a folder's or its run's name, or "embedded"; `revision` a commit, or the
    first 12 hexadecimal digits of the weights' sha256. `notice` says why this one runs rather than
    the one that was asked for, and is shown on the page. `fingerprint` is a hash of config,
    tokenizer and weights. `writable` says that an export may be written into the folder: not in the
    Hub client's cache.
    """

    folder: Path
    name: str
    revision: str
    notice: str = ""
    fingerprint: str = ""
    writable: bool = False


def resolve_checkpoint(
    *,
    model_id: str = "",
    model_revision: str = "",
    folder: Path | None = None,
    embedded: Path = EMBEDDED,
    base_file: Path | None,
    cache_dir: Path,
    say: Say,
    hub_patience_seconds: float = HUB_PATIENCE_SECONDS,
    load: Callable[[Checkpoint], object] = lambda _: None,
) -> Checkpoint:
    """The checkpoint of a Hub repository, else of a folder, else the embedded one.

    A Hub checkpoint that cannot be had, or for which `load` raises CheckpointError because it lacks
    a weight, say, is replaced by the embedded one; `notice` says so. A folder may hold a difference
    and its `base.json`; it is merged once and kept in `cache_dir`.
    Raises CheckpointError if the folder named, or the embedded one, cannot be used or loaded.
    """
    opener = _Opener(base_file, cache_dir, say)
    if not model_id:
        if folder is not None and folder.resolve() != embedded.resolve():
            checkpoint = opener.open_folder(folder)
        else:
            checkpoint = opener.open_embedded(embedded)
        load(checkpoint)
        return checkpoint
    try:
        checkpoint = opener.open_hub(model_id, model_revision, hub_patience_seconds)
    except PrivateCheckpointError as error:
        say(str(error))
        reason = f"{model_id} could not be used."
    except (CheckpointError, HubError) as error:
        reason = str(error)
    else:
        try:
            load(checkpoint)
            return checkpoint
        except CheckpointError as error:
            say(str(error))
            reason = f"{model_id} could not be run."
    notice = f"{reason} The embedded checkpoint runs instead."
    say(notice)
    checkpoint = replace(opener.open_embedded(embedded), notice=notice)
    load(checkpoint)
    return checkpoint


def early_folder(
    *,
    model_id: str,
    model_revision: str,
    folder: Path | None,
    embedded: Path,
    hub_patience_seconds: float = HUB_PATIENCE_SECONDS,
) -> Path:
    """Where the small files that the page is built from can be read before the weights are there;
    in the embedded checkpoint if the Hub does not give them, or a persona that cannot be used.
    Raises CheckpointError if there is no such folder."""
    if not model_id:
        return _require_folder(folder or embedded)
    try:
        early = fetch_files(model_id, model_revision, EARLY, hub_patience_seconds)
        persona_of(early)
        return early
    except (HubError, CheckpointError):
        return embedded


def _require_folder(folder: Path) -> Path:
    if not folder.is_dir():
        raise CheckpointError(f"There is no checkpoint folder {folder}. Correct CHECKPOINT.")
    return folder


@dataclass(frozen=True)
class _Opener:
    """Verifies checkpoints, and merges those that are a difference."""

    base_file: Path | None
    cache_dir: Path
    say: Say

    def open_hub(self, model_id: str, revision: str, patience_seconds: float) -> Checkpoint:
        self.say(f"Fetching {model_id} at {revision[:12]} …")
        snapshot = fetch_snapshot(model_id, revision, patience_seconds)
        try:
            sums = self._verify(snapshot.folder, model_id, snapshot.sums)
        except ChecksumMismatch as error:
            forget_snapshot(snapshot)
            raise CheckpointError(
                f"{model_id} at {revision[:12]} is damaged and was not loaded: {error} "
                "It is fetched anew at the next start."
            ) from error
        persona_of(snapshot.folder)
        if snapshot.notice:
            self.say(snapshot.notice)
        folder, fingerprint = self._merge_if_difference(snapshot.folder, sums)
        return Checkpoint(folder, model_id, revision, snapshot.notice, fingerprint)

    def open_embedded(self, folder: Path) -> Checkpoint:
        return replace(self.open_folder(folder), name="embedded")

    def open_folder(self, folder: Path) -> Checkpoint:
        _require_folder(folder)
        try:
            sums = self._verify(folder, folder.resolve().name, None)
        except ChecksumMismatch as error:
            raise CheckpointError(f"The checkpoint in {folder} is damaged: {error}") from error
        # Of one weights file its own sum, of several (or one and its base) a sum of their sums.
        weights = [sums[path.name] for path in (*weights_of(folder), *folder.glob(BASE))]
        revision = weights[0] if len(weights) == 1 else _digest(*weights)
        ordinary, fingerprint = self._merge_if_difference(folder, sums)
        return Checkpoint(
            ordinary,
            _name(folder.resolve()),
            revision[:12],
            fingerprint=fingerprint,
            writable=os.access(ordinary, os.W_OK),
        )

    def _merge_if_difference(self, folder: Path, sums: Mapping[str, str]) -> tuple[Path, str]:
        """An ordinary checkpoint folder and its fingerprint."""
        if is_difference(folder):
            folder = merged_folder(folder, sums, self.base_file, self.cache_dir, self.say)
            sums = read_checksums(folder)
        names = sorted({path.name for path in weights_of(folder)} | (sums.keys() & set(DEFINING)))
        return folder, _digest(*(f"{name} {sums[name]}" for name in names))[:32]

    def _verify(
        self, folder: Path, name: str, announced: Mapping[str, str] | None
    ) -> Mapping[str, str]:
        """Checks that the folder is a checkpoint, and its files against SHA256SUMS or else the
        sums that the Hub announced. Only an owner's own folder (None) may have neither.

        Returns the sha256 of each file that defines the model, or that a difference is merged from.
        Raises CheckpointError if it is not a checkpoint, ChecksumMismatch if a file is missing,
        damaged or, for weights, not listed.
        """
        files = needed_files(folder)
        if is_difference(folder):
            require_file(folder, BASE)
        require_room(folder, name)
        listed = read_checksums(folder) or announced or {}
        # A copy may lack its README, which the demo does not read.
        sha256 = Sha256Cache(self.cache_dir).sha256
        verify_checksums(folder, listed, required=NEEDED, sha256=sha256)
        for weights in weights_of(folder):
            if weights.name not in listed and (listed or announced is not None):
                raise ChecksumMismatch(f"there is no sha256 of {weights.name} to compare.")
        # After the sums: a file that was damaged on its way is fetched anew.
        names = set(files)
        if not is_difference(folder):
            require_ordinary(folder, name)
            names &= {weights.name for weights in weights_of(folder)} | set(DEFINING)
        return {name: listed.get(name) or sha256(files[name]) for name in names}


def _name(folder: Path) -> str:
    """How texts name a folder. Every run writes `RUN/checkpoint`, which says nothing; its run
    does."""
    return folder.parent.name if folder.name == RUNS_FOLDER and folder.parent.name else folder.name


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
