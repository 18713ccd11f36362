"""The app while its engine loads, when it cannot be loaded, and when it writes several at once."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from tests.app.calls import call, generate, post
from tests.processes import running_app

SCRIPTED = ["-m", "tests.scripted_app"]


def test_the_page_is_up_before_the_model_and_answers_as_soon_as_it_can(tmp_path: Path) -> None:
    with running_app(SCRIPTED, tmp_path, {"LOAD_SECONDS": "8"}) as app:
        ready = httpx.get(f"{app.url}/readyz")
        assert (ready.status_code, ready.json()["status"]) == (503, "loading")
        assert httpx.get(f"{app.url}/healthz").status_code == 200
        assert generate(app.url, prompt="Today")["finish_reason"] == "end_of_tweet"
        assert httpx.get(f"{app.url}/readyz").json()["status"] == "ready"


def test_who_waits_for_the_model_is_told_and_may_leave(tmp_path: Path) -> None:
    with running_app(SCRIPTED, tmp_path, {"LOAD_SECONDS": "8"}) as app:
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
    with running_app(SCRIPTED, tmp_path, {"LOAD_SECONDS": "8"}) as app:
        event, data = call(app.url, "generate", temperature=9)
        assert (event, "temperature is 9" in data["error"]) == ("error", True)
        assert httpx.get(f"{app.url}/readyz").json()["status"] == "loading"


def test_a_model_that_cannot_be_loaded_ends_the_app(tmp_path: Path) -> None:
    variables = {"LOAD_SECONDS": "8", "LOAD_ERROR": "The teapot is cracked."}
    with running_app(SCRIPTED, tmp_path, variables) as app:
        assert app.process.wait(timeout=30) == 1
        assert "The teapot is cracked." in app.log()


def test_an_engine_of_one_slot_writes_one_text_at_a_time(tmp_path: Path) -> None:
    """Also if the page was launched for more, and if it was asked before the engine was there."""
    variables = {"SLOTS": "8", "TEXTS_AT_ONCE": "1", "LOAD_SECONDS": "8"}
    with running_app(SCRIPTED, tmp_path, variables) as app:
        assert generate(app.url, prompt="Today")["finish_reason"] == "end_of_tweet"
        with ThreadPoolExecutor(3) as pool:
            started = time.monotonic()
            slow = [
                pool.submit(generate, app.url, prompt="slow", max_new_tokens=10) for _ in range(3)
            ]
            assert all(future.result()["new_tokens"] == 10 for future in slow)
        # One takes a second and a half.
        assert time.monotonic() - started > 4


def test_as_many_texts_are_written_at_once_as_the_engine_has_slots(tmp_path: Path) -> None:
    with running_app(SCRIPTED, tmp_path, {"TEXTS_AT_ONCE": "4"}) as app:
        started = time.monotonic()
        with ThreadPoolExecutor(5) as pool:
            slow = [
                pool.submit(generate, app.url, prompt="slow", max_new_tokens=20) for _ in range(4)
            ]
            time.sleep(1)
            fifth = pool.submit(generate, app.url, prompt="Today")
            assert fifth.result()["finish_reason"] == "end_of_tweet"
            seconds = time.monotonic() - started
            assert all(future.result()["new_tokens"] == 20 for future in slow)
        # Each slow one takes three seconds: four in turn would take twelve, and the fifth had
        # to wait for one of the four.
        assert 2.5 < seconds < 9
