"""What is being guessed is not given away by the index of real tweets."""

from demo.game.in_play import InPlay
from demo.game.tickets import MAX_AGE_SECONDS
from demo.judging.originals import window_digests
from tests.scripted import REAL_TWEET

OTHER = "Nobody has ever seen a kettle as beautiful as the one that stands in my tower"


def is_hidden(in_play: InPlay, text: str) -> bool:
    return all(digest in in_play for digest in window_digests(text))


def test_a_text_is_hidden_from_when_it_is_asked_until_it_is_answered() -> None:
    in_play = InPlay()
    assert not is_hidden(in_play, REAL_TWEET)
    in_play.add(REAL_TWEET)
    assert is_hidden(in_play, REAL_TWEET)
    assert not is_hidden(in_play, OTHER)
    in_play.remove(REAL_TWEET)
    assert not is_hidden(in_play, REAL_TWEET)


def test_a_text_that_two_are_asked_is_hidden_until_both_have_answered() -> None:
    in_play = InPlay()
    in_play.add(REAL_TWEET)
    in_play.add(REAL_TWEET)
    in_play.remove(REAL_TWEET)
    assert is_hidden(in_play, REAL_TWEET)
    in_play.remove(REAL_TWEET)
    in_play.remove(REAL_TWEET)
    assert not is_hidden(in_play, REAL_TWEET)


def test_a_window_that_two_texts_share_stays_hidden_with_the_second() -> None:
    in_play = InPlay()
    in_play.add(REAL_TWEET)
    in_play.add(f"{REAL_TWEET} and in the next one too")
    in_play.remove(REAL_TWEET)
    assert is_hidden(in_play, REAL_TWEET)


def test_only_so_many_are_remembered() -> None:
    in_play = InPlay(at_most=1)
    in_play.add(REAL_TWEET)
    in_play.add(OTHER)
    assert not is_hidden(in_play, REAL_TWEET)
    assert is_hidden(in_play, OTHER)


def test_one_that_nobody_can_answer_any_more_is_not_hidden() -> None:
    now = [0.0]
    in_play = InPlay(clock=lambda: now[0])
    in_play.add(REAL_TWEET)
    now[0] = MAX_AGE_SECONDS
    assert is_hidden(in_play, REAL_TWEET)
    now[0] += 1
    assert not is_hidden(in_play, REAL_TWEET)
