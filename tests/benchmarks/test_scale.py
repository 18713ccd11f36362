"""The simulation of many engines, where its outcome can be calculated."""

import pytest

from benchmarks.scale import PAGE_SECONDS, SLOTS, Fleet, poisson, speeds_of_each

# Whatever is written at once, the engine writes 100 tokens a second in all.
SPEEDS = speeds_of_each((1, SLOTS), (100.0, 100.0))


def waits(fleet: Fleet, arrivals: list[float], tokens: int = 100) -> list[float]:
    return [round(text.wait, 6) for text in fleet.run(arrivals, tokens)[0]]


def test_texts_beyond_the_slots_wait_for_a_place() -> None:
    fleet = Fleet(SPEEDS, 1, page_seconds=0.0)
    assert waits(fleet, [0.0] * (SLOTS + 1)) == [0.0] * SLOTS + [float(SLOTS)]


def test_a_second_engine_takes_them() -> None:
    assert set(waits(Fleet(SPEEDS, 2, page_seconds=0.0), [0.0] * 2 * SLOTS)) == {0.0}


def test_the_page_handles_one_text_after_the_other() -> None:
    expected = [round(PAGE_SECONDS * n, 6) for n in (1, 2, 3)]
    assert waits(Fleet(SPEEDS, 4), [0.0] * 3) == expected


def test_what_there_is_no_room_for_is_refused() -> None:
    texts, refused, _ = Fleet(SPEEDS, 1, page_seconds=0.0, room=20).run([0.0] * 25)
    assert (len(texts), refused) == (20, 5)


@pytest.mark.parametrize("delay", [12.0, 60.0])
def test_more_engines_come_after_their_delay_and_shorten_the_wait(delay: float) -> None:
    arrivals = list(poisson(3.0, 120.0))
    alone = max(waits(Fleet(SPEEDS, 1), arrivals))
    fleet = Fleet(SPEEDS, 1, most=8, delay=delay)
    texts, _, peak = fleet.run(arrivals, 100)
    assert 1 < peak <= 8
    assert max(text.wait for text in texts) < alone
