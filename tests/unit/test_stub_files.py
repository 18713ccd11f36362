"""Gradio is imported without its stub files, and is otherwise the same."""

import subprocess
import sys

from tests.processes import ROOT

# Prints of how many modules the stub file was opened while Gradio was imported.
COUNTING = """
import contextlib, inspect, sys
from demo.stub_files import without_stub_files

opened = []
sys.addaudithook(lambda event, args: opened.append(args[0]) if event == "open" else None)
locate = inspect.getfile
with {context}:
    import gradio
assert inspect.getfile is locate
assert inspect.getfile(gradio.Textbox).endswith("textbox.py")
print(len(set(path for path in map(str, opened) if path.endswith(".pyi"))))
"""


def stub_files_opened(context: str) -> int:
    code = COUNTING.format(context=context)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def test_no_components_stub_file_is_opened() -> None:
    # That of blocks_events, which holds no component.
    assert stub_files_opened("without_stub_files()") <= 1
    # Once Gradio opens none by itself, nothing has to keep it from that.
    assert stub_files_opened("contextlib.nullcontext()") > 50
