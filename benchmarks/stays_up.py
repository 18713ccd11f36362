"""`stays_up`: what one bad visitor, a crowd or an abandoned call costs everybody else.

The app runs as on a Space, behind one proxy that says who asks: each visitor has an address.
"""

import asyncio
import itertools
import json
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil

from benchmarks.checkpoints import QuickOption
from benchmarks.measuring import (
    RESULTS,
    ResultsOption,
    describe_run,
    table,
    write_page,
)
from benchmarks.servers import Server, free_address, running
from demo.settings import VARIABLES

START_SECONDS = 600
# A polite visitor's first word: within twice its quiet median, or so long.
FIRST_WORD_SECONDS = 0.5
REFUSAL_SECONDS = 1.0
CONNECTIONS = 64
SETTLED_SECONDS = 30
GREEDY_SECONDS = 8.0
ROUTES: Sequence[tuple[str, str, str]] = (
    ("POST", "/gradio_api/call/v2/generate", '{"prompt": "The"}'),
    ("POST", "/gradio_api/call/v2/generate_many", '{"prompt": "The"}'),
    ("POST", "/gradio_api/call/v2/detect", '{"text": "Nobody has better teapots than we do."}'),
    ("POST", "/count", '{"text": "Nobody has better teapots"}'),
    ("POST", "/guess/next", "{}"),
    ("GET", "/", ""),
    ("GET", "/config", ""),
    ("GET", "/readyz", ""),
    (
        "POST",
        "/gradio_api/mcp/",
        '{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params":'
        ' {"name": "generate", "arguments": {"prompt": "The"}}}',
    ),
)
_addresses = itertools.count(1)


@dataclass(frozen=True)
class Row:
    """A trial, what it is held to, what was seen, and whether that is within the bar."""

    trial: str
    bar: str
    seen: str
    holds: bool


