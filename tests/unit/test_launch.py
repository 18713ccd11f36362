"""What a start that fails is called."""

import socket
from collections.abc import Mapping
from typing import Any

import pytest

from demo import launch as launching
from demo.generation.profile import Profile
from demo.server.service import ready
from demo.settings import CannotListen, read_settings
from tests.processes import free_port
from tests.scripted import ScriptedEngine


class FailingPage:
    """A page whose launch fails without naming a cause, as Gradio's does where a port is taken."""

    fns: Mapping[int, Any] = {}

    def queue(self, **_: Any) -> None:
        pass

    def launch(self, **_: Any) -> None:
        raise OSError("No space left for teapots")

    def close(self, **_: Any) -> None:
        pass


@pytest.fixture(autouse=True)
def failing_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "build_page", lambda *_: FailingPage())
    monkeypatch.setattr(launching, "_on_stop_signal", lambda _: None)
    # What the other tests of this process log must stay as it is.
    monkeypatch.setattr(launching, "keep_words_out", lambda: None)


def start(engine: ScriptedEngine, port: int) -> None:
    settings = read_settings({"GRADIO_SERVER_PORT": str(port)})
    launching.launch(ready(engine), settings, Profile())


def test_a_port_that_was_taken_meanwhile_is_named(engine: ScriptedEngine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotListen, match=f"Cannot listen on 127.0.0.1:{port}"):
            start(engine, port)


def test_another_error_is_not_taken_for_one_of_the_address(engine: ScriptedEngine) -> None:
    with pytest.raises(OSError, match="No space left for teapots"):
        start(engine, free_port())
