"""Where an HTTP request may go, how often, and with what body; calls.py says what a call holds."""

import asyncio
import re
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx

# The router's own function: a guard and the router must never see different routes.
from starlette._utils import get_route_path
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demo.server.calls import CALL_ROUTES, CANCEL, MCP_CALL, RESET, Calls, check_body
from demo.server.rates import Rates, kind_of, visitor_of
from demo.strict_json import parse_json

# Routes that Gradio has in every app and a text-only demo does not use: uploads, a proxy for files
# and URLs, calls that bypass the queue, saved states, editors, logins, statistics, streams that
# last as long as their reader, and MCP's older transport.
CLOSED_ROUTES = re.compile(
    r"/gradio_api/(upload|process_recording|file[=/]|proxy=|component_server|deep_link|stream/"
    r"|run/|api/|dev/|vibe-|undo-vibe-|custom_component/|run-history|runs|profiling|heartbeat/"
    r"|mcp/(sse|messages))"
    r"|/(login|logout|monitoring|svelte/|pwa_icon|docs|redoc|openapi\.json)"
)
# A file's name cannot be longer, and Gradio answers 500 to one that is.
MAX_PATH_BYTES = 255
# Gradio builds an address from these, and answers 500 if it cannot.
HOST_HEADERS = ("host", "x-forwarded-host")
PROXY_HEADER = b"x-gradio-server"
HOST = re.compile(r"([\w.-]+|\[[\da-f:.]+\])(:\d+)?", re.ASCII | re.IGNORECASE)
# Of a body of another type, Gradio's answer on these routes is a copy.
JSON_ROUTES = (*CALL_ROUTES, CANCEL, RESET)
# A request is refused if its whole body has not come within this time.
BODY_SECONDS = 10.0
# Enough for everything that MCP's clients say of themselves.
MAX_DEPTH = 20
NOT_JSON = (
    "The request's body must be JSON in UTF-8 with finite numbers, whole characters, "
    f"no name twice in an object and at most {MAX_DEPTH} levels."
)


class AccessMiddleware:
    """Answers 404 on routes that the demo does not use, 400 to a request for no host, and 429 to a
    visitor who calls, plays or loads too often; notes who that is: `request.state.visitor`. Texts
    are counted on admission: their number is in the body."""

    def __init__(self, app: ASGIApp, rates: Rates, trusted_proxies: int) -> None:
        self.app = app
        self.rates = rates
        self.trusted_proxies = trusted_proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = get_route_path(scope)
        if CLOSED_ROUTES.match(path) or len(path.encode()) > MAX_PATH_BYTES:
            await _refusal(404, "This demo has no such page.")(scope, receive, send)
            return
        if not _names_a_host(scope):
            await _refusal(400, "The request names no host.")(scope, receive, send)
            return
        visitor = visitor_of(scope, self.trusted_proxies)
        scope.setdefault("state", {})["visitor"] = visitor
        if refusal := self.rates.refusal(kind_of(scope["method"], path), visitor):
            await refusal.answer(scope, receive, send)
        else:
            await self.app(_cleaned(scope), receive, send)


class BodyMiddleware:
    """Reads the body of each request once, and parses a POST's: `request.state.body`.

    Answers 413 to a body beyond `max_bytes`, announced or not, 408 to one that comes too late, and
    400 or 415 to a POST whose body is not strict JSON or not what its route takes. The app sees a
    body only once all of it was accepted: nothing can be refused after the app has begun to answer.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, calls: Calls) -> None:
        self.app = app
        self.max_bytes = max_bytes
        self.calls = calls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            async with asyncio.timeout(BODY_SECONDS):
                content = await self._read(request)
            if request.method == "POST":
                request.state.body = self._parse(request, content)
        except ClientDisconnect:
            return
        except TimeoutError:
            late = f"The request's body did not come within {BODY_SECONDS:.0f} s."
            await _refusal(408, late)(scope, receive, send)
        except HTTPException as error:
            await _refusal(error.status_code, error.detail)(scope, receive, send)
        else:
            await self.app(scope, replay(content, receive), send)

    async def _read(self, request: Request) -> bytes:
        limit = f"The request's body is too large: at most {self.max_bytes:,} bytes are read."
        too_large = HTTPException(413, limit)
        # The server refuses a length that is no number.
        if int(request.headers.get("content-length", "0")) > self.max_bytes:
            raise too_large
        content = bytearray()
        async for piece in request.stream():
            content += piece
            if len(content) > self.max_bytes:
                raise too_large
        return bytes(content)

    def _parse(self, request: Request, content: bytes) -> Any:
        path = get_route_path(request.scope)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if path.startswith(JSON_ROUTES) and kind != "application/json":
            raise HTTPException(415, "Send the body as application/json.")
        try:
            body = parse_json(content, MAX_DEPTH)
        except ValueError:
            raise HTTPException(400, NOT_JSON) from None
        check_body(path, body, self.calls)
        return body


def replay(content: bytes, receive: Receive) -> Receive:
    """A `receive` that gives a body that was read, then goes on with the original."""
    read: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]

    async def replayed() -> Message:
        return read.pop() if read else await receive()

    return replayed


def _names_a_host(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    hosts = [headers[name].partition(",")[0].strip() for name in HOST_HEADERS if name in headers]
    try:
        # The second is Gradio's own reader.
        return all(HOST.fullmatch(host) and httpx.URL(f"http://{host}") for host in hosts)
    except httpx.InvalidURL:
        return False


def _cleaned(scope: Scope) -> Scope:
    """Without what Gradio would answer with a 500: `/?page=` and `?deep_link=` (the demo has one
    page and no saved states), and the header with which Gradio's own proxy says where it is."""
    if get_route_path(scope) == MCP_CALL:
        # Else the router redirects to the address with a slash, which not every client follows.
        scope = {**scope, "path": f"{scope['path']}/"}
    headers = [(name, value) for name, value in scope["headers"] if name != PROXY_HEADER]
    query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    kept = [(name, value) for name, value in query if name not in ("page", "deep_link")]
    # Any other query stays as it was written.
    query_string = scope["query_string"] if kept == query else urlencode(kept).encode()
    return {**scope, "headers": headers, "query_string": query_string}


def _refusal(status: int, sentence: str) -> JSONResponse:
    """An answer in the shape that Gradio's own errors have. The connection is closed: a body that
    was not read must not be taken for the next request."""
    return JSONResponse({"detail": sentence}, status, headers={"connection": "close"})
