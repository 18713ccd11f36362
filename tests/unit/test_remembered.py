"""Sums of large files are remembered as long as nothing of the files changed."""

import os
import time
from pathlib import Path

import pytest

from demo.checkpoints import remembered
from demo.checkpoints.files import file_sha256
from demo.checkpoints.remembered import LARGE_BYTES, RememberedSums


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were read through."""
    names: list[str] = []

    def sum_of(path: Path) -> str:
        names.append(path.name)
        return file_sha256(path)

    monkeypatch.setattr(remembered, "file_sha256", sum_of)
    monkeypatch.setattr(remembered, "SETTLED_SECONDS", 0.0)
    return names


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "weights"
    path.write_bytes(b"x" * LARGE_BYTES)
    return path


def test_a_large_file_is_read_through_once_also_by_later_starts(
    large: Path, tmp_path: Path, read: list[str]
) -> None:
    sums = {RememberedSums(tmp_path / "cache").sha256(large) for _ in range(3)}
    assert sums == {file_sha256(large)}
    assert read == ["weights"]


@pytest.mark.parametrize("change", ["same size", "another size", "replaced"])
def test_a_file_that_changed_is_read_again(
    large: Path, tmp_path: Path, read: list[str], change: str
) -> None:
    before = RememberedSums(tmp_path / "cache").sha256(large)
    time.sleep(0.02)
    content = b"y" * (LARGE_BYTES + (change == "another size"))
    if change == "replaced":
        new = tmp_path / "new"
        new.write_bytes(content)
        os.utime(new, ns=(0, large.stat().st_mtime_ns))
        os.replace(new, large)
    else:
        large.write_bytes(content)
    after = RememberedSums(tmp_path / "cache").sha256(large)
    assert after == file_sha256(large) != before
    assert read == ["weights", "weights"]


def test_a_file_that_may_still_be_written_to_is_not_remembered(
    large: Path, tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembered, "SETTLED_SECONDS", 60.0)
    for _ in range(2):
        RememberedSums(tmp_path / "cache").sha256(large)
    assert read == ["weights", "weights"]


@pytest.mark.parametrize("content", ["nonsense", "[]", "{"])
def test_a_damaged_memory_is_no_memory(
    large: Path, tmp_path: Path, read: list[str], content: str
) -> None:
    RememberedSums(tmp_path).sha256(large)
    (tmp_path / "sums.json").write_text(content)
    assert RememberedSums(tmp_path).sha256(large) == file_sha256(large)
    assert read == ["weights", "weights"]


def test_a_place_that_cannot_be_written_to_does_no_harm(large: Path, tmp_path: Path) -> None:
    assert RememberedSums(large / "not a folder").sha256(large) == file_sha256(large)
