"""SIGTERM under visitors: each of them gets its text or a sentence, and none is cut."""

import ctypes
import json
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from demo.generation.engine import SHUTTING_DOWN
from demo.server.admission import STOPPED, STOPPING
from demo.server.limits import BODY_SECONDS
from tests.app.calls import post
from tests.processes import HTTP, AppProcess, running_app, wait_until

SCRIPTED = ["-m", "tests.scripted_app"]
GENEROUS = {
    "RATE_TEXTS": "1000/second", "RATE_CALLS": "1000/second", "TEXTS_AT_ONCE": "4",
    "TRUSTED_PROXIES": "1",
}  # fmt: skip
_numbers = count(1)
Record = dict[str, Any]


def events(url: str) -> Iterator[Any]:
    """The data of every event of a stream, to its end."""
    with HTTP.stream("GET", url) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))


def of_endpoint(name: str, **fields: Any) -> Callable[[str], list[Record]]:
    """A program: it posts, then reads."""

    def visit(url: str) -> list[Record]:
        answer = HTTP.post(f"{url}/gradio_api/call/v2/{name}", json=fields)
        *before, last = events(f"{url}/gradio_api/call/{name}/{answer.json()['event_id']}")
        (result,) = before[-1] if isinstance(last, dict) else last
        if isinstance(last, dict):
            # The error is told twice: in the last record and by itself.
            assert last["error"] in (STOPPED, SHUTTING_DOWN)
        return list(result.get("texts", [result]))

    return visit


def of_mcp(url: str) -> list[Record]:
    """An MCP client from a network of its own: one with many calls open calls no tool."""
    params = {"name": "generate", "arguments": {"prompt": "held"}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    headers = {
        "accept": "application/json, text/event-stream",
        "x-forwarded-for": f"192.0.2.{next(_numbers)}",
    }
    answer = HTTP.post(f"{url}/gradio_api/mcp/", json=message, headers=headers)
    data = next(line for line in answer.text.splitlines() if line.startswith("data: "))
    result = json.loads(data.removeprefix("data: "))["result"]
    text = result["content"][0]["text"]
    return [{"error": STOPPED} if result["isError"] and STOPPED in text else json.loads(text)]


def of_page(url: str) -> list[Record]:
    """The page, which joins the queue and reads its session's stream."""
    session = f"page{next(_numbers)}"
    body = {"data": ["held", 60, 0.8, 0.95, 0, 1.0, 1], "fn_index": 0, "session_hash": session}
    assert HTTP.post(f"{url}/gradio_api/queue/join", json=body).is_success
    told = list(events(f"{url}/gradio_api/queue/data?session_hash={session}"))
    assert told[-1]["msg"] == "close_stream"
    output = told[-2]["output"]
    if not told[-2]["success"]:
        return [{"error": output["error"]}]
    (result,) = output["data"]
    return [result]


def number_in_the_queue(app: AppProcess) -> int:
    """Of a call that comes now, and leaves again."""
    event_id = post(app.url, '{"prompt": "held"}').json()["event_id"]
    told = events(f"{app.url}/gradio_api/call/generate/{event_id}")
    note: str = next((data[0]["note"] for data in told if data[0]["note"]), "")
    return int(note.split()[3]) if note else 0


def test_every_visitor_gets_its_text_or_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "load").touch()
    variables = {**GENEROUS, "CONTROL": str(tmp_path), "STOP_SECONDS": "60"}
    visits = [of_endpoint("generate", prompt="held") for _ in range(20)]
    visits += [of_endpoint("generate_many", prompt="held", count=2) for _ in range(4)]
    visits += [*[of_mcp] * 8, *[of_page] * 8]
    # The app ends first, so that no visit waits for it if something fails.
    with (
        ThreadPoolExecutor(len(visits)) as pool,
        running_app(SCRIPTED, tmp_path, variables) as app,
    ):
        writing = [pool.submit(visit, app.url) for visit in visits[:4]]
        wait_until((tmp_path / "peak").exists)
        wait_until(lambda: (tmp_path / "peak").read_text() == "4")
        waiting = [pool.submit(visit, app.url) for visit in visits[4:]]
        wait_until(lambda: number_in_the_queue(app) > len(waiting))
        app.process.send_signal(signal.SIGTERM)
        ready = f"{app.url}/readyz"
        wait_until(lambda: HTTP.get(ready).json()["status"] == "stopping")
        assert HTTP.get(ready).status_code == 503
        refused = post(app.url, "{}")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "30")
        assert refused.json()["detail"].startswith(STOPPING)
        # Who waits is told while others still write.
        records = [record for visit in waiting for record in visit.result(60)]
        assert {record["error"] for record in records} == {STOPPED}
        assert app.process.poll() is None
        (tmp_path / "go").touch()
        written = [record for visit in writing for record in visit.result(60)]
        assert {record["finish_reason"] for record in written} == {"end_of_tweet"}
        # It was not sure that those who left would not come back.
        assert app.process.wait(60) == 0
        assert "Traceback" not in app.log()


def test_a_text_that_takes_too_long_is_cut_with_a_sentence_and_nobody_holds_the_server_up(
    tmp_path: Path,
) -> None:
    variables = {**GENEROUS, "TEXTS_AT_ONCE": "3", "STOP_SECONDS": "1", "PATIENT": "1"}
    with ThreadPoolExecutor() as pool, running_app(SCRIPTED, tmp_path, variables) as app:
        many = pool.submit(of_endpoint("generate_many", prompt="endless", count=2), app.url)
        one = pool.submit(of_endpoint("generate", prompt="endless"), app.url)
        wait_until(lambda: number_in_the_queue(app) == 1)
        port = httpx.URL(app.url).port
        assert port
        with socket.create_connection(("127.0.0.1", port)) as slow:
            started = time.monotonic()
            # Of which the body never comes.
            slow.sendall(b"POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n")
            app.process.send_signal(signal.SIGTERM)
            for record in (*many.result(60), *one.result(60)):
                assert record["error"] == SHUTTING_DOWN
                assert "word" in record["generated"]
            assert app.process.wait(30) == 0
            # Two seconds on a machine that is not busy; the body would be waited for longer.
            assert time.monotonic() - started < BODY_SECONDS - 1
        assert "Traceback" not in app.log()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems choose the thread themselves")
def test_a_signal_that_does_not_wake_the_main_thread_stops_it_too(tmp_path: Path) -> None:
    """Another thread takes it, or it comes just before the main thread begins to wait."""
    with running_app(SCRIPTED, tmp_path, GENEROUS) as app:
        main = app.process.pid
        other = min(
            int(task.name)
            for task in Path(f"/proc/{main}/task").iterdir()
            if int(task.name) != main
        )
        assert ctypes.CDLL(None).tgkill(main, other, signal.SIGTERM) == 0
        assert app.process.wait(30) == 0


def test_a_second_signal_kills(tmp_path: Path) -> None:
    with running_app(SCRIPTED, tmp_path, {**GENEROUS, "STOP_SECONDS": "60"}) as app:
        event_id = post(app.url, '{"prompt": "endless"}').json()["event_id"]
        # The server waits for a text only as long as somebody reads it.
        told = events(f"{app.url}/gradio_api/call/generate/{event_id}")
        assert any(data[0]["generated"] for data in told)
        app.process.send_signal(signal.SIGTERM)
        wait_until(lambda: HTTP.get(f"{app.url}/readyz").json()["status"] == "stopping")
        assert app.terminate() == -signal.SIGTERM
        with pytest.raises(httpx.HTTPError):
            list(told)
