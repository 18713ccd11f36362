"""The game's real tweets, and which texts of either kind may be shown.

Real tweets come from a folder that `training prepare` wrote, or from a Hub dataset with those
files. Train is never read: what a model was trained on is shown to nobody.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import chain
from pathlib import Path
from typing import Any, Self

from demo.checkpoints.files import PERSONA
from demo.checkpoints.persona import InvalidPersona, Persona
from demo.judging import canonical

# The detector was trained on dev, so people are compared with it on test if there is one.
SPLITS = ("test.parquet", "dev.parquet")
FILES = (*SPLITS, PERSONA)
MAX_CHARACTERS = 280
REPLACEMENT_CHARACTER = "\ufffd"
# A word is rare if at most this share of the real tweets has it. A text with fewer rare words than
# this is dull: "Thank you @user, so true!" could be anybody's, and guessing it is a coin-flip.
RARE_SHARE = 0.01
MIN_RARE_WORDS = 4
# No more than this share of the real tweets is taken for dull, whatever their words.
MAX_DULL_SHARE = 0.2
# Handles are no words; hashtags are.
_WORD = re.compile(r"(?<![@\w])[^\W\d_](?:[^\W\d_]|['’])+")
# Control characters, halves of surrogate pairs, private and unassigned code points.
_NOT_TEXT = ("Cc", "Cs", "Co", "Cn")


class NoTweets(RuntimeError):
    """There is nothing to play with; the message is for the owner and may name a path."""


@dataclass(frozen=True)
class Tweet:
    """One prepared tweet; `day` is an ISO date, empty if it has none."""

    id: str
    day: str
    text: str


@dataclass(frozen=True)
class RealTweets:
    """The tweets of the split that is played with, whose they are if the data say so, and the
    tweets of the other splits, which the game never deals."""

    tweets: Sequence[Tweet]
    persona: Persona | None = None
    spare: Sequence[Tweet] = ()

    @property
    def texts(self) -> Sequence[str]:
        """Of all splits."""
        return [tweet.text for tweet in (*self.tweets, *self.spare)]


def read_tweets(folder: Path) -> RealTweets:
    """Reads the tweets of a folder: test, or dev if there is no test. Raises NoTweets if neither is
    there, or a file is damaged or empty."""
    splits = [_read(folder / name) for name in SPLITS if (folder / name).is_file()]
    if not splits:
        raise NoTweets(f"There is no {SPLITS[0]} in {folder}: run `python -m training prepare`.")
    persona = None
    if (folder / PERSONA).is_file():
        try:
            persona = Persona.read(folder / PERSONA)
        except InvalidPersona as error:
            raise NoTweets(f"{folder / PERSONA} cannot be used: {error}") from error
    tweets, *others = splits
    return RealTweets(tweets, persona, list(chain(*others)))


def link_to(tweet: Tweet, persona: Persona) -> str | None:
    """Where the tweet can be read; None if X did not give it its id."""
    # In data made from plain text, which has no dates, ids are line numbers.
    if not tweet.day or not (tweet.id.isascii() and tweet.id.isdigit()):
        return None
    return persona.link_to(tweet.id)


def _read(path: Path) -> list[Tweet]:
    # Imported lazily: a demo without tweets should not pay for it at start-up.
    from pyarrow import ArrowException, parquet  # noqa: PLC0415

    try:
        rows = parquet.read_table(path, columns=["id", "date", "text"]).to_pylist()
        tweets = [_tweet(row) for row in rows]
    except (ArrowException, OSError, KeyError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise NoTweets(f"{path} is not a prepared split: {reason}.") from error
    if not tweets:
        raise NoTweets(f"{path} holds no tweet.")
    return tweets


def _tweet(row: Mapping[str, Any]) -> Tweet:
    if not isinstance(row["text"], str):
        raise TypeError("a text is missing")
    try:
        day = date.fromisoformat(str(row["date"])[:10]).isoformat()
    except ValueError:
        day = ""
    return Tweet(str(row["id"]), day, row["text"])


@dataclass(frozen=True)
class DisplayRules:
    """Which texts may be shown: those that neither cleaning nor a stray character gives away.

    Real tweets were cleaned by the rules of demo/judging/canonical.py. Generated texts are cleaned
    by the same rules, and a text of either kind that they would still change is not shown.

    handles: those of the real texts, in lower case.
    characters: those of the real texts that are text.
    texts: the real texts, without case.
    """

    handles: frozenset[str]
    characters: frozenset[str]
    texts: frozenset[str]

    @classmethod
    def from_texts(cls, texts: Iterable[str]) -> Self:
        texts = list(texts)
        return cls(
            canonical.handles_in(texts),
            frozenset(filter(_is_text, set("".join(texts)))),
            frozenset(text.casefold() for text in texts),
        )

    def allow(self, text: str) -> bool:
        """Whether a clean text may be shown."""
        return (
            len(text) <= MAX_CHARACTERS
            # Our engines never write it.
            and canonical.ANONYMOUS_HANDLE not in text
            and not canonical.is_too_short(text)
            and not _is_skipped(text)
            and all(map(self._is_ordinary, text))
            # Cleaned twice is cleaned once; not so if, say, an entity was escaped twice.
            and canonical.clean(text, self.handles) == text
        )

    def clean(self, generated: str) -> str | None:
        """Cleans a generated text; None if it may not be shown, or is a real one."""
        # Before cleaning, too: a link can stand after the ellipsis.
        if _is_skipped(generated.strip()):
            return None
        text = canonical.clean(generated, self.handles)
        return text if self.allow(text) and text.casefold() not in self.texts else None

    def _is_ordinary(self, character: str) -> bool:
        if character.isascii():
            return character.isprintable()
        return character in self.characters


@dataclass(frozen=True)
class Dullness:
    """Which texts say too little to be told apart by reading: those with few rare words.

    Both texts of a round must pass, before the coin is thrown that chooses one of them: what is
    shown is never dull, and that it is not says nothing of where it came from.

    common: the words that are not rare, without case.
    minimum: how many rare words a text must have.
    """

    common: frozenset[str]
    minimum: int

    @classmethod
    def from_texts(cls, texts: Iterable[str]) -> Self:
        words = [_words(text) for text in texts]
        counts = Counter(word for found in words for word in found)
        limit = RARE_SHARE * len(words)
        common = frozenset(word for word, count in counts.items() if count > limit)
        numbers = sorted(len(found - common) for found in words)
        most = numbers[int(MAX_DULL_SHARE * len(numbers))] if numbers else 0
        return cls(common, min(MIN_RARE_WORDS, most))

    def is_dull(self, text: str) -> bool:
        return len(_words(text) - self.common) < self.minimum


def _words(text: str) -> frozenset[str]:
    return frozenset(word.casefold() for word in _WORD.findall(text))


def _is_text(character: str) -> bool:
    return character != REPLACEMENT_CHARACTER and unicodedata.category(character) not in _NOT_TEXT


def _is_skipped(text: str) -> bool:
    """Whether `training prepare` would have skipped it, so that no real text looks like it."""
    return canonical.is_manual_retweet(text) or canonical.is_cut_off(text)
