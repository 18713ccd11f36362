"""What is kept, for whom, and what is asked anew."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from demo.server.kept_answers import MAX_ANSWER_BYTES, KeptAnswers
from demo.server.limits import BodyMiddleware


class Page:
    """Counts how often it was asked, and answers with a body of `size` bytes."""

    def __init__(self, status: int = 200, size: int = 1_000) -> None:
        self.status, self.size, self.asked = status, size, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked += 1
        headers = [(b"content-type", b"text/html"), (b"x-asked", str(self.asked).encode())]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        for piece in (b"x" * (self.size - 1), b"y"):
            more = piece != b"y"
            await send({"type": "http.response.body", "body": piece, "more_body": more})


def get(
    app: Any, path: str, method: str = "GET", **headers: str
) -> tuple[dict[bytes, bytes], bytes]:
    """The headers and the body of the answer."""
    sent: list[Any] = []

    async def receive() -> Any:
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message)

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": raw, "query_string": b""}
    asyncio.run(asyncio.wait_for(app(scope, receive, send), 5))
    return dict(sent[0]["headers"]), b"".join(message.get("body", b"") for message in sent[1:])


@pytest.mark.parametrize(
    "path", ["/", "/config", "/assets/index-a.js", "/gradio_api/info", "/theme.css"]
)
def test_the_page_and_its_parts_are_rendered_once(path: str) -> None:
    page = Page()
    app = KeptAnswers(page)
    first, again = get(app, path, host="a"), get(app, path, host="a")
    assert first == again
    assert (page.asked, len(again[1])) == (1, 1_000)


@pytest.mark.parametrize(
    ("other", "headers"),
    [
        ("/", {"host": "b"}),
        ("/", {"host": "a", "origin": "https://blog"}),
        ("/", {"host": "a", "x_forwarded_proto": "https"}),
        ("/", {"host": "a", "accept_encoding": "gzip"}),
        ("/config", {"host": "a"}),
    ],
)
def test_another_address_or_reader_is_answered_anew(other: str, headers: dict[str, str]) -> None:
    page = Page()
    app = KeptAnswers(page)
    get(app, "/", host="a")
    get(app, other, **headers)
    assert page.asked == 2


@pytest.mark.parametrize(
    ("path", "method", "headers"),
    [
        ("/readyz", "GET", {}),
        ("/plot.png", "GET", {}),
        ("/gradio_api/queue/data", "GET", {}),
        ("/assets/a.js", "GET", {"range": "bytes=0-1"}),
        ("/assets/a.js", "GET", {"if_none_match": "x"}),
        ("/", "HEAD", {}),
    ],
)
def test_whatever_changes_is_asked_each_time(
    path: str, method: str, headers: dict[str, str]
) -> None:
    page = Page()
    app = KeptAnswers(page)
    get(app, path, method, **headers)
    get(app, path, method, **headers)
    assert page.asked == 2


@pytest.mark.parametrize("page", [Page(status=500), Page(size=MAX_ANSWER_BYTES + 1)])
def test_errors_and_large_answers_are_not_kept(page: Page) -> None:
    app = KeptAnswers(page)
    get(app, "/")
    get(app, "/")
    assert page.asked == 2


def test_a_body_that_never_comes_holds_nobody_up() -> None:
    app = KeptAnswers(BodyMiddleware(Page(), 10, {}))

    async def never() -> Any:
        await asyncio.sleep(60)

    async def slow_and_others() -> int:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        for path in ("/", "/config", "/"):
            headers = [(b"content-length", b"5")]
            scope = {"type": "http", "method": "GET", "path": path, "headers": headers}
            await asyncio.wait_for(app({**scope, "query_string": b""}, never, send), 5)
        return len([message for message in sent if message["type"] == "http.response.start"])

    assert asyncio.run(slow_and_others()) == 3


def test_an_answer_that_is_streamed_is_kept_too() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"one", b"two"):
            await asyncio.sleep(0)
            yield piece

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await StreamingResponse(pieces())(scope, receive, send)

    assert get(KeptAnswers(app), "/")[1] == b"onetwo"


def test_it_is_compressed_once() -> None:
    app = KeptAnswers(GZipMiddleware(Page()))
    headers, body = get(app, "/", accept_encoding="gzip")
    assert headers[b"content-encoding"] == b"gzip"
    assert len(body) < 100
    assert get(app, "/", accept_encoding="gzip") == (headers, body)
    assert get(app, "/")[1] == b"x" * 999 + b"y"
