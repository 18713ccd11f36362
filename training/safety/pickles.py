"""Is a file a pickle, which runs code where it is loaded, or an archive that could hold one?

Knows how they are named and how they begin; must not run one.
"""

import pickletools
from pathlib import Path

from safetensors import SafetensorError, safe_open

from demo.checkpoints.files import EXPORT_SUBFOLDER
from training.errors import TrainingError

PICKLED = frozenset((
    ".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".npy", ".npz", ".joblib", ".dill", ".pk",
))  # fmt: skip
# Ends in .bin, and is OpenVINO's raw numbers.
RAW_WEIGHTS = f"{EXPORT_SUBFOLDER}/openvino_model.bin"
# Pickle's protocols 2 to 5, numpy's arrays, then archives: zip (what torch saves), gzip, bzip2, xz,
# zstandard, 7z.
_STARTS = (
    b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"\x93NUMPY",
    b"PK\x03\x04", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf",
)  # fmt: skip
_TAR, _TAR_AT = b"ustar", 257
_PNG_START = b"\x89PNG\r\n\x1a\n"
# What makes a pickle more than data.
_CALLS = frozenset((
    "GLOBAL", "STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "REDUCE", "BUILD",
))  # fmt: skip


def is_named_like_a_pickle(name: str) -> bool:
    """Whether a file of that name, with its folders, is taken for one."""
    return Path(name).suffix.lower() in PICKLED and name != RAW_WEIGHTS


def require_no_pickle(path: Path, name: str) -> None:
    """
    Raises:
        TrainingError: it is one by its name or its content, or no safetensors though named so.
        OSError: it cannot be read.
    """
    if is_named_like_a_pickle(name):
        raise TrainingError(
            f"{name} is pickled, as its name says, and can run code where it is loaded: delete "
            "it; weights are published as safetensors alone."
        )
    if path.suffix == ".safetensors":
        _require_safetensors(path, name)
    elif _looks_pickled(path):
        raise TrainingError(
            f"{name} is, by its content, a pickle or an archive that can hold one, whatever its "
            "name says: delete it."
        )


def _require_safetensors(path: Path, name: str) -> None:
    try:
        with safe_open(path, framework="numpy") as file:
            file.metadata()
    except SafetensorError as error:
        raise TrainingError(
            f"{name} is no safetensors file ({error}), whatever its name says: delete it, or make "
            "the checkpoint anew."
        ) from error


def _looks_pickled(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(_TAR_AT + len(_TAR))
    if start.startswith(_STARTS) or start[_TAR_AT:] == _TAR:
        return True
    return not start.startswith(_PNG_START) and _is_read_as_a_pickle(path)


def _is_read_as_a_pickle(path: Path) -> bool:
    """Whether pickle's machine would read it to an end: the oldest protocol begins like text. What
    stands behind the end is never read, so it matters only where the pickle is data alone."""
    operations = calls = 0
    with path.open("rb") as file:
        try:
            for operation, _, _ in pickletools.genops(file):
                operations += 1
                calls += operation.name in _CALLS
        except Exception:
            # Whatever it is, its parser says in any type that it is none.
            return False
        return bool(calls) or (operations > 1 and not file.read().strip())
