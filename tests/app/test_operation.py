"""What an owner sees of a running app: metrics, the log, and the switch for masks."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.calls import METRICS_TOKEN, call, generate, metrics, refusal
from tests.processes import HTTP, AppProcess, running_app

SLUR, MASKED = "retard", "r****d"


@pytest.fixture(scope="module")
def operated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppProcess]:
    variables = {"METRICS_TOKEN": METRICS_TOKEN, "LOG_FORMAT": "json", "MASK_SLURS": "0"}
    folder = tmp_path_factory.mktemp("operated")
    with running_app(["-m", "tests.scripted_app"], folder, variables) as app:
        yield app


def test_what_visitors_do_is_counted_without_their_words(operated: AppProcess) -> None:
    before = metrics(operated.url)
    generate(operated.url, prompt="SECRET teapot", seed=1)
    refusal(operated.url, prompt="SECRET kettle", top_p=9)
    HTTP.get(f"{operated.url}/gradio_api/call/SECRET/SECRET")
    headers = {"content-type": "application/json"}
    HTTP.post(f"{operated.url}/gradio_api/call/SECRET", content=b"SECRET", headers=headers)
    shown = metrics(operated.url)
    for name in (
        'demo_texts_total{outcome="finished",reason="end_of_tweet"}',
        'demo_texts_total{outcome="refused",reason="invalid"}',
        'demo_requests_total{outcome="refused",reason="bad_body",route="call"}',
        'demo_requests_total{outcome="refused",reason="not_found",route="stream"}',
    ):
        assert shown[name] - before.get(name, 0) == 1
    assert shown["demo_slots_in_use"] == shown["demo_queue_depth"] == shown["demo_calls_open"] == 0
    assert shown["process_resident_memory_bytes"] > 1e8
    assert "SECRET" not in "".join(shown)
    assert "127.0.0.1" not in "".join(shown)


def test_without_the_token_there_is_nothing_to_see(
    operated: AppProcess, scripted_app: AppProcess
) -> None:
    assert HTTP.get(f"{operated.url}/metrics").status_code == 401
    assert HTTP.get(f"{scripted_app.url}/metrics").status_code == 404


def test_masks_are_on_unless_a_setting_turns_them_off(
    operated: AppProcess, scripted_app: AppProcess
) -> None:
    for app, shown, hidden in ((scripted_app, MASKED, SLUR), (operated, SLUR, MASKED)):
        record = generate(app.url, prompt=f"What a {SLUR}", seed=1)
        assert record["text"].startswith(f"What a {shown} ")
        assert hidden not in record["text"] + record["shareable"]
        _, (texts,) = call(app.url, "generate_many", prompt=f"What a {SLUR}", count=2)
        assert all(one["text"].startswith(f"What a {shown} ") for one in texts["texts"])


def test_every_line_of_the_log_is_an_object_and_none_holds_a_word(tmp_path: Path) -> None:
    variables = {"LOG_FORMAT": "json"}
    with running_app(["-m", "tests.scripted_app"], tmp_path, variables) as app:
        generate(app.url, prompt="SECRET teapot", seed=1)
        call(app.url, "generate", prompt="crash")
        refusal(app.url, prompt="SECRET", top_p=9)
        assert app.terminate() == 0
        lines = [json.loads(line) for line in app.log().splitlines()]
    events = [line["event"] for line in lines]
    for event in ("The engine is ready.", "Text finished.", "Text failed.", "Stopped."):
        assert event in events
    (refused,) = (line for line in lines if line["event"] == "Refused.")
    assert refused["text.invalid"] == 1
    assert any(event.startswith("Running on http://127.0.0.1:") for event in events)
    assert "SECRET" not in app.log()
