"""The app while its engine loads, when it cannot be loaded, and when it writes several at once."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.app.calls import call, generate, last_event, post
from tests.processes import HTTP, AppProcess, running_app, wait_until

SCRIPTED = ["-m", "tests.scripted_app"]


@pytest.fixture(scope="module")
def loading(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppProcess]:
    """An app whose model loads as long as tests use it, on a machine that Gradio finds too busy; in
    the end it cannot be loaded, which ends the app."""
    folder = tmp_path_factory.mktemp("loading")
    variables = {"CONTROL": str(folder), "LOAD_ERROR": "The teapot is cracked.", "BUSY": "1"}
    with running_app(SCRIPTED, folder, variables) as app:
        yield app
        (folder / "load").touch()
        assert app.process.wait(timeout=60) == 1
        assert "The teapot is cracked." in app.log()


def test_the_page_is_up_before_the_model(loading: AppProcess) -> None:
    ready = HTTP.get(f"{loading.url}/readyz")
    assert (ready.status_code, ready.json()["status"]) == (503, "loading")
    assert HTTP.get(f"{loading.url}/healthz").status_code == 200


def test_who_waits_for_the_model_is_told_and_may_leave(loading: AppProcess) -> None:
    event_id = post(loading.url, '{"prompt": "Today"}').json()["event_id"]
    url = f"{loading.url}/gradio_api/call/generate/{event_id}"
    with HTTP.stream("GET", url) as events:
        data = next(line for line in events.iter_lines() if line.startswith("data: "))
    (record,) = json.loads(data.removeprefix("data: "))
    assert "still loading" in record["note"]
    assert record["finish_reason"] is None
    assert record["label"]
    # Another visitor is told of the loading too, instead of waiting in the queue.
    event_id = post(loading.url, '{"prompt": "Today"}').json()["event_id"]
    url = f"{loading.url}/gradio_api/call/generate/{event_id}"
    with HTTP.stream("GET", url) as events:
        assert any("still loading" in line for line in events.iter_lines())


def test_a_bad_request_is_refused_before_the_model_is_there(loading: AppProcess) -> None:
    event, data = call(loading.url, "generate", temperature=9)
    assert (event, "temperature is 9" in data["error"]) == ("error", True)
    assert HTTP.get(f"{loading.url}/readyz").json()["status"] == "loading"


def test_what_is_asked_before_the_model_is_there_is_answered_as_soon_as_it_is(
    tmp_path: Path,
) -> None:
    """And from then on, as many texts are written at once as the engine has slots, though the page
    was launched for more."""
    variables = {"SLOTS": "8", "TEXTS_AT_ONCE": "4", "CONTROL": str(tmp_path)}
    peak = tmp_path / "peak"
    with running_app(SCRIPTED, tmp_path, variables) as app, ThreadPoolExecutor(10) as pool:
        early = post(app.url, '{"prompt": "Today"}').json()["event_id"]
        (tmp_path / "load").touch()
        event, data = last_event(app.url, "generate", early)
        assert (event, data[0]["finish_reason"]) == ("complete", "end_of_tweet")
        assert HTTP.get(f"{app.url}/readyz").json()["status"] == "ready"
        texts = [pool.submit(generate, app.url, prompt="held") for _ in range(10)]
        wait_until(lambda: peak.read_text() == "4")
        (tmp_path / "go").touch()
        assert all(text.result()["finish_reason"] == "end_of_tweet" for text in texts)
    assert peak.read_text() == "4"


def test_an_engine_of_one_slot_writes_one_text_at_a_time(tmp_path: Path) -> None:
    """Whatever the page was launched for, whose default is more."""
    (tmp_path / "load").touch()
    with (
        running_app(SCRIPTED, tmp_path, {"CONTROL": str(tmp_path)}) as app,
        ThreadPoolExecutor(4) as pool,
    ):
        texts = [pool.submit(generate, app.url, prompt="slow", max_new_tokens=3) for _ in range(4)]
        assert all(text.result()["new_tokens"] == 3 for text in texts)
    assert (tmp_path / "peak").read_text() == "1"
