"""Which calls for texts are let in, and when a call ends because nobody reads its answer."""

import asyncio
import json
import secrets
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field

# The router's own function: a guard and the router must never see different routes.
from starlette._utils import get_route_path
from starlette.datastructures import Headers, QueryParams
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demo.server.calls import LISTED_CALL, MCP_CALL, NUMBERED_CALL, STREAM, Calls, texts_asked_for
from demo.server.rates import Rates, Refusal

# A visitor with this many open calls may not call a tool of MCP.
MCP_CALLS = 4
# A stream of answers that nobody opens for this long is ended. Counted in short steps, not by
# one timer: while the server is busy the steps are late too, and a reader's request may be waiting.
UNREAD_SECONDS = 5.0
UNREAD_STEPS = 10
FULL_RETRY_SECONDS = 10
STOPPING_RETRY_SECONDS = 30
QUEUE_FULL = "{} calls wait or are written already, and no more can be taken."
TOO_MANY = "Your network has {} calls open already."
STOPPING = "The demo is being restarted."
STOPPED = f"{STOPPING} Try again in a minute."
UNKNOWN_EVENT = "There is no such call, or its answer was read already."
# Carries a call's number from the request to the function. Gradio hands an MCP request's headers
# on to the call that it makes of it.
HEADER = "x-demo-call"
# How often a stopping server checks whether everything has been read.
POLL_SECONDS = 0.02


@dataclass(eq=False)
class Call:
    """A call that was let in, and how many texts it asks for."""

    visitor: str = ""
    texts: int = 0
    # Nobody else can guess it.
    number: str = field(default_factory=secrets.token_urlsafe)
    has_ended: bool = False
    # It ended because nobody reads its answer any more.
    is_abandoned: bool = False


@dataclass
class Stream:
    """A stream of answers, named as Gradio names it: by the session, or by its only event."""

    name: str = ""
    # By the ids of their events.
    calls: dict[str, Call] = field(default_factory=dict)
    # Requests under way that read it or add a call to it.
    users: int = 0
    # That were ever let in. The page opens a second one when a text is asked for at another's end.
    readers: int = 0
    # Ends it, unless somebody uses it before.
    end_later: asyncio.Handle | None = None


class Ledger:
    """The calls for texts that were let in and have not ended, and by name the `streams`, kept by
    `Admission`, whose last answer has not been read. Safe to use from many threads."""

    def __init__(self) -> None:
        self._calls: dict[str, Call] = {}
        self._lock = threading.Lock()
        self.streams: dict[str, Stream] = {}
        # No more calls are let in, and those that wait for their turn end with STOPPED.
        self.is_stopping = False

    def open(self, call: Call) -> None:
        """Notes a call that was let in."""
        with self._lock:
            self._calls[call.number] = call

    def find(self, headers: Mapping[str, str] | None) -> Call | None:
        """The open call whose number a request has in HEADER."""
        with self._lock:
            return self._calls.get(headers.get(HEADER, "")) if headers else None

    def end(self, call: Call) -> None:
        """Forgets a call whose function has returned."""
        with self._lock:
            call.has_ended = True
            self._calls.pop(call.number, None)

    def abandon(self, call: Call) -> None:
        """Forgets a call that nobody reads, and has its function end soon."""
        if not call.has_ended:
            call.is_abandoned = True
            self.end(call)

    def visitors(self) -> list[str]:
        """The visitor of each open call."""
        with self._lock:
            return [call.visitor for call in self._calls.values()]

    def wait_until_read(self, seconds: float) -> None:
        """Returns once every call has ended and every answer was read, or after so many seconds."""
        deadline = time.monotonic() + seconds
        while (self._calls or self.streams) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)


