"""Visitors who send or read hardly anything, and connections that do nothing."""

import asyncio
import random
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from urllib.parse import urlsplit

from benchmarks.stays_up import calls
from benchmarks.stays_up.app import FLAT, App
from benchmarks.trials import Row

DRIP_SECONDS = 0.5
# Until then, the texts that some of them ask for are written, and those who are too slow have been
# sent away and come back.
SETTLING_SECONDS = 15.0
MEASURED_SECONDS = 15.0
# As long as the server keeps an idle connection.
IDLE_SECONDS = 5.0
# The buffer of who reads slowly: the page itself does not fit.
SLOW_BUFFER = 4_096
# What a visitor of such a number does with a connection of its own.
Act = Callable[[str, int, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


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
    worst, grown = max(one.first for one in seen), memory / before - 1
    return Row(
        f"{count} visitors who {what}",
        f"another's first word after {worst:.2f} s at worst, "
        f"{calls.told(one.kind for one in seen)}; memory {grown:+.1%}",
        f"a text, its first word within {bar:.2f} s; memory within {FLAT:.0%}",
        {one.kind for one in seen} == {"text"} and worst <= bar and grown <= FLAT,
    )


async def _beside(app: App, count: int, act: Act) -> tuple[list[calls.Visit], float]:
    """What others see, and the memory, while so many are there."""
    staying = [asyncio.create_task(_stay(app.url, number, act)) for number in range(count)]
    await asyncio.sleep(5.0 if app.quick else SETTLING_SECONDS)
    begun, seen = time.monotonic(), []
    while time.monotonic() - begun < (5.0 if app.quick else MEASURED_SECONDS):
        seen.append(await calls.visit(app.url))
        await asyncio.sleep(1)
    memory = await asyncio.to_thread(app.server.memory_mib)
    for task in staying:
        task.cancel()
    await asyncio.gather(*staying, return_exceptions=True)
    return seen, memory


async def _stay(url: str, number: int, act: Act) -> None:
    """Comes back whenever the server has closed the connection."""
    where = urlsplit(url)
    while True:
        with suppress(OSError):
            own = socket.socket()
            own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW_BUFFER)
            own.setblocking(False)
            await asyncio.get_running_loop().sock_connect(own, (where.hostname, where.port))
            reader, writer = await asyncio.open_connection(sock=own, limit=SLOW_BUFFER)
            try:
                await act(url, number, reader, writer)
            finally:
                writer.close()


async def _send_slowly(
    url: str, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    slow = calls.request(url, "POST", "/count", '{"text": "' + "a" * 9_000)
    if number % 2:
        # The head at once, and a body that takes an hour.
        head, end, slow = slow.partition("\r\n\r\n")
        writer.write((head + end).encode())
    for character in slow:
        writer.write(character.encode())
        await writer.drain()
        with suppress(TimeoutError):
            await asyncio.wait_for(reader.read(64), DRIP_SECONDS)
            # The server has answered, or closed.
            return


async def _read_slowly(
    url: str, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    # No more texts than may wait at once.
    event = "" if number % 5 else await asyncio.to_thread(calls.asked, url)
    path = calls.stream_of(event) if event else "/"
    writer.write(calls.request(url, "GET", path).encode())
    while await reader.read(64):
        await asyncio.sleep(DRIP_SECONDS)
    # A stream that was read to its end stays for a while.
    await asyncio.sleep(10 * DRIP_SECONDS)


async def _idle(
    url: str, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    if number % 2:
        writer.write(calls.request(url, "GET", "/healthz").encode())
    while await reader.read(64):
        pass
    # The server closes all of them in the same second. None of them has a reason to come back then.
    await asyncio.sleep(random.uniform(0, IDLE_SECONDS))
