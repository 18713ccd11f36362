"""The app under trial, and what a trial says of it."""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import httpx

from benchmarks import BenchmarkError
from benchmarks.servers import Server, free_address, running
from benchmarks.stays_up.calls import LONG, crowd, visits
from demo.settings import VARIABLES
from tests.guessing import write_tweets

START_SECONDS = 300.0
# A polite visitor's first word: within twice its quiet median, or so long.
FIRST_WORD_SECONDS = 0.5
# "Flat": no more than this share is gained.
FLAT = 0.05
APP = ("app.py",)
# A model whose replies are written beforehand: where the model is not what is tried.
SCRIPTED = ("-m", "tests.scripted_app")
# As on a Space: the owner's rates, and one proxy that says who asks.
LIMITS = {
    **{one.name: one.default for one in VARIABLES if one.name.startswith("RATE_")},
    "VISITOR_QUEUE": "60",
    "TRUSTED_PROXIES": "1",
}


@dataclass(frozen=True)
class Row:
    """What was done, what was measured, and the bar; `held` is None if this machine cannot do it
    or it was done too small to tell."""

    what: str
    measured: str
    bar: str
    held: bool | None


class NotHere(Exception):
    """This machine cannot do the trial; the message says what it lacks."""


@dataclass
class App:
    """The demo under trial, and how large the trials are. The one in `server` runs with the
    embedded checkpoint, default settings and a guessing game, and is started when a trial first
    asks for it."""

    quick: bool
    soak_minutes: float
    # Ends what a trial leaves running.
    stack: ExitStack
    _server: Server | None = None

    @property
    def server(self) -> Server:
        """That of most trials, and another one if a trial has ended it."""
        if self._server is None or self._server.process.poll() is not None:
            folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
            write_tweets(folder)
            self._server = self.stack.enter_context(started(variables={"TWEETS": str(folder)}))
            # The engine's buffers grow to their size while it first writes much.
            crowd(self._server.url, 8 if self.quick else 60, **LONG)
        return self._server

    @property
    def url(self) -> str:
        """Its address."""
        return self.server.url

    @cached_property
    def first_word_bar(self) -> float:
        """How long a polite visitor may wait for the first word, in seconds."""
        quiet = statistics.median(one.first for one in visits(self.url, 3 if self.quick else 10))
        return max(2 * quiet, FIRST_WORD_SECONDS)


@contextmanager
def begun(
    command: tuple[str, ...] = APP,
    variables: Mapping[str, str] | None = None,
    within: Sequence[str] = (),
) -> Iterator[Server]:
    """An app of its own, which may still be starting, or be about to end."""
    with running(command, free_address(), {**LIMITS, **(variables or {})}, within) as server:
        yield server


@contextmanager
def started(
    command: tuple[str, ...] = APP, variables: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """An app of its own, once it is ready.

    Raises:
        BenchmarkError: it ended, or is not ready in time.
    """
    with begun(command, variables) as server:
        if not wait_for(lambda: is_ready(server), START_SECONDS, server):
            raise BenchmarkError(f"The app was not ready within {START_SECONDS:g} s.")
        yield server


def state(server: Server) -> str:
    """What /readyz says; empty if it does not answer."""
    try:
        return str(httpx.get(f"{server.url}/readyz", timeout=5).json()["status"])
    except (httpx.HTTPError, ValueError):
        return ""


def is_ready(server: Server) -> bool:
    """Whether it can write, and Gradio has found so itself, which it tries after it listens."""
    return state(server) == "ready" and "Running on" in server.said()


def wait_for(
    holds: Callable[[], bool], seconds: float, server: Server | None = None
) -> float | None:
    """After how many seconds it holds; None if it does not within so many.

    Raises:
        BenchmarkError: the server ended meanwhile.
    """
    begun = time.monotonic()
    while not holds():
        if server:
            server.require_alive()
        if time.monotonic() - begun > seconds:
            return None
        time.sleep(0.05)
    return max(time.monotonic() - begun, 1e-3)
