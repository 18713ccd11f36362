"""Answers from memory what is the same for everyone: the page, its scripts, its descriptions."""

import asyncio
import re
from collections.abc import Hashable, Sequence
from http import HTTPStatus

from cachetools import LRUCache

# The router's own function: a guard and the router must never see different routes.
from starlette._utils import get_route_path
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demo.server.limits import replay

# None of them depends on the query, on the visitor or on what the engine does.
KEPT_ROUTES = re.compile(
    r"/|/config|/theme\.css|/gradio\.js|/(assets|static)/[\w./-]+"
    r"|/gradio_api/(info|openapi\.json)"
)
# The page contains its own address, as the request gives it, and CORS headers name the origin.
ADDRESS_HEADERS = ("host", "x-forwarded-host", "x-forwarded-proto", "origin")
# A request with one of these asks for a part, or whether there is anything new.
CONDITIONS = {"range", "if-none-match", "if-modified-since", "authorization"}
# All of Gradio's scripts and styles that a page loads, and some pages under other addresses.
MAX_BYTES = 32 * 2**20
# One answer at most: a larger one would push the others out.
MAX_ANSWER_BYTES = 4 * 2**20


class KeptAnswers:
    """Answers GET requests from memory, once they were answered with 200."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._kept: LRUCache[Hashable, Sequence[Message]] = LRUCache(MAX_BYTES, getsizeof=_size)
        self._lock = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = _key(scope)
        if key is None:
            await self.app(scope, receive, send)
            return
        messages = self._kept.get(key)
        if messages is None:
            # One at a time: if a hundred ask at once for what is not kept yet, it is made once.
            # Nothing inside waits for a visitor: the answer is sent later, and no body is read.
            async with self._lock:
                messages = self._kept.get(key) or await self._ask(key, scope)
        for message in messages:
            await send(message)

    async def _ask(self, key: Hashable, scope: Scope) -> Sequence[Message]:
        messages: list[Message] = []

        async def collect(message: Message) -> None:
            messages.append(message)

        await self.app(scope, replay(b"", _never), collect)
        if messages[0]["status"] == HTTPStatus.OK and _size(messages) <= MAX_ANSWER_BYTES:
            self._kept[key] = messages
        return messages


async def _never() -> Message:
    """An answer that is made for everyone does not end because one reader disconnects."""
    await asyncio.Event().wait()
    return {}


def _key(scope: Scope) -> Hashable:
    """What the answer depends on; None if it must not be kept."""
    if scope["type"] != "http" or scope["method"] != "GET":
        return None
    path, headers = get_route_path(scope), Headers(scope=scope)
    if not KEPT_ROUTES.fullmatch(path) or CONDITIONS & set(headers.keys()):
        return None
    address = tuple(headers.get(name, "") for name in ADDRESS_HEADERS)
    accepts_gzip = "gzip" in headers.get("accept-encoding", "")
    return (path, address, accepts_gzip)


def _size(messages: Sequence[Message]) -> int:
    return sum(len(message.get("body", b"")) for message in messages) + 1_000
