"""Counts what happens: `/metrics` shows it to Prometheus, and the log names it event by event.

Every label takes its values from a short list; none holds what a visitor sent or an address.
"""

import threading
import time
from collections import Counter as Tally
from collections.abc import Iterable
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

# The router's own function: what is counted and the router must never see different routes.
from starlette._utils import get_route_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demo.generation.engine import Chunk, Ending, EngineError, WorkerState
from demo.generation.request import InvalidRequest
from demo.log import say
from demo.server.calls import LISTED_CALL, MCP_CALL, NUMBERED_CALL, STREAM

if TYPE_CHECKING:
    from demo.server.service import Service

# Seconds: from what a free engine needs to the longest usual deadline.
BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160)
# Refusals may come by the thousand: their counts are logged, this often.
SUMMARY_SECONDS = 60.0
# Which part of the server a path belongs to; the first that fits.
ROUTES = (
    ("/healthz", "probe"),
    ("/readyz", "probe"),
    ("/metrics", "metrics"),
    ("/guess/", "game"),
    ("/count", "count"),
    (MCP_CALL, "mcp"),
    (LISTED_CALL, "call"),
    (NUMBERED_CALL, "call"),
    (STREAM, "stream"),
)
# Why a request was refused, by the status that says so.
REASONS = {
    400: "bad_body",
    401: "no_token",
    404: "not_found",
    405: "bad_method",
    408: "too_slow",
    413: "too_large",
    422: "bad_body",
    429: "rate",
    431: "bad_header",
}


