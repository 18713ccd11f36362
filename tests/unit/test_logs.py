"""What reaches the log of an error whose message quotes a visitor."""

import io
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from gradio import queueing

from demo.log import adopt
from demo.server.logs import PlacesOnly, keep_words_out

# Not in the source, which a traceback shows.
WORDS = "SEC" + "RET words"


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """What a handler with the filter writes."""
    # As at a start: a server that ran in this process has left handlers and a level of its own.
    adopt("uvicorn")
    uvicorn = logging.getLogger("uvicorn.error")
    level = uvicorn.level
    uvicorn.setLevel(logging.NOTSET)
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.addFilter(PlacesOnly())
    root = logging.getLogger()
    root.addHandler(handler)
    yield written
    root.removeHandler(handler)
    uvicorn.setLevel(level)


def fail() -> None:
    try:
        raise KeyError(WORDS)
    except KeyError as error:
        raise RuntimeError(f"more {WORDS}") from error


@pytest.mark.parametrize("logger", ["mcp.server.lowlevel.server", "asyncio", "uvicorn.error", ""])
def test_others_say_where_and_which_error_but_quote_nothing(
    logged: io.StringIO, logger: str
) -> None:
    try:
        fail()
    except RuntimeError:
        logging.getLogger(logger).exception(f"{WORDS} %s", WORDS)
    text = logged.getvalue()
    assert WORDS not in text
    assert "test_logs.py" in text
    assert "in fail" in text
    assert "builtins.KeyError" in text
    assert "builtins.RuntimeError" in text


def test_our_own_say_what_they_say(logged: io.StringIO) -> None:
    logging.getLogger("demo.ui.api").error("A call failed: %s", "KeyError")
    assert logged.getvalue() == "A call failed: KeyError\n"


@pytest.mark.parametrize("logger", ["uvicorn.error", "mcp.server.lowlevel.server", ""])
def test_what_visitors_are_told_is_not_logged(logged: io.StringIO, logger: str) -> None:
    logging.getLogger(logger).warning("Invalid request received.")
    assert logged.getvalue() == ""


def test_what_gradio_prints_is_logged_without_its_words(
    logged: io.StringIO, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = logging.getLogger()
    # Not pytest's own, which other tests read.
    ours = [handler for handler in root.handlers if getattr(handler, "stream", None) is logged]
    monkeypatch.setattr(root, "handlers", ours)
    keep_words_out()
    gradio: Any = queueing
    gradio.print(WORDS)
    try:
        fail()
    except RuntimeError:
        gradio.traceback.print_exc()
    assert "in fail" in logged.getvalue()
    assert "Gradio printed a line" in logged.getvalue()
    out, err = capfd.readouterr()
    assert WORDS not in out + err + logged.getvalue()
