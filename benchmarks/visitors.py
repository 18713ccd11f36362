"""Visitors of a running demo: `python -m benchmarks.visitors URL`, a process of its own.

Knows what a browser sends and reads; must not know which app answers, nor how it was started.

A visitor does what the page does: `POST queue/join`, then `GET queue/data`, a stream of events
that tell what changed in the result. (Programs use `/call/`, whose every event repeats the whole
text; people are the many, so their way is measured.) All of a wave send at the same moment, each
on a connection of its own. One asyncio process plays them all, for it shares the cores with what
it measures; what it costs is in its report, one JSON document on stdout.
"""

import argparse
import asyncio
import dataclasses
import json
import sys
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp

from benchmarks.observations import OPENINGS, Visit, Wave
from demo.generation.request import GenerationRequest

API = "gradio_api"
# Printed once the newcomer is at the door: the app may be started.
AT_THE_DOOR = "at the door"
KNOCK_SECONDS = 0.02
FINISHED = ("end_of_tweet", "length")


class VisitFailed(RuntimeError):
    """No finished text came; the message says what came instead."""


@dataclass(frozen=True)
class Page:
    """What a browser knows once the page is there: its address, and the number of the
    function behind the button."""

    url: str
    function: int

    @classmethod
    async def load(cls, url: str) -> "Page":
        """Raises:
        VisitFailed: there is no such page (yet).
        """
        async with aiohttp.ClientSession() as session, session.get(f"{url}/config") as answer:
            if answer.status != 200:
                raise VisitFailed(f"{answer.status} for the page")
            config = await answer.json()
        functions = [one["id"] for one in config["dependencies"] if one["api_name"] == "generate"]
        return cls(url, functions[0])


async def wave(page: Page, visitors: int, tokens: int, first_seed: int, patience: float) -> Wave:
    """So many visitors at once, each with another seed."""
    start, cpu = asyncio.Barrier(visitors), time.process_time()
    requests = (_request(tokens, first_seed + number) for number in range(visitors))
    answers = await asyncio.gather(*(visit(page, one, start, patience) for one in requests))
    visits, engines = zip(*answers, strict=True)
    cpu = time.process_time() - cpu
    return Wave(visitors, tokens, " and ".join(sorted({*engines} - {""})), cpu, visits)


async def visit(
    page: Page, request: GenerationRequest, start: asyncio.Barrier, patience: float
) -> tuple[Visit, str]:
    """One text and its engine; whatever goes wrong is in the visit, and never raised."""
    watch = _Watch()
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(patience)) as session:
            await start.wait()
            watch = _Watch()
            record = await _record(session, page, request, watch)
    except (VisitFailed, aiohttp.ClientError, TimeoutError) as error:
        reason = f"{type(error).__name__}: {error}".removeprefix("VisitFailed: ")
        return Visit(watch.first, watch.seconds(), failure=reason), ""
    engine = f"{record['engine']} {record['precision']}"
    return Visit(watch.first, watch.seconds(), record["new_tokens"]), engine


async def newcomer(url: str, tokens: int, patience: float) -> Wave:
    """The first visitor of an app that is still starting: knocks until a text has come.

    The seconds are from the first knock, whatever the app answered until then.
    """
    watch, cpu = _Watch(), time.process_time()
    last, engine = Visit(None, 0.0, failure="nobody answered"), ""
    while watch.seconds() < patience and last.failure:
        await asyncio.sleep(KNOCK_SECONDS)
        if not await _is_open(url):
            continue
        before = watch.seconds()
        last, engine = await _first_visit(url, _request(tokens, 0), patience)
        if last.first_seconds is not None:
            last = last._replace(first_seconds=before + last.first_seconds)
    visits = (last._replace(seconds=watch.seconds()),)
    return Wave(1, tokens, engine, time.process_time() - cpu, visits)


