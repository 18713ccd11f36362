"""The app under trial."""

import statistics
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.servers import Server, started
from benchmarks.stays_up.calls import LONG, crowd, visits
from demo.settings import VARIABLES
from tests.guessing import write_tweets

# A polite visitor's first word: within twice its quiet median, or so long.
FIRST_WORD_SECONDS = 0.5
# "Flat": no more than this share is gained.
FLAT = 0.05
# As on a Space: the owner's rates, and one proxy that says who asks.
LIMITS = {
    **{
        one.name: one.default
        for one in VARIABLES
        if one.name.startswith("RATE_") or one.name == "VISITOR_QUEUE"
    },
    "TRUSTED_PROXIES": "1",
}


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
            variables = {**LIMITS, "TWEETS": str(folder)}
            self._server = self.stack.enter_context(started(variables=variables))
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
