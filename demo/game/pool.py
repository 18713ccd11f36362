"""The generated texts that wait to be shown, and the thread that has them written.

The engine is used while no visitor waits for it; a text that a visitor interrupts is begun again.
The same thread writes the texts of the Daily Ten.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from hashlib import blake2b
from random import Random
from typing import Protocol

from demo.game.tweets import DisplayRules
from demo.generation.engine import Engine, EngineIdentity, source_line
from demo.generation.request import MAX_SEED, GenerationRequest, InvalidRequest
from demo.judging.masking import mask_slurs
from demo.server.service import Service

log = logging.getLogger(__name__)

CAPACITY = 128
# A text is not put into the pool again while its digest is among the latest so many.
MAX_DIGESTS = 20_000
# Enough for a long tweet; a text that does not end by then is not shown.
MAX_NEW_TOKENS = 160
OPENING_WORDS = (2, 5)
# With fewer, hardly anything of the text would be generated.
MIN_NEW_WORDS = 3
# How often the filler looks whether a visitor is there, and how long after the last one it waits.
PAUSE_SECONDS = 1.0
MAX_BACK_OFF_SECONDS = 60.0
# After so many texts in a row that cannot be shown, or after an error, the filler slows down: a
# model that never ends a text would keep the engine busy for ever.
MAX_USELESS_TEXTS = 16


@dataclass(frozen=True)
class GeneratedText:
    """A text, where it came from, and the number of the real tweet whose first words were its
    prompt; None if it had no prompt."""

    text: str
    source: str
    opened_by: int | None = None


class Pool:
    """Texts that are shown once each. Safe to use from many threads: one writes, many take."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._texts: list[GeneratedText] = []
        # In order of arrival.
        self._digests: dict[bytes, None] = {}
        self._closed = False
        self._filling = True
        self._changed = threading.Condition()

    def texts(self) -> list[GeneratedText]:
        with self._changed:
            return list(self._texts)

    def is_full(self) -> bool:
        """Whether no more are written."""
        with self._changed:
            return len(self._texts) >= self._capacity

    def put(self, generated: GeneratedText) -> bool:
        """Adds a text unless it was here before; returns whether it was added."""
        digest = blake2b(generated.text.casefold().encode(), digest_size=8).digest()
        with self._changed:
            if digest in self._digests:
                return False
            self._digests[digest] = None
            if len(self._digests) > MAX_DIGESTS:
                del self._digests[next(iter(self._digests))]
            self._texts.append(generated)
            return True

    def remove(self, generated: GeneratedText) -> None:
        """Takes a text out. It is replaced after `refill`, or once half of the pool is empty: an
        engine that started at once would reveal that the text being shown is generated."""
        with self._changed:
            self._texts.remove(generated)
            if len(self._texts) < self._capacity // 2:
                self._wake()

    def refill(self) -> None:
        """Lets the filler write until the pool is full."""
        with self._changed:
            self._wake()

    def has_room(self) -> bool:
        """Whether a text may be written; once the pool is full, not before it is woken."""
        with self._changed:
            return self._has_room()

    def wait_for_room(self, or_else: Callable[[], bool]) -> bool:
        """Blocks until a text may be written, or there is something else to write; False once the
        pool is closed. `or_else` is asked again after each `refill`."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._has_room() or or_else())
            return not self._closed

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _has_room(self) -> bool:
        if len(self._texts) >= self._capacity:
            self._filling = False
        return self._filling

    def _wake(self) -> None:
        self._filling = len(self._texts) < self._capacity
        self._changed.notify_all()


@dataclass(frozen=True)
class GameRequest:
    """What the engine is asked for; `opened_by` is the number of the real tweet whose first words
    are the prompt."""

    request: GenerationRequest
    opened_by: int | None = None


@dataclass(frozen=True)
class TextSource:
    """Requests for the engine, and which of its texts are taken.

    texts: the real ones, by number.
    is_wanted: whether a real text of about this length could be shown in its place.
    repeats: whether a text repeats a real one.
    is_dull: whether a text says too little to be guessed at.
    learn: told of every text that may be shown.
    mask: what becomes of a text before it leaves; one that it would change is not taken.
    """

    texts: Sequence[str]
    rules: DisplayRules
    defaults: GenerationRequest
    is_wanted: Callable[[int], bool]
    repeats: Callable[[str], bool]
    is_dull: Callable[[str], bool]
    learn: Callable[[str], None]
    rng: Random
    mask: Callable[[str], str] = mask_slurs

    def draw(self) -> GameRequest:
        """The next request, with a seed of its own: half have no prompt, half the first words of a
        real tweet."""
        number = self.rng.randrange(len(self.texts)) if self.rng.random() < 0.5 else None
        prompt = "" if number is None else self._opening(self.texts[number])
        seed = self.rng.randrange(MAX_SEED + 1)
        request = replace(self.defaults, prompt=prompt, max_new_tokens=MAX_NEW_TOKENS, seed=seed)
        return GameRequest(request, number)

    def accept(
        self, asked: GameRequest, text: str, identity: EngineIdentity
    ) -> GeneratedText | None:
        """The text, prompt included, as it may be shown; None if it may not."""
        if len(text.split()) < len(asked.request.opening.split()) + MIN_NEW_WORDS:
            return None
        cleaned = self.rules.clean(text)
        # A mask would tell that a computer wrote it.
        if cleaned is None or self.repeats(cleaned) or self.mask(cleaned) != cleaned:
            return None
        self.learn(cleaned)
        if self.is_dull(cleaned) or not self.is_wanted(len(cleaned)):
            return None
        return GeneratedText(cleaned, source_line(identity, asked.request), asked.opened_by)

    def _opening(self, text: str) -> str:
        """The first words, without the last one: something must be left to write."""
        words = text.split()
        return " ".join(words[: min(self.rng.randint(*OPENING_WORDS), len(words) - 1)])


class Commission(Protocol):
    """Texts that are to be written one after the other, each with a request of its own."""

    def is_open(self) -> bool:
        """Whether a text is missing now."""
        ...

    def draw(self) -> GameRequest:
        """The request for the next one, as long as it is open."""
        ...

    def take(self, asked: GameRequest, text: str, identity: EngineIdentity) -> bool:
        """Takes what was written, which is empty if it did not end; returns whether it is used."""
        ...


@dataclass(frozen=True)
class PoolTexts:
    """The texts of free play."""

    pool: Pool
    source: TextSource

    def is_open(self) -> bool:
        return self.pool.has_room()

    def draw(self) -> GameRequest:
        return self.source.draw()

    def take(self, asked: GameRequest, text: str, identity: EngineIdentity) -> bool:
        generated = self.source.accept(asked, text, identity) if text else None
        return generated is not None and self.pool.put(generated)


class Filler:
    """Writes for the pool and for another commission, in the thread that runs it, one text at a
    time: the two in turns while both are open."""

    def __init__(
        self,
        service: Service,
        texts: PoolTexts,
        other: Commission,
        pause_seconds: float = PAUSE_SECONDS,
    ) -> None:
        self._service, self._pool = service, texts.pool
        self._texts, self._other = texts, other
        self._pause_seconds = pause_seconds
        self._closed = threading.Event()

    def close(self) -> None:
        """Stops writing, within a few tokens."""
        self._closed.set()
        self._pool.close()

    def run(self) -> None:
        """Writes until it is closed; returns at once if there will be no engine."""
        engine = self._wait_for_engine()
        useless, is_others_turn = 0, True
        while engine and self._pool.wait_for_room(self._other.is_open) and self._wait_until_idle():
            has_turn = is_others_turn or not self._texts.is_open()
            for_other, is_others_turn = has_turn and self._other.is_open(), not is_others_turn
            try:
                is_used = self._write(engine, self._other if for_other else self._texts)
                useless = 0 if is_used else useless + 1
            except Exception as error:
                if self._closed.is_set():
                    return
                # Not the message: it may quote the text.
                log.warning("No text for the guessing game: %s", type(error).__name__)
                useless = max(useless, MAX_USELESS_TEXTS) + 1
            if (times := useless - MAX_USELESS_TEXTS) > 0:
                seconds = self._pause_seconds * 2 ** min(times - 1, 16)
                self._closed.wait(min(seconds, MAX_BACK_OFF_SECONDS))

    def _wait_for_engine(self) -> Engine | None:
        while not self._closed.is_set():
            try:
                if engine := self._service.wait(PAUSE_SECONDS):
                    return engine
            except Exception:
                # The server reports why it could not be loaded.
                return None
        return None

    def _wait_until_idle(self) -> bool:
        """Returns at once if no visitor is there, else once none was for a while; False if closed
        meanwhile."""
        idle = long_idle = self._service.is_idle()
        while not long_idle and not self._closed.wait(self._pause_seconds):
            before, idle = idle, self._service.is_idle()
            long_idle = before and idle
        return not self._closed.is_set()

    def _write(self, engine: Engine, commission: Commission) -> bool:
        """Writes one text, begun again as often as visitors interrupt it; returns whether it is
        used."""
        asked = commission.draw()
        while True:
            try:
                text = self._attempt(engine, asked.request)
            except InvalidRequest:
                text = ""
            except _Interrupted:
                if self._closed.wait(self._pause_seconds) or not self._wait_until_idle():
                    return False
                continue
            return commission.take(asked, text, engine.identity)

    def _attempt(self, engine: Engine, request: GenerationRequest) -> str:
        """Prompt and text; empty if the text did not end by itself."""
        text = request.opening
        with closing(engine.stream(request)) as stream:
            for chunk in stream:
                text += chunk.text
                if chunk.ending:
                    return text if chunk.ending.reason == "end_of_tweet" else ""
                if self._closed.is_set() or not self._service.is_idle():
                    raise _Interrupted
        return ""


class _Interrupted(Exception):
    """A visitor needs the engine."""
