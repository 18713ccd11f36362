"""Has texts written while nobody waits for one.

Knows a service, its engine and whether it is idle; must not know what makes a text good.
"""

import logging
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from demo.game.pool import Pool, Written
from demo.generation.engine import Engine, EngineIdentity
from demo.generation.request import GenerationRequest, InvalidRequest
from demo.server.service import Service

log = logging.getLogger(__name__)

# After the last visitor, and how often is looked whether there is one.
PAUSE_SECONDS = 1.0
MAX_BACK_OFF_SECONDS = 60.0
# So many useless texts in a row are bad luck; a model that ends none would write for ever.
PATIENCE_TEXTS = 16


@dataclass(frozen=True)
class Order:
    """A text to be written; `root` is the real tweet whose opening words are the prompt."""

    request: GenerationRequest
    root: int | None = None


Accept = Callable[[Order, str, EngineIdentity], Written | None]


class Filler:
    """Keeps a pool full, in the thread that runs it: one text at a time.

    A visitor has the engine at once, and the text is begun again after the last one. `accept`
    is given a text that ended by itself, opening words and all, and says what may be shown.
    """

    def __init__(
        self,
        service: Service,
        pool: Pool,
        order: Callable[[], Order],
        accept: Accept,
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        self._service, self._pool, self._order, self._accept = service, pool, order, accept
        self._pause_seconds = pause_seconds
        self._closed = threading.Event()

    def close(self) -> None:
        """Leaves the engine, soon."""
        self._closed.set()
        self._pool.close()

    def run(self) -> None:
        """Until it is closed, or there is no engine."""
        engine = self._engine()
        misses = errors = 0
        while engine and self._pool.wait_for_room() and self._wait_until_idle():
            try:
                written = self._write(engine, self._order())
            except Exception as error:
                if self._closed.is_set():
                    return
                errors += 1
                # Not its message: that may quote the text.
                log.warning("No text for the guessing game: %s", type(error).__name__)
                self._back_off(errors)
                continue
            errors = 0
            misses = 0 if written and self._pool.put(written) else misses + 1
            if misses > PATIENCE_TEXTS:
                self._back_off(misses - PATIENCE_TEXTS)

    def _engine(self) -> Engine | None:
        """Once it is there; None if it does not come."""
        while not self._closed.is_set():
            try:
                if engine := self._service.wait(PAUSE_SECONDS):
                    return engine
            except Exception:
                # Whoever serves tells why.
                return None
        return None

    def _wait_until_idle(self) -> bool:
        """Where a visitor is there, until nobody has been for a while; False if it was closed
        meanwhile."""
        idle = long_idle = self._service.is_idle()
        while not long_idle and not self._closed.wait(self._pause_seconds):
            before, idle = idle, self._service.is_idle()
            long_idle = before and idle
        return not self._closed.is_set()

    def _write(self, engine: Engine, order: Order) -> Written | None:
        """The text, as often begun as it takes; None if it is of no use."""
        while True:
            try:
                text = self._attempt(engine, order.request)
            except InvalidRequest:
                return None
            except _Interrupted:
                if self._closed.wait(self._pause_seconds) or not self._wait_until_idle():
                    return None
                continue
            return self._accept(order, text, engine.identity) if text else None

    def _attempt(self, engine: Engine, request: GenerationRequest) -> str:
        """Opening and text; empty if it did not end by itself."""
        text = request.opening
        with closing(engine.stream(request)) as stream:
            for chunk in stream:
                text += chunk.text
                if chunk.ending:
                    return text if chunk.ending.reason == "end_of_tweet" else ""
                if self._closed.is_set() or not self._service.is_idle():
                    raise _Interrupted
        return ""

    def _back_off(self, times: int) -> None:
        self._closed.wait(min(self._pause_seconds * 2 ** min(times - 1, 16), MAX_BACK_OFF_SECONDS))


class _Interrupted(Exception):
    """A visitor wants the engine."""
