"""Modules that run as processes of their own: what becomes of them, and what they lack."""

import errno
from pathlib import Path

import pytest

from demo.subprocesses import NotEnoughMemory, memory_bytes, require_memory, run_module

CHILDREN = "tests.children"


@pytest.mark.parametrize("what", ["memory", "killed"])
def test_a_module_that_lacks_memory_says_so(tmp_path: Path, what: str) -> None:
    with pytest.raises(NotEnoughMemory, match=r"A process may use \d+\.\d GB here: raise"):
        run_module(CHILDREN, what, str(tmp_path / "out"), say=print)


def test_a_module_that_lacks_space_says_so(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left on device") as caught:
        run_module(CHILDREN, "space", str(tmp_path / "out"), say=print)
    assert caught.value.errno == errno.ENOSPC


def test_what_needs_more_memory_than_there_is_is_refused_with_both() -> None:
    require_memory(memory_bytes(), "A teapot")
    with pytest.raises(NotEnoughMemory, match=r"^A teapot needs \d+\.\d GB of memory\. A process"):
        require_memory(memory_bytes() + 1, "A teapot")
