"""The way to a completions server: one event loop in one thread, a task for each text.

Whoever leaves a text has its task cancelled, which closes its connection: that is how these servers
are told to stop.
"""

import asyncio
import itertools
import json
import math
import random
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from demo.generation.engine import BUSY, FAILED, SHUTTING_DOWN, EngineError
from demo.generation.remote.dialects import Dialect, StreamEvent

CONNECT_SECONDS = 5.0
# For everything but a text.
ANSWER_SECONDS = 10.0
# A stream that sends nothing for so long is given up: a machine that is gone says nothing, and hung
# for 36 s when it was tried. Before its first token a text may wait for its turn.
FIRST_TOKEN_SECONDS = 30.0
SILENCE_SECONDS = 10.0
# Pauses between tries: twice as long each time, and shorter by chance, lest all come back at once.
BACK_OFF_SECONDS = 0.5
MAX_BACK_OFF_SECONDS = 8.0
MAX_RETRY_AFTER_SECONDS = 20
MAX_EVENT_BYTES = 1_000_000
# Too many requests, or a gateway whose servers are not there yet.
BUSY_STATUSES = frozenset({429, 502, 503, 504})
AWAY = "The demo's engine does not answer. Try again in a minute."
UNUSABLE = "The demo cannot use its engine, which its owner has to mend."

T = TypeVar("T")


class ServerError(EngineError):
    """The server gave no text, or a part of one. The message is for a visitor; `reason` is for the
    log, goes on after "it", and holds nothing that the server or a visitor wrote."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class ServerAway(ServerError):
    """Another try may go better; `after` is how many seconds the server asks to be left alone."""

    def __init__(self, message: str, reason: str, after: float = 0.0) -> None:
        super().__init__(message, reason)
        self.after = after


Tell = Callable[[StreamEvent | ServerAway], object]


@dataclass(frozen=True)
class Served:
    """What a server says of a model; `owner` is what kind of server it is, if it says so."""

    model: str
    owner: str
    context_tokens: int | None


class Connection:
    """Requests of the server whose `/models` is below `base`. Safe to use from many threads.

    `token_at` is when the last token of any text came, by `time.monotonic`.
    """

    def __init__(self, base: str, key: str) -> None:
        self._base = base
        self._lock = threading.Lock()
        self._is_closed = False
        self.token_at = -math.inf
        self._loop = asyncio.new_event_loop()
        self._closing = asyncio.Event()
        # Uncompressed: what a small answer unpacks to has no bound.
        headers = {"Accept-Encoding": "identity"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        self._client = httpx.AsyncClient(
            headers=headers,
            timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
            # A connection for each text: a balancer sends each of them to the least busy server.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        )
        threading.Thread(target=self._run, name="remote", daemon=True).start()

    def start(self, work: Callable[[], Coroutine[Any, Any, T]]) -> "Future[T]":
        """Runs a coroutine in the loop. Raises EngineError if `close` was called."""
        with self._lock:
            if self._is_closed:
                raise EngineError(SHUTTING_DOWN)
            return asyncio.run_coroutine_threadsafe(work(), self._loop)

    def close(self) -> None:
        """Cancels all work, and returns at once."""
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                self._loop.call_soon_threadsafe(self._closing.set)

    async def look(self, model: str) -> Served:
        """What the server says of a model, or of its only one if `model` is empty. Raises
        ServerError."""
        url = f"{self._base}/models"
        content = b""
        try:
            async with asyncio.timeout(ANSWER_SECONDS), self._client.stream("GET", url) as answer:
                _require_answer(answer, "application/json")
                async for piece in answer.aiter_raw():
                    content += piece
                    if len(content) > MAX_EVENT_BYTES:
                        raise ServerError(UNUSABLE, "sends more than a list of models")
        except (httpx.HTTPError, TimeoutError) as error:
            raise ServerAway(AWAY, _what(error)) from error
        try:
            models = {str(one["id"]): one for one in json.loads(content)["data"]}
            return _served(models, model)
        except (AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
            raise ServerError(UNUSABLE, "sends something else than a list of models") from error

    async def write(self, dialect: Dialect, body: Any, tell: Tell) -> None:
        """Asks for a text, and tells what is heard of it until that says why it ended. Before the
        first token a failure that may pass is told, too, and the text is asked for again, for as
        long as its reader has patience. Raises ServerError for any other failure."""
        for attempt in itertools.count():
            try:
                await self._write_once(dialect, body, tell)
                return
            except ServerAway as error:
                tell(error)
                pause = min(MAX_BACK_OFF_SECONDS, BACK_OFF_SECONDS * 2 ** min(attempt, 8))
                await asyncio.sleep(max(error.after, pause * random.uniform(0.5, 1.0)))

    async def _write_once(self, dialect: Dialect, body: Any, tell: Tell) -> None:
        has_begun = False

        def is_alive() -> None:
            patience = SILENCE_SECONDS if has_begun else FIRST_TOKEN_SECONDS
            silence.reschedule(self._loop.time() + patience)

        url = dialect.url(self._base)
        try:
            async with (
                asyncio.timeout(FIRST_TOKEN_SECONDS) as silence,
                self._client.stream("POST", url, json=body) as answer,
            ):
                _require_answer(answer, "text/event-stream")
                async for event in _events(answer, is_alive):
                    heard = _read(dialect, event)
                    if heard.ids:
                        has_begun = True
                        self.token_at = time.monotonic()
                        is_alive()
                    if heard != StreamEvent():
                        tell(heard)
                    if heard.reason:
                        return
            reason = "ended its stream before the text"
        except ServerAway as error:
            if not has_begun:
                raise
            reason = error.reason
        except TimeoutError:
            reason = "fell silent"
        except httpx.HTTPError as error:
            reason = _what(error)
        raise ServerError(FAILED, reason) if has_begun else ServerAway(AWAY, reason)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._work_until_closed())

    async def _work_until_closed(self) -> None:
        await self._closing.wait()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._client.aclose()
        # The loop closes its sockets in its next turn.
        await asyncio.sleep(0)


def _what(error: Exception) -> str:
    """The error's type alone: its message may hold an address."""
    return f"cannot be reached ({type(error).__name__})"


