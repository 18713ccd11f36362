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
from typing import TYPE_CHECKING, TypeVar

from demo.checkpoints.allow_list import require_allowed, require_room
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
from demo.checkpoints.persona import persona_of

if TYPE_CHECKING:
    from demo.settings import Settings

__all__ = ["Checkpoint", "CheckpointError", "early_folder", "resolve_checkpoint"]

HUB_PATIENCE_SECONDS = 30.0
# Where a training run puts its checkpoint, inside the run's own folder.
RUNS_FOLDER = "checkpoint"
T = TypeVar("T")


@dataclass(frozen=True)
class Checkpoint:
    """An ordinary, verified checkpoint folder, and how its texts name it.

    `name` is a Hub id, a folder's or its run's name, or "embedded"; `revision` a commit, or the
    first 12 hexadecimal digits of the weights' sha256. `notice` says on the page why this one runs
    rather than the one that was asked for. `fingerprint` is a hash of config, tokenizer and
    weights. `writable` says that an export may be written into the folder: not in the Hub client's
    cache.
    """

    folder: Path
    name: str
    revision: str
    notice: str = ""
    fingerprint: str = ""
    writable: bool = False


def resolve_checkpoint(
    settings: "Settings", say: Say, load: Callable[[Checkpoint], T], embedded: Path = EMBEDDED
) -> T:
    """What `load` makes of the checkpoint that the settings name: a Hub repository's, else a
    folder's, else the embedded one. A Hub checkpoint that cannot be had, or for which `load` raises
    CheckpointError because it lacks a weight, say, is replaced by the embedded one; `notice` says
    so. Raises CheckpointError if the folder named, or the embedded one, cannot be used or
    loaded."""
    opener = _Opener(settings, say, embedded)
    model_id = settings.model_id
    if not model_id:
        return load(opener.open_folder(settings.checkpoint or embedded))
    try:
        checkpoint = opener.open_hub()
    except PrivateCheckpointError as error:
        say(str(error))
        reason = f"{model_id} could not be used."
    except (CheckpointError, HubError) as error:
        reason = str(error)
    else:
        try:
            return load(checkpoint)
        except CheckpointError as error:
            say(str(error))
            reason = f"{model_id} could not be run."
    notice = f"{reason} The embedded checkpoint runs instead."
    say(notice)
    return load(replace(opener.open_folder(embedded), notice=notice))


def early_folder(settings: "Settings", embedded: Path = EMBEDDED) -> Path:
    """Where the small files that the page is built from can be read before the weights are there;
    in the embedded checkpoint if the Hub does not give them, or a persona that cannot be used."""
    if not settings.model_id:
        return _require_folder(settings.checkpoint or embedded)
    try:
        revision = settings.model_revision
        early = fetch_files(settings.model_id, revision, EARLY, HUB_PATIENCE_SECONDS)
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

    settings: "Settings"
    say: Say
    embedded: Path

    def open_hub(self) -> Checkpoint:
        model_id, revision = self.settings.model_id, self.settings.model_revision
        self.say(f"Fetching {model_id} at {revision[:12]} …")
        snapshot = fetch_snapshot(model_id, revision, HUB_PATIENCE_SECONDS)
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
            self._name(folder.resolve()),
            revision[:12],
            fingerprint=fingerprint,
            writable=os.access(ordinary, os.W_OK),
        )

    def _merge_if_difference(self, folder: Path, sums: Mapping[str, str]) -> tuple[Path, str]:
        """An ordinary checkpoint folder and its fingerprint."""
        if is_difference(folder):
            folder = merged_folder(folder, sums, self.settings, self.say)
            sums = read_checksums(folder)
        names = sorted({path.name for path in weights_of(folder)} | (sums.keys() & set(DEFINING)))
        return folder, _digest(*(f"{name} {sums[name]}" for name in names))[:32]

    def _verify(
        self, folder: Path, name: str, announced: Mapping[str, str] | None
    ) -> Mapping[str, str]:
        """Checks that the folder is a checkpoint, and its files against SHA256SUMS or else the sums
        that the Hub announced. Only an owner's own folder (None) may have neither. Returns the
        sha256 of each file that defines the model, or that a difference is merged from. Raises
        CheckpointError, or ChecksumMismatch if a file is missing, damaged or, for weights, not
        listed."""
        files = needed_files(folder)
        if is_difference(folder):
            require_file(folder, BASE)
        require_room(folder, name)
        listed = read_checksums(folder) or announced or {}
        # A copy may lack its README, which the demo does not read.
        sha256 = Sha256Cache(self.settings.cache_dir).sha256
        verify_checksums(folder, listed, required=NEEDED, sha256=sha256)
        for weights in weights_of(folder):
            if weights.name not in listed and (listed or announced is not None):
                raise ChecksumMismatch(f"there is no sha256 of {weights.name} to compare.")
        # After the sums: a file that was damaged on its way is fetched anew.
        names = set(files)
        if not is_difference(folder):
            require_allowed(folder, name)
            names &= {weights.name for weights in weights_of(folder)} | set(DEFINING)
        return {name: listed.get(name) or sha256(files[name]) for name in names}

    def _name(self, folder: Path) -> str:
        """How texts name a folder. Every run writes `RUN/checkpoint`, which says nothing; its run
        does."""
        if folder == self.embedded.resolve():
            return "embedded"
        if folder.name == RUNS_FOLDER and folder.parent.name:
            return folder.parent.name
        return folder.name


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
