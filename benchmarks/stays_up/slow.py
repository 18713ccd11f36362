"""Visitors who send or read hardly anything, and connections that do nothing."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from urllib.parse import urlsplit

import httpx

from benchmarks.stays_up import calls
from benchmarks.stays_up.app import FLAT, App, Row

DRIP_SECONDS = 0.5
# The buffer of who reads slowly: the page itself does not fit.
SLOW_BUFFER = 4_096
Opened = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Act = Callable[[str, int], Awaitable[None]]


def senders(app: App) -> Iterator[Row]:
    """Headers, or a body, a byte at a time."""
    yield _measured(app, 20 if app.quick else 200, "send a byte each half second", _send_slowly)


def readers(app: App) -> Iterator[Row]:
    """The page, or a stream of a text, a few bytes at a time."""
    yield _measured(app, 20 if app.quick else 200, "read 64 bytes each half second", _read_slowly)


def idle(app: App) -> Iterator[Row]:
    """Connections on which nothing was sent, or nothing more."""
    yield _measured(app, 100 if app.quick else 1_000, "keep an idle connection open", _idle)


def _measured(app: App, count: int, what: str, act: Act) -> Row:
    bar, before = app.first_word_bar, app.server.memory_mib()
    seen, memory = asyncio.run(_beside(app, count, act))
    grown = memory / before - 1
    return Row(
        f"{count} visitors who {what}",
        f"another's first word after {max(one.first for one in seen):.2f} s at worst, "
        f"{calls.told(one.kind for one in seen)}; memory {grown:+.1%}",
        f"a text, its first word within {bar:.2f} s; memory within {FLAT:.0%}",
        {one.kind for one in seen} == {"text"}
        and max(one.first for one in seen) <= bar
        and grown <= FLAT,
    )


async def _beside(app: App, count: int, act: Act) -> tuple[list[calls.Visit], float]:
    """What others see, and the memory, while so many are there."""
    seconds = 5.0 if app.quick else 25.0

    async def stay(number: int) -> None:
        while True:
            with suppress(OSError, asyncio.IncompleteReadError):
                await act(app.url, number)

    staying = [asyncio.create_task(stay(number)) for number in range(count)]
    # Texts that some of them asked for have been written by then.
    await asyncio.sleep(seconds)
    begun, seen = time.monotonic(), []
    async with httpx.AsyncClient(timeout=calls.PATIENCE_SECONDS) as client:
        while time.monotonic() - begun < seconds:
            seen.append(await calls.visit(client, app.url))
            await asyncio.sleep(1)
    memory = await asyncio.to_thread(app.server.memory_mib)
    for task in staying:
        task.cancel()
    await asyncio.gather(*staying, return_exceptions=True)
    return seen, memory


async def _send_slowly(url: str, number: int) -> None:
    own = "".join(f"{name}: {value}\r\n" for name, value in calls.headers().items())
    head = f"POST /count HTTP/1.1\r\nhost: {urlsplit(url).netloc}\r\n{own}"
    reader, writer = await _opened(url)
    try:
        if number % 2:
            # The head at once, and a body that takes an hour.
            writer.write(f"{head}content-length: 9000\r\n\r\n".encode())
            head = '{"text": "' + "a" * 9_000
        for character in head:
            writer.write(character.encode())
            await writer.drain()
            if await _has_ended(reader):
                return
    finally:
        writer.close()


async def _has_ended(reader: asyncio.StreamReader) -> bool:
    """Whether the server answered or closed within a drip."""
    with suppress(TimeoutError):
        async with asyncio.timeout(DRIP_SECONDS):
            await reader.read(64)
            return True
    return False


async def _read_slowly(url: str, number: int) -> None:
    request = "GET /"
    # No more than may wait at once.
    if number % 5 == 0:
        event = await asyncio.to_thread(calls.asked, url)
        request = calls.stream_of(event) if event else request
    reader, writer = await _opened(url)
    try:
        own = "".join(f"{name}: {value}\r\n" for name, value in calls.headers().items())
        head = f"{request} HTTP/1.1\r\nhost: {urlsplit(url).netloc}\r\n{own}\r\n"
        writer.write(head.encode())
        while await reader.read(64):
            await asyncio.sleep(DRIP_SECONDS)
        # A stream that was read to its end stays for a while.
        await asyncio.sleep(10 * DRIP_SECONDS)
    finally:
        writer.close()


async def _idle(url: str, number: int) -> None:
    reader, writer = await _opened(url)
    try:
        if number % 2:
            writer.write(f"GET /healthz HTTP/1.1\r\nhost: {urlsplit(url).netloc}\r\n\r\n".encode())
        while await reader.read(64):
            pass
    finally:
        writer.close()


async def _opened(url: str) -> Opened:
    where = urlsplit(url)
    own = socket.socket()
    own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_BUFFER)
    own.setblocking(False)
    await asyncio.get_running_loop().sock_connect(own, (where.hostname, where.port))
    return await asyncio.open_connection(sock=own, limit=SLOW_BUFFER)
