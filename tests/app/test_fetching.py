"""No call makes the server fetch, copy or keep anything, whatever path the app is served at."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.app.calls import generate
from tests.processes import HTTP, ROOT, AppProcess, free_port, running_app

# Gradio fetches from Hugging Face's hosts whatever address they have.
HOST = "files.hf.co"
Body = Callable[[Any], Any]


@dataclass
class StandIn:
    """A proxy on loopback that stands for every host: it answers, and keeps what was asked."""

    port: int = field(default_factory=free_port)
    asked: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def serve(self) -> ThreadingHTTPServer:
        asked = self.asked

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                self.send_response(200)
                self.send_header("content-length", "5")
                self.end_headers()
                self.wfile.write(b"hello")

            def do_CONNECT(self) -> None:
                asked.append(self.path)
                self.send_error(403)

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", self.port), Answer)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server


@pytest.fixture(scope="module")
def stand_in() -> Iterator[StandIn]:
    stand_in = StandIn()
    server = stand_in.serve()
    yield stand_in
    server.shutdown()
    server.server_close()


@dataclass(frozen=True)
class Watched:
    """An app, the path that it is served at, and where Gradio would put files."""

    app: AppProcess
    prefix: str
    temp: Path

    def post(self, route: str, content: bytes | str) -> httpx.Response:
        headers = {
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
        }
        url = f"{self.app.url}{self.prefix}/gradio_api/{route}"
        return HTTP.post(url, content=content, headers=headers, timeout=60)


@pytest.fixture(scope="module", params=["", "/some/demo"], ids=["at-root", "under-a-path"])
def watched(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, stand_in: StandIn
) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")
    temp = folder / "gradio"
    variables = {
        "GRADIO_TEMP_DIR": str(temp),
        "GRADIO_ROOT_PATH": request.param,
        "RATE_CALLS": "1000/second",
        "http_proxy": stand_in.url,
        "https_proxy": stand_in.url,
        "no_proxy": "127.0.0.1,localhost",
    }
    with running_app(["-m", "tests.scripted_app"], folder, variables) as app:
        yield Watched(app, request.param, temp)


def named(value: Any) -> Any:
    return {"text": value}


def listed(value: Any) -> Any:
    return {"data": [value], "session_hash": "a"}


def numbered(number: int, count: int) -> Body:
    def body(value: Any) -> Any:
        return {"data": [value] * count, "fn_index": number, "session_hash": "a"}

    return body


def in_event(value: Any) -> Any:
    event = {"index": 0, "file": value}
    return {"data": ["a"], "fn_index": 2, "session_hash": "a", "event_data": event}


def of_a_tool(value: Any) -> Any:
    params = {"name": "detect", "arguments": {"text": value}}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}


def of_a_tool_with_progress(value: Any) -> Any:
    message = of_a_tool(value)
    message["params"]["_meta"] = {"progressToken": 1}
    return message


def in_a_batch(value: Any) -> Any:
    return [{"jsonrpc": "2.0", "id": 2, "method": "ping"}, of_a_tool(value)]


ROUTES: list[tuple[str, Body]] = [
    ("call/detect", listed),
    ("call/detect/", listed),
    ("call/v2/detect", named),
    ("call/v2/detect/", named),
    ("queue/join", numbered(0, 7)),
    ("queue/join", numbered(2, 1)),
    ("queue/join", in_event),
    ("mcp/", of_a_tool),
    ("mcp/", of_a_tool_with_progress),
    ("mcp/", in_a_batch),
    ("mcp", of_a_tool),
    ("mcp/http/", of_a_tool),
]


def files(stand_in: StandIn) -> list[Any]:
    """What Gradio takes for a file: one of a host, one of this machine, one inside others."""
    meta = {"_type": "gradio.FileData"}
    remote = {"path": f"http://{HOST}/big.bin", "meta": meta}
    return [
        remote,
        {"path": f"https://{HOST}/big.bin", "meta": meta},
        {"path": f"{stand_in.url}/direct.bin", "meta": meta},
        {"path": "big.bin", "url": f"http://{HOST}/big.bin", "orig_name": "a", "meta": meta},
        {"path": str(ROOT / "README.md"), "meta": meta},
        {"video": remote},
        [remote],
        {"a": [{"b": [remote]}]},
    ]


@pytest.mark.parametrize(("route", "body"), ROUTES)
def test_a_file_in_a_call_is_refused_before_it_is_fetched(
    watched: Watched, stand_in: StandIn, route: str, body: Body
) -> None:
    for value in files(stand_in):
        answer = watched.post(route, json.dumps(body(value)))
        assert answer.status_code == 400, answer.text
        assert "must be a text, a number, true, false or null" in answer.json()["detail"]
    assert_nothing_was_fetched(watched, stand_in)


@pytest.mark.parametrize(("route", "body"), ROUTES)
def test_a_file_that_another_reader_might_see_is_refused(
    watched: Watched, stand_in: StandIn, route: str, body: Body
) -> None:
    value = files(stand_in)[0]
    plain, hidden = json.dumps(body("a")), json.dumps(body(value))
    contents: list[str | bytes] = [
        # Names that are there twice, or a batch of both.
        f"{hidden[:-1]}, {plain[1:]}",
        f"{plain[:-1]}, {hidden[1:]}",
        f"{hidden} {plain}",
        f"[{hidden}]",
        json.dumps({"data": body(value)}),
        json.dumps(hidden),
        hidden.encode("utf-16"),
        hidden.encode("utf-8-sig"),
        b"\xff" + hidden.encode(),
    ]
    for content in contents:
        answer = watched.post(route, content)
        # MCP's route without its slash redirects what it has not read.
        assert 300 <= answer.status_code < 500, answer.text
    assert_nothing_was_fetched(watched, stand_in)


def test_the_calls_of_the_page_and_of_programs_still_write(
    watched: Watched, stand_in: StandIn
) -> None:
    assert generate(f"{watched.app.url}{watched.prefix}", prompt="Today")["text"]
    ping = watched.post("mcp/", '{"jsonrpc": "2.0", "id": 1, "method": "ping"}')
    assert ping.status_code == 200
    assert_nothing_was_fetched(watched, stand_in)


@pytest.mark.parametrize("path", ["upload", "dev/reload", "file=README.md", "run/detect"])
def test_closed_doors_are_closed_under_the_path_too(watched: Watched, path: str) -> None:
    assert watched.post(path, "{}").status_code == 404


def assert_nothing_was_fetched(watched: Watched, stand_in: StandIn) -> None:
    assert stand_in.asked == []
    assert watched.app.outside_hosts() == []
    assert [path for path in watched.temp.rglob("*") if path.is_file()] == []
