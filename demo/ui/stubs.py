"""Keeps Gradio from writing type stubs at every start, which takes a third of its import.

At its import Gradio parses the source of each of its components and writes a .pyi file beside it,
for editors. It leaves out classes whose source file `inspect.getfile` does not find.
"""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

_find_file = inspect.getfile


@contextmanager
def without_stubs() -> Iterator[None]:
    """Meanwhile, Gradio writes no stub for a component that is defined."""
    with patch("inspect.getfile", _find_file_unless_component):
        yield


def _find_file_unless_component(thing: Any) -> str:
    if type(thing).__module__ == "gradio.component_meta":
        raise OSError("A stub of this component is not wanted.")
    return _find_file(thing)
