"""Imports Gradio without its stub files.

Whenever it is imported, Gradio parses the source of each of its components and rewrites the `.pyi`
file beside it, for editors: two fifths of the time that the import takes.
"""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_METACLASS = "ComponentMeta"


@contextmanager
def without_stub_files() -> Iterator[None]:
    """Inside, Gradio cannot tell in which file a component of its own is, and then writes none."""
    locate = inspect.getfile

    def getfile(object: Any) -> str:
        if type(object).__name__ == _METACLASS:
            raise OSError("Its file is not needed.")
        return locate(object)

    inspect.getfile = getfile
    try:
        yield
    finally:
        inspect.getfile = locate
