"""Writes texts while no visitor needs the engine: for the game, and for an empty page."""

import logging
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from demo.generation.engine import Ending, Engine, EngineIdentity
from demo.generation.request import GenerationRequest, InvalidRequest

log = logging.getLogger(__name__)

# How often it looks whether a text is wanted and no visitor is there, and how long it waits after
# the last one.
PAUSE_SECONDS = 1.0
MAX_BACK_OFF_SECONDS = 60.0
# After so many texts in a row that were of no use, or after an error, it slows down: a model that
# never ends a text would keep the engine busy for ever.
MAX_USELESS_TEXTS = 16


@dataclass(frozen=True)
class Written:
    """What the engine added to a request's opening; `ending` is None if it refused the request."""

    generated: str
    ending: Ending | None
    identity: EngineIdentity

    def is_whole(self) -> bool:
        """Whether the text ended by itself."""
        return self.ending is not None and self.ending.reason == "end_of_tweet"


@dataclass(frozen=True)
class Wanted:
    """A text to be written; `take` gets what was written and returns whether it is of use."""

    request: GenerationRequest
    take: Callable[[Written], bool]


# Gives the next text that is wanted, if one is.
Want = Callable[[], Wanted | None]


class IdleWriter:
    """Writes one text at a time, for all who want one in turns. A text that a visitor interrupts is
    begun again. Safe to use from many threads."""

    def __init__(
        self,
        wait: Callable[[], Engine | None],
        is_idle: Callable[[], bool],
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        """`wait` returns the engine once it is there, and raises what kept it from being loaded;
        `is_idle` says whether nobody else needs it."""
        self._wait, self._is_idle, self._pause_seconds = wait, is_idle, pause_seconds
        self._wants: list[Want] = []
        self._useless = 0
        self._closed = threading.Event()

    def add(self, want: Want) -> None:
        self._wants.append(want)

    def begin(self) -> None:
        """Starts to write, and returns at once."""
        threading.Thread(target=self._run, name="idle writer", daemon=True).start()

    def close(self) -> None:
        """Stops writing, within a few tokens."""
        self._closed.set()

    def _run(self) -> None:
        try:
            engine = self._wait()
        except Exception:
            # The server reports why it could not be loaded.
            return
        assert engine is not None
        while not self._closed.is_set():
            # A copy: one may be added meanwhile.
            turns = [self._write_next(want, engine) for want in tuple(self._wants)]
            if not any(turns):
                self._closed.wait(self._pause_seconds)

    def _write_next(self, want: Want, engine: Engine) -> bool:
        """Returns whether a text was wanted."""
        if not self._wait_until_idle():
            return False
        try:
            wanted = want()
            if wanted is None:
                return False
            is_used = self._write(wanted, engine)
            self._useless = 0 if is_used else self._useless + 1
        except Exception as error:
            if self._closed.is_set():
                return False
            # Not the message: it may quote the text.
            log.warning("No text was written ahead: %s", type(error).__name__)
            self._useless = max(self._useless, MAX_USELESS_TEXTS) + 1
        if (times := self._useless - MAX_USELESS_TEXTS) > 0:
            seconds = self._pause_seconds * 2 ** min(times - 1, 16)
            self._closed.wait(min(seconds, MAX_BACK_OFF_SECONDS))
        return True

    def _wait_until_idle(self) -> bool:
        """Returns at once if no visitor is there, else once none was for a while; False if closed
        meanwhile."""
        idle = long_idle = self._is_idle()
        while not long_idle and not self._closed.wait(self._pause_seconds):
            before, idle = idle, self._is_idle()
            long_idle = before and idle
        return not self._closed.is_set()

    def _write(self, wanted: Wanted, engine: Engine) -> bool:
        while self._wait_until_idle():
            try:
                written = self._attempt(wanted.request, engine)
            except InvalidRequest:
                written = Written("", None, engine.identity)
            if written is not None:
                return wanted.take(written)
            self._closed.wait(self._pause_seconds)
        return False

    def _attempt(self, request: GenerationRequest, engine: Engine) -> Written | None:
        """None if a visitor came, or it was closed."""
        generated = ""
        with closing(engine.stream(request)) as stream:
            for chunk in stream:
                generated += chunk.text
                if chunk.ending:
                    return Written(generated, chunk.ending, engine.identity)
                if self._closed.is_set() or not self._is_idle():
                    return None
        return Written(generated, None, engine.identity)
