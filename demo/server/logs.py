"""What the libraries that serve visitors may log: where it happened and an error's type.

Their messages may quote a visitor, ours never do.
"""

import logging
import sys
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr

log = logging.getLogger(__name__)

# Loggers whose messages pass as they are.
OURS = ("demo", "app", "__main__")
# What these warn of is what visitors send, as every scanner of the internet does. `root` is MCP's.
TOLD_THE_VISITOR = ("uvicorn", "mcp", "root")
# An error may be its own cause's cause.
_MOST_CAUSES = 5


class PlacesOnly(logging.Filter):
    """Reduces a record of any other logger to its place, and its error to type and frames."""

    def filter(self, record: logging.LogRecord) -> bool:
        package = record.name.partition(".")[0]
        if package in OURS:
            return True
        if package in TOLD_THE_VISITOR and record.levelno <= logging.WARNING:
            return False
        place = f"{Path(record.pathname).name}:{record.lineno}"
        record.msg, record.args = f"{record.levelname} of {record.name} at {place}", ()
        if record.exc_info and record.exc_info[1]:
            record.exc_text = without_message(record.exc_info[1])
        return True


def without_message(error: BaseException) -> str:
    """The error's type and frames, and those of its causes, as a traceback has them."""
    lines: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(lines) < _MOST_CAUSES:
        frames = "".join(traceback.format_tb(cause.__traceback__))
        lines.append(f"{frames}{type(cause).__module__}.{type(cause).__qualname__}")
        cause = cause.__cause__ or cause.__context__
    return "\n".join(lines)


def keep_words_out() -> None:
    """Has what is logged pass the filter, and what Gradio prints be logged.

    Gradio prints errors, whose messages may quote a visitor. What it prints while it starts stays.
    """
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(logging.StreamHandler())
    for handler in root.handlers:
        handler.addFilter(PlacesOnly())
    for name, module in list(sys.modules.items()):
        if name.startswith("gradio.") and name != "gradio.blocks":
            module.__dict__["print"] = _note_print
            if module.__dict__.get("traceback") is traceback:
                module.__dict__["traceback"] = _Traceback()


def _note_print(*_: Any, **__: Any) -> None:
    caller = sys._getframe(1)
    log.warning("Gradio printed a line at %s:%d.", caller.f_globals["__name__"], caller.f_lineno)


class _Traceback(SimpleNamespace):
    """The module, whose print_exc shows no message."""

    def __getattr__(self, name: str) -> Any:
        return getattr(traceback, name)

    def print_exc(self, *_: Any, **__: Any) -> None:
        error = sys.exc_info()[1]
        # A gr.Error is a sentence for the visitor, who made the mistake.
        if error and not isinstance(error, gr.Error):
            log.error("Gradio met an error:\n%s", without_message(error))
