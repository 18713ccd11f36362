"""An exported OpenVINO folder: what it says of itself, and where it is found or made.

Knows folders and fingerprints; must not know how a model is written (openvino_export) or run.
"""

import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from demo import processes
from demo.checkpoints.files import SUMS, ChecksumMismatch, verify_checksums
from demo.checkpoints.hub import EXPORT_SUBFOLDER as SUBFOLDER
from demo.checkpoints.remembered import RememberedSums
from demo.checkpoints.resolve import Checkpoint, CheckpointError, put_in_place
from demo.generation.openvino.export_format import Exported


def exported_folder(checkpoint: Checkpoint, cache_dir: Path, say: Callable[[str], None]) -> Path:
    """The export that the checkpoint ships, or one that was kept, or one made now.

    It is kept in the checkpoint's own folder if that can be written to, else in `cache_dir`.

    Raises:
        CheckpointError: the checkpoint cannot be exported, or the export cannot be kept.
    """
    sums = RememberedSums(cache_dir)
    inside = checkpoint.folder / SUBFOLDER
    kept = cache_dir / SUBFOLDER / checkpoint.fingerprint
    for folder in (inside, kept):
        if is_export_of(checkpoint.fingerprint, folder, sums):
            return folder
    if checkpoint.writable:
        with suppress(OSError):
            return _make(checkpoint, inside, sums, say)
    try:
        return _make(checkpoint, kept, sums, say)
    except OSError as error:
        raise CheckpointError(
            f"The OpenVINO export could not be written in {kept.parent} "
            f"({error.strerror or error}). Set CACHE_DIR to a folder with 2 GB free."
        ) from error


def is_export_of(source: str, folder: Path, sums: RememberedSums) -> bool:
    """True for a whole export, byte for byte, of the checkpoint with that fingerprint."""
    try:
        verify_checksums(folder, sums.sha256)
        return (folder / SUMS).is_file() and Exported.read(folder).source == source
    except (ChecksumMismatch, ValueError, OSError):
        return False


def _make(
    checkpoint: Checkpoint, target: Path, sums: RememberedSums, say: Callable[[str], None]
) -> Path:
    say(f"Exporting {checkpoint.name} for OpenVINO, once …")
    source = checkpoint.fingerprint
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".export-") as scratch:
            made = Path(scratch) / SUBFOLDER
            arguments = (str(checkpoint.folder), str(made), source)
            processes.run("demo.generation.openvino.export", *arguments, say=say)
            put_in_place(made, target, lambda folder: is_export_of(source, folder, sums))
    except processes.ModuleFailed as error:
        raise CheckpointError(f"OpenVINO cannot run {checkpoint.name}: {error}") from error
    return target
