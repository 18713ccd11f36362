"""The app while its engine loads, when it cannot be loaded, and when it writes several at once."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from tests.app.calls import call, generate, post
from tests.processes import running_app, wait_until

SCRIPTED = ["-m", "tests.scripted_app"]


def test_the_page_is_up_before_the_model_and_answers_as_soon_as_it_can(tmp_path: Path) -> None:
    with running_app(SCRIPTED, tmp_path, {"CONTROL": str(tmp_path)}) as app:
        ready = httpx.get(f"{app.url}/readyz")
        assert (ready.status_code, ready.json()["status"]) == (503, "loading")
        assert httpx.get(f"{app.url}/healthz").status_code == 200
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(generate, app.url, prompt="Today")
            (tmp_path / "load").touch()
            assert asked.result()["finish_reason"] == "end_of_tweet"
        assert httpx.get(f"{app.url}/readyz").json()["status"] == "ready"


def test_who_waits_for_the_model_is_told_and_may_leave(tmp_path: Path) -> None:
    with running_app(SCRIPTED, tmp_path, {"CONTROL": str(tmp_path)}) as app:
        event_id = post(app.url, '{"prompt": "Today"}').json()["event_id"]
        url = f"{app.url}/gradio_api/call/generate/{event_id}"
        with httpx.stream("GET", url, timeout=20) as events:
            data = next(line for line in events.iter_lines() if line.startswith("data: "))
        (record,) = json.loads(data.removeprefix("data: "))
        assert "still loading" in record["note"]
        assert record["finish_reason"] is None
        assert record["label"]
        # Another visitor is told of the loading too, instead of waiting in the queue.
        event_id = post(app.url, '{"prompt": "Today"}').json()["event_id"]
        with httpx.stream(
            "GET", f"{app.url}/gradio_api/call/generate/{event_id}", timeout=20
        ) as events:
            assert any("still loading" in line for line in events.iter_lines())


def test_a_bad_request_is_refused_before_the_model_is_there(tmp_path: Path) -> None:
    with running_app(SCRIPTED, tmp_path, {"CONTROL": str(tmp_path)}) as app:
        event, data = call(app.url, "generate", temperature=9)
        assert (event, "temperature is 9" in data["error"]) == ("error", True)
        assert httpx.get(f"{app.url}/readyz").json()["status"] == "loading"


def test_a_model_that_cannot_be_loaded_ends_the_app(tmp_path: Path) -> None:
    variables = {"CONTROL": str(tmp_path), "LOAD_ERROR": "The teapot is cracked."}
    with running_app(SCRIPTED, tmp_path, variables) as app:
        (tmp_path / "load").touch()
        assert app.process.wait(timeout=30) == 1
        assert "The teapot is cracked." in app.log()


def test_an_engine_of_one_slot_writes_one_text_at_a_time(tmp_path: Path) -> None:
    """Also if the page was launched for more, and if it was asked before the engine was there."""
    variables = {"SLOTS": "8", "TEXTS_AT_ONCE": "1", "CONTROL": str(tmp_path)}
    with running_app(SCRIPTED, tmp_path, variables) as app, ThreadPoolExecutor(4) as pool:
        early = pool.submit(generate, app.url, prompt="Today")
        (tmp_path / "load").touch()
        assert early.result()["finish_reason"] == "end_of_tweet"
        texts = [pool.submit(generate, app.url, prompt="slow", max_new_tokens=5) for _ in range(4)]
        assert all(text.result()["new_tokens"] == 5 for text in texts)
    assert (tmp_path / "peak").read_text() == "1"


def test_as_many_texts_are_written_at_once_as_the_engine_has_slots(tmp_path: Path) -> None:
    variables = {"TEXTS_AT_ONCE": "4", "CONTROL": str(tmp_path)}
    (tmp_path / "load").touch()
    with running_app(SCRIPTED, tmp_path, variables) as app, ThreadPoolExecutor(6) as pool:
        texts = [pool.submit(generate, app.url, prompt="held") for _ in range(6)]
        wait_until(lambda: (tmp_path / "peak").exists() and (tmp_path / "peak").read_text() == "4")
        (tmp_path / "go").touch()
        assert all(text.result()["finish_reason"] == "end_of_tweet" for text in texts)
    assert (tmp_path / "peak").read_text() == "4"
