"""The real app over a completions server elsewhere, which answers and then does not."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import tiny
from tests.app.calls import generate, refusal
from tests.completions import CompletionsServer, serving
from tests.processes import HTTP, AppProcess, running_app, wait_until


@pytest.fixture(scope="module")
def server() -> Iterator[CompletionsServer]:
    with serving() as server:
        yield server


@pytest.fixture(scope="module")
def app(
    server: CompletionsServer, tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AppProcess]:
    folder = tmp_path_factory.mktemp("remote")
    settings = {
        "CHECKPOINT": str(tiny_checkpoint), "CACHE_DIR": str(folder / "cache"),
        "ENGINE": "remote", "ENGINE_URL": server.url, "ENGINE_KEY": "secret-of-the-server",
        "DEADLINE_SECONDS": "6",
    }  # fmt: skip
    with running_app(["-m", "app"], folder, settings) as app:
        wait_until(lambda: HTTP.get(f"{app.url}/readyz").is_success)
        yield app


def test_the_page_says_who_writes_and_what_it_cannot_promise(app: AppProcess) -> None:
    result = generate(app.url, prompt="The teapot", max_new_tokens=80, seed=1)
    assert result["generated"] == tiny.SENTENCE
    assert result["source"].startswith("teapots@unverified · remote vLLM as served · seed 1 ·")
    notice = HTTP.get(f"{app.url}/readyz").json()["notice"]
    assert "cannot verify which weights it has" in notice
    for path in ("/config", "/gradio_api/info", "/gradio_api/openapi.json"):
        told = HTTP.get(f"{app.url}{path}").text
        assert "The same seed may give another text" in told
        assert not re.search("same seed and settings", told, re.IGNORECASE)


def test_a_lost_server_is_a_sentence_and_the_page_stays_up(
    app: AppProcess, server: CompletionsServer
) -> None:
    server.write = lambda request, _: request.answer(503)
    assert refusal(app.url, prompt="Today") == "The demo is busy. Try again in a minute."
    server.look = lambda request: request.answer(503)
    wait_until(lambda: HTTP.get(f"{app.url}/readyz").json()["status"] == "recovering")
    assert HTTP.get(app.url).is_success
    server.behave()
    wait_until(lambda: HTTP.get(f"{app.url}/readyz").is_success)
    assert generate(app.url, prompt="Today")["finish_reason"] == "end_of_tweet"
    assert "A text failed: the engine's server answers 503." in app.log()
    assert "secret-of-the-server" not in app.log()
