"""What is kept in CACHE_DIR: which folders stay, which go, and which files are hashed again."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from demo.checkpoints import cache
from demo.checkpoints.cache import (
    LARGE_BYTES,
    CacheUnwritable,
    Sha256Cache,
    build_folder,
    prune_folders,
    scratch_folder,
    use_folder,
)
from demo.checkpoints.files import file_sha256
from tests.processes import ROOT

# Builds or uses the folder that it is given until its input ends.
HOLDER = """
import sys
from pathlib import Path
from demo.checkpoints.cache import scratch_folder, use_folder
folder = Path(sys.argv[2])
if sys.argv[1] == "use":
    use_folder(folder)
    print(folder, flush=True)
    sys.stdin.read()
else:
    with scratch_folder(folder) as scratch:
        (scratch / "half").write_text("made")
        print(scratch, flush=True)
        sys.stdin.read()
"""


# Has a process of its own build the folder, as a merge and an export do.
BUILDER = """
import sys
from pathlib import Path
from demo.checkpoints.cache import build_folder
from demo.subprocesses import run_module
build_folder(
    Path(sys.argv[1]),
    lambda out: run_module(
        "tests.children", "work", str(out), say=lambda pid: print(pid, flush=True)
    ),
    Path.is_dir,
)
"""


class Holder:
    """Another process that uses a folder, or builds one in it."""

    def __init__(self, task: str, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, task, str(folder)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.folder = Path(self._process.stdout.readline().strip())

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture(autouse=True)
def _unlocked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This process uses no folder before the test and none after it."""
    locked: dict[Path, int] = {}
    monkeypatch.setattr(cache, "_locked", locked)
    yield
    for directory in locked.values():
        os.close(directory)


def make(folder: Path, used_at: int) -> Path:
    folder.mkdir(parents=True)
    (folder / "weights").write_text(folder.name)
    os.utime(folder, (used_at, used_at))
    return folder


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_two_folders_that_were_used_last_stay(tmp_path: Path) -> None:
    for used_at, name in enumerate("dacb"):
        make(tmp_path / name, used_at)
    prune_folders(tmp_path)
    assert names(tmp_path) == {"c", "b"}


def test_using_a_folder_makes_it_the_last_used(tmp_path: Path) -> None:
    for used_at, name in enumerate("abc"):
        make(tmp_path / name, used_at)
    use_folder(tmp_path / "a")
    prune_folders(tmp_path)
    assert names(tmp_path) == {"a", "c"}


def test_what_this_or_another_process_uses_is_never_removed(tmp_path: Path) -> None:
    for used_at, name in enumerate("abcd"):
        make(tmp_path / name, used_at)
    use_folder(tmp_path / "a")
    holder = Holder("use", tmp_path / "b")
    for used_at, name in enumerate("abcd"):
        os.utime(tmp_path / name, (used_at, used_at))
    prune_folders(tmp_path)
    assert names(tmp_path) == {"a", "b", "c", "d"}
    holder.kill()
    prune_folders(tmp_path)
    assert names(tmp_path) == {"a", "c", "d"}


def test_what_a_killed_process_left_unfinished_goes_and_what_is_being_built_stays(
    tmp_path: Path,
) -> None:
    killed, building = (Holder("build", tmp_path) for _ in range(2))
    killed.kill()
    assert names(tmp_path) == {killed.folder.name, building.folder.name}
    prune_folders(tmp_path)
    assert names(tmp_path) == {building.folder.name}
    building.kill()


