"""Whose turn it is."""

from contextlib import ExitStack

import pytest

from demo.server.fair_queue import FairQueue, Place


@pytest.fixture
def stack() -> ExitStack:
    return ExitStack()


def fill(
    queue: FairQueue, stack: ExitStack, visitor: str, count: int, texts: int = 1
) -> list[Place]:
    return [stack.enter_context(queue.place(visitor, texts)) for _ in range(count)]


def turns(places: list[Place]) -> int:
    return sum(place.has_turn for place in places)


def test_one_visitor_leaves_slots_for_a_newcomer(stack: ExitStack) -> None:
    queue = FairQueue(lambda: 18)
    greedy = fill(queue, stack, "greedy", 64)
    assert turns(greedy) == 16
    (polite,) = fill(queue, stack, "polite", 1)
    assert queue.wait(polite, 0) == 0
    # The last slot is another newcomer's, not the first one's second.
    (second,) = fill(queue, stack, "polite", 1)
    assert not second.has_turn
    assert fill(queue, stack, "other", 1)[0].has_turn


def test_texts_are_counted_and_not_calls(stack: ExitStack) -> None:
    queue = FairQueue(lambda: 18)
    assert turns(fill(queue, stack, "greedy", 16, texts=4)) == 4


def test_who_has_fewest_texts_under_way_is_next(stack: ExitStack) -> None:
    queue = FairQueue(lambda: 2)
    greedy = fill(queue, stack, "greedy", 5)
    polite = fill(queue, stack, "polite", 2)
    assert [queue.wait(place, 0) for place in greedy] == [0, 0, 3, 4, 5]
    assert [queue.wait(place, 0) for place in polite] == [1, 2]


def test_a_turn_comes_as_soon_as_a_place_is_given_back() -> None:
    queue = FairQueue(lambda: 1)
    with ExitStack() as first:
        first.enter_context(queue.place("a", 1))
        with queue.place("b", 1) as later:
            assert queue.wait(later, 0.01) == 1
            first.close()
            assert queue.wait(later, 0) == 0


def test_who_leaves_the_queue_gives_no_turn_back() -> None:
    queue = FairQueue(lambda: 1)
    with queue.place("a", 1), queue.place("b", 1) as last:
        with queue.place("c", 1):
            pass
        assert not last.has_turn


def test_a_call_of_more_texts_than_slots_writes_alone_and_is_not_overtaken_for_ever() -> None:
    queue = FairQueue(lambda: 2)
    with ExitStack() as first, ExitStack() as stack:
        first.enter_context(queue.place("a", 1))
        (wide,) = fill(queue, stack, "wide", 1, texts=4)
        (late,) = fill(queue, stack, "late", 1)
        assert [wide.has_turn, late.has_turn] == [False, False]
        first.close()
        assert [wide.has_turn, late.has_turn] == [True, False]
