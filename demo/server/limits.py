"""What a raw HTTP request may carry, and where it may go.

Knows ASGI and Gradio's route names; must not know engines, settings or what a body holds
(calls.py does).
"""

import json
import re
from collections.abc import Sequence
from urllib.parse import parse_qsl, urlencode

from gradio.route_utils import FnIndexInferError

# The router's own function: a guard and the router must never see different routes.
from starlette._utils import get_route_path
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demo.server.calls import CALLS, GRADIO_CALLS, InputCounts, why_refused

# Doors that Gradio opens in every app and a text-only demo has no use for: uploads, a proxy for
# files and URLs, calls that pass the queue by, saved states, editors, logins, statistics.
CLOSED_ROUTES = re.compile(
    r"/gradio_api/(upload|process_recording|file[=/]|proxy=|component_server|deep_link|stream/"
    r"|run/|api/|dev/|vibe-|undo-vibe-|custom_component/|run-history|runs|profiling)"
    r"|/(login|logout|monitoring|svelte/)"
)

_UNKNOWN_CALL = "No such endpoint or parameter; /gradio_api/openapi.json lists them."


def middleware(max_body_bytes: int, inputs: InputCounts) -> Sequence[Middleware]:
    """Everything that stands in front of the routes, outermost first. `inputs` says how many values
    each call takes, by the names and numbers that Gradio gives them."""
    return (
        Middleware(ClosedDoors),
        Middleware(BodyLimit, max_bytes=max_body_bytes),
        Middleware(ReadableCalls),
        Middleware(PlainCalls, inputs=inputs),
    )


class ClosedDoors:
    """Answers 404 on routes that the demo does not use, and drops `/?page=` and `?deep_link=`:
    it has one page and no saved states, and Gradio answers an unknown page with a 500."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif CLOSED_ROUTES.match(get_route_path(scope)):
            await _refuse(send, 404, "This demo has no such page.")
        else:
            await self.app(_without_page(scope), receive, send)


class BodyLimit:
    """Answers 413 to a body beyond `max_bytes`, announced or not.

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
        body = await self._read(scope, receive)
        if body == []:
            return
        if body is None:
            limit = f"The request's body is too large: at most {self.max_bytes:,} bytes are read."
            await _refuse(send, 413, limit)
        else:
            await self.app(scope, _replay(body, receive), send)

    async def _read(self, scope: Scope, receive: Receive) -> list[Message] | None:
        """The body's messages, None if it is too large, none of them if the sender hung up."""
        if _announced_bytes(scope) > self.max_bytes:
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


class ReadableCalls:
    """Answers 400 where Gradio would fail with a 500: an endpoint or a parameter that is not."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.app(scope, receive, send)
        except (FnIndexInferError, KeyError, TypeError):
            if not _is_post_to(scope, GRADIO_CALLS):
                raise
            await _refuse(send, 400, _UNKNOWN_CALL)


class PlainCalls:
    """Answers 400 to a call with anything but plain values in it, or not as many as it takes."""

    def __init__(self, app: ASGIApp, inputs: InputCounts) -> None:
        self.app = app
        self.inputs = inputs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not _is_post_to(scope, CALLS):
            await self.app(scope, receive, send)
            return
        messages = [await receive()]
        while messages[-1].get("more_body"):
            messages.append(await receive())
        content = b"".join(message.get("body", b"") for message in messages)
        sentence = why_refused(get_route_path(scope), content, self.inputs)
        if sentence:
            await _refuse(send, 400, sentence)
        else:
            await self.app(scope, _replay(messages, receive), send)


def _is_post_to(scope: Scope, routes: tuple[str, ...]) -> bool:
    """Whether it calls one of the routes, under whatever path the app is served."""
    return scope.get("method") == "POST" and get_route_path(scope).startswith(routes)


def _replay(messages: list[Message], receive: Receive) -> Receive:
    """A `receive` that gives what was read, then goes on with the original."""
    remaining = iter(messages)

    async def replayed() -> Message:
        for message in remaining:
            return message
        return await receive()

    return replayed


def _announced_bytes(scope: Scope) -> int:
    """The Content-Length, 0 where there is none (the server refuses one that is no number)."""
    return int(dict(scope["headers"]).get(b"content-length", b"0"))


def _without_page(scope: Scope) -> Scope:
    if get_route_path(scope) not in ("", "/"):
        return scope
    query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    kept = [(name, value) for name, value in query if name not in ("page", "deep_link")]
    return {**scope, "query_string": urlencode(kept).encode()}


async def _refuse(send: Send, status: int, sentence: str) -> None:
    """A complete JSON answer in the shape that Gradio's own errors have.

    The connection is closed: a body that was not read must not be taken for the next request.
    """
    body = json.dumps({"detail": sentence}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