def _require_answer(answer: httpx.Response, kind: str) -> None:
    """Raises ServerError for an answer that is not of this type, or says no."""
    status = answer.status_code
    if status in BUSY_STATUSES:
        after = answer.headers.get("retry-after", "")
        seconds = int(after) if after.isdecimal() and len(after) < 6 else 0
        raise ServerAway(BUSY, f"answers {status}", min(seconds, MAX_RETRY_AFTER_SECONDS))
    if status in (401, 403):
        raise ServerError(UNUSABLE, f"answers {status}: check ENGINE_KEY")
    if status == 404:
        raise ServerError(UNUSABLE, "answers 404: ENGINE_URL must end where /models begins")
    if status >= 500:
        # Ray Serve's answer when a replica dies before it has begun.
        raise ServerAway(FAILED, f"answers {status}")
    if status != 200:
        raise ServerError(UNUSABLE, f"answers {status}")
    found = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if found != kind:
        raise ServerError(UNUSABLE, f"answers with something else than {kind}")


def _served(models: dict[str, Any], model: str) -> Served:
    if not model and len(models) != 1:
        raise ServerError(UNUSABLE, f"serves {len(models)} models: say which in ENGINE_MODEL")
    if model and model not in models:
        raise ServerError(UNUSABLE, f"does not serve {model}: correct ENGINE_MODEL")
    name, said = next((one, said) for one, said in models.items() if one == (model or one))
    # vLLM and SGLang say it in one way, llama-server in another.
    context = said.get("max_model_len") or (said.get("meta") or {}).get("n_ctx")
    if context is not None and (type(context) is not int or context < 1):
        raise ValueError("a context must be a positive whole number")
    return Served(name, str(said.get("owned_by", "")), context)


async def _events(answer: httpx.Response, is_alive: Callable[[], None]) -> AsyncIterator[Any]:
    """The value of each event with data; `is_alive` is called for whatever comes."""
    rest = b""
    async for piece in answer.aiter_raw():
        is_alive()
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > MAX_EVENT_BYTES:
            raise ServerError(FAILED, f"sends more than {MAX_EVENT_BYTES:,} bytes in one event")
        for line in lines:
            data = line[5:].strip() if line.startswith(b"data:") else b""
            if data and data != b"[DONE]":
                try:
                    yield json.loads(data)
                except (ValueError, RecursionError) as error:
                    raise ServerError(FAILED, "sends an event that is not JSON") from error


def _read(dialect: Dialect, event: Any) -> StreamEvent:
    if isinstance(event, dict) and event.get("error"):
        raise ServerAway(FAILED, "sends an error")
    try:
        heard = dialect.read(event)
        if isinstance(heard.ids, list | tuple) and isinstance(heard.text, str):
            return heard
        raise TypeError("neither ids nor text")
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ServerError(FAILED, "sends an event that is none of a text") from error
