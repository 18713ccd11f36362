"""Visitors of the app under trial, each behind a proxy and with an address of its own."""

import asyncio
import itertools
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
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


async def visit(
    client: httpx.AsyncClient, url: str, began: threading.Event | None = None, **asked: Any
) -> Visit:
    """One text for a new visitor; `began` is set at its first word."""
    own, start, first, kind = headers(), time.monotonic(), 0.0, "cut"
    try:
        body = {"prompt": "Today", **asked}
        posted = await client.post(f"{url}/gradio_api/call/v2/generate", json=body, headers=own)
        if posted.status_code != 200:
            return Visit(_refusal(posted), 0.0, time.monotonic() - start)
        event = posted.json()["event_id"]
        async with client.stream("GET", url + stream_of(event), headers=own) as stream:
            async for line in stream.aiter_lines():
                name, _, data = line.partition(": ")
                if name == "event":
                    event = data
                if name != "data" or event == "heartbeat":
                    continue
                last = json.loads(data)
                kind = kind_of(last)
                if not first and isinstance(last, list) and last[0]["generated"]:
                    first = time.monotonic() - start
                    if began:
                        began.set()
    except httpx.HTTPError:
        kind = "cut"
    seconds = time.monotonic() - start
    return Visit(kind, first or seconds, seconds)


def _refusal(answer: httpx.Response) -> str:
    """Its status, and whether our sentence and a time to come back are with it."""
    has_sentence = answer.headers.get("retry-after") and answer.json().get("detail")
    return f"{answer.status_code}{'' if has_sentence else ' without a sentence'}"


def kind_of(last: Any) -> str:
    """Of a stream that ends with this: an update of `/generate`, or an error."""
    result = last[0] if isinstance(last, list) else last or {}
    if result.get("error"):
        return str(result["error"])
    return "text" if result.get("finish_reason") in FINISHED else "cut"


def visits(url: str, count: int, **asked: Any) -> list[Visit]:
    """One visitor after another."""

    async def come() -> list[Visit]:
        async with httpx.AsyncClient(timeout=PATIENCE_SECONDS) as client:
            seen = []
            for _ in range(count):
                seen.append(await visit(client, url, **asked))
                await asyncio.sleep(PAUSE_SECONDS)
            return seen

    return asyncio.run(come())


def crowd(url: str, count: int, began: threading.Event | None = None, **asked: Any) -> list[Visit]:
    """All at once."""

    async def come() -> list[Visit]:
        limits = httpx.Limits(max_connections=count)
        async with httpx.AsyncClient(timeout=PATIENCE_SECONDS, limits=limits) as client:
            return await asyncio.gather(*(visit(client, url, began, **asked) for _ in range(count)))

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


def request(url: str, method: str, path: str, body: str = "") -> str:
    """What a new visitor sends."""
    own = {**headers(), "host": urlsplit(url).netloc}
    if body:
        own |= {"accept": "application/json, text/event-stream", "content-length": str(len(body))}
    lines = (f"{name}: {value}" for name, value in own.items())
    return "\r\n".join((f"{method} {path} HTTP/1.1", *lines, "", body))


def opened(url: str, sent: str) -> socket.socket:
    """A connection on which this was sent."""
    where = urlsplit(url)
    connection = socket.create_connection((where.hostname, where.port), timeout=30)
    connection.sendall(sent.encode())
    return connection
