"""What runs and is shown in a browser: the HTML, JavaScript, CSS and pictures in static/.

Knows where these files are; must not know what is in them.
"""

from pathlib import Path

STATIC = Path(__file__).with_name("static")


def markup(name: str) -> str:
    """An HTML template."""
    return (STATIC / name).read_text(encoding="utf-8")


def script(*names: str) -> str:
    """JavaScript files as one: Gradio runs each component's script as a function of its own, so
    what they share (common.js) is put before each."""
    return "\n".join(markup(name) for name in ("common.js", *names))
