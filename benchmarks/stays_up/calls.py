"""Visitors of the app under trial, each behind a proxy and with an address of its own."""

import asyncio
import itertools
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

# Between two visits that are not meant to be a crowd.
PAUSE_SECONDS = 0.3
PATIENCE_SECONDS = 120.0
FINISHED = ("end_of_tweet", "length")
# What is still written a second later.
LONG: Mapping[str, Any] = {"max_new_tokens": 200, "temperature": 1.4}
MCP_CALL = json.dumps(
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "generate", "arguments": {"prompt": "Today", **LONG}},
    }
)
_addresses = itertools.count(1)


@dataclass(frozen=True)
class Visit:
    """What a visitor got: a "text"; the sentence that came instead, or after its beginning; the
    status of a refusal; or "cut". When the first word came, and when all was over."""

    kind: str
    first: float
    seconds: float


def headers() -> dict[str, str]:
    """Those of a new visitor."""
    number = next(_addresses)
    address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    return {"content-type": "application/json", "x-forwarded-for": address}


async def visit(url: str, began: threading.Event | None = None, **asked: Any) -> Visit:
    """One text for a new visitor; `began` is set at its first word.

    By hand: with a library, a crowd would take as much of the machine as the app.
    """
    own, start = {**headers(), "connection": "close"}, time.monotonic()
    first, kind = 0.0, "cut"
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            body = json.dumps({"prompt": "Today", **asked})
            posted = request(url, "POST", "/gradio_api/call/v2/generate", body, own)
            async with _answer(url, posted) as (head, reader):
                answer = json.loads(await reader.read())
            if not head.startswith("HTTP/1.1 200"):
                return Visit(_refusal(head, answer), 0.0, time.monotonic() - start)
            name, path = "", stream_of(answer["event_id"])
            async with _answer(url, request(url, "GET", path, own=own)) as (_, reader):
                async for line in reader:
                    field, _, data = line.decode().rstrip().partition(": ")
                    if field == "event":
                        name = data
                    if field != "data" or name == "heartbeat":
                        continue
                    last = json.loads(data)
                    kind = kind_of(last)
                    if not first and isinstance(last, list) and last[0]["generated"]:
                        first = time.monotonic() - start
                        if began:
                            began.set()
    except (OSError, EOFError, TimeoutError, ValueError):
        kind = "cut"
    seconds = time.monotonic() - start
    return Visit(kind, first or seconds, seconds)


@asynccontextmanager
async def _answer(url: str, sent: str) -> AsyncIterator[tuple[str, asyncio.StreamReader]]:
    """The head of the answer to this, and what follows it until the server closes."""
    where = urlsplit(url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    try:
        writer.write(sent.encode())
        head = await reader.readuntil(b"\r\n\r\n")
        yield head.decode(), reader
    finally:
        writer.close()


def _refusal(head: str, answer: Mapping[str, Any]) -> str:
    """Its status, and whether our sentence and a time to come back are with it."""
    has_sentence = "\r\nretry-after: " in head and answer.get("detail")
    return f"{head.split()[1]}{'' if has_sentence else ' without a sentence'}"


def kind_of(last: Any) -> str:
    """Of a stream that ends with this: an update of `/generate`, or an error."""
    result = last[0] if isinstance(last, list) else last or {}
    if result.get("error"):
        return str(result["error"])
    return "text" if result.get("finish_reason") in FINISHED else "cut"


def visits(url: str, count: int, **asked: Any) -> list[Visit]:
    """One visitor after another."""

    async def come() -> list[Visit]:
        seen = []
        for _ in range(count):
            seen.append(await visit(url, **asked))
            await asyncio.sleep(PAUSE_SECONDS)
        return seen

    return asyncio.run(come())


def crowd(url: str, count: int, began: threading.Event | None = None, **asked: Any) -> list[Visit]:
    """All at once."""

    async def come() -> list[Visit]:
        return await asyncio.gather(*(visit(url, began, **asked) for _ in range(count)))

    return asyncio.run(come())


def told(kinds: Iterable[str]) -> str:
    """How many of each kind."""
    counts = sorted(Counter(kinds).items())
    return ", ".join(f"{number} × {kind}" for kind, number in counts)


def asked(url: str) -> str:
    """The event of a call for a long text by a new visitor; empty if it was refused."""
    address = f"{url}/gradio_api/call/v2/generate"
    posted = httpx.post(address, json={"prompt": "Today", **LONG}, headers=headers(), timeout=30)
    return str(posted.json().get("event_id", ""))


def stream_of(event: str) -> str:
    """The path of the call's answers."""
    return f"/gradio_api/call/generate/{event}"


def request(
    url: str, method: str, path: str, body: str = "", own: Mapping[str, str] | None = None
) -> str:
    """What a visitor with these headers sends, by default a new one."""
    fields = {**(own or headers()), "host": urlsplit(url).netloc}
    if body:
        fields |= {"accept": "application/json, text/event-stream"}
        fields |= {"content-length": str(len(body))}
    lines = (f"{name}: {value}" for name, value in fields.items())
    return "\r\n".join((f"{method} {path} HTTP/1.1", *lines, "", body))


def opened(url: str, sent: str) -> socket.socket:
    """A connection on which this was sent."""
    where = urlsplit(url)
    connection = socket.create_connection((where.hostname, where.port), timeout=30)
    connection.sendall(sent.encode())
    return connection