class Metrics:
    """The counts of one service, in a registry of its own. Safe to use from many threads."""

    def __init__(self, service: "Service") -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "demo_requests",
            "HTTP requests: ok, refused (4xx, or 503 with a full queue), failed (5xx) or left.",
            ("route", "outcome", "reason"),
            registry=self.registry,
        )
        self._texts = Counter(
            "demo_texts",
            "Texts that were asked for: finished, refused, failed or cancelled.",
            ("outcome", "reason"),
            registry=self.registry,
        )
        self._tokens = Counter(
            "demo_tokens", "Tokens of finished texts.", ("kind",), registry=self.registry
        )
        self._first_word = Histogram(
            "demo_first_word_seconds",
            "From a call to the first word of a text, with the wait for its turn.",
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._text_seconds = Histogram(
            "demo_text_seconds",
            "From a call to the end of a finished text.",
            buckets=BUCKETS,
            registry=self.registry,
        )
        ProcessCollector(registry=self.registry)
        # While there is no worker, a pid that no process has.
        ProcessCollector("worker", lambda: _worker(service).pid or "none", registry=self.registry)
        self.registry.register(_State(service))
        self._refused: Tally[str] = Tally()
        self._lock = threading.Lock()

    def count_request(self, route: str, status: int) -> None:
        """Counts an answered request; status 0 if its sender left before the answer began."""
        outcome, reason = _outcome(route, status)
        self._requests.labels(route, outcome, reason).inc()
        if outcome == "refused":
            self._note_refusal(f"{route}.{reason}")

    def count_first_word(self, seconds: float) -> None:
        self._first_word.observe(seconds)

    def count_text(
        self, outcome: str, reason: str, seconds: float, ending: Ending | None = None
    ) -> None:
        """A text is over, so long after its call."""
        self._texts.labels(outcome, reason).inc()
        if outcome == "refused":
            self._note_refusal(f"text.{reason}")
            return
        figures: dict[str, object] = {"reason": reason, "seconds": round(seconds, 3)}
        if ending:
            self._text_seconds.observe(seconds)
            self._tokens.labels("prompt").inc(ending.prompt_tokens)
            self._tokens.labels("new").inc(ending.new_tokens)
            figures |= {"prompt_tokens": ending.prompt_tokens, "new_tokens": ending.new_tokens}
        say(f"Text {outcome}.", **figures)

    def log_refusals(self) -> None:
        """Logs how many requests were refused since the last time, by route and reason."""
        with self._lock:
            refused, self._refused = self._refused, Tally()
        if refused:
            say("Refused.", **refused)

    def _note_refusal(self, name: str) -> None:
        with self._lock:
            is_first = not self._refused
            self._refused[name] += 1
        if is_first:
            timer = threading.Timer(SUMMARY_SECONDS, self.log_refusals)
            timer.daemon = True
            timer.start()


class Watch:
    """Counts the texts of one call, which begins now: when each begins and how it ends."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._called = time.monotonic()
        self._begun: set[int] = set()
        self._ended: set[int] = set()

    def see(self, index: int, event: Chunk | Exception) -> None:
        """A text goes on, ends or fails."""
        if isinstance(event, Exception):
            outcome = "refused" if isinstance(event, InvalidRequest) else "failed"
            self._end(index, outcome, _reason(event))
            return
        if event.text and index not in self._begun:
            self._begun.add(index)
            self._metrics.count_first_word(time.monotonic() - self._called)
        if event.ending:
            self._end(index, "finished", event.ending.reason, event.ending)

    def fail(self, texts: int, error: Exception) -> None:
        """All of so many texts fail, except those that have ended."""
        for index in range(texts):
            self.see(index, error)

    def close(self, texts: int, is_abandoned: bool) -> None:
        """The call is over; those of its texts that have not ended were cancelled."""
        for index in range(texts):
            self._end(index, "cancelled", "abandoned" if is_abandoned else "closed")

    def _end(self, index: int, outcome: str, reason: str, ending: Ending | None = None) -> None:
        if index not in self._ended:
            self._ended.add(index)
            seconds = time.monotonic() - self._called
            self._metrics.count_text(outcome, reason, seconds, ending)


class Observed:
    """Counts every HTTP request by its route and how it was answered."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = 0

        async def noted(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self.app(scope, receive, noted)
        except Exception:
            status = 500
            raise
        finally:
            self.metrics.count_request(route_of(scope), status)


def route_of(scope: Scope) -> str:
    """The part of the server that a request asked; "page" for the page and its parts."""
    path = get_route_path(scope)
    route = next((name for start, name in ROUTES if path.startswith(start)), "page")
    return "stream" if route == "call" and scope["method"] == "GET" else route


def _outcome(route: str, status: int) -> tuple[str, str]:
    if not status:
        return "left", ""
    if status < 400:
        return "ok", ""
    if status == 503 and route in ("call", "mcp"):
        return "refused", "queue_full"
    if status < 500:
        return "refused", REASONS.get(status, "other")
    return "failed", "not_ready" if status == 503 else "error"


def _reason(error: Exception) -> str:
    if isinstance(error, InvalidRequest):
        return "invalid"
    return "engine" if isinstance(error, EngineError) else "internal"


class _State(Collector):
    """Gauges, read when Prometheus asks for them."""

    def __init__(self, service: "Service") -> None:
        self._service = service

    def collect(self) -> Iterable[GaugeMetricFamily | CounterMetricFamily]:
        queue, engine = self._service.queue, self._service.engine()
        gauges = {
            "demo_calls_open": ("Calls that wait or write.", len(self._service.calls.visitors())),
            "demo_queue_depth": ("Calls that wait for their turn.", queue.waiting()),
            "demo_slots": ("Texts that the engine writes at once.", engine.slots if engine else 0),
            "demo_slots_in_use": ("Texts that visitors have written.", queue.writing()),
        }
        for name, (help, value) in gauges.items():
            yield GaugeMetricFamily(name, help, value)
        restarts = _worker(self._service).restarts
        yield CounterMetricFamily("demo_engine_restarts", "Restarts of the worker.", restarts)


def _worker(service: "Service") -> WorkerState:
    engine = service.engine()
    return engine.worker() if engine else WorkerState()