def test_a_start_that_is_killed_while_a_folder_is_built_leaves_nothing_to_the_next(
    tmp_path: Path,
) -> None:
    """Neither what was written nor the process that writes it."""
    command = [sys.executable, "-c", BUILDER, str(tmp_path / "new")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as start:
        assert start.stdout is not None
        writer = psutil.Process(int(start.stdout.readline()))
        prune_folders(tmp_path)
        # Two starts at once are allowed.
        assert [path.read_text() for path in tmp_path.rglob("half")] == ["made"]
        start.kill()
    # Its parent is gone, and with it whoever would wait for it.
    psutil.wait_procs([writer], timeout=20)
    assert not writer.is_running() or writer.status() == psutil.STATUS_ZOMBIE
    prune_folders(tmp_path)
    assert names(tmp_path) == set()


def test_what_will_not_fit_the_disk_is_not_begun(tmp_path: Path) -> None:
    with pytest.raises(CacheUnwritable, match=r"MB are free, [\d,]+ are needed"):
        build_folder(tmp_path / "new", Path.mkdir, Path.is_dir, room=2**60)
    assert names(tmp_path) == set()


def test_a_scratch_folder_is_gone_afterwards_whatever_happens(tmp_path: Path) -> None:
    with suppress(RuntimeError), scratch_folder(tmp_path / "new") as scratch:
        (scratch / "file").touch()
        raise RuntimeError
    assert names(tmp_path / "new") == set()


def test_a_folder_that_is_taken_for_a_leftover_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = cache._lock
    removed: list[Path] = []

    def remove_first(folder: Path, exclusive: bool = False) -> int | None:
        if not removed:
            removed.append(folder)
            folder.rmdir()
        return lock(folder, exclusive)

    monkeypatch.setattr(cache, "_lock", remove_first)
    with scratch_folder(tmp_path) as scratch:
        assert scratch.is_dir()
        assert scratch not in removed


def test_a_folder_that_was_built_is_in_use(tmp_path: Path) -> None:
    build_folder(tmp_path / "new", Path.mkdir, Path.is_dir)
    os.utime(tmp_path / "new", (0, 0))
    for used_at, name in enumerate("ab", start=1):
        make(tmp_path / name, used_at)
    prune_folders(tmp_path)
    assert names(tmp_path) == {"new", "a", "b"}


def test_a_place_without_folders_or_locks_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prune_folders(tmp_path / "absent")
    use_folder(tmp_path / "absent")
    for used_at, name in enumerate("abc"):
        make(tmp_path / name, used_at)
    monkeypatch.setattr(cache, "fcntl", None)
    use_folder(tmp_path / "a")
    prune_folders(tmp_path)
    assert names(tmp_path) == {"a", "b", "c"}


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were read."""
    files: list[str] = []

    def sha256(path: Path) -> str:
        files.append(path.name)
        return file_sha256(path)

    monkeypatch.setattr(cache, "file_sha256", sha256)
    monkeypatch.setattr(cache, "SETTLED_SECONDS", 0.0)
    return files


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "weights"
    path.write_bytes(b"x" * LARGE_BYTES)
    return path


def test_a_large_file_is_read_once_also_by_later_starts(
    large: Path, tmp_path: Path, hashed: list[str]
) -> None:
    sums = {Sha256Cache(tmp_path / "cache").sha256(large) for _ in range(3)}
    assert sums == {file_sha256(large)}
    assert hashed == ["weights"]


@pytest.mark.parametrize("change", ["same size", "another size", "replaced"])
def test_a_file_that_changed_is_read_again(
    large: Path, tmp_path: Path, hashed: list[str], change: str
) -> None:
    before = Sha256Cache(tmp_path / "cache").sha256(large)
    changed_at = large.stat().st_ctime_ns
    content = b"y" * (LARGE_BYTES + (change == "another size"))
    while large.stat().st_ctime_ns == changed_at:
        if change == "replaced":
            new = tmp_path / "new"
            new.write_bytes(content)
            os.utime(new, ns=(0, large.stat().st_mtime_ns))
            os.replace(new, large)
        else:
            large.write_bytes(content)
    after = Sha256Cache(tmp_path / "cache").sha256(large)
    assert after == file_sha256(large) != before
    assert hashed == ["weights", "weights"]


def test_a_file_that_may_still_be_written_to_is_not_remembered(
    large: Path, tmp_path: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "SETTLED_SECONDS", time.time())
    for _ in range(2):
        Sha256Cache(tmp_path / "cache").sha256(large)
    assert hashed == ["weights", "weights"]


@pytest.mark.parametrize("content", ["nonsense", "[]", "{"])
def test_a_damaged_memory_is_no_memory(
    large: Path, tmp_path: Path, hashed: list[str], content: str
) -> None:
    Sha256Cache(tmp_path).sha256(large)
    (tmp_path / "sums.json").write_text(content)
    assert Sha256Cache(tmp_path).sha256(large) == file_sha256(large)
    assert hashed == ["weights", "weights"]


def test_a_memory_that_cannot_be_written_does_no_harm(large: Path) -> None:
    assert Sha256Cache(large / "not a folder").sha256(large) == file_sha256(large)
