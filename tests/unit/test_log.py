"""One line an event, as text or as JSON."""

import json
import logging
from collections.abc import Iterator

import pytest

from demo import log


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """The loggers as they were: pytest has handlers of its own at the root."""
    root, ours = logging.getLogger(), logging.getLogger("demo")
    handlers, level, own = list(root.handlers), root.level, ours.level
    for handler in handlers:
        root.removeHandler(handler)
    yield
    for handler in list(root.handlers):
        root.removeHandler(handler)
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(level)
    ours.setLevel(own)


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
    library.addHandler(logging.StreamHandler())
    library.propagate = False
    log.adopt("library")
    try:
        raise KeyError("teapot")
    except KeyError:
        library.exception("It\nbroke.")
    library.info("Not this.")
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["event"] == "It\nbroke."
    assert "KeyError" in json.loads(line)["traceback"]
