"""Who is let in, in which order, and what becomes of calls that nobody reads."""

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.app.calls import METRICS_TOKEN, generate, metrics, post, post_to
from tests.processes import HTTP, AppProcess, running_app, wait_until

ENDLESS = '{"prompt": "endless"}'
TODAY = '{"prompt": "Today"}'
SCRIPTED = ["-m", "tests.scripted_app"]
# Calls in all, and of one visitor.
ALL, MINE = 12, 4
# Of the app's metrics.
TAKEN = ("demo_calls_open", "demo_queue_depth", "demo_slots_in_use")


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppProcess]:
    """An app that writes four texts at once, behind a proxy that says who asks."""
    variables = {
        "TEXTS_AT_ONCE": "4",
        "QUEUE_SIZE": str(ALL),
        "VISITOR_QUEUE": str(MINE),
        "TRUSTED_PROXIES": "1",
        "METRICS_TOKEN": METRICS_TOKEN,
    }
    with running_app(SCRIPTED, tmp_path_factory.mktemp("admission"), variables) as app:
        yield app


@pytest.fixture(autouse=True)
def _all_places_are_free(app: AppProcess) -> None:
    """A call that a test leaves keeps its place until the server notices."""
    wait_until(lambda: not any(map(metrics(app.url).__getitem__, TAKEN)))


def ask(
    app: AppProcess, address: str, body: str = ENDLESS, to: str = "generate", **headers: str
) -> httpx.Response:
    """A call that a proxy passes on for the visitor at that address."""
    headers = {"content-type": "application/json", "x-forwarded-for": address, **headers}
    return HTTP.post(f"{app.url}/gradio_api/call/v2/{to}", content=body, headers=headers)


def read(app: AppProcess, answer: httpx.Response) -> Iterator[Any]:
    """The data of each event of a call; closing it is leaving."""
    url = f"{app.url}/gradio_api/call/generate/{answer.json()['event_id']}"
    with HTTP.stream("GET", url) as events:
        for line in events.iter_lines():
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))


def hold(app: AppProcess, stack: ExitStack, address: str) -> httpx.Response:
    """A call whose answers are read until the stack is left."""
    answer = ask(app, address)
    if answer.status_code == 200:
        stream = stack.enter_context(closing(read(app, answer)))  # type: ignore[type-var]
        next(stream)
    return answer


def is_written(app: AppProcess, address: str) -> bool:
    return ask(app, address, TODAY).status_code == 200


def test_a_visitor_with_many_calls_is_told_when_to_come_back(app: AppProcess) -> None:
    with ExitStack() as stack:
        answers = [hold(app, stack, "10.0.0.1") for _ in range(MINE + 1)]
        assert [one.status_code for one in answers] == [200] * MINE + [429]
        assert answers[-1].headers["retry-after"] == "10"
        assert answers[-1].json()["detail"] == (
            "Your network has 4 calls open already. Try again in 10 s."
        )
        assert is_written(app, "10.0.0.2")
    wait_until(lambda: is_written(app, "10.0.0.1"))


def test_when_all_places_are_taken_everybody_is_told_so(app: AppProcess) -> None:
    with ExitStack() as stack:
        for i in range(ALL + 1):
            refused = hold(app, stack, f"10.0.1.{i}")
            if refused.status_code != 200:
                break
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "10")
        assert "12 calls wait or are written already" in refused.json()["detail"]
    wait_until(lambda: is_written(app, "10.0.0.3"))


@pytest.mark.parametrize(
    "forged", [{"x-forwarded-for": "6.6.6.{}, 10.0.2.1"}, {"x-demo-call": "{}:1"}]
)
def test_nobody_can_pass_for_somebody_else(app: AppProcess, forged: dict[str, str]) -> None:
    (name,) = forged
    address = "10.0.2.1" if name == "x-forwarded-for" else "10.0.2.2"
    with ExitStack() as stack:
        for _ in range(MINE):
            hold(app, stack, address)
        headers = {name: value.format(7) for name, value in forged.items()}
        refused = ask(app, headers.pop("x-forwarded-for", address), **headers)
        assert refused.status_code == 429


def test_who_waits_is_told_the_place_and_is_served_before_a_greedy_visitor(app: AppProcess) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(ExitStack())
        for _ in range(2):
            hold(app, first, "10.0.3.1")
        for _ in range(2):
            hold(app, stack, "10.0.3.1")
        later = stack.enter_context(closing(read(app, ask(app, "10.0.3.2"))))  # type: ignore[type-var]
        assert next(later)[0]["note"] == "You are number 1 in the queue."
        waiting = read(app, ask(app, "10.0.3.3", TODAY))
        assert next(waiting)[0]["note"] == "You are number 2 in the queue."
        first.close()
        *_, last = waiting
        assert (last[0]["finish_reason"], last[0]["note"]) == ("end_of_tweet", "")


