"""The log: one line an event on stdout, as text or as JSON, without a word of any visitor.

Our own messages never quote a visitor. Those of the libraries that serve visitors may: of these,
only the place and the error's type are logged.
"""

import io
import json
import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

Format = Literal["text", "json"]

# Loggers whose messages pass as they are.
OURS = ("demo", "app", "__main__")
# Their warnings are about what visitors send, as every scanner of the internet does. `root` is
# used by MCP.
WARN_OF_VISITORS = ("uvicorn", "mcp", "root")
# An error may be its own cause's cause.
_MOST_CAUSES = 5

_log = logging.getLogger("demo")


def set_up(format: Format) -> None:
    """Sends every logger's warnings, and the demo's own events, to stdout."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines() if format == "json" else TextLines())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    _log.setLevel(logging.INFO)


def say(event: str, **figures: object) -> None:
    _log.info(event, extra={"figures": figures})


@contextmanager
def prints_to_log() -> Iterator[None]:
    """Logs each line that is printed meanwhile: Gradio prints the address of its MCP server."""
    # The log itself writes to the stream that was there before.
    with redirect_stdout(io.StringIO()) as printed:
        try:
            yield
        finally:
            for line in printed.getvalue().splitlines():
                if line.strip():
                    say(line.strip())


class TextLines(logging.Formatter):
    """`2026-11-26 12:00:00 Text finished. tokens=12 seconds=0.4`"""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line without the traceback that may follow."""
        figures = getattr(record, "figures", {})
        named = (f"{name}={value}" for name, value in figures.items())
        return " ".join((super().formatMessage(record), *named))


class JsonLines(logging.Formatter):
    """An object a line: time, level, logger, event, then the event's own figures."""

    def format(self, record: logging.LogRecord) -> str:
        """The whole line."""
        # Fills in the message and the traceback.
        super().format(record)
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.message,
            **getattr(record, "figures", {}),
        }
        if record.exc_text:
            line["traceback"] = record.exc_text
        return json.dumps(line, default=str)


class PlacesOnly(logging.Filter):
    """Reduces a library's record to its place in the source, and its error to type and frames."""

    def filter(self, record: logging.LogRecord) -> bool:
        package = record.name.partition(".")[0]
        if package in OURS:
            return True
        if package in WARN_OF_VISITORS and record.levelno <= logging.WARNING:
            return False
        place = f"{Path(record.pathname).name}:{record.lineno}"
        record.msg, record.args = f"{record.levelname} of {record.name} at {place}", ()
        if record.exc_info and record.exc_info[1]:
            record.exc_text = without_message(record.exc_info[1])
            # No formatter shall write it again, with the message.
            record.exc_info = None
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
    """Filters what is logged from now on, and what Gradio prints: its errors may quote a visitor.
    `gradio.blocks` prints at a start only, and still may."""
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(logging.StreamHandler())
    for handler in root.handlers:
        handler.addFilter(PlacesOnly())
    for name, module in list(sys.modules.items()):
        if name.startswith("gradio.") and name != "gradio.blocks":
            module.__dict__["print"] = _log_print
            if module.__dict__.get("traceback") is traceback:
                module.__dict__["traceback"] = _Traceback()


def _log_print(*_: Any, **__: Any) -> None:
    caller = sys._getframe(1)
    _log.warning("Gradio printed a line at %s:%d.", caller.f_globals["__name__"], caller.f_lineno)


class _Traceback(SimpleNamespace):
    """The module `traceback`, with a print_exc that logs, without the message."""

    def __getattr__(self, name: str) -> Any:
        return getattr(traceback, name)

    def print_exc(self, *_: Any, **__: Any) -> None:
        # Where this is called, Gradio is loaded; a start has settings to refuse before it is.
        from gradio import Error  # noqa: PLC0415

        error = sys.exc_info()[1]
        # Gradio's own Error is a sentence for the visitor, who made the mistake.
        if error and not isinstance(error, Error):
            _log.error("Gradio met an error:\n%s", without_message(error))
