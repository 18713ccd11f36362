"""Reads what a component does in the browser: HTML and JavaScript files of this folder.

Knows files; must not know what is in them.
"""

from pathlib import Path

_HERE = Path(__file__).parent


def markup(name: str) -> str:
    """An HTML template."""
    return (_HERE / name).read_text(encoding="utf-8")


def script(*names: str) -> str:
    """JavaScript files as one: Gradio runs each component's script as a function of its own, so
    what they share (common.js) is put before each."""
    return "\n".join(markup(name) for name in ("common.js", *names))
