"""Visitors who leave, in every way that a client can."""

import json
import multiprocessing
import re
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import astuple, dataclass
from multiprocessing.connection import Connection

import httpx
import psutil

from benchmarks.stays_up import calls
from benchmarks.stays_up.app import FLAT, App, NotHere, Row
from benchmarks.stays_up.browser import chromium

# Until then, somebody might still open the stream.
UNREAD_SECONDS = 5.0
GRACE_SECONDS = 2.0
SETTLED_SECONDS = 30.0
# A thread or a connection more is the pool's.
SPARE = 8
# So many calls are let in at once.
HOLDING = 40
TABS = 20
# What the app logs of a text whose reader has left.
CANCELLED = "Text cancelled."
MCP_CALL = json.dumps(
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "generate", "arguments": {"prompt": "Today", **calls.LONG}},
    }
)


@dataclass(frozen=True)
class Held:
    """What the app holds: memory in MiB, of both of its processes."""

    threads: int
    descriptors: int
    sockets: int
    memory: float

    @classmethod
    def by(cls, app: App) -> "Held":
        """At this moment."""
        process = psutil.Process(app.server.process.pid)
        sockets = len(process.net_connections())
        return cls(process.num_threads(), process.num_fds(), sockets, app.server.memory_mib())

    def is_back_at(self, before: "Held") -> bool:
        """Whether nothing is held that was not before."""
        pairs = zip(astuple(self)[:3], astuple(before)[:3], strict=True)
        return all(now <= then + SPARE for now, then in pairs) and (
            self.memory <= before.memory * (1 + FLAT)
        )


def abandoned(app: App) -> Iterator[Row]:
    """Each way in turn."""
    for way, leave in WAYS.items():
        try:
            yield _left(app, way, leave)
        except NotHere as reason:
            yield Row(f"calls abandoned: {way}", str(reason), "", None)


