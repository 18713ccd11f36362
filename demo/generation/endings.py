"""Ends a text within the length of its author's posts, and lets none be blank.

A small model does not count characters: about one text in twenty would be longer than a tweet. Its
end is then generated again, from a point before which nothing changes, with a seed derived from the
request's. So is a text that ends by itself with only space added to its prompt. The same request
still gives the same text.
"""

import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace

from demo.generation.engine import WAITING, Chunk, Ending, EngineError
from demo.generation.request import MAX_SEED, REDRAW_SEED_STRIDE, GenerationRequest

# Text is shown only up to this many characters before the limit; the rest waits until the text is
# complete. A redraw starts at the last space before that point, or WORD_CHARACTERS before it if
# there is none.
HELD_CHARACTERS = 80
WORD_CHARACTERS = 40
# After this many redraws a text may exceed the limit: some openings lead to no short ending.
MAX_REDRAWS = 4
# Characters of a text without a limit; no text has so many.
UNLIMITED = 2**31

# Streams the text of a request within that many seconds.
Write = Callable[[GenerationRequest, float], Generator[Chunk, None, None]]


def end_within(
    longest: int | None,
    seconds: float,
    request: GenerationRequest,
    write: Write,
    count_tokens: Callable[[str], int],
) -> Generator[Chunk, None, None]:
    """Streams the text; if it exceeds `longest` characters with its opening, its end is generated
    again, unless the opening leaves too little room. All redraws share `seconds`; a text whose
    redraw has none left ends before it."""
    room = (longest or 0) - len(request.opening)
    if room <= HELD_CHARACTERS + WORD_CHARACTERS:
        room = UNLIMITED
    started, first_token_seconds = time.monotonic(), 0.0
    asked, kept, shown = request, "", 0
    for redraws in range(MAX_REDRAWS + 1):
        text, is_last = kept, redraws == MAX_REDRAWS
        left = max(0.0, started + seconds - time.monotonic())
        try:
            with closing(write(asked, left)) as chunks:
                for chunk in chunks:
                    text += chunk.text
                    if text and not first_token_seconds:
                        first_token_seconds = time.monotonic() - started
                    reason = chunk.ending and chunk.ending.reason
                    is_blank = reason == "end_of_tweet" and not text.strip()
                    is_over = len(text) > room and reason != "deadline"
                    if (is_over or is_blank) and not is_last:
                        break
                    if chunk.ending is not None:
                        ending = chunk.ending
                        if redraws:
                            clock = (first_token_seconds, time.monotonic() - started)
                            ending = _of_whole(ending, count_tokens(request.opening), clock)
                        yield Chunk(text[shown:], ending)
                        return
                    known = len(text) if is_last else _cut(text, room)
                    yield Chunk(text[shown:known]) if known > shown else WAITING
                    shown = max(shown, known)
        except EngineError:
            elapsed = time.monotonic() - started
            if not redraws or elapsed < seconds:
                raise
            prompt, used = count_tokens(request.opening), count_tokens(asked.opening)
            clock = (first_token_seconds, elapsed)
            limit = asked.max_new_tokens + used - prompt
            yield Chunk(kept[shown:], Ending("deadline", prompt, used - prompt, limit, *clock))
            return
        kept = text[: _cut(text, room)]
        asked = _go_on(request, kept, redraws + 1, count_tokens)


def _cut(text: str, room: int) -> int:
    """How many characters are final; this never decreases as the text grows. A trailing space is
    not among them: as a prompt, the text would lose it."""
    held = room - HELD_CHARACTERS
    at_least = held - WORD_CHARACTERS
    return len(text[: max(at_least, text.rfind(" ", at_least, held))].rstrip())


def _go_on(
    request: GenerationRequest, kept: str, redraws: int, count_tokens: Callable[[str], int]
) -> GenerationRequest:
    """The request for what comes after the text that is kept."""
    prompt = request.opening + kept
    used = count_tokens(prompt) - count_tokens(request.opening)
    seed = (int(request.seed or 0) + redraws * REDRAW_SEED_STRIDE) % (MAX_SEED + 1)
    left = max(1, request.max_new_tokens - used)
    return replace(request, prompt=prompt, max_new_tokens=left, seed=seed)


def _of_whole(ending: Ending, prompt_tokens: int, clock: tuple[float, float]) -> Ending:
    """The ending of the last part, as one of the whole text, with its seconds to the first token
    and to the end."""
    kept = ending.prompt_tokens - prompt_tokens
    new_tokens, limit = ending.new_tokens + kept, ending.max_new_tokens + kept
    return Ending(ending.reason, prompt_tokens, new_tokens, limit, *clock)