async def _is_open(url: str) -> bool:
    """Whether anybody listens: asked often, and so without the cost of an HTTP client."""
    host, port = url.removeprefix("http://").split(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return False
    writer.close()
    return True


async def _first_visit(url: str, request: GenerationRequest, patience: float) -> tuple[Visit, str]:
    try:
        page = await Page.load(url)
    except (VisitFailed, aiohttp.ClientError) as error:
        return Visit(None, 0.0, failure=str(error)), ""
    return await visit(page, request, asyncio.Barrier(1), patience)


class _Watch:
    """Started when it is made; remembers when the first character came."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self.first: float | None = None

    def seconds(self) -> float:
        """Since the start, to a tenth of a millisecond."""
        return round(time.monotonic() - self._started, 4)

    def see_text(self) -> None:
        """Some text is there, and perhaps has been for long."""
        if self.first is None:
            self.first = self.seconds()


def _request(tokens: int, seed: int) -> GenerationRequest:
    """What somebody would ask who begins with one of the page's own examples."""
    return GenerationRequest(OPENINGS[seed % len(OPENINGS)], max_new_tokens=tokens, seed=seed)


async def _record(
    session: aiohttp.ClientSession, page: Page, request: GenerationRequest, watch: _Watch
) -> dict[str, Any]:
    """The finished record.

    Raises:
        VisitFailed: the app refused, failed, or cut the text off.
    """
    hash_ = uuid.uuid4().hex
    data = [request.prompt, *request.settings().values()]
    joining = {"data": data, "fn_index": page.function, "session_hash": hash_}
    async with session.post(f"{page.url}/{API}/queue/join", json=joining) as answer:
        if answer.status != 200:
            raise VisitFailed(f"{answer.status} {(await answer.text())[:200]}")
    record: dict[str, Any] | None = None
    async for event in _events(session, f"{page.url}/{API}/queue/data?session_hash={hash_}"):
        if event["msg"] == "process_generating" and _shows_text(event["output"]["data"][0]):
            watch.see_text()
        elif event["msg"] == "process_completed":
            record = _completed(event)
            watch.see_text()
    if record is None:
        raise VisitFailed("the stream ended before the text")
    return record


async def _events(session: aiohttp.ClientSession, address: str) -> AsyncIterator[dict[str, Any]]:
    async with session.get(address) as answer:
        if answer.status != 200:
            raise VisitFailed(f"{answer.status} for the events")
        async for line in answer.content:
            if line.startswith(b"data: "):
                yield json.loads(line[len(b"data: ") :])


def _shows_text(output: Any) -> bool:
    """Whether an update brought generated text: the first one is a whole record, the others
    are lists of differences (operation, path, value)."""
    if isinstance(output, dict):
        return bool(output.get("generated"))
    return any(path == ["generated"] and value for _, path, value in output)


def _completed(event: dict[str, Any]) -> dict[str, Any]:
    if not event["success"]:
        raise VisitFailed(str(event["output"].get("error") or "the app failed without a word"))
    record: dict[str, Any] = event["output"]["data"][0]
    if record["finish_reason"] not in FINISHED:
        raise VisitFailed(f"finish_reason {record['finish_reason']}")
    return record


async def _waves(arguments: argparse.Namespace) -> list[Wave]:
    if arguments.newcomer:
        print(AT_THE_DOOR, flush=True)
        return [await newcomer(arguments.url, arguments.tokens, arguments.patience)]
    page = await Page.load(arguments.url)
    seeds = range(0, arguments.waves * arguments.visitors, arguments.visitors)
    visitors, tokens, patience = arguments.visitors, arguments.tokens, arguments.patience
    return [await wave(page, visitors, tokens, seed, patience) for seed in seeds]


def main() -> int:
    """Visits, and prints a JSON list of waves."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.visitors", description=__doc__)
    parser.add_argument("url", help="where the demo is, without a slash at the end")
    parser.add_argument("--visitors", type=int, default=1, help="how many at once")
    parser.add_argument("--tokens", type=int, default=32, help="the longest text, in tokens")
    parser.add_argument("--waves", type=int, default=1, help="how often they come")
    parser.add_argument("--patience", type=float, default=120.0, help="seconds, for one text")
    parser.add_argument("--newcomer", action="store_true", help="come before the app is up")
    waves = asyncio.run(_waves(parser.parse_args()))
    print(json.dumps([dataclasses.asdict(one) for one in waves]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
