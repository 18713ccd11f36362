"""The engine behind the page: how it is loaded, what state it is in, and how it is stopped."""

import threading
import time
from collections.abc import Callable, Container, Mapping
from concurrent.futures import Future, wait
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from demo.generation.engine import Engine
from demo.judging.judges import Judges
from demo.judging.masking import mask_slurs
from demo.log import say
from demo.server.admission import Ledger
from demo.server.fair_queue import FairQueue
from demo.server.metrics import Metrics

State = Literal["loading", "ready", "recovering", "failed", "stopping"]
# How long readers may take to read that their texts were cut.
LAST_WORD_SECONDS = 0.5


@dataclass(frozen=True)
class Loaded:
    """An engine and what comes with its checkpoint: a `notice` for visitors, such as why another
    one runs than was asked for, what training measured (`metrics`), and a picture of it
    (`plot`)."""

    engine: Engine
    notice: str = ""
    judges: Judges = field(default_factory=Judges)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    plot: Path | None = None


class Service:
    """Loads the engine in a thread of its own, and holds what all its calls share."""

    def __init__(self, load: Callable[[], Loaded]) -> None:
        self.calls = Ledger()
        self.queue = FairQueue(lambda: self._loaded.engine.slots if self._loaded else 1)
        self.counts = Metrics(self)
        # Applied to each text before it is sent.
        self.mask: Callable[[str], str] = mask_slurs
        self._load = load
        self._loading: Future[Loaded] = Future()
        self._loaded: Loaded | None = None
        self._closed = False
        self._hidden: Container[bytes] = ()

    def begin(self) -> None:
        """Starts to load, and returns at once."""
        threading.Thread(target=self._run, name="loading", daemon=True).start()

    def wait(self, seconds: float | None = None) -> Engine | None:
        """The engine, once it is there; None if it is not within so many seconds. Raises what
        `load` raised."""
        wait([self._loading], seconds)
        return self._loading.result().engine if self._loading.done() else None

    def engine(self) -> Engine | None:
        """The engine if it is there already."""
        return self._loaded.engine if self._loaded else None

    def on_failure(self, call: Callable[[], None]) -> None:
        """Calls once the engine cannot be loaded, at once if that is known already."""

        def tell(loading: "Future[Loaded]") -> None:
            if loading.exception():
                call()

        self._loading.add_done_callback(tell)

    def state(self) -> State:
        """What `/readyz` says."""
        if self._loading.done() and self._loading.exception():
            return "failed"
        if self.calls.is_stopping:
            return "stopping"
        if self._loaded is None:
            return "loading"
        return "ready" if self._loaded.engine.health() else "recovering"

    def notice(self) -> str:
        """What visitors should know; empty if nothing, or while it loads."""
        return self._loaded.notice if self._loaded else ""

    def judges(self) -> Judges:
        """Of the checkpoint that answers; empty while it loads."""
        return self._loaded.judges if self._loaded else Judges()

    def judges_for_visitors(self) -> Judges:
        """The same, blind to the tweets that the guessing game may show."""
        return replace(self.judges(), hidden=self._hidden)

    def hide(self, windows: Container[bytes]) -> None:
        """Has `judges_for_visitors` ignore windows of text with these digests."""
        self._hidden = windows

    def metrics(self) -> Mapping[str, Any]:
        """Of the checkpoint that answers; empty while it loads."""
        return self._loaded.metrics if self._loaded else {}

    def plot(self) -> Path | None:
        """A picture of how the checkpoint that answers was trained, if there is one."""
        return self._loaded.plot if self._loaded else None

    def is_idle(self) -> bool:
        """Whether the engine is there and no visitor waits for it."""
        return self._loaded is not None and not self.queue.waiting() and not self.queue.writing()

    def stop(self, seconds: float) -> None:
        """Lets no more texts begin, and gives those under way so many seconds. Then closes the
        engine, which ends the rest, and waits a moment until visitors have read that."""
        self.calls.is_stopping = True
        self.calls.wait_until_read(seconds)
        self.close()
        self.calls.wait_until_read(LAST_WORD_SECONDS)

    def close(self) -> None:
        """Closes the engine, also one that comes later."""
        self._closed = True
        if self._loaded is not None:
            self._loaded.engine.close()

    def _run(self) -> None:
        try:
            begun = time.monotonic()
            self._loaded = self._load()
            seconds = round(time.monotonic() - begun, 1)
            say("The engine is ready.", **asdict(self._loaded.engine.identity), seconds=seconds)
            if self._closed:
                self._loaded.engine.close()
        except BaseException as error:
            # All of them, or everybody would wait for ever: a panic of a library in Rust is no
            # Exception.
            self._loading.set_exception(error)
        else:
            self._loading.set_result(self._loaded)


def ready(engine: Engine, judges: Judges | None = None) -> Service:
    """A service over an engine that is there already."""
    service = Service(lambda: Loaded(engine, judges=judges or Judges()))
    service.begin()
    service.wait()
    return service
