"""One line an event, as text or as JSON, and none of a visitor's words."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from gradio import queueing

from demo import log

# Not in the source, which a traceback shows.
WORDS = "SEC" + "RET words"


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The loggers as they were: pytest has handlers of its own at the root."""
    # A server that ran in this process may have left handlers and a level of its own.
    names = ("", "demo", "uvicorn", "uvicorn.error")
    loggers = {logger: logger.level for logger in map(logging.getLogger, names)}
    for logger in loggers:
        monkeypatch.setattr(logger, "handlers", [])
        monkeypatch.setattr(logger, "propagate", True)
        logger.setLevel(logging.NOTSET)
    yield
    for logger, level in loggers.items():
        logger.setLevel(level)


def filtered(format: log.Format) -> None:
    log.set_up(format)
    (handler,) = logging.getLogger().handlers
    handler.addFilter(log.PlacesOnly())


def fail() -> None:
    try:
        raise KeyError(WORDS)
    except KeyError as error:
        raise RuntimeError(f"more {WORDS}") from error


def test_an_event_is_a_line_of_text(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up("text")
    log.say("Text finished.", new_tokens=12, seconds=0.4)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith(" Text finished. new_tokens=12 seconds=0.4")


def test_or_an_object_with_its_figures(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up("json")
    log.say("Text finished.", new_tokens=12)
    (line,) = capsys.readouterr().out.splitlines()
    values = json.loads(line)
    assert values.pop("time").endswith("+00:00")
    assert values == {"level": "info", "logger": "demo", "event": "Text finished.",
                      "new_tokens": 12}  # fmt: skip


def test_a_warning_of_a_library_with_a_traceback_is_one_object_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log.set_up("json")
    library = logging.getLogger("library")
    try:
        raise KeyError("teapot")
    except KeyError:
        library.exception("It\nbroke.")
    library.info("Not this.")
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["event"] == "It\nbroke."
    assert "KeyError" in json.loads(line)["traceback"]


@pytest.mark.parametrize("format", ["text", "json"])
@pytest.mark.parametrize("logger", ["mcp.server.lowlevel.server", "asyncio", "uvicorn.error", ""])
def test_others_say_where_and_which_error_but_quote_nothing(
    capsys: pytest.CaptureFixture[str], logger: str, format: log.Format
) -> None:
    filtered(format)
    try:
        fail()
    except RuntimeError:
        logging.getLogger(logger).exception(f"{WORDS} %s", WORDS)
    text = capsys.readouterr().out
    assert WORDS not in text
    assert "test_log.py" in text
    assert "in fail" in text
    assert "builtins.KeyError" in text
    assert "builtins.RuntimeError" in text


def test_our_own_say_what_they_say(capsys: pytest.CaptureFixture[str]) -> None:
    filtered("text")
    logging.getLogger("demo.ui.api").error("A call failed: %s", "KeyError")
    assert capsys.readouterr().out.endswith(" A call failed: KeyError\n")


@pytest.mark.parametrize("logger", ["uvicorn.error", "mcp.server.lowlevel.server", ""])
def test_what_visitors_are_told_is_not_logged(
    capsys: pytest.CaptureFixture[str], logger: str
) -> None:
    filtered("text")
    logging.getLogger(logger).warning("Invalid request received.")
    assert capsys.readouterr().out == ""


def test_what_gradio_prints_is_logged_without_its_words(
    capfd: pytest.CaptureFixture[str],
) -> None:
    log.set_up("text")
    log.keep_words_out()
    gradio: Any = queueing
    gradio.print(WORDS)
    try:
        fail()
    except RuntimeError:
        gradio.traceback.print_exc()
    out, err = capfd.readouterr()
    assert "in fail" in out
    assert "Gradio printed a line" in out
    assert WORDS not in out + err