def test_a_call_whose_stream_nobody_opens_ends(app: AppProcess) -> None:
    body = '{"prompt": "endless", "count": 4}'
    unread = [ask(app, "10.0.4.1", body, to="generate_many") for _ in range(MINE)]
    assert [one.status_code for one in unread] == [200] * MINE
    wait_until(lambda: is_written(app, "10.0.4.1"))
    assert generate(app.url, prompt="Today")["finish_reason"] == "end_of_tweet"
    gone = HTTP.get(f"{app.url}/gradio_api/call/generate_many/{unread[0].json()['event_id']}")
    assert gone.status_code == 404
    assert "read already" in gone.json()["detail"]


def test_of_two_readers_of_an_answer_one_may_leave(app: AppProcess) -> None:
    asked = ask(app, "10.0.7.1")
    with closing(read(app, asked)) as second:  # type: ignore[type-var]
        with closing(read(app, asked)) as first:  # type: ignore[type-var]
            next(first)
            next(second)
        # What is left of the stream comes to its end.
        assert len(list(second)) < 100
    assert "Traceback" not in app.log()
    assert "admission.py" not in app.log()


def test_a_call_whose_reader_is_cut_ends(app: AppProcess) -> None:
    address = urlsplit(app.url)
    for _ in range(2 * MINE):
        answers = [ask(app, "10.0.5.1")]
        while answers[-1].status_code != 200:
            assert len(answers) < 40, "Those that were cut keep their places."
            answers.append(ask(app, "10.0.5.1"))
        event = answers[-1].json()["event_id"]
        with socket.create_connection((address.hostname, address.port)) as reader:
            path = f"/gradio_api/call/generate/{event}"
            reader.sendall(f"GET {path} HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n".encode())
            assert b"200" in reader.recv(64)


def test_an_mcp_call_is_counted_as_its_visitors_and_ends_when_it_is_cut(app: AppProcess) -> None:
    def message(prompt: str) -> dict[str, Any]:
        params = {"name": "generate", "arguments": {"prompt": prompt}}
        return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}

    headers = {
        "accept": "application/json, text/event-stream",
        "x-forwarded-for": "10.0.6.1",
    }
    url = f"{app.url}/gradio_api/mcp/"
    with ExitStack() as stack:
        for _ in range(MINE):
            stream = HTTP.stream("POST", url, json=message("endless"), headers=headers)
            assert stack.enter_context(stream).status_code == 200
        refused = HTTP.post(url, json=message("Today"), headers=headers)
        assert refused.status_code == 429
        # What Gradio makes of them is not counted again.
        assert is_written(app, "10.0.6.2")
    wait_until(lambda: is_written(app, "10.0.6.1"))
    answer = HTTP.post(url, json=message("Today"), headers=headers)
    assert "make computers great again" in answer.text


@pytest.mark.slow
def test_two_thousand_unread_calls_end_nobody_elses_text(scripted_app: AppProcess) -> None:
    kept = post(scripted_app.url, ENDLESS)
    stream = read(scripted_app, kept)
    assert next(stream)

    def is_taken() -> bool:
        # On a busy machine 80 of them may wait already: 503.
        return post_to(scripted_app.url, "detect", '{"text": "zebra"}').is_success

    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(wait_until, is_taken) for _ in range(2_200)]
        for one in asked:
            one.result()
    assert next(stream)
    stream.close()  # type: ignore[attr-defined]


def test_a_greedy_visitor_is_slowed_and_refused(tmp_path: Any) -> None:
    variables = {"RATE_TEXTS": "2/minute", "RATE_CALLS": "6/minute", "RATE_PARTS": "1/minute"}
    with running_app(SCRIPTED, tmp_path, variables) as app:
        texts = [post(app.url, '{"prompt": "Today"}') for _ in range(3)]
        assert [one.status_code for one in texts] == [200, 200, 429]
        assert "many texts in a short time. Try again in" in texts[-1].json()["detail"]
        assert 0 < int(texts[-1].headers["retry-after"]) <= 60
        calls = [post_to(app.url, "detect", '{"text": "zebra"}') for _ in range(9)]
        assert calls[-1].status_code == 429
        assert "asked very often" in calls[-1].json()["detail"]
