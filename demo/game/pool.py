"""The generated texts of the game: what is asked of the engine, what of it may be shown, and those
that wait to be shown."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from random import Random

from demo.game.tweets import DisplayRules
from demo.generation.engine import source_line
from demo.generation.idle import Wanted, Written
from demo.generation.request import MAX_SEED, GenerationRequest
from demo.judging.canonical import split_words
from demo.judging.masking import mask_slurs

# One visitor's rounds of a minute (RATE_ROUNDS) may take two thirds of it. The rest is for others.
CAPACITY = 128
# A text is not put into the pool again while its digest is among the latest so many.
MAX_DIGESTS = 20_000
# Enough for a long tweet; a text that does not end by then is not shown.
MAX_NEW_TOKENS = 160
OPENING_WORDS = (2, 5)
# With fewer, hardly anything of the text would be generated.
MIN_NEW_WORDS = 3


@dataclass(frozen=True)
class GeneratedText:
    """A text, where it came from, and the number of the real tweet whose first words were its
    prompt; None if it had no prompt."""

    text: str
    source: str
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

    def want(self, take: Callable[[GeneratedText | None], bool]) -> Wanted:
        """The next text, with a seed of its own: half have no prompt, half the first words of a
        real tweet. `take` gets it as it may be shown, None if it may not."""
        number = self.rng.randrange(len(self.texts)) if self.rng.random() < 0.5 else None
        prompt = "" if number is None else self._opening(self.texts[number])
        seed = self.rng.randrange(MAX_SEED + 1)
        request = replace(self.defaults, prompt=prompt, max_new_tokens=MAX_NEW_TOKENS, seed=seed)
        return Wanted(request, lambda written: take(self.accept(request, written, number)))

    def accept(
        self, request: GenerationRequest, written: Written, opened_by: int | None = None
    ) -> GeneratedText | None:
        """The text, prompt included, as it may be shown; None if it may not."""
        if not written.is_whole():
            return None
        text = request.opening + written.generated
        if len(split_words(text)) < len(split_words(request.opening)) + MIN_NEW_WORDS:
            return None
        cleaned = self.rules.clean(text)
        # A mask would tell that a computer wrote it.
        if cleaned is None or self.repeats(cleaned) or self.mask(cleaned) != cleaned:
            return None
        self.learn(cleaned)
        if self.is_dull(cleaned) or not self.is_wanted(len(cleaned)):
            return None
        return GeneratedText(cleaned, source_line(written.identity, request), opened_by)

    def _opening(self, text: str) -> str:
        """The first words, without the last one: something must be left to write."""
        words = text.split()
        return " ".join(words[: min(self.rng.randint(*OPENING_WORDS), len(words) - 1)])


class Pool:
    """Texts that are shown once each."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._texts: list[GeneratedText] = []
        # In order of arrival.
        self._digests: dict[bytes, None] = {}
        self._is_filling = True

    def texts(self) -> list[GeneratedText]:
        return list(self._texts)

    def is_full(self) -> bool:
        return len(self._texts) >= self._capacity

    def put(self, generated: GeneratedText) -> bool:
        """Adds a text unless it was here before; returns whether it was added."""
        digest = blake2b(generated.text.casefold().encode(), digest_size=8).digest()
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
        self._texts.remove(generated)
        if len(self._texts) < self._capacity // 2:
            self.refill()

    def refill(self) -> None:
        """Has texts written until the pool is full."""
        self._is_filling = True

    def has_room(self) -> bool:
        """Whether a text may be written; once the pool is full, not before `refill`."""
        self._is_filling &= not self.is_full()
        return self._is_filling

    def want(self, source: TextSource) -> Wanted | None:
        if not self.has_room():
            return None
        return source.want(lambda generated: generated is not None and self.put(generated))
