"""The OpenVINO export of a checkpoint: where it is found or made, and what it says of itself."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from demo.checkpoints.cache import (
    Sha256Cache,
    build_folder,
    prune_folders,
    remove_unfinished,
    use_folder,
)
from demo.checkpoints.files import (
    EXPORT_SUBFOLDER,
    NEEDED_OF_EXPORT,
    CheckpointError,
    is_whole,
    read_object,
    weights_of,
)
from demo.generation.openvino.shipped import require_ordinary_export
from demo.subprocesses import ModuleFailed, run_module

if TYPE_CHECKING:
    from demo.checkpoints.resolve import Checkpoint

DESCRIPTION = "export.json"
# Raise it when the export writes something else: older exports are then made anew.
FORMAT = 1
PRECISIONS = ("int8", "f32")
MAX_SIZE = 2**24
EXPORT = "demo.generation.openvino.export"
# OpenVINO's paged attention on a CPU keeps the cache in blocks of this many tokens.
BLOCK_TOKENS = 32


@dataclass(frozen=True)
class Exported:
    """An export's description: `source` is the fingerprint of the checkpoint that it was made from,
    `vocabulary` the number of tokens the model knows, `cache_values_per_token` how many numbers one
    token takes in the key-value cache."""

    source: str
    precision: str
    eos_token_id: int
    vocabulary: int
    context_tokens: int
    cache_values_per_token: int
    format: int = FORMAT

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Reads a folder's description.

        Raises:
            CheckpointError: there is none, or it is of another format.
        """
        try:
            values = read_object(folder, DESCRIPTION)
            # The name in the file, which published exports have.
            exported = cls(eos_token_id=values.pop("mark"), **values)
        except (KeyError, TypeError) as error:
            raise CheckpointError(f"{folder} has no readable {DESCRIPTION}.") from error
        if exported.format != FORMAT:
            raise CheckpointError(f"{folder} is of format {exported.format}, not {FORMAT}.")
        exported._require_usable(folder)
        return exported

    def _require_usable(self, folder: Path) -> None:
        sizes = (self.vocabulary, self.context_tokens, self.cache_values_per_token)
        if (
            not all(type(size) is int and 1 <= size <= MAX_SIZE for size in sizes)
            or type(self.eos_token_id) is not int
            or not 0 <= self.eos_token_id < self.vocabulary
            or self.precision not in PRECISIONS
        ):
            raise CheckpointError(f"{DESCRIPTION} of {folder} has sizes that no export has.")

    def write(self, folder: Path) -> None:
        """Writes the folder's description."""
        names = {"eos_token_id": "mark"}
        values = {names.get(name, name): value for name, value in asdict(self).items()}
        text = json.dumps(values, indent=2) + "\n"
        (folder / DESCRIPTION).write_text(text, encoding="utf-8")


def exported_folder(checkpoint: "Checkpoint", cache_dir: Path, say: Callable[[str], None]) -> Path:
    """The export that the checkpoint ships, or one from an earlier start, or one made now.

    It is kept in the checkpoint's own folder if that can be written to, else in `cache_dir`, where
    only the last used ones stay.

    Raises:
        CheckpointError: the checkpoint cannot be exported, or the export cannot be kept.
    """
    fingerprint = checkpoint.fingerprint
    inside = checkpoint.folder / EXPORT_SUBFOLDER
    cached = cache_dir / EXPORT_SUBFOLDER / fingerprint
    sha256 = Sha256Cache(cache_dir).sha256

    def is_export(folder: Path) -> bool:
        try:
            exported = Exported.read(folder)
            config = read_object(checkpoint.folder, "config.json")
            if (exported.source, exported.vocabulary) != (fingerprint, config.get("vocab_size")):
                return False
            # One that a checkpoint ships may be anybody's; ours in the cache pass as well.
            require_ordinary_export(folder, exported.vocabulary)
            return is_whole(folder, sha256, required=NEEDED_OF_EXPORT)
        except CheckpointError as error:
            if folder.is_dir():
                say(f"The export in {folder} is not used: {error}")
            return False

    def export_to(folder: Path) -> Path:
        say(f"Exporting {checkpoint.name} for OpenVINO, once …")
        build_folder(
            folder,
            lambda out: run_module(EXPORT, str(checkpoint.folder), str(out), fingerprint, say=say),
            is_export,
            # int8 of what takes four bytes, or two.
            sum(path.stat().st_size for path in weights_of(checkpoint.folder)) // 4,
        )
        return folder

    remove_unfinished(checkpoint.folder)
    use_folder(cached)
    try:
        for folder in (inside, cached):
            if is_export(folder):
                return folder
        if checkpoint.writable:
            with suppress(OSError):
                return export_to(inside)
        return export_to(cached)
    except ModuleFailed as error:
        raise CheckpointError(f"OpenVINO cannot run {checkpoint.name}: {error}") from error
    except OSError as error:
        raise CheckpointError(
            f"The OpenVINO export could not be written in {cached.parent} "
            f"({error.strerror or error}). Set CACHE_DIR to a folder with 2 GB free."
        ) from error
    finally:
        prune_folders(cached.parent)
