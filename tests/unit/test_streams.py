"""When a stream of answers ends: nobody opens it, its reader is cut, or all of it was read."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
from starlette.responses import JSONResponse
from starlette.types import Message, Receive, Scope, Send

from demo.server import admission
from demo.server.admission import Admission, Ledger
from demo.server.calls import NUMBERED_CALL, STREAM, Signature
from demo.server.rates import Rates

NAME = "session"
UNREAD_SECONDS = 0.1
CROWD = 9


class Server:
    """An app behind Admission that adds calls to one stream."""

    def __init__(self) -> None:
        self.ledger, self.ended, self.may_join = Ledger(), asyncio.Event(), asyncio.Event()
        self.may_join.set()
        self.taken, self.statuses = 0, list[int]()
        self._over: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._app = Admission(
            self._answer, self.ledger, Rates({"texts": []}, 1), CROWD, visitor_calls=CROWD,
            calls={1: Signature({}, asks_for_texts=True), 2: Signature({})}, end_stream=self._end,
        )  # fmt: skip

    async def call(self, number: int = 1) -> None:
        body = {"data": [], "fn_index": number, "session_hash": NAME}
        await self._ask("POST", NUMBERED_CALL, state={"visitor": "", "body": body})

    async def read(self, is_complete: bool) -> None:
        """Reads for a moment; then the stream is complete, or its reader is cut."""
        asyncio.get_running_loop().call_soon(self._over.set_result, is_complete)
        await self._ask("GET", STREAM)
        self._over = asyncio.get_running_loop().create_future()

    async def is_over(self) -> bool:
        """Whether the stream ends now, and not only because nobody comes to read it."""
        await asyncio.sleep(UNREAD_SECONDS / 2)
        return self.ended.is_set()

    async def _ask(self, method: str, path: str, **more: object) -> None:
        async def receive() -> Message:
            raise AssertionError

        async def send(message: Message) -> None:
            if "status" in message:
                self.statuses.append(message["status"])

        scope = {"type": "http", "method": method, "path": path, "headers": [],
                 "query_string": f"session_hash={NAME}".encode(), **more}  # fmt: skip
        await self._app(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST":
            self.taken += 1
            event = str(self.taken)
            await self.may_join.wait()
            await JSONResponse({"event_id": event})(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        more = not await self._over
        await send({"type": "http.response.body", "body": b"", "more_body": more})

    async def _end(self, name: str) -> None:
        assert name == NAME
        self.ended.set()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "UNREAD_SECONDS", UNREAD_SECONDS)


def play(visit: Callable[[Server], Awaitable[None]]) -> None:
    async def main() -> None:
        server = Server()
        await visit(server)
        await server.ended.wait()
        assert (server.ledger.visitors(), server.ledger.streams) == ([], {})

    asyncio.run(asyncio.wait_for(main(), 5))


def test_a_stream_that_nobody_opens_ends_after_a_while() -> None:
    async def visit(server: Server) -> None:
        await server.call()
        assert not await server.is_over()

    play(visit)


def test_a_server_that_was_busy_for_as_long_still_takes_its_reader() -> None:
    async def visit(server: Server) -> None:
        await server.call()
        time.sleep(UNREAD_SECONDS)
        # The turns of the loop in which it takes the request.
        for _ in range(3):
            await asyncio.sleep(0)
        assert not server.ended.is_set()
        await server.read(is_complete=True)

    play(visit)


def test_one_whose_reader_is_cut_ends_at_once() -> None:
    async def visit(server: Server) -> None:
        await server.call()
        await server.read(is_complete=False)
        assert await server.is_over()

    play(visit)


def test_one_that_is_complete_waits_for_the_reader_of_a_call_that_came_meanwhile() -> None:
    async def visit(server: Server) -> None:
        await server.call()
        await server.read(is_complete=True)
        for _ in range(3):
            assert not await server.is_over()
            await server.read(is_complete=True)
        assert server.ledger.visitors()

    play(visit)


def test_one_whose_calls_have_ended_is_over_once_it_was_read() -> None:
    async def visit(server: Server) -> None:
        await server.call()
        (call,) = server.ledger.streams[NAME].calls.values()
        server.ledger.end(call)
        await server.read(is_complete=True)
        assert await server.is_over()

    play(visit)


def test_a_reader_who_is_cut_while_a_call_joins_does_not_end_it() -> None:
    async def visit(server: Server) -> None:
        await server.call()
        server.may_join.clear()
        joining = asyncio.create_task(server.call())
        await asyncio.sleep(0)
        await server.read(is_complete=False)
        assert not await server.is_over()
        server.may_join.set()
        await joining
        assert len(server.ledger.visitors()) == 2

    play(visit)


def test_of_a_crowd_the_refused_hear_so_before_the_others_are_taken() -> None:
    async def visit(server: Server) -> None:
        server.may_join.clear()
        calls = [asyncio.create_task(server.call()) for _ in range(CROWD)]
        await asyncio.sleep(0)
        await server.call()
        assert (server.statuses, server.taken) == ([429], 1)
        server.may_join.set()
        await asyncio.gather(*calls)
        assert (server.statuses[1:], server.taken) == ([200] * CROWD, CROWD)

    play(visit)


def test_calls_that_ask_for_no_text_hold_up_none_that_does() -> None:
    async def visit(server: Server) -> None:
        server.may_join.clear()
        calls = [asyncio.create_task(server.call(number)) for number in (2, 2, 1)]
        await asyncio.sleep(0)
        assert server.taken == 3
        server.may_join.set()
        await asyncio.gather(*calls)

    play(visit)
