"""The body limit to the byte, and the doors' exact edges."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest
from limits import parse_many
from starlette.types import Message, Receive, Scope, Send

from demo.server import limits
from demo.server.limits import CLOSED_ROUTES, AccessMiddleware, BodyMiddleware
from demo.server.rates import Rates

LIMIT = 10
GET: Scope = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the body and the query it was given."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body + b"?" + scope["query_string"]})


def answer(app: Any, pieces: list[bytes], **scope: Any) -> tuple[int, bytes]:
    """The status and body that `app` sends for a request made of these pieces."""
    incoming = [
        {"type": "http.request", "body": piece, "more_body": number < len(pieces)}
        for number, piece in enumerate(pieces, start=1)
    ]
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> Message:
        return incoming.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json")]
    asyncio.run(app({**GET, "headers": headers, **scope}, receive, send))
    return sent[0]["status"], sent[1]["body"]


def doors(app: Any, rate: str = "9/second") -> AccessMiddleware:
    items = parse_many(rate)
    return AccessMiddleware(app, Rates({"calls": items, "parts": items, "rounds": items}, 10), 0)


@pytest.mark.parametrize("pieces", [[b""], [b"x" * LIMIT], [b"xxxxx", b"xxxxx"]])
def test_a_body_up_to_the_limit_arrives_whole(pieces: list[bytes]) -> None:
    assert answer(BodyMiddleware(echo, LIMIT, {}), pieces) == (200, b"".join(pieces) + b"?")


@pytest.mark.parametrize("pieces", [[b"x" * (LIMIT + 1)], [b"xxxxx", b"xxxxx", b"x"]])
def test_one_byte_more_is_refused(pieces: list[bytes]) -> None:
    status, body = answer(BodyMiddleware(echo, LIMIT, {}), pieces)
    assert status == 413
    assert b"at most 10 bytes" in body


def test_an_announced_length_is_refused_before_it_is_read() -> None:
    headers = [(b"content-length", b"11")]
    status, _ = answer(BodyMiddleware(echo, LIMIT, {}), [], headers=headers)
    assert status == 413


def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BODY_SECONDS", 0.01)
    pieces = iter([b"x"])
    sent: list[Message] = []

    async def receive() -> Message:
        for piece in pieces:
            return {"type": "http.request", "body": piece, "more_body": True}
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(BodyMiddleware(echo, LIMIT, {})(GET, receive, send))
    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]


def test_the_call_of_a_visitor_who_hangs_up_midway_goes_nowhere() -> None:
    async def receive() -> Message:
        return {"type": "http.disconnect"}

    seen: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(await receive())

    async def send(message: Message) -> None:
        raise AssertionError(message)

    asyncio.run(BodyMiddleware(app, LIMIT, {})(GET, receive, send))
    assert seen == []


@pytest.mark.parametrize(
    ("query", "kept"),
    [(b"page=x", b""), (b"__theme=dark&page=x", b"__theme=dark"), (b"q=a+b&deep_link=", b"q=a+b")],
)
def test_pages_and_saved_states_are_dropped_from_the_query(query: bytes, kept: bytes) -> None:
    assert answer(doors(echo), [b""], query_string=query) == (200, b"?" + kept)


@pytest.mark.parametrize("path", ["/assets/" + "a" * 300, "/" + "%C3%A9/" * 90])
def test_a_path_longer_than_any_files_name_is_not_found(path: str) -> None:
    assert answer(doors(echo), [b""], path=path)[0] == 404


@pytest.mark.parametrize("header", [b"host", b"x-forwarded-host"])
@pytest.mark.parametrize(
    ("value", "status"),
    [
        (b"a-b.hf.space", 200),
        (b"localhost:7860", 200),
        (b"[::1]:7860, proxy.example", 200),
        (b"", 400),
        (b"[", 400),
        (b"a/b", 400),
        (b"a:b", 400),
        (b"\xc3\xa9", 400),
        (b"999.999.999.999", 400),
    ],
)
def test_only_a_request_for_a_host_passes(header: bytes, value: bytes, status: int) -> None:
    assert answer(doors(echo), [b""], headers=[(header, value)])[0] == status


@pytest.mark.parametrize(
    "path",
    ["/gradio_api/call/generate", "/gradio_api/queue/join", "/gradio_api/info", "/assets/a.js"],
)
def test_the_doors_that_the_page_needs_are_open(path: str) -> None:
    assert not CLOSED_ROUTES.match(path)
