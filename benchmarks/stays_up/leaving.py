"""Visitors who leave, in every way that a client can."""

import re
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import psutil
from gradio_client import Client

from benchmarks import BenchmarkError
from benchmarks.page import browser
from benchmarks.stays_up import calls
from benchmarks.stays_up.app import FLAT, App
from benchmarks.stays_up.crowds import ROUTES
from benchmarks.trials import Row
from demo.server.admission import UNREAD_SECONDS
from tests.browser.actions import write

GRACE_SECONDS = 2.0
SETTLED_SECONDS = 30.0
# A thread or a connection more is the pool's.
SPARE = 8
# So many calls are let in at once.
HOLDING = 40
ABANDONED = 200
# So many leave at the same time.
TOGETHER = 8
# A tab of a browser takes a second.
CALLS_FOR_A_TAB = 10
# What the app logs of a text whose reader has left.
CANCELLED = "Text cancelled."


def abandoned(app: App) -> Iterator[Row]:
    """Each way in turn."""
    for way, leave in WAYS.items():
        try:
            yield _left(app, way, leave)
        except BenchmarkError as reason:
            yield Row(f"calls abandoned: {way}", str(reason), "", None)


def _left(app: App, way: str, leave: Callable[[str, int], int]) -> Row:
    bar = app.first_word_bar
    unread = UNREAD_SECONDS if leave in UNREAD else 0.0
    # Pools of threads are as large afterwards as so many need.
    leave(app.url, 10 if app.quick else HOLDING)
    time.sleep(unread + GRACE_SECONDS)
    calls.visits(app.url, 1)
    before = _held(app)
    ended = app.server.said().count(CANCELLED)
    count = leave(app.url, 10 if app.quick else ABANDONED)
    time.sleep(unread + GRACE_SECONDS)
    ended = app.server.said().count(CANCELLED) - ended
    (seen,) = calls.visits(app.url, 1)
    begun = time.monotonic()
    while not _is_back(now := _held(app), before) and time.monotonic() - begun < SETTLED_SECONDS:
        time.sleep(1)
        # Idle threads of a pool end when it is next used.
        calls.visits(app.url, 1)
    held = ", ".join(f"{name} {before[name]} → {number}" for name, number in now.items())
    return Row(
        f"{count} calls abandoned: {way}",
        f"{ended} of them ended in mid-text; next first word {seen.first:.2f} s; "
        f"after {time.monotonic() - begun:.0f} s {held}",
        f"first word within {bar:.2f} s after {GRACE_SECONDS:g} s, the rest as before within "
        f"{SETTLED_SECONDS:g} s (memory within {FLAT:.0%})",
        seen.kind == "text"
        and seen.first <= bar
        and _is_back(now, before)
        # Else nobody left in mid-text. One that nobody opens may come to its end.
        and (ended > count // 2 or leave in (*UNREAD, _no_texts)),
    )


def _held(app: App) -> Mapping[str, int]:
    """What the app holds at this moment."""
    process = psutil.Process(app.server.process.pid)
    return {
        "threads": process.num_threads(),
        "descriptors": process.num_fds(),
        "sockets": len(process.net_connections()),
        "MiB of both processes": round(app.server.memory_mib()),
    }


def _is_back(now: Mapping[str, int], before: Mapping[str, int]) -> bool:
    *counts, memory = (now[name] - number for name, number in before.items())
    return max(counts) <= SPARE and memory <= FLAT * before["MiB of both processes"]


def _each(leave: Callable[[str, str], object]) -> Callable[[str, int], int]:
    """Does it with each call, given the path of its answers; how many were let in."""

    def one(url: str) -> bool:
        event = calls.asked(url)
        if event:
            leave(url, calls.stream_of(event))
        return bool(event)

    return _times(one)


def _times(leave: Callable[[str], object]) -> Callable[[str, int], int]:
    """Does it so many times; returns how often something came of it."""

    def every(url: str, count: int) -> int:
        with ThreadPoolExecutor(TOGETHER) as pool:
            return sum(map(bool, pool.map(leave, [url] * count)))

    return every


def _cut_request(url: str, path: str) -> None:
    calls.opened(url, f"GET {path}").close()


def _read_some(url: str, path: str) -> socket.socket:
    reader = calls.opened(url, calls.request(url, "GET", path))
    reader.recv(64)
    return reader


def _close(url: str, path: str) -> None:
    _read_some(url, path).close()


def _half_close(url: str, path: str) -> None:
    with _read_some(url, path) as reader:
        reader.shutdown(socket.SHUT_WR)


def _reset(url: str, path: str) -> None:
    with _read_some(url, path) as reader:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _kill(url: str, path: str) -> None:
    command = ["curl", "--silent", "--no-buffer", url + path]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        reader.stdout.read(1)
        reader.kill()


def _mcp(url: str) -> bool:
    with calls.opened(url, calls.request(url, "POST", "/gradio_api/mcp/", calls.MCP_CALL)):
        # Gradio has begun to write by then.
        time.sleep(0.5)
    return True


def _cancel(url: str) -> bool:
    client = Client(url, headers=calls.headers(), verbose=False, analytics_enabled=False)
    job = client.submit("Today", **calls.LONG, api_name="/generate")
    next(iter(job))
    return bool(job.cancel())


def _other(url: str) -> bool:
    """Asks for everything that is no text, and reads no answer."""
    for method, path, body in OTHERS:
        calls.opened(url, calls.request(url, method, path, body)).close()
    return True


def _closed_tabs(url: str, count: int) -> int:
    count = max(2, count // CALLS_FOR_A_TAB)
    with browser() as opened:
        for _ in range(count):
            proxied = {"x-forwarded-for": calls.headers()["x-forwarded-for"]}
            page = opened.new_page(extra_http_headers=proxied)
            page.goto(url)
            card = write(page, "Today")
            card.locator(".cd-generated", has_text=re.compile(r"\w")).wait_for()
            page.close()
    return count


OTHERS = [route for route in ROUTES if "generate" not in route[1] + route[2]]
_no_texts = _times(_other)
UNREAD = (_each(lambda url, path: None), _each(_cut_request))
WAYS: Mapping[str, Callable[[str, int], int]] = {
    "the stream never asked for": UNREAD[0],
    "the GET cut before its end": UNREAD[1],
    "closed while read": _each(_close),
    "FIN while read": _each(_half_close),
    "RST while read": _each(_reset),
    "the reading process killed": _each(_kill),
    "the tab closed": _closed_tabs,
    "cancel()": _times(_cancel),
    "MCP, cut": _times(_mcp),
    f"{len(OTHERS)} other requests each, no answer read": _no_texts,
}
