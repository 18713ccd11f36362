"""The game's real tweets: of a folder that `training prepare` wrote, or of a Hub dataset.

Knows prepared data's files; must not know what is played with them. Nothing is ever read of
train.parquet: what a model has learnt from is shown to nobody.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from demo.checkpoints.hub import HubError, fetch_files
from demo.checkpoints.persona import PERSONA, InvalidPersona, Persona

# The detector has learnt from dev: people are compared with it on test, where there is one.
SPLITS = ("test.parquet", "dev.parquet")
FILES = (*SPLITS, PERSONA)
HUB_PATIENCE_SECONDS = 30.0


class NoTweets(RuntimeError):
    """There is nothing to play with; the message is for the owner and may name a path."""


@dataclass(frozen=True)
class Tweet:
    """One prepared tweet; `day` is an ISO date, empty where it has none."""

    id: str
    day: str
    text: str


@dataclass(frozen=True)
class RealTweets:
    """Those that may be shown, the texts of every file that was read, and whose they are if the
    data say so."""

    shown: tuple[Tweet, ...]
    texts: tuple[str, ...]
    persona: Persona | None = None


def fetch_tweets(dataset: str, revision: str) -> Path:
    """The folder with what a game needs of a Hub dataset's commit.

    Raises:
        NoTweets: it cannot be had, nor is there a copy of it.
    """
    try:
        return fetch_files(dataset, revision, FILES, HUB_PATIENCE_SECONDS, "dataset")
    except HubError as error:
        raise NoTweets(str(error)) from error


def read_tweets(folder: Path) -> RealTweets:
    """The tweets of a folder: `test`, or `dev` where there is no test.

    Raises:
        NoTweets: neither is there, or a file is damaged or empty.
    """
    splits = [_read(folder / name) for name in SPLITS if (folder / name).is_file()]
    if not splits:
        raise NoTweets(f"There is no {SPLITS[0]} in {folder}: run `python -m training prepare`.")
    texts = tuple(tweet.text for tweets in splits for tweet in tweets)
    return RealTweets(tuple(splits[0]), texts, _persona(folder / PERSONA))


def link_to(tweet: Tweet, persona: Persona) -> str | None:
    """Where it can be read; None where its id is not one that X gave it."""
    # Of a plain text, which has no dates, the ids are the numbers of its lines.
    if not tweet.day or not (tweet.id.isascii() and tweet.id.isdigit()):
        return None
    return persona.link_to(tweet.id)


def _read(path: Path) -> list[Tweet]:
    # It costs a start-up that a demo without tweets must not pay.
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
        raise TypeError("a text is none")
    return Tweet(str(row["id"]), _day(row["date"]), row["text"])


def _day(written: Any) -> str:
    try:
        return date.fromisoformat(str(written)[:10]).isoformat()
    except ValueError:
        return ""


def _persona(path: Path) -> Persona | None:
    if not path.is_file():
        return None
    try:
        return Persona.read(path)
    except InvalidPersona as error:
        raise NoTweets(f"{path} cannot be used: {error}") from error
