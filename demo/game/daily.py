"""The Daily Ten: the same ten texts for everyone on a date, made of the date and the tweets alone.

A quarter of the real tweets is reserved for it and never dealt in free play. Every choice is drawn
from a hash of the date that is keyed with these tweets. So instances with the same checkpoint, data
and kind of CPU have the same ten, also after a restart; and nobody without the tweets can compute
the seeds and have the page write the texts in advance. Each place has a generated text and a real
one of the same length, of which a coin chooses one, as in free play.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from hashlib import blake2b
from random import Random

from demo.game.pairing import NEAR_CHARACTERS, Shown, StyleScore
from demo.game.pool import GeneratedText, TextSource
from demo.game.tweets import MAX_CHARACTERS, Tweet
from demo.generation.idle import Wanted

PLACES = 10
# The day before number 1.
DAY_ZERO = date(2026, 11, 25)
# Of 256.
RESERVED = 64
# With fewer reserved ones there is no Daily Ten: a day's could hardly be paired.
MIN_RESERVED = 30
# The reserved tweets are split into parts of about this size that take turns, a day each, so that
# none comes again on the next day.
TWEETS_A_DAY = 60
# After so many texts without a real one as long, a place takes the real one nearest in length.
MAX_ATTEMPTS = 40


@dataclass(frozen=True)
class DayCount:
    """How many answered a text of the day since the demo was started, and how many wrongly."""

    answers: int
    fooled: int


@dataclass
class _Day:
    """What is made of a day's ten: `numbers` are the real tweets that it may take."""

    day: date
    numbers: Sequence[int]
    places: list[Shown] = field(default_factory=list)
    # Real tweets that stand in it, or began a text that does.
    used: set[int] = field(default_factory=set)
    attempts: int = 0
    counts: list[DayCount] = field(default_factory=lambda: [DayCount(0, 0)] * PLACES)

    def is_whole(self) -> bool:
        return len(self.places) == PLACES


def split_off(tweets: Sequence[Tweet]) -> tuple[list[Tweet], list[Tweet]]:
    """The tweets of free play, and those of the Daily Ten: none if there are too few of them. The
    same tweet always goes to the same side."""
    reserved = [tweet for tweet in tweets if _digest(tweet.text)[0] < RESERVED]
    if len(reserved) < MIN_RESERVED:
        return list(tweets), []
    taken = set(reserved)
    return [tweet for tweet in tweets if tweet not in taken], reserved


def number_of(day: date) -> int:
    """By which people call it: #1, #2 and so on."""
    return (day - DAY_ZERO).days


def utc_today() -> date:
    return datetime.now(UTC).date()


class DailyTen:
    """Today's ten and tomorrow's."""

    def __init__(
        self,
        tweets: Sequence[Tweet],
        source: TextSource,
        today: Callable[[], date] = utc_today,
    ) -> None:
        """`tweets` are the reserved ones, in any order; nothing is written without them. Of the
        source, only what it accepts matters."""
        self._tweets = sorted(tweets, key=lambda tweet: tweet.text)
        texts = [tweet.text for tweet in self._tweets]
        self._key = _digest("\0".join(texts))
        self._style = StyleScore(texts) if texts else None
        self._source = replace(source, texts=texts, is_wanted=lambda _: True, learn=lambda _: None)
        self._today = today
        self._days: dict[date, _Day] = {}

    def exists(self) -> bool:
        """Whether there are tweets enough for it."""
        return self._style is not None

    def has(self, day: date) -> bool:
        """Whether that day's is played: today's, and yesterday's by those who began it."""
        return day <= self._today() and day in self._current()

    def at(self, day: date, place: int) -> Shown | None:
        """What stands at a place, from 0; None while it is not written."""
        found = self._current().get(day)
        return found.places[place] if found and place < len(found.places) else None

    def count(self, shown: Shown, is_fooled: bool) -> DayCount | None:
        """Counts an answer and returns the counts of that text; None if its day is over."""
        found = self._days.get(shown.day) if shown.day else None
        if found is None:
            return None
        before = found.counts[shown.place]
        now = DayCount(before.answers + 1, before.fooled + is_fooled)
        found.counts[shown.place] = now
        return now

    def want(self) -> Wanted | None:
        """The next attempt at the first place that is free, today or tomorrow."""
        found = self._unfinished()
        if found is None:
            return None
        rng = self._rng(found, f"attempt {found.attempts}")
        source = replace(self._source, rng=rng)
        return source.want(lambda generated: self._take(found, generated))

    def _take(self, found: _Day, generated: GeneratedText | None) -> bool:
        """Fills the place, if the text may be shown and has a twin."""
        reach = NEAR_CHARACTERS if found.attempts < MAX_ATTEMPTS else MAX_CHARACTERS
        found.attempts += 1
        number = self._twin(found, generated, reach) if generated else None
        if generated is None or number is None:
            return False
        if self._rng(found, "coin").random() < 0.5:
            shown = Shown(generated.text, "computer", source=generated.source)
        else:
            tweet = self._tweets[number]
            shown = Shown(tweet.text, "real", tweet)
        found.used |= {number} if generated.opened_by is None else {number, generated.opened_by}
        found.places.append(replace(shown, day=found.day, place=len(found.places)))
        found.attempts = 0
        return True

    def _twin(self, found: _Day, generated: GeneratedText, reach: int) -> int | None:
        """The real tweet of about its length that is most like the text."""
        assert self._style
        text, opened_by = generated.text, generated.opened_by
        distances = {
            number: abs(len(self._tweets[number].text) - len(text))
            for number in found.numbers
            if number not in found.used and number != opened_by
        }
        if opened_by in found.used or not distances:
            return None
        least = max(NEAR_CHARACTERS, min(distances.values()))
        if least > reach:
            return None
        near = [number for number, distance in distances.items() if distance <= least]
        return near[int(self._style.apart(near, text).argmin())]

    def _current(self) -> dict[date, _Day]:
        """The days that are kept: those from yesterday on, today and tomorrow among them."""
        today = self._today()
        for day in (today, today + timedelta(days=1)):
            if self.exists() and day not in self._days:
                self._days[day] = _Day(day, self._numbers_of(day))
        for day in [day for day in self._days if day < today - timedelta(days=1)]:
            del self._days[day]
        return self._days

    def _unfinished(self) -> _Day | None:
        today = self._today()
        days = (found for day, found in sorted(self._current().items()) if day >= today)
        return next((found for found in days if not found.is_whole()), None)

    def _numbers_of(self, day: date) -> Sequence[int]:
        parts = max(1, len(self._tweets) // TWEETS_A_DAY)
        turn = day.toordinal() % parts
        numbers = range(len(self._tweets))
        return [n for n in numbers if _digest(self._tweets[n].text)[1] % parts == turn]

    def _rng(self, found: _Day, purpose: str) -> Random:
        """Chance that is the same in every process with these tweets."""
        message = f"{found.day.isoformat()} {len(found.places)} {purpose}"
        return Random(_digest(message, self._key))


def _digest(text: str, key: bytes = b"") -> bytes:
    return blake2b(text.encode(), key=key, digest_size=32).digest()