def _left(app: App, way: str, leave: Callable[[str, int], int]) -> Row:
    bar = app.first_word_bar
    unread = UNREAD_SECONDS if leave in (_never_opened, _request_cut) else 0.0
    # Pools of threads are as large afterwards as so many need.
    leave(app.url, 10 if app.quick else HOLDING)
    time.sleep(unread + GRACE_SECONDS)
    calls.visits(app.url, 1)
    before = Held.by(app)
    ended = app.server.said().count(CANCELLED)
    count = leave(app.url, 10 if app.quick else 200)
    time.sleep(unread + GRACE_SECONDS)
    ended = app.server.said().count(CANCELLED) - ended
    (seen,) = calls.visits(app.url, 1)
    begun = time.monotonic()
    while not (now := Held.by(app)).is_back_at(before):
        if time.monotonic() - begun > SETTLED_SECONDS:
            break
        time.sleep(1)
        # Idle threads of a pool end when it is next used.
        calls.visits(app.url, 1)
    kept = ", ".join(
        f"{name} {then} → {later}"
        for name, then, later in zip(
            ("threads", "descriptors", "sockets"), astuple(before), astuple(now), strict=False
        )
    )
    return Row(
        f"{count} calls abandoned: {way}",
        f"{ended} of them ended in mid-text; next first word {seen.first:.2f} s; "
        f"after {time.monotonic() - begun:.0f} s {kept}, "
        f"memory {now.memory / before.memory - 1:+.1%}",
        f"first word within {bar:.2f} s after {GRACE_SECONDS:g} s, the rest as before within "
        f"{SETTLED_SECONDS:g} s (memory within {FLAT:.0%})",
        seen.kind == "text"
        and seen.first <= bar
        and now.is_back_at(before)
        # Else nobody left in mid-text. One that nobody opens may come to its end.
        and (ended > count // 2 or bool(unread)),
    )


def _never_opened(url: str, count: int) -> int:
    return sum(bool(calls.asked(url)) for _ in range(count))


def _each(leave: Callable[[str, str], None]) -> Callable[[str, int], int]:
    """Does it with one call after another; how many of them were let in."""

    def every(url: str, count: int) -> int:
        events = 0
        for _ in range(count):
            if event := calls.asked(url):
                events += 1
                leave(url, event)
        return events

    return every


def _read_some(url: str, event: str) -> socket.socket:
    reader = calls.opened(url, calls.stream_of(event))
    reader.recv(64)
    return reader


def _cut_request(url: str, event: str) -> None:
    with socket.create_connection(_address(url)) as connection:
        connection.sendall(calls.stream_of(event).encode())


def _close(url: str, event: str) -> None:
    _read_some(url, event).close()


def _half_close(url: str, event: str) -> None:
    with _read_some(url, event) as reader:
        reader.shutdown(socket.SHUT_WR)


def _reset(url: str, event: str) -> None:
    with _read_some(url, event) as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _address(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("http://").partition(":")
    return host, int(port)


def _mcp(url: str, count: int) -> int:
    for _ in range(count):
        with calls.opened(url, "POST /gradio_api/mcp/", MCP_CALL):
            # Gradio has begun to write by then.
            time.sleep(0.1)
    return count


def _cancel(url: str, count: int) -> int:
    """As gradio_client's `Job.cancel()`: it tells the server, and reads no more."""
    functions = httpx.get(f"{url}/config", timeout=30).json()["dependencies"]
    (number,) = (one["id"] for one in functions if one["api_name"] == "generate")
    cancelled = 0
    for i in range(count):
        session = {"session_hash": f"cancel{i}", "fn_index": number}
        with httpx.Client(base_url=f"{url}/gradio_api", headers=calls.headers(), timeout=30) as one:
            data = ["Today", 200, 1.4, 0.95, 0, 1.0, 1]
            joined = one.post("/queue/join", json={"data": data, **session})
            if joined.status_code != 200:
                continue
            event = joined.json()["event_id"]
            params = {"session_hash": session["session_hash"]}
            with one.stream("GET", "/queue/data", params=params) as stream:
                next(stream.iter_bytes())
                one.post("/cancel", json={**session, "event_id": event}).raise_for_status()
                cancelled += 1
    return cancelled


def _killed(url: str, count: int) -> int:
    """Processes that hold streams open until they are killed."""
    spawn, left = multiprocessing.get_context("spawn"), 0
    for first in range(0, count, HOLDING):
        answers, sender = spawn.Pipe(duplex=False)
        events = [calls.asked(url) for _ in range(first, min(first + HOLDING, count))]
        process = spawn.Process(target=_hold, args=(sender, url, events))
        process.start()
        left += answers.recv()
        process.kill()
        process.join()
    return left


def _hold(sender: Connection, url: str, events: list[str]) -> None:
    with ExitStack() as stack:
        held = [stack.enter_context(_read_some(url, event)) for event in events if event]
        sender.send(len(held))
        time.sleep(600)


def _closed_tabs(url: str, count: int) -> int:
    """Tabs of a browser that are closed while a text is written: fewer, each takes a second."""
    count = max(2, count * TABS // 200)
    with chromium() as browser:
        for _ in range(count):
            context = browser.new_context(extra_http_headers=_proxied())
            page = context.new_page()
            page.goto(url)
            page.get_by_label("Your opening words").fill("Today")
            page.get_by_label("Your opening words").press("Enter")
            page.locator(".cd-card .cd-generated", has_text=re.compile(r"\w")).first.wait_for()
            page.close()
            context.close()
    return count


def _proxied() -> dict[str, str]:
    return {name: text for name, text in calls.headers().items() if name == "x-forwarded-for"}


_request_cut = _each(_cut_request)
WAYS: Mapping[str, Callable[[str, int], int]] = {
    "the stream never asked for": _never_opened,
    "the GET cut before its end": _request_cut,
    "closed while read": _each(_close),
    "FIN while read": _each(_half_close),
    "RST while read": _each(_reset),
    "the reading process killed": _killed,
    "the tab closed": _closed_tabs,
    "cancel()": _cancel,
    "MCP, cut": _mcp,
}
