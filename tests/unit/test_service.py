"""The engine while it is loaded, once it is there, and when it does not come."""

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from demo.server.service import Loaded, Service, ready
from demo.ui.api import end_stream
from tests.scripted import ScriptedEngine


def test_a_service_is_loading_and_then_ready(engine: ScriptedEngine) -> None:
    go = threading.Event()

    def load() -> Loaded:
        go.wait(10)
        return Loaded(engine, "a notice")

    service = Service(load)
    assert service.wait(0) is None
    service.begin()
    assert (service.state(), service.notice(), service.wait(0.01)) == ("loading", "", None)
    service.close()
    go.set()
    assert service.wait() is engine
    assert (service.state(), service.notice()) == ("ready", "a notice")


class Panic(BaseException):
    """As libraries in Rust raise it."""


@pytest.mark.parametrize("error", [OSError("no teapot"), Panic("no teapot")])
def test_a_failure_is_told_to_all_who_wait_and_to_who_asked(error: BaseException) -> None:
    def load() -> Loaded:
        raise error

    service = Service(load)
    told = threading.Event()
    service.on_failure(told.set)
    service.begin()
    with pytest.raises(type(error), match="no teapot"):
        service.wait(10)
    assert told.wait(1)
    assert service.state() == "failed"
    again = threading.Event()
    service.on_failure(again.set)
    assert again.is_set()


def test_an_engine_that_could_not_write_now_is_recovering(
    engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = ready(engine)
    monkeypatch.setattr(engine, "health", lambda: False)
    assert service.state() == "recovering"


def test_a_gradio_that_keeps_its_streams_elsewhere_costs_a_line_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    page: Any = SimpleNamespace(_queue=object())
    asyncio.run(end_stream(page, "name"))
    assert "was not ended" in caplog.text
