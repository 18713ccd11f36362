"""Imports Gradio without its stub files.

Whenever it is imported, Gradio parses the source of each of its components and rewrites the `.pyi`
file beside it, for editors: two fifths of the time that the import takes.
"""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def without_stub_files() -> Iterator[None]:
    """Inside, `inspect.getfile` fails for component classes: Gradio's `create_or_modify_pyi` then
    writes no stub file."""
    locate = inspect.getfile

    def getfile(object: Any) -> str:
        if type(object).__name__ == "ComponentMeta":
            raise OSError("Its file is not needed.")
        return locate(object)

    inspect.getfile = getfile
    try:
        yield
    finally:
        inspect.getfile = locate
