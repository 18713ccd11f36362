"""Gradio's type stubs: written beside a component, unless it is told not to."""

import importlib.util
import inspect
import sys
from pathlib import Path

import pytest

from demo.ui.stubs import without_stubs


def define_component(folder: Path) -> None:
    """Imports a module that defines a component."""
    path = folder / "teapot.py"
    path.write_text("import gradio as gr\n\n\nclass Teapot(gr.HTML):\n    EVENTS = []\n")
    spec = importlib.util.spec_from_file_location("teapot", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Where `inspect` looks a class's file up.
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "teapot", module)
        spec.loader.exec_module(module)


def test_no_stub_is_written_where_none_is_wanted(tmp_path: Path) -> None:
    find_file = inspect.getfile
    with without_stubs():
        define_component(tmp_path)
        assert inspect.getfile(Path) == find_file(Path)
    assert inspect.getfile is find_file
    assert not list(tmp_path.glob("*.pyi"))
    define_component(tmp_path)
    assert list(tmp_path.glob("*.pyi")), "Gradio writes no stubs any more: `without_stubs` can go."