def stays_up(quick: QuickOption = False, results: ResultsOption = RESULTS) -> int:
    """Runs every trial, prints and writes; 1 if one misses its bar."""
    url = free_address()
    limits = {one.name: one.default for one in VARIABLES if one.name.startswith("RATE_")}
    limits |= {"VISITOR_QUEUE": "60", "TRUSTED_PROXIES": "1"}
    with running(("app.py",), url, limits) as server:
        _wait_until_ready(server)
        quiet = statistics.median(_first_words(url, 3 if quick else 10))
        rows = [Row("quiet", "", f"first word {quiet:.2f} s", holds=True)]
        for crowd in (64, 200):
            rows.append(asyncio.run(_crowd(url, crowd // 8 if quick else crowd)))
            _say(rows[-1])
        for way, leave in WAYS.items():
            rows.append(_abandoned(server, way, leave, quick, quiet))
            _say(rows[-1])
        for route in ROUTES:
            rows.append(_greedy(url, route, quiet, 2 if quick else 6))
            _say(rows[-1])
    write_page(results / "stays_up.md", render(rows))
    return int(not all(row.holds for row in rows))


def render(rows: Sequence[Row]) -> list[str]:
    """The paragraphs of `stays_up.md`."""
    cells = [(row.trial, row.bar, row.seen, "yes" if row.holds else "no") for row in rows]
    return [
        "# Stays up",
        describe_run("stays_up"),
        "The embedded checkpoint with default settings, behind one proxy. All visitors share the "
        "machine's cores with the app.",
        table(("trial", "bar", "seen", "holds"), cells),
    ]


def _say(row: Row) -> None:
    print(f"{'ok  ' if row.holds else 'MISS'} {row.trial}: {row.seen}", flush=True)


def _wait_until_ready(server: Server) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        server.require_alive()
        try:
            if httpx.get(f"{server.url}/readyz").status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.2)


def _headers() -> dict[str, str]:
    """Those of a new visitor."""
    number = next(_addresses)
    address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    return {"content-type": "application/json", "x-forwarded-for": address}


async def _text(client: httpx.AsyncClient, url: str) -> tuple[str, float, float]:
    """What a new visitor got (a "text" or a status), when the first word came, and when all."""
    start, headers, first = time.monotonic(), _headers(), 0.0
    posted = await client.post(
        f"{url}/gradio_api/call/v2/generate", content='{"prompt": "Today"}', headers=headers
    )
    if posted.status_code != 200:
        said = posted.headers.get("retry-after") and posted.json().get("detail")
        kind = f"{posted.status_code}{'' if said else ' without a sentence'}"
        return kind, 0.0, time.monotonic() - start
    event = posted.json()["event_id"]
    stream = client.stream("GET", f"{url}/gradio_api/call/generate/{event}", headers=headers)
    last: Any = None
    async with stream as lines:
        async for line in lines.aiter_lines():
            if line.startswith("data: "):
                last = json.loads(line.removeprefix("data: "))
                if not first and isinstance(last, list) and last[0]["generated"]:
                    first = time.monotonic() - start
    whole = isinstance(last, list) and last[0]["finish_reason"] not in (None, "error")
    return "text" if whole else "cut", first, time.monotonic() - start


async def _crowd(url: str, count: int) -> Row:
    limits = httpx.Limits(max_connections=count)
    async with httpx.AsyncClient(timeout=300, limits=limits) as client:
        seen = await asyncio.gather(*(_text(client, url) for _ in range(count)))
    kinds = Counter(kind for kind, *_ in seen)
    refused = max((seconds for kind, _, seconds in seen if kind == "503"), default=0.0)
    holds = set(kinds) <= {"text", "503"} and refused <= REFUSAL_SECONDS
    told = ", ".join(f"{number} × {kind}" for kind, number in sorted(kinds.items()))
    return Row(
        f"{count} visitors at once",
        f"a text, or 503 with a sentence and Retry-After within {REFUSAL_SECONDS:g} s",
        f"{told}; the last refusal after {refused:.2f} s",
        holds,
    )


def _first_words(url: str, count: int) -> list[float]:
    async def visit() -> list[float]:
        async with httpx.AsyncClient(timeout=300) as client:
            seen = []
            for _ in range(count):
                kind, first, seconds = await _text(client, url)
                seen.append(first if kind == "text" else seconds)
                await asyncio.sleep(0.3)
            return seen

    return asyncio.run(visit())


def _post(url: str) -> str:
    posted = httpx.post(
        f"{url}/gradio_api/call/v2/generate", content='{"prompt": "Today"}', headers=_headers()
    )
    return str(posted.json().get("event_id", ""))


def _open(url: str, event: str) -> socket.socket:
    where = urlsplit(url)
    reader = socket.create_connection((where.hostname, where.port))
    path = f"/gradio_api/call/generate/{event}"
    reader.sendall(f"GET {path} HTTP/1.1\r\nHost: {where.netloc}\r\n\r\n".encode())
    reader.recv(64)
    return reader


def _never_read(url: str) -> None:
    _post(url)


def _leave(url: str) -> None:
    if event := _post(url):
        _open(url, event).close()


def _reset(url: str) -> None:
    if event := _post(url):
        reader = _open(url, event)
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        reader.close()


WAYS: dict[str, Callable[[str], None]] = {
    "never read": _never_read,
    "closed while read": _leave,
    "reset while read": _reset,
}


def _abandoned(
    server: Server, way: str, leave: Callable[[str], None], quick: bool, quiet: float
) -> Row:
    count = 10 if quick else 200
    app = psutil.Process(server.process.pid)

    def held() -> tuple[int, int]:
        return app.num_threads(), app.num_fds()

    before, memory = held(), server.memory_mib()
    for _ in range(count):
        leave(server.url)
    if leave is _never_read:
        # Until then, somebody might still open the stream.
        time.sleep(5)
    time.sleep(2)
    (first,) = _first_words(server.url, 1)
    time.sleep(1 if quick else SETTLED_SECONDS)
    after, grown = held(), server.memory_mib() / memory - 1
    bound = max(2 * quiet, FIRST_WORD_SECONDS)
    # A thread or a connection more is the pool's.
    holds = first <= bound and all(b <= a + 8 for a, b in zip(before, after, strict=True))
    return Row(
        f"{count} calls {way}",
        f"first word within {bound:.2f} s, threads and descriptors as before",
        f"first word {first:.2f} s; threads {before[0]} → {after[0]}, descriptors {before[1]} → "
        f"{after[1]}, memory {grown:+.1%}",
        holds,
    )


def _greedy(url: str, route: tuple[str, str, str], quiet: float, visits: int) -> Row:
    method, path, _ = route
    bound = max(2 * quiet, FIRST_WORD_SECONDS)
    address = _headers()["x-forwarded-for"]
    command = [sys.executable, "-m", "benchmarks.greedy", url, *route, address]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as greedy:
        time.sleep(GREEDY_SECONDS / 2)
        seen = _first_words(url, visits)
        told, _ = greedy.communicate("")
    first = statistics.median(seen)
    return Row(
        f"{CONNECTIONS} connections of one visitor: {method} {path}",
        f"another's first word within {bound:.2f} s",
        f"{first:.2f} s (worst {max(seen):.2f} s); the greedy one got {told.strip()}",
        first <= bound,
    )