class Admission:
    """Lets calls for texts in, or refuses them with a sentence; ends those that nobody reads.

    A call whose stream is not opened within UNREAD_SECONDS is abandoned, and so is one whose reader
    has gone. MCP's calls are admitted at its own door: what Gradio makes of them comes from this
    machine, with the number of the call that was admitted. Of `queue_size` calls that may wait or
    be written in all, a visitor may have `visitor_calls`. `end_stream` ends Gradio's stream of that
    name and whatever still writes to it.
    """

    def __init__(
        self,
        app: ASGIApp,
        ledger: Ledger,
        rates: Rates,
        queue_size: int,
        visitor_calls: int,
        calls: Calls,
        end_stream: Callable[[str], Awaitable[None]],
    ) -> None:
        self.app = app
        self.ledger = ledger
        self.rates = rates
        self.queue_size = queue_size
        self.visitor_calls = visitor_calls
        self.calls = calls
        self.end_stream = end_stream
        self._streams = ledger.streams
        # Gradio takes one call for texts at a time. Each keeps the event loop busy for a while:
        # of a crowd that comes at once, those who are refused hear so before the others are taken.
        # Other calls are not refused here, and must not hold up those for texts.
        self._taking = asyncio.Lock()
        self._tasks: set[asyncio.Future[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        method, path = scope["method"], get_route_path(scope)
        if method == "POST" and path.startswith((LISTED_CALL, NUMBERED_CALL)):
            await self._enter(scope, receive, send)
        elif method == "POST" and path.startswith(MCP_CALL):
            await self._enter_mcp(scope, receive, send)
        elif method == "GET" and (path == STREAM or path.startswith(LISTED_CALL)):
            await self._read(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _enter(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = self.ledger.find(Headers(scope=scope)) or await self._admit(
            scope, receive, send, self.visitor_calls
        )
        if call is None:
            return
        name = scope["state"]["body"].get("session_hash") or ""
        stream = self._streams.setdefault(name, Stream(name)) if name else Stream()
        answer = _Answer(send)
        self._use(stream)
        try:
            async with self._taking if call.texts else nullcontext():
                await self.app(_numbered(scope, call), receive, answer.send)
        finally:
            if event := answer.event_id():
                stream.name = name or event
                stream.calls[event] = call
                self._streams[stream.name] = stream
            if not event or not call.texts:
                # It was refused, or is soon done: no reader need wait for it.
                self.ledger.end(call)
            self._leave(stream, UNREAD_STEPS)

    async def _enter_mcp(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = await self._admit(scope, receive, send, min(MCP_CALLS, self.visitor_calls))
        if call is None:
            return

        async def watched() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.ledger.abandon(call)
            return message

        if call.texts:
            # The answer of this request is all that its caller reads.
            self._streams[call.number] = Stream()
        try:
            await self.app(_numbered(scope, call), watched, send)
        finally:
            self.ledger.abandon(call)
            self._streams.pop(call.number, None)

    async def _admit(self, scope: Scope, receive: Receive, send: Send, at_most: int) -> Call | None:
        """The request's call; None if it was refused, as if its visitor has `at_most` open."""
        visitor, body = scope["state"]["visitor"], scope["state"]["body"]
        texts = texts_asked_for(get_route_path(scope), body, self.calls)
        call = Call(visitor, texts)
        if texts:
            refusal = self._refusal(visitor, at_most)
            refusal = refusal or self.rates.refusal("texts", visitor, texts)
            if refusal:
                await refusal.answer(scope, receive, send)
                return None
            self.ledger.open(call)
        return call

    def _refusal(self, visitor: str, at_most: int) -> Refusal | None:
        visitors = self.ledger.visitors()
        mine = visitors.count(visitor)
        if self.ledger.is_stopping:
            return Refusal(STOPPING, STOPPING_RETRY_SECONDS, 503)
        if mine >= at_most:
            return Refusal(TOO_MANY.format(mine), FULL_RETRY_SECONDS)
        if len(visitors) >= self.queue_size:
            return Refusal(QUEUE_FULL.format(len(visitors)), FULL_RETRY_SECONDS, 503)
        return None

    async def _read(self, scope: Scope, receive: Receive, send: Send) -> None:
        stream = self._stream_of(scope)
        if stream is None:
            await JSONResponse({"detail": UNKNOWN_EVENT}, 404)(scope, receive, send)
            return
        is_begun = is_complete = False

        async def watched(message: Message) -> None:
            nonlocal is_begun, is_complete
            is_begun = True
            await send(message)
            is_complete = message["type"] == "http.response.body" and not message.get("more_body")

        self._use(stream)
        stream.readers += 1
        try:
            await self.app(scope, receive, watched)
        except Exception:
            # Of several readers, Gradio ends all with an error when one leaves.
            if stream.readers < 2 or not is_begun:
                raise
            if not is_complete:
                await watched({"type": "http.response.body"})
        finally:
            # Gradio completes a stream when its calls have ended; one that came meanwhile may still
            # be read.
            goes_on = is_complete and not all(call.has_ended for call in stream.calls.values())
            self._leave(stream, UNREAD_STEPS if goes_on else 0)

    def _stream_of(self, scope: Scope) -> Stream | None:
        path = get_route_path(scope)
        if path == STREAM:
            return self._streams.get(QueryParams(scope["query_string"]).get("session_hash", ""))
        event = path.rstrip("/").rpartition("/")[2]
        return next((one for one in self._streams.values() if event in one.calls), None)

    def _use(self, stream: Stream) -> None:
        stream.users += 1
        if stream.end_later:
            stream.end_later.cancel()

    def _leave(self, stream: Stream, steps: int) -> None:
        """Ends the stream after so many steps, unless somebody uses it by then."""
        stream.users -= 1
        if not stream.users:
            self._end_after(steps, stream)

    def _end_after(self, steps: int, stream: Stream) -> None:
        loop = asyncio.get_running_loop()
        if steps:
            seconds = UNREAD_SECONDS / UNREAD_STEPS
            stream.end_later = loop.call_later(seconds, self._end_after, steps - 1, stream)
        else:
            stream.end_later = loop.call_soon(self._end, stream)

    def _end(self, stream: Stream) -> None:
        for call in stream.calls.values():
            self.ledger.abandon(call)
        if self._streams.pop(stream.name, None):
            task = asyncio.ensure_future(self.end_stream(stream.name))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


class _Answer:
    """Passes a short JSON answer on, and keeps it."""

    def __init__(self, send: Send) -> None:
        self._send, self._status, self._body = send, 0, b""

    async def send(self, message: Message) -> None:
        self._status = message.get("status", self._status)
        self._body += message.get("body", b"")
        await self._send(message)

    def event_id(self) -> str:
        """Of the call that was accepted; empty if none was."""
        return str(json.loads(self._body)["event_id"]) if self._status == 200 else ""


def _numbered(scope: Scope, call: Call) -> Scope:
    """The request with the number of its call: nobody else may name one."""
    headers = [(name, value) for name, value in scope["headers"] if name != HEADER.encode()]
    return {**scope, "headers": [*headers, (HEADER.encode(), call.number.encode())]}
