"""Texts that the page's own engine asks of the cluster, and what became of each."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

from demo.generation.engine import Engine, EngineError
from demo.generation.request import GenerationRequest

PROMPT = "Today I will be"


@dataclass(frozen=True)
class Text:
    """When it was asked for, when its first and last words came (if they did) and when it was over,
    in seconds of one clock; and its tokens, 0 if it is not whole."""

    asked: float
    begun: float | None
    last: float | None
    ended: float
    tokens: int

    @property
    def is_whole(self) -> bool:
        return self.tokens > 0

    @property
    def is_cut(self) -> bool:
        return not self.is_whole and self.begun is not None

    @property
    def is_lost(self) -> bool:
        return not self.is_whole and self.begun is None


def read(engine: Engine, tokens: int, seed: int) -> Text:
    """One text, to its end."""
    asked, begun, last, written = time.monotonic(), None, None, 0
    try:
        for chunk in engine.stream(GenerationRequest(PROMPT, tokens, seed=seed)):
            if chunk.text:
                last = time.monotonic()
                begun = begun or last
            if chunk.ending and chunk.ending.reason != "deadline":
                written = chunk.ending.new_tokens
    except EngineError:
        # Its reader is told.
        pass
    return Text(asked, begun, last, time.monotonic(), written)


def at_once(engine: Engine, texts: int, tokens: int) -> list[Text]:
    """So many, asked for in the same moment."""
    with ThreadPoolExecutor(texts) as pool:
        return list(pool.map(lambda seed: read(engine, tokens, seed), range(texts)))


@contextmanager
def readers(engine: Engine, number: int, tokens: int) -> Iterator[list[Text]]:
    """So many readers, who each ask for one text after the other until the end, and then read their
    last one to its end; and their texts."""
    found, is_over, seeds = list[Text](), threading.Event(), count()

    def stay() -> None:
        while not is_over.is_set():
            found.append(read(engine, tokens, next(seeds)))

    with ThreadPoolExecutor(number) as pool:
        staying = [pool.submit(stay) for _ in range(number)]
        try:
            yield found
        finally:
            is_over.set()
    for one in staying:
        one.result()


def told_after(texts: Sequence[Text], fault: float) -> float | None:
    """Seconds for which the reader of a cut text waited for no more words until told, at most: from
    the fault, or from the last word if that came later. None without such a text."""
    waits = [text.ended - max(fault, text.last) for text in texts if text.last and text.is_cut]
    return max((max(0.0, wait) for wait in waits), default=None)


def slowest(texts: Sequence[Text]) -> float:
    """Seconds until the latest first word."""
    return max((text.begun - text.asked for text in texts if text.begun), default=0.0)


def a_minute(texts: Sequence[Text]) -> float:
    """Whole texts a minute, from the first that was asked for to the end of the last."""
    seconds = max(text.ended for text in texts) - min(text.asked for text in texts)
    return 60 * sum(text.is_whole for text in texts) / seconds
