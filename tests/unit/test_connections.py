"""A server with our connections, asked over raw sockets."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn
from gradio import http_server
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from demo.server import connections
from demo.server.connections import MAX_HEADER_BYTES, bound_connections
from tests.processes import free_port, wait_until

REQUEST = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"] == "/stream":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        while (await receive()).get("more_body"):
            pass
        await asyncio.sleep(0.1)
        await send({"type": "http.response.body", "body": b"ended"})
    elif scope["path"] == "/broken":
        raise KeyError("teapot")
    else:
        await PlainTextResponse(f"hello {scope['client'][0]}")(scope, receive, send)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Of a server that was started as Gradio starts it."""
    patch = pytest.MonkeyPatch()
    patch.setattr(http_server, "uvicorn", uvicorn)
    patch.setattr(connections, "HEADER_SECONDS", 1.0)
    bound_connections()
    port = free_port()
    gradio: Any = http_server
    config = gradio.uvicorn.Config(app=app, port=port, host="127.0.0.1", log_level="warning")
    server = http_server.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started)
    yield port
    server.should_exit = True
    thread.join()
    patch.undo()


@pytest.fixture
def client(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        yield client


def read(client: socket.socket) -> bytes:
    """All that comes until the server closes."""
    pieces = []
    try:
        while piece := client.recv(65_536):
            pieces.append(piece)
    except ConnectionError:
        pass
    return b"".join(pieces)


def test_a_header_without_end_is_refused_once_it_is_too_long(client: socket.socket) -> None:
    client.sendall(b"GET / HTTP/1.1\r\nx: ")
    sent = 0
    try:
        while sent < 100 * MAX_HEADER_BYTES:
            sent += client.send(b"x" * 10_000)
    except ConnectionError:
        pass
    assert sent < 100 * MAX_HEADER_BYTES


def test_a_long_header_is_a_bad_request(client: socket.socket) -> None:
    client.sendall(b"GET / HTTP/1.1\r\nx: " + b"x" * (MAX_HEADER_BYTES + 1))
    answer = read(client)
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"nosniff" in answer


def test_a_process_beside_it_is_not_believed_to_forward_for_others(client: socket.socket) -> None:
    client.sendall(REQUEST[:-2] + b"x-forwarded-for: 192.0.2.1\r\nconnection: close\r\n\r\n")
    assert read(client).endswith(b"hello 127.0.0.1")


@pytest.mark.parametrize("begin", [b"", b"GET / HTTP/1.1\r\nx: y\r\n"])
def test_headers_that_do_not_come_are_not_waited_for(client: socket.socket, begin: bytes) -> None:
    client.sendall(begin)
    assert read(client) == b""


def test_nor_are_those_of_a_second_request(client: socket.socket) -> None:
    client.sendall(REQUEST)
    client.recv(1_000)
    client.sendall(REQUEST[:9])
    assert read(client) == b""


def test_an_answer_may_take_longer_than_headers_may(client: socket.socket) -> None:
    body = b"POST /stream HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\nconnection: close\r\n\r\nx"
    client.sendall(body)
    threading.Timer(2.0, client.sendall, (b"y",)).start()
    assert b"ended" in read(client)


@pytest.mark.parametrize("path", [b"/", b"/broken"])
def test_every_answer_says_how_it_may_be_read(client: socket.socket, path: bytes) -> None:
    client.sendall(b"GET " + path + b" HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
    answer = read(client)
    assert b"x-content-type-options: nosniff" in answer
    assert b"referrer-policy: strict-origin" in answer


def test_nonsense_after_an_answer_has_begun_closes_the_connection(
    client: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    client.sendall(
        b"POST /stream HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n"
    )
    assert b"200" in client.recv(1_000)
    client.sendall(b"nonsense\r\n")
    read(client)
    assert "Traceback" not in caplog.text


def test_a_gradio_that_starts_another_server_costs_no_start(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delattr(http_server, "uvicorn")
    bound_connections()
    assert "not bounded" in caplog.text
