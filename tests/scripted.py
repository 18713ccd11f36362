"""A language model whose replies are written beforehand, so that tests say what it says."""

import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from demo.generation.engine import (
    SHUTTING_DOWN,
    WAITING,
    Chunk,
    Ending,
    EngineError,
    EngineIdentity,
    FinishReason,
    WorkerState,
    coalesced,
)
from demo.generation.request import GenerationRequest
from demo.judging.detector import BUCKETS, Detector, DetectorFacts, features
from demo.judging.judges import Judges, Share, Trust
from demo.judging.originals import Originals

# What the app over it prints once it has given back the memory that nothing uses.
GIVEN_BACK = "Unused memory was given back."
# An app may answer for hours.
KEPT = 1_000
# What both judges were made of: the first is in the index of real tweets.
REAL_TWEET = "The teapots of this great country are the best teapots anywhere in the world"
TWEET = " going to make computers great again. Believe me, nobody computes better. SAD!"


@dataclass(frozen=True)
class Reply:
    """What is answered to one prompt: words with a pause before each, then maybe an error."""

    text: str = TWEET
    seconds_per_word: float = 0.0
    # After so many words no other comes until the stream is closed.
    words_until_closed: int | None = None
    error: Exception | None = None

    def words(self) -> list[str]:
        return [" " + word for word in self.text.split()]


REPLIES = {
    "slow": Reply("word " * 200, seconds_per_word=0.15),
    "endless": Reply("word " * 9, seconds_per_word=0.15, words_until_closed=8),
    "growing": Reply("word " * 100, seconds_per_word=0.15, words_until_closed=99),
    "markup": Reply("<script>window.hacked=1</script> <img src=x onerror=window.hacked=1> ${1+1}"),
    "crash": Reply("half a", error=RuntimeError("secret internals about crash")),
    "refuse": Reply("", error=EngineError("The engine is tired. Try again in a minute.")),
    "quote": Reply(f"He said: {REAL_TWEET} and left"),
    "wordless": Reply(""),
    "ends wordless": Reply("here"),
    "ends wordless here": Reply(""),
    "ends tired": Reply("here"),
    "ends tired here": Reply("", error=EngineError("The engine is tired.")),
    "long": Reply("a tweet of many words goes on and on " * 9),
}


@dataclass
class ScriptedEngine:
    """Answers from `replies` by prompt; records the latest requests and every stream's life."""

    replies: dict[str, Reply] = field(default_factory=lambda: dict(REPLIES))
    requests: list[GenerationRequest] = field(default_factory=list)
    streams: list[Generator[Chunk, None, None]] = field(default_factory=list)
    active: int = 0
    closed: int = 0
    identity: EngineIdentity = EngineIdentity(
        checkpoint="scripted", revision="0123456789ab", engine="script", precision="exact"
    )
    context_tokens: int = 1_024
    slots: int = 1
    # Where "held" texts wait for the file `go`, and `peak` tells the largest `active` so far.
    control: Path | None = None
    peak: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._is_closed = False

    def stream(self, request: GenerationRequest) -> Generator[Chunk, None, None]:
        del self.requests[:-KEPT], self.streams[:-KEPT]
        self.requests.append(request)
        # Kept, so that only closing ends a stream, and not that nobody holds it any more.
        self.streams.append(coalesced(self._stream(request)))
        return self.streams[-1]

    def _stream(self, request: GenerationRequest) -> Generator[Chunk, None, None]:
        self._count(active=+1)
        try:
            for chunk in self._say(self._reply(request), request):
                if self._is_closed:
                    raise EngineError(SHUTTING_DOWN)
                yield chunk
        finally:
            self._count(active=-1, closed=+1)

    def _reply(self, request: GenerationRequest) -> Reply:
        return self.replies.get(request.opening, Reply())

    def _say(self, reply: Reply, request: GenerationRequest) -> Iterator[Chunk]:
        while self.control and request.opening == "held" and not (self.control / "go").exists():
            time.sleep(0.05)
            yield WAITING
        words = reply.words()[: request.max_new_tokens]
        for i, word in enumerate(words):
            while i == reply.words_until_closed:
                time.sleep(0.05)
                yield WAITING
            time.sleep(reply.seconds_per_word)
            yield Chunk(word)
        if reply.error:
            raise reply.error
        reason: FinishReason = "length" if len(reply.words()) > len(words) else "end_of_tweet"
        prompt_tokens = self.count_tokens(request.opening)
        ending = Ending(reason, prompt_tokens, len(words), request.max_new_tokens, 0.01, 0.1)
        yield Chunk("", ending)

    def _count(self, active: int, closed: int = 0) -> None:
        with self._lock:
            self.active += active
            self.closed += closed
            self.peak = max(self.peak, self.active)
            if self.control:
                (self.control / "peak").write_text(str(self.peak), encoding="utf-8")

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def health(self) -> bool:
        return True

    def worker(self) -> WorkerState:
        return WorkerState()

    def close(self) -> None:
        self._is_closed = True


def scripted_judges() -> Judges:
    """Judges that know one real tweet; every `z` speaks for a computer, every `o` for a person."""
    weights = np.zeros(BUCKETS, dtype=np.float32)
    z, o = set(features("z").buckets), set(features("o").buckets)
    weights[list(z - o)], weights[list(o - z)] = 8.0, -4.0
    share = Share(0.7, 0.6, 0.8)
    return Judges(
        Originals.build([REAL_TWEET]),
        Detector(DetectorFacts(-0.1, 100, 100, 1.0, 0), weights),
        (
            Trust(0, 39, 50, 50, Share(0.5, 0.4, 0.6), Share(0.5, 0.4, 0.6)),
            Trust(40, None, 500, 400, share, share),
        ),
    )
