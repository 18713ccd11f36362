"""A text that would be too long is written anew from near its end, in the same way each time."""

import random
from collections.abc import Generator

import pytest

from demo.generation.endings import MAX_REDRAWS, end_within
from demo.generation.engine import (
    BUSY,
    WAITING,
    Chunk,
    Ending,
    EngineError,
    FinishReason,
)
from demo.generation.request import GenerationRequest
from tests import made_up

LONGEST = 280


def count_tokens(text: str) -> int:
    return len(text.split())


class Writer:
    """Writes made-up words, a token each, in chunks cut by `chance`; each seed has other words, and
    a length of its own in characters: that of the first, or of the next redraw. The first `blank`
    ones are only space. `seconds` are those that it was given."""

    def __init__(
        self,
        *lengths: int,
        chance: int = 0,
        reason: FinishReason = "end_of_tweet",
        blank: int = 0,
    ) -> None:
        self.lengths = lengths
        self.asked: list[GenerationRequest] = []
        self.seconds: list[float] = []
        self.closed = 0
        self._chance = random.Random(chance)
        self._reason = reason
        self._blank = blank

    def __call__(
        self, request: GenerationRequest, seconds: float = 60
    ) -> Generator[Chunk, None, None]:
        length = self.lengths[min(len(self.asked), len(self.lengths) - 1)]
        self.asked.append(request)
        self.seconds.append(seconds)
        words, text = random.Random(request.seed), ""
        while len(text) < length:
            text += f" {made_up.word(words)}"
        if len(self.asked) <= self._blank:
            text = "\n "
        ids = count_tokens(text)
        ending = Ending(self._reason, count_tokens(request.opening), ids, 80, 0.1, 0.2)
        try:
            yield WAITING
            while text:
                size = self._chance.randint(1, 40)
                yield Chunk(text[:size], ending if len(text) <= size else None)
                text = text[size:]
        finally:
            self.closed += 1


