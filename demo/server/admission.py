"""Which calls are let in, and what becomes of those that nobody reads."""

import asyncio
import json
import secrets
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

# The router's own function: a guard and the router must never see different routes.
from starlette._utils import get_route_path
from starlette.datastructures import Headers, QueryParams
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demo.server.calls import (
    LISTED_CALL,
    MCP_CALL,
    NUMBERED_CALL,
    Calls,
    texts_asked_for,
)
from demo.server.rates import REFUSAL_SECONDS, Rates, Refusal
from demo.server.visitors import visitor_of

# A visitor with so many calls open calls no tool of MCP.
MCP_CALLS = 4
# A stream that nobody has opened after so long is nobody's.
UNREAD_SECONDS = 5.0
FULL_RETRY_SECONDS = 10
STOPPING_RETRY_SECONDS = 30
QUEUE_FULL = "{} visitors wait for the computer already, and no more can."
TOO_MANY = "Your network has {} texts waiting already."
STOPPING = "The demo is being restarted."
STOPPED = f"{STOPPING} Try again in a minute."
UNKNOWN_EVENT = "There is no such call, or its answer was read already."
# Carries a call's number from the request to the function. Gradio hands an MCP request's headers
# on to the call that it makes of it.
HEADER = "x-demo-call"
STREAM = "/gradio_api/queue/data"
# How often a stop looks whether all is read.
POLL_SECONDS = 0.02


@dataclass(eq=False)
class Call:
    """A call for texts that was let in, and how many texts it asks for."""

    visitor: str = ""
    texts: int = 0
    # Nobody reads its answers any more.
    is_abandoned: bool = False
    has_ended: bool = False


@dataclass
class Session:
    """A stream in which answers are sent: the ids of its calls that somebody may still read,
    those of them that ask for texts, and how many read it."""

    events: set[str] = field(default_factory=set)
    calls: set[Call] = field(default_factory=set)
    joining: int = 0
    readers: int = 0
    # Counts readers and calls: a check that was due before the last of them is void.
    changes: int = 0


class Ledger:
    """The calls for texts that were let in and have not ended. Safe to use from many threads.

    sessions: the streams whose last answer has not been read, by name; `Admission` keeps them.

    queue_size: how many may wait or be written in all; one more is answered with 503.
    visitor_calls: the same for one visitor; one more is answered with 429.
    """

    def __init__(self, queue_size: int = 80, visitor_calls: int = 60) -> None:
        self._queue_size, self._visitor_calls = queue_size, visitor_calls
        self._secret = secrets.token_urlsafe()
        self._calls: dict[str, Call] = {}
        self._count = 0
        self._lock = threading.Lock()
        self.is_stopping = False
        self.sessions: dict[str, Session] = {}

    def refusal(self, visitor: str, at_most: int) -> tuple[int, Refusal] | None:
        """The status and reason if a call for texts must not be let in now; `at_most` is how many
        the visitor may have open for this one to enter."""
        with self._lock:
            visitors = [call.visitor for call in self._calls.values()]
        mine = visitors.count(visitor)
        if self.is_stopping:
            return 503, Refusal(STOPPING, STOPPING_RETRY_SECONDS)
        if mine >= min(at_most, self._visitor_calls):
            return 429, Refusal(TOO_MANY.format(mine), FULL_RETRY_SECONDS)
        if len(visitors) >= self._queue_size:
            return 503, Refusal(QUEUE_FULL.format(len(visitors)), FULL_RETRY_SECONDS)
        return None

    def open(self, call: Call) -> str:
        """Notes the call; returns what HEADER must carry."""
        with self._lock:
            self._count += 1
            number = f"{self._secret}:{self._count}"
            self._calls[number] = call
        return number

    def find(self, headers: Mapping[str, str] | None) -> Call | None:
        """The open call of a request with these headers. Nobody else can name one."""
        with self._lock:
            return self._calls.get(headers.get(HEADER, "")) if headers else None

    def end(self, call: Call) -> None:
        """Forgets the call: its function has returned, or nobody waits for it."""
        with self._lock:
            call.has_ended = True
            self._calls = {number: one for number, one in self._calls.items() if one is not call}

    def count(self) -> int:
        """How many calls are open."""
        with self._lock:
            return len(self._calls)

    def abandon(self, call: Call) -> None:
        """Has the call's function end soon, and forgets the call."""
        if not call.has_ended:
            call.is_abandoned = True
            self.end(call)

    def stop(self) -> None:
        """Lets no more calls in, and has those that wait for their turn end with STOPPED."""
        self.is_stopping = True

    def wait_until_read(self, seconds: float) -> None:
        """Returns once every call has ended and every answer was read, at the latest after so many
        seconds."""
        deadline = time.monotonic() + seconds
        while (self._calls or self.sessions) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)


