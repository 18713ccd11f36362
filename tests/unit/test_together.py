"""Several texts as one stream, over a scripted engine."""

import time

from demo.generation.engine import Chunk
from demo.generation.request import GenerationRequest
from demo.generation.together import stream_together
from tests.scripted import Reply, ScriptedEngine


def texts_of(events: list[tuple[int, Chunk | Exception]], count: int) -> list[str]:
    texts = [""] * count
    for index, happened in events:
        if isinstance(happened, Chunk):
            texts[index] += happened.text
    return texts


def test_every_text_comes_whole_and_ends_once(engine: ScriptedEngine) -> None:
    requests = [GenerationRequest("Today", max_new_tokens=n) for n in (1, 2, 3)]
    events = list(stream_together(engine, requests))
    assert texts_of(events, 3) == [" going", " going to", " going to make"]
    ended = [index for index, chunk in events if isinstance(chunk, Chunk) and chunk.ending]
    assert sorted(ended) == [0, 1, 2]


def test_they_are_written_at_the_same_time(engine: ScriptedEngine) -> None:
    engine.replies["meet"] = Reply("a b c d", seconds_per_word=0.2)
    start = time.monotonic()
    list(stream_together(engine, [GenerationRequest("meet")] * 4))
    assert time.monotonic() - start < 4 * 0.8


def test_one_that_fails_leaves_the_others_alone(engine: ScriptedEngine) -> None:
    requests = [GenerationRequest("crash"), GenerationRequest("Today", max_new_tokens=2)]
    events = list(stream_together(engine, requests))
    failures = [(i, e) for i, e in events if isinstance(e, Exception)]
    assert [(i, type(e)) for i, e in failures] == [(0, RuntimeError)]
    assert texts_of(events, 2)[1] == " going to"


def test_leaving_closes_every_stream_within_a_moment(engine: ScriptedEngine) -> None:
    events = stream_together(engine, [GenerationRequest("slow")] * 4)
    next(events)
    events.close()
    deadline = time.monotonic() + 5
    while engine.active and time.monotonic() < deadline:
        time.sleep(0.02)
    assert (engine.active, engine.closed) == (0, len(engine.streams))


def test_nothing_asked_is_nothing_told(engine: ScriptedEngine) -> None:
    assert list(stream_together(engine, [])) == []