def written(
    writer: Writer, request: GenerationRequest, longest: int | None = LONGEST
) -> tuple[str, Ending]:
    chunks = list(end_within(longest, 60, request, writer, count_tokens))
    assert [chunk.ending for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    ending = chunks[-1].ending
    assert ending is not None
    return "".join(chunk.text for chunk in chunks), ending


def test_a_text_that_fits_is_the_writers_own() -> None:
    for length in (1, 150, 200, 270):
        request = GenerationRequest("Today", seed=3)
        own = "".join(chunk.text for chunk in Writer(length)(request))
        writer = Writer(length)
        text, ending = written(writer, request)
        assert text == own
        assert ending == Ending("end_of_tweet", 1, count_tokens(own), 80, 0.1, 0.2)
        assert len(writer.asked) == 1


def test_the_last_words_of_one_that_does_not_are_written_anew() -> None:
    writer, request = Writer(400, 300, 30), GenerationRequest("Today we will", seed=3)
    text, ending = written(writer, request)
    assert len(request.opening + text) <= LONGEST
    first, second, third = writer.asked
    assert first == request
    # All from one place, within a word of 80 characters before the end.
    assert second.prompt == third.prompt
    assert LONGEST - 120 <= len(second.prompt) <= LONGEST - 80
    assert (request.opening + text).startswith(f"{second.prompt} ")
    assert len({one.seed for one in writer.asked}) == 3
    kept = count_tokens(second.prompt) - 3
    assert second.max_new_tokens == request.max_new_tokens - kept
    assert (ending.prompt_tokens, ending.new_tokens) == (3, count_tokens(text))
    assert ending.max_new_tokens == 80 + kept
    assert writer.closed == 3


def test_it_is_the_same_text_however_it_comes_in_pieces() -> None:
    for seed in range(20):
        request = GenerationRequest("Today", seed=seed)
        texts = {written(Writer(400, 25, chance=n), request)[0] for n in range(10)}
        assert len(texts) == 1


@pytest.mark.parametrize("longest", [None, LONGEST])
def test_one_that_adds_only_space_is_written_anew(longest: int | None) -> None:
    request = GenerationRequest("Today we will", seed=3)
    for blank in (1, MAX_REDRAWS):
        writer = Writer(100, blank=blank)
        text, ending = written(writer, request, longest)
        assert len(writer.asked) == 1 + blank
        assert len({one.seed for one in writer.asked}) == 1 + blank
        assert {(one.prompt, one.max_new_tokens) for one in writer.asked} == {
            (request.prompt, request.max_new_tokens)
        }
        assert len(text) >= 100
        assert text.startswith(" ")
        assert (ending.prompt_tokens, ending.new_tokens) == (3, count_tokens(text))
    text, _ = written(Writer(100, blank=MAX_REDRAWS + 1), request, longest)
    assert not text.strip()
    # It was asked to be as short as that.
    writer = Writer(100, blank=1, reason="length")
    text, _ = written(writer, request, longest)
    assert not text.strip()
    assert len(writer.asked) == 1


def test_one_that_cannot_be_ended_is_longer() -> None:
    writer = Writer(500, 200)
    text, ending = written(writer, GenerationRequest(seed=3))
    assert len(writer.asked) == 1 + MAX_REDRAWS
    assert len(text) > LONGEST
    assert text.startswith(writer.asked[-1].prompt)
    assert ending.new_tokens == count_tokens(text)


@pytest.mark.parametrize(
    ("longest", "prompt"), [(None, "Today"), (LONGEST, "word " * 40), (LONGEST, "word " * 60)]
)
def test_without_a_length_or_room_for_it_nothing_is_changed(
    longest: int | None, prompt: str
) -> None:
    writer, request = Writer(900), GenerationRequest(prompt, seed=3)
    text, _ = written(writer, request, longest)
    assert len(text) >= 900
    assert writer.asked == [request]


def test_one_that_was_cut_by_its_deadline_is_over() -> None:
    writer = Writer(281, reason="deadline")
    _, ending = written(writer, GenerationRequest(seed=3))
    assert ending.reason == "deadline"
    # Longer than that it is written anew, before the deadline is known.
    assert len(writer.asked) <= 2


def test_a_reader_who_leaves_ends_the_writing() -> None:
    writer = Writer(400)
    stream = end_within(LONGEST, 60, GenerationRequest(seed=3), writer, count_tokens)
    shown = ""
    while len(shown) < 100:
        shown += next(stream).text
    stream.close()
    assert writer.closed == 1


def test_a_reader_may_leave_during_a_redraw() -> None:
    writer = Writer(400)
    stream = end_within(LONGEST, 60, GenerationRequest(seed=3), writer, count_tokens)
    while len(writer.asked) < 2:
        next(stream)
    stream.close()
    assert writer.closed == 2


def test_redraws_share_the_seconds_of_the_text() -> None:
    writer = Writer(400, 300, 30)
    written(writer, GenerationRequest(seed=3))
    assert 60 >= writer.seconds[0] > writer.seconds[1] > writer.seconds[2] > 0


@pytest.mark.parametrize("seconds", [0.0, 60.0])
def test_a_redraw_without_a_turn_ends_the_text_if_time_is_up_and_else_fails_it(
    seconds: float,
) -> None:
    first, request = Writer(400), GenerationRequest("Today we will", seed=3)

    def write(asked: GenerationRequest, left: float) -> Generator[Chunk, None, None]:
        if asked is not request:
            raise EngineError(BUSY)
        yield from first(asked, left)

    stream = end_within(LONGEST, seconds, request, write, count_tokens)
    if seconds:
        with pytest.raises(EngineError, match=BUSY):
            list(stream)
        return
    *chunks, last = stream
    text = "".join(chunk.text for chunk in (*chunks, last))
    assert LONGEST - 120 <= len(request.opening + text) <= LONGEST - 80
    assert last.ending is not None
    assert last.ending.reason == "deadline"
    assert (last.ending.prompt_tokens, last.ending.new_tokens) == (3, count_tokens(text))
    assert last.ending.max_new_tokens == request.max_new_tokens


def test_what_may_be_written_anew_is_not_shown() -> None:
    for chance in range(10):
        writer, shown = Writer(400, 30, chance=chance), ""
        for chunk in end_within(LONGEST, 60, GenerationRequest(seed=3), writer, count_tokens):
            if chunk.ending is None:
                shown += chunk.text
                assert len(shown) <= LONGEST - 80
        assert shown == writer.asked[1].prompt
