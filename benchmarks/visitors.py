"""Visitors of a running demo, who do what the page in a browser does.

That is `POST queue/join`, then `GET queue/data`: a stream of events that say what changed in the
result. (Programs use `/call/`, whose every event repeats the whole text; most visitors are people,
so their way is measured.) All visitors of a wave send at the same moment, each on a connection of
its own. One asyncio process plays them all, since it shares the cores with what it measures; the
CPU it takes is part of the result.
"""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

from benchmarks import BenchmarkError
from benchmarks.report import Visit, Wave
from demo.generation.request import GenerationRequest

# What the visitors begin with, in turn.
PROMPTS = ("Why does the lying news media", "The democrats have", "Today I'll be")
API = "gradio_api"
RETRY_SECONDS = 0.02
FINISHED = ("end_of_tweet", "length")


class VisitFailed(BenchmarkError):
    """No finished text came; the message says what came instead."""


def is_imported() -> None:
    """Returns once a fresh process can play visitors."""


def send_waves(url: str, visitors: int, tokens: int, count: int, patience: float) -> list[Wave]:
    """`count` waves of `visitors` at once, each for a text of at most `tokens` tokens.

    A visitor gives up after `patience` seconds. Every visitor has another seed.

    Raises VisitFailed if there is no page."""
    return asyncio.run(_waves(url, visitors, tokens, count, patience))


def send_first_visitor(url: str, tokens: int, patience: float) -> Wave:
    """The first visitor of an app that is still starting: tries until a text has come.

    The seconds count from the first attempt, whatever the app answered until then.
    """
    return asyncio.run(_first_visitor(url, tokens, patience))


class _Watch:
    """Starts when it is made, and notes when the first character came."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self.first: float | None = None

    def seconds(self) -> float:
        """Since the start, to a tenth of a millisecond."""
        return round(time.monotonic() - self._started, 4)

    def see_text(self) -> None:
        if self.first is None:
            self.first = self.seconds()


async def _waves(url: str, visitors: int, tokens: int, count: int, patience: float) -> list[Wave]:
    function = await _find_function(url)
    waves = []
    for first_seed in range(0, count * visitors, visitors):
        start, cpu = asyncio.Barrier(visitors), time.process_time()
        requests = (_request(tokens, first_seed + number) for number in range(visitors))
        answers = await asyncio.gather(
            *(_visit(url, function, one, start, patience) for one in requests)
        )
        visits, engines = zip(*answers, strict=True)
        cpu = time.process_time() - cpu
        waves.append(Wave(visitors, tokens, " and ".join(sorted({*engines} - {""})), cpu, visits))
    return waves


async def _first_visitor(url: str, tokens: int, patience: float) -> Wave:
    watch, cpu = _Watch(), time.process_time()
    last, engine = Visit(None, 0.0, failure="nobody answered"), ""
    while watch.seconds() < patience and last.failure:
        await asyncio.sleep(RETRY_SECONDS)
        if not await _is_listening(url):
            continue
        before = watch.seconds()
        try:
            function = await _find_function(url)
        except (VisitFailed, aiohttp.ClientError) as error:
            last = Visit(None, 0.0, failure=str(error))
            continue
        request, start = _request(tokens, 0), asyncio.Barrier(1)
        last, engine = await _visit(url, function, request, start, patience)
        if last.first_seconds is not None:
            last = last._replace(first_seconds=before + last.first_seconds)
    visits = (last._replace(seconds=watch.seconds()),)
    return Wave(1, tokens, engine, time.process_time() - cpu, visits)


async def _is_listening(url: str) -> bool:
    """Asked often, and so without the cost of an HTTP client."""
    host, port = url.removeprefix("http://").split(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return False
    writer.close()
    return True


async def _find_function(url: str) -> int:
    """The id of the function behind the page's button. Raises VisitFailed if there is no such page
    (yet)."""
    async with aiohttp.ClientSession() as session, session.get(f"{url}/config") as answer:
        if answer.status != 200:
            raise VisitFailed(f"{answer.status} for the page")
        config = await answer.json()
    return next(int(one["id"]) for one in config["dependencies"] if one["api_name"] == "generate")


def _request(tokens: int, seed: int) -> GenerationRequest:
    return GenerationRequest(PROMPTS[seed % len(PROMPTS)], max_new_tokens=tokens, seed=seed)


async def _visit(
    url: str, function: int, request: GenerationRequest, start: asyncio.Barrier, patience: float
) -> tuple[Visit, str]:
    """One text and its engine; whatever goes wrong is in the visit, and never raised."""
    watch = _Watch()
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(patience)) as session:
            await start.wait()
            watch = _Watch()
            record = await _record(session, f"{url}/{API}/queue", function, request, watch)
    except (VisitFailed, aiohttp.ClientError, TimeoutError) as error:
        reason = f"{type(error).__name__}: {error}".removeprefix("VisitFailed: ")
        return Visit(watch.first, watch.seconds(), failure=reason), ""
    engine = f"{record['engine']} {record['precision']}"
    return Visit(watch.first, watch.seconds(), record["new_tokens"]), engine


async def _record(
    session: aiohttp.ClientSession,
    queue: str,
    function: int,
    request: GenerationRequest,
    watch: _Watch,
) -> dict[str, Any]:
    """The finished record. Raises VisitFailed if the app refused, failed, or cut the text off."""
    session_hash = uuid.uuid4().hex
    data = [request.prompt, *request.settings().values()]
    joining = {"data": data, "fn_index": function, "session_hash": session_hash}
    async with session.post(f"{queue}/join", json=joining) as answer:
        if answer.status != 200:
            raise VisitFailed(f"{answer.status} {(await answer.text())[:200]}")
    record: dict[str, Any] | None = None
    async for event in _events(session, f"{queue}/data?session_hash={session_hash}"):
        if event["msg"] == "process_generating" and _shows_text(event["output"]["data"][0]):
            watch.see_text()
        elif event["msg"] == "process_completed":
            if not event["success"]:
                error = event["output"].get("error")
                raise VisitFailed(str(error or "the app failed without a message"))
            record = event["output"]["data"][0]
            watch.see_text()
    if record is None:
        raise VisitFailed("the stream ended before the text")
    if record["finish_reason"] not in FINISHED:
        raise VisitFailed(f"finish_reason {record['finish_reason']}")
    return record


async def _events(session: aiohttp.ClientSession, address: str) -> AsyncIterator[dict[str, Any]]:
    async with session.get(address) as answer:
        if answer.status != 200:
            raise VisitFailed(f"{answer.status} for the events")
        async for line in answer.content:
            if line.startswith(b"data: "):
                yield json.loads(line[len(b"data: ") :])


def _shows_text(output: Any) -> bool:
    """Whether an update brought generated text: the first update is a whole record, the others
    are lists of changes (operation, path, value)."""
    if isinstance(output, dict):
        return bool(output.get("generated"))
    return any(path == ["generated"] and value for _, path, value in output)
