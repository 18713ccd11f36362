"""Ends a text within the length of its author's posts.

A small model does not count characters: a text in twenty would go on past the end of a tweet. Its
last words are then written anew, from a place where all of what was shown is kept, with a seed that
follows from the text's own: the same request still gives the same text.
"""

import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace

from demo.generation.engine import WAITING, Chunk, Ending
from demo.generation.request import MAX_SEED, REDRAW_SEED_STRIDE, GenerationRequest

# So many characters before the longest length, text is shown only once the whole is known; it is
# cut there at the last space, if there is one in as many characters as a long word has.
HELD_CHARACTERS = 80
WORD_CHARACTERS = 40
# After so many tries it may be longer: some openings cannot be ended.
MAX_REDRAWS = 4

Write = Callable[[GenerationRequest], Generator[Chunk, None, None]]


def end_within(
    longest: int | None,
    request: GenerationRequest,
    write: Write,
    count_tokens: Callable[[str], int],
) -> Generator[Chunk, None, None]:
    """The text that `write` makes of the request, in at most `longest` characters with its opening,
    if it can be ended there. Without a length, or where the opening leaves no room, it is `write`'s
    own."""
    room = (longest or 0) - len(request.opening)
    if room <= HELD_CHARACTERS + WORD_CHARACTERS:
        yield from write(request)
        return
    started, first_token_seconds = time.monotonic(), 0.0
    asked, kept, shown = request, "", 0
    for redraws in range(MAX_REDRAWS + 1):
        text, is_last = kept, redraws == MAX_REDRAWS
        with closing(write(asked)) as chunks:
            for chunk in chunks:
                text += chunk.text
                if text and not first_token_seconds:
                    first_token_seconds = time.monotonic() - started
                is_cut = chunk.ending is not None and chunk.ending.reason == "deadline"
                if len(text) > room and not is_last and not is_cut:
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
        kept = text[: _cut(text, room)]
        asked = _go_on(request, kept, redraws + 1, count_tokens)


def _cut(text: str, room: int) -> int:
    """Up to where a text is kept, whatever becomes of its end. It never falls as the text grows. A
    space goes with the word after it, as the prompt that goes on from here would lose it."""
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
