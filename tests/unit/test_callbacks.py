"""A run bounded by tokens or by the clock."""

from types import SimpleNamespace
from typing import Any

import pytest
from transformers import TrainerControl, TrainerState

from training.callbacks import Clock
from training.finetune import sample_dev
from training.trainer import steps_for_tokens, warm_up_steps


@pytest.mark.parametrize(("tokens", "steps"), [(1, 1), (1_000, 1), (1_001, 2), (5_000, 5)])
def test_so_many_tokens_are_the_fewest_steps_that_see_them(tokens: int, steps: int) -> None:
    assert steps_for_tokens(tokens, 1_000.0) == steps


@pytest.mark.parametrize(
    ("asked", "of_run", "steps"),
    [(100, 8, 0), (100, 157, 15), (100, 5_000, 100), (0.1, 8, 0), (0.1, 733, 73), (0.5, 8, 4)],
)
def test_warm_up_is_bounded_by_the_run(asked: float, of_run: int, steps: int) -> None:
    assert warm_up_steps(asked, of_run) == steps


def test_the_best_state_is_chosen_on_tweets_of_all_times() -> None:
    """dev is sorted by id, and the first tweets of an archive are its shortest."""
    dev = [str(number) for number in range(1_200)]
    chosen = sample_dev(dev, seed=1)
    assert len(set(chosen)) == 400
    assert 500 < sum(map(int, chosen)) / 400 < 700
    assert chosen == sample_dev(dev, seed=1) != sample_dev(dev, seed=2)
    assert sorted(sample_dev(dev[:9], seed=1)) == dev[:9]


class Hands:
    """A clock's hands, moved by the test."""

    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def begun(hands: Hands, *measured: float) -> Clock:
    """A clock of two minutes, in a run that was measured at these seconds before."""
    clock = Clock(minutes=2, now=hands)
    anything: Any = SimpleNamespace()
    hands.seconds += 1_000  # between its making and the first step, models are loaded
    history = [{"loss": 3.0}, *({"seconds": seconds} for seconds in measured)]
    clock.on_train_begin(anything, TrainerState(log_history=history))
    return clock


def test_a_run_that_goes_on_has_the_minutes_that_were_left() -> None:
    hands = Hands()
    clock = begun(hands, 30, 90)
    assert clock.left() == pytest.approx(0.25)
    assert clock.learning_rate(500, 3) == pytest.approx(0.25)


def test_the_learning_rate_warms_up_and_then_falls_with_the_time_that_is_left() -> None:
    hands = Hands()
    clock = begun(hands)
    assert [clock.learning_rate(step, 3) for step in (0, 1, 2, 3)] == [0.25, 0.5, 0.75, 1.0]
    hands.seconds += 90
    assert clock.learning_rate(500, 3) == pytest.approx(0.25)
    hands.seconds += 90
    assert clock.learning_rate(501, 3) == 0


def test_a_tenth_of_the_time_is_enough_for_warming_up() -> None:
    hands = Hands()
    clock = begun(hands)
    hands.seconds += 6
    assert clock.learning_rate(0, 999) == pytest.approx(0.5)
    hands.seconds += 6
    assert clock.learning_rate(1, 999) == pytest.approx(0.9)


def test_a_share_of_the_time_may_be_for_warming_up() -> None:
    hands = Hands()
    clock = begun(hands)
    rates = []
    for _ in range(4):
        rates.append(clock.learning_rate(7, 0.25))
        hands.seconds += 15
    assert rates == [0, 0.5, 0.75, 0.625]


def test_the_run_ends_with_its_minutes() -> None:
    hands = Hands()
    clock = begun(hands)
    anything: Any = SimpleNamespace()
    control = TrainerControl()
    hands.seconds += 119
    clock.on_step_end(anything, anything, control)
    assert not control.should_training_stop
    hands.seconds += 1
    clock.on_step_end(anything, anything, control)
    assert control.should_training_stop
    assert control.should_evaluate
    assert control.should_save
