"""The Daily Ten: the same for everyone on a date, and nothing of it in free play."""

from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from random import Random

import pytest

from demo.game.daily import PLACES, DailyTen, DayCount, number_of, split_off
from demo.game.pairing import NEAR_CHARACTERS, Shown
from demo.game.pool import TextSource
from demo.game.tweets import DisplayRules, Tweet
from demo.generation.engine import EngineIdentity
from demo.generation.request import GenerationRequest
from tests import made_up
from tests.guessing import story_of, written

IDENTITY = EngineIdentity("scripted", "0123456789ab", "script", "exact")
TODAY = date(2026, 12, 24)
TWEETS = [Tweet(str(row["id"]), row["date"][:10], row["text"]) for row in made_up.rows(1_000)]
FREE, RESERVED = split_off(TWEETS)


class Calendar:
    """What day it is, as a test says."""

    day = TODAY

    def today(self) -> date:
        return self.day


def daily(tweets: Sequence[Tweet] = RESERVED, calendar: Calendar | None = None) -> DailyTen:
    texts = [tweet.text for tweet in TWEETS]
    source = TextSource(
        texts, DisplayRules.from_texts(texts), GenerationRequest(seed=0), lambda _: False,
        lambda _: False, lambda _: False, lambda _: pytest.fail("learnt"), Random(),
    )  # fmt: skip
    return DailyTen(tweets, source, (calendar or Calendar()).today)


def write(ten: DailyTen) -> list[GenerationRequest]:
    """Writes what is missing, and returns what was asked for."""
    asked = []
    while wanted := ten.want():
        asked.append(wanted.request)
        wanted.take(written(wanted.request, f" {story_of(wanted.request)}", IDENTITY))
    return asked


def ten_of(ten: DailyTen, day: date = TODAY) -> list[Shown]:
    found = [ten.at(day, place) for place in range(PLACES)]
    return [shown for shown in found if shown]


def test_a_date_gives_the_same_ten_in_every_process_whatever_the_order_of_its_tweets() -> None:
    first, second = daily(), daily(RESERVED[::-1])
    assert write(first) == write(second)
    assert ten_of(first) == ten_of(second)
    assert [(shown.day, shown.place) for shown in ten_of(first)] == [(TODAY, i) for i in range(10)]


def test_a_ten_that_was_written_the_day_before_is_the_one_that_a_restart_writes() -> None:
    calendar = Calendar()
    calendar.day = TODAY - timedelta(days=1)
    ahead, restarted = daily(calendar=calendar), daily()
    write(ahead)
    write(restarted)
    calendar.day = TODAY
    assert ten_of(ahead) == ten_of(restarted) != []
    # The next day's is written now.
    assert ahead.want()


def test_days_differ_and_are_half_real() -> None:
    calendar, ten = Calendar(), None
    truths: Counter[str] = Counter()
    texts: set[str] = set()
    ten = daily(calendar=calendar)
    for _ in range(20):
        write(ten)
        shown = ten_of(ten, calendar.day)
        truths.update(one.truth for one in shown)
        texts.update(one.text for one in shown if one.truth == "computer")
        assert len({one.text for one in shown}) == 10
        calendar.day += timedelta(days=1)
    assert 60 < truths["real"] < 140
    assert len(texts) == truths["computer"]


def test_what_it_shows_is_reserved_and_free_play_keeps_the_rest() -> None:
    assert set(FREE).isdisjoint(RESERVED)
    assert set(FREE) | set(RESERVED) == set(TWEETS)
    assert 0.2 < len(RESERVED) / len(TWEETS) < 0.3
    # Where the tweets are fewer, one that remains stays on its side.
    assert set(split_off(TWEETS[:600])[1]) <= set(RESERVED)
    ten = daily()
    write(ten)
    assert {one.tweet for one in ten_of(ten) if one.tweet} <= set(RESERVED)


def test_no_real_tweet_comes_on_two_days_in_a_row() -> None:
    ten = daily()
    write(ten)
    tomorrow = ten_of(ten, TODAY + timedelta(days=1))
    shown = [{one.tweet for one in day if one.tweet} for day in (ten_of(ten), tomorrow)]
    assert shown[0].isdisjoint(shown[1])


def test_who_lacks_the_tweets_cannot_know_what_the_engine_will_be_asked() -> None:
    ten, other = daily(), daily(RESERVED[1:])
    assert {one.seed for one in write(ten)}.isdisjoint(one.seed for one in write(other))


def test_a_place_takes_texts_as_long_as_a_real_one_and_in_the_end_any() -> None:
    ten = daily()
    longest = max(len(tweet.text) for tweet in RESERVED)
    text = "The teapot sings of tea ".ljust(longest + NEAR_CHARACTERS + 9, "x")
    tries = 0
    while ten.at(TODAY, 0) is None:
        wanted = ten.want()
        assert wanted
        wanted.take(written(wanted.request, text, IDENTITY))
        tries += 1
    assert tries == 41


def test_a_text_that_is_not_shown_costs_an_attempt_and_the_next_one_is_another() -> None:
    ten = daily()
    first, again = ten.want(), ten.want()
    assert first
    assert again
    # One that an error interrupted is asked for again.
    assert again.request == first.request
    assert not again.take(written(again.request, "", IDENTITY))
    other = ten.want()
    assert other
    assert other.request != first.request


def test_answers_of_a_day_are_counted_text_by_text() -> None:
    calendar = Calendar()
    ten = daily(calendar=calendar)
    write(ten)
    first, second, *_ = ten_of(ten)
    assert ten.count(first, is_fooled=True) == DayCount(1, 1)
    assert ten.count(first, is_fooled=False) == DayCount(2, 1)
    assert ten.count(second, is_fooled=False) == DayCount(1, 0)
    assert ten.count(Shown("free play", "real"), is_fooled=True) is None
    calendar.day += timedelta(days=2)
    ten.has(calendar.day)
    assert ten.count(first, is_fooled=True) is None


def test_who_began_before_midnight_ends_after_it_and_tomorrows_is_nobodys() -> None:
    calendar = Calendar()
    ten = daily(calendar=calendar)
    write(ten)
    assert [ten.has(TODAY + timedelta(days=days)) for days in (-1, 0, 1)] == [False, True, False]
    calendar.day += timedelta(days=1)
    assert ten.has(TODAY)
    assert len(ten_of(ten)) == 10
    calendar.day += timedelta(days=1)
    assert not ten.has(TODAY)
    assert number_of(calendar.day) - number_of(TODAY) == 2


def test_with_few_tweets_there_is_none_and_free_play_has_them_all() -> None:
    free, reserved = split_off(TWEETS[:60])
    assert (free, reserved) == (TWEETS[:60], [])
    ten = daily(reserved)
    assert not ten.exists()
    assert ten.want() is None
    assert not ten.has(TODAY)