class Admission:
    """Lets calls for texts in, or refuses them with a sentence; ends those that nobody reads.

    A call whose stream is not opened within UNREAD_SECONDS is abandoned, and so is one whose reader
    has gone. MCP's calls are admitted at its own door: what Gradio makes of them comes from this
    machine, with the number of the call that was admitted.

    end_stream: ends Gradio's stream of that name and whatever still writes to it.
    """

    def __init__(
        self,
        app: ASGIApp,
        ledger: Ledger,
        rates: Rates,
        trusted_proxies: int,
        calls: Calls,
        end_stream: Callable[[str], Awaitable[None]],
    ) -> None:
        self.app = app
        self.ledger = ledger
        self.rates = rates
        self.trusted_proxies = trusted_proxies
        self.calls = calls
        self.end_stream = end_stream
        self._sessions = ledger.sessions
        self._tasks: set[asyncio.Task[None]] = set()

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
        call = self.ledger.find(Headers(scope=scope))
        if call is None:
            scope = _without_number(scope)
            call = await self._admit(scope, send, sys.maxsize)
            if call is None:
                return
            if call.texts:
                scope = _with_number(scope, self.ledger.open(call))
        body = scope["state"]["body"]
        name = str(body.get("session_hash") or "") if "data" in body else ""
        # A call with a stream of its own has one that is not named yet.
        stream = name or secrets.token_urlsafe()
        self._join(stream, call)
        answered = _Answer(send)
        try:
            await self.app(scope, receive, answered.send)
        finally:
            event = answered.event_id()
            if not name:
                session = self._sessions.pop(stream)
                if event:
                    self._sessions[event] = session
            self._joined(name or event, call, event)

    async def _admit(self, scope: Scope, send: Send, at_most: int) -> Call | None:
        """A call that may enter, or None if it was refused."""
        texts = texts_asked_for(get_route_path(scope), scope["state"]["body"], self.calls)
        visitor = visitor_of(scope, self.trusted_proxies)
        if texts:
            refused = self.ledger.refusal(visitor, at_most)
            if refused is None and (rate := await self.rates.refusal("texts", visitor, texts)):
                refused = (429, rate)
            if refused:
                status, refusal = refused
                await asyncio.sleep(REFUSAL_SECONDS)
                await refusal.response(status)(scope, _nothing, send)
                return None
        return Call(visitor, texts)

    async def _enter_mcp(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope = _without_number(scope)
        call = await self._admit(scope, send, MCP_CALLS)
        if call is None:
            return
        if not call.texts:
            await self.app(scope, receive, send)
            return

        async def watched() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.ledger.abandon(call)
            return message

        number = self.ledger.open(call)
        # The answer of this request is all that its caller reads.
        self._sessions[number] = Session(calls={call}, readers=1)
        try:
            await self.app(_with_number(scope, number), watched, send)
        finally:
            self.ledger.abandon(call)
            del self._sessions[number]

    async def _read(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = self._stream_of(scope)
        session = self._sessions.get(name)
        if session is None:
            response = JSONResponse({"detail": UNKNOWN_EVENT}, 404)
            await response(scope, receive, send)
            return
        session.readers += 1
        session.changes += 1
        is_complete = False

        async def watched(message: Message) -> None:
            nonlocal is_complete
            await send(message)
            is_complete = message["type"] == "http.response.body" and not message.get("more_body")

        try:
            await self.app(scope, receive, watched)
        finally:
            session.readers -= 1
            if not session.readers and not session.joining:
                # Gradio completes a stream when its calls have ended; one that came meanwhile may
                # still be read.
                if is_complete and not all(call.has_ended for call in session.calls):
                    self._check_later(name, session)
                else:
                    self._end(name, session)

    def _stream_of(self, scope: Scope) -> str:
        path = get_route_path(scope)
        if path == STREAM:
            return str(QueryParams(scope["query_string"]).get("session_hash", ""))
        event = path.rstrip("/").rpartition("/")[2]
        return next((name for name, one in self._sessions.items() if event in one.events), "")

    def _join(self, name: str, call: Call) -> None:
        session = self._sessions.setdefault(name, Session())
        session.joining += 1
        session.changes += 1
        session.calls.add(call)

    def _joined(self, name: str, call: Call, event: str) -> None:
        """The call is in a stream, or it was refused: no event."""
        if not event:
            self.ledger.end(call)
        if not call.texts:
            # Soon done: nobody counts it, and its stream is all that must end.
            call.has_ended = True
        session = self._sessions.get(name)
        if session is None:
            return
        session.joining -= 1
        session.events |= {event} - {""}
        session.calls = {one for one in session.calls if not one.has_ended}
        if not session.readers:
            self._check_later(name, session)

    def _check_later(self, name: str, session: Session) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(UNREAD_SECONDS, self._check, name, session, session.changes)

    def _check(self, name: str, session: Session, changes: int) -> None:
        if session.changes == changes and not session.readers and not session.joining:
            self._end(name, session)

    def _end(self, name: str, session: Session) -> None:
        for call in session.calls:
            self.ledger.abandon(call)
        if self._sessions.pop(name, None):
            task = asyncio.ensure_future(self.end_stream(name))
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
        if self._status != 200:
            return ""
        body: Any = json.loads(self._body)
        return str(body.get("event_id") or "")


async def _nothing() -> Message:
    return {"type": "http.disconnect"}


def _without_number(scope: Scope) -> Scope:
    """Nobody else may name a call."""
    headers = [(name, value) for name, value in scope["headers"] if name != HEADER.encode()]
    return {**scope, "headers": headers}


def _with_number(scope: Scope, number: str) -> Scope:
    return {**scope, "headers": [*scope["headers"], (HEADER.encode(), number.encode())]}
