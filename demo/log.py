"""The server's log: one line an event on stdout, as text or as JSON.

Nothing that a visitor sent, and no address, is ever handed to it.
"""

import io
import json
import logging
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from datetime import UTC, datetime
from typing import Literal, ParamSpec, TypeVar

Format = Literal["text", "json"]
P = ParamSpec("P")
R = TypeVar("R")

_log = logging.getLogger("demo")


def set_up(format: Format) -> None:
    """Sends every logger's warnings, and the demo's own events, to stdout."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines() if format == "json" else TextLines())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    _log.setLevel(logging.INFO)


def adopt(name: str) -> None:
    """Has a library's logger write as all others do: uvicorn sets up one of its own."""
    logger = logging.getLogger(name)
    logger.handlers.clear()
    logger.propagate = True


def say(event: str, **figures: object) -> None:
    """Logs an event and its figures."""
    _log.info(event, extra={"figures": figures})


def prints_to_log(call: Callable[P, R]) -> Callable[P, R]:
    """The same function, whose printed lines become events: Gradio prints where MCP is."""

    def logged(*args: P.args, **kwargs: P.kwargs) -> R:
        # The log's own stream is the one that was there before.
        with redirect_stdout(io.StringIO()) as printed:
            try:
                return call(*args, **kwargs)
            finally:
                for line in printed.getvalue().splitlines():
                    if line.strip():
                        say(line.strip())

    return logged


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
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **getattr(record, "figures", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)
