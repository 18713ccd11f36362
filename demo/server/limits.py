"""What a raw HTTP request may carry, and where it may go; calls.py says what a call may hold."""

import asyncio
import re
from urllib.parse import parse_qsl, urlencode

import httpx

# The router's own function: a guard and the router must never see different routes.
from starlette._utils import get_route_path
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demo.server.calls import CALL_ROUTES, CANCEL, RESET, Calls, why_refused

# Doors that Gradio opens in every app and a text-only demo has no use for: uploads, a proxy for
# files and URLs, calls that pass the queue by, saved states, editors, logins, statistics, streams
# that last as long as their reader, and MCP as it was before it had one address.
CLOSED_ROUTES = re.compile(
    r"/gradio_api/(upload|process_recording|file[=/]|proxy=|component_server|deep_link|stream/"
    r"|run/|api/|dev/|vibe-|undo-vibe-|custom_component/|run-history|runs|profiling|heartbeat/"
    r"|mcp/(sse|messages))"
    r"|/(login|logout|monitoring|svelte/|pwa_icon|docs|redoc|openapi\.json)"
)
# No file's name may be longer, and Gradio answers one that is with a 500.
MAX_PATH_BYTES = 255
# Gradio makes an address of these, and answers 500 if it cannot.
HOST_HEADERS = ("host", "x-forwarded-host")
HOST = re.compile(r"([\w.-]+|\[[\da-f:.]+\])(:\d+)?", re.ASCII | re.IGNORECASE)
# Gradio answers any other kind of body here with a copy of it.
JSON_ROUTES = (*CALL_ROUTES, CANCEL, RESET)
# A body comes whole within so long, or is not waited for.
BODY_SECONDS = 10.0


class ClosedDoors:
    """Answers 404 on routes that the demo does not use, and 400 to a request for no host; drops
    `/?page=` and `?deep_link=`: it has one page and no saved states, and Gradio answers an unknown
    page with a 500."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = get_route_path(scope)
        if CLOSED_ROUTES.match(path) or len(path.encode()) > MAX_PATH_BYTES:
            await _refusal(404, "This demo has no such page.")(scope, receive, send)
        elif not _names_a_host(scope):
            await _refusal(400, "The request names no host.")(scope, receive, send)
        else:
            await self.app(_without_page(scope), receive, send)


class BodyLimit:
    """Answers 413 to a body beyond `max_bytes`, announced or not, and 408 to one that has not come
    within BODY_SECONDS.

    A body within the limit is read whole before the app sees it: what comes in chunks
    cannot be refused once the app has begun to answer.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await self._read(scope, receive)
        except TimeoutError:
            late = f"The request's body did not come within {BODY_SECONDS:.0f} s."
            await _refusal(408, late)(scope, receive, send)
            return
        if body == []:
            return
        if body is None:
            limit = f"The request's body is too large: at most {self.max_bytes:,} bytes are read."
            await _refusal(413, limit)(scope, receive, send)
        else:
            await self.app(scope, replay(body, receive), send)

    async def _read(self, scope: Scope, receive: Receive) -> list[Message] | None:
        """The body's messages, None if it is too large, none of them if the sender hung up."""
        # The server refuses a length that is no number.
        if int(Headers(scope=scope).get("content-length", "0")) > self.max_bytes:
            return None
        messages, size = [await receive()], 0
        while True:
            size += len(messages[-1].get("body", b""))
            if size > self.max_bytes:
                return None
            if messages[-1]["type"] == "http.disconnect":
                return []
            if not messages[-1].get("more_body"):
                return messages
            messages.append(await receive())


class PlainCalls:
    """Answers 400 to a POST whose body is no strict JSON, and to a call that is not there, with
    anything but plain values in it, or not with the values that it takes."""

    def __init__(self, app: ASGIApp, calls: Calls) -> None:
        self.app = app
        self.calls = calls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        messages = [await receive()]
        while messages[-1].get("more_body"):
            messages.append(await receive())
        content = b"".join(message.get("body", b"") for message in messages)
        path = get_route_path(scope)
        if path.startswith(JSON_ROUTES) and not _is_json(scope):
            await _refusal(415, "Send the body as application/json.")(scope, receive, send)
            return
        sentence = why_refused(path, content, self.calls)
        if sentence:
            await _refusal(400, sentence)(scope, receive, send)
        else:
            await self.app(scope, replay(messages, receive), send)


def _is_json(scope: Scope) -> bool:
    kind = Headers(scope=scope).get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/json"


def replay(messages: list[Message], receive: Receive) -> Receive:
    """A `receive` that gives what was read, then goes on with the original."""
    remaining = iter(messages)

    async def replayed() -> Message:
        for message in remaining:
            return message
        return await receive()

    return replayed


def _names_a_host(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    hosts = [headers[name].partition(",")[0].strip() for name in HOST_HEADERS if name in headers]
    try:
        # The second is Gradio's own reader.
        return all(HOST.fullmatch(host) and httpx.URL(f"http://{host}") for host in hosts)
    except httpx.InvalidURL:
        return False


def _without_page(scope: Scope) -> Scope:
    if get_route_path(scope) not in ("", "/"):
        return scope
    query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    kept = [(name, value) for name, value in query if name not in ("page", "deep_link")]
    return {**scope, "query_string": urlencode(kept).encode()}


def _refusal(status: int, sentence: str) -> JSONResponse:
    """An answer in the shape that Gradio's own errors have.

    The connection is closed: a body that was not read must not be taken for the next request.
    """
    return JSONResponse({"detail": sentence}, status, headers={"connection": "close"})
