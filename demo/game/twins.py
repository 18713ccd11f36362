"""A real tweet of a generated text's length, for the link with which a visitor fools a friend."""

from collections.abc import Sequence
from dataclasses import dataclass

from demo.game.pairing import NEAR_CHARACTERS
from demo.game.tweets import DisplayRules, Tweet

# With a longer difference, length alone would tell which one is real.
MAX_DIFFERENCE = 30


@dataclass(frozen=True)
class Twins:
    """A generated text, as clean as the real tweets are, and the real one to show beside it."""

    text: str
    tweet: Tweet


def find_twins(text: str, seed: int, tweets: Sequence[Tweet], rules: DisplayRules) -> Twins | None:
    """The same twins for the same text and seed; None if the text may not be shown as one that
    could be real, or no tweet is about as long."""
    clean = rules.clean(text)
    if clean is None:
        return None
    differences = [abs(len(tweet.text) - len(clean)) for tweet in tweets]
    if min(differences) > MAX_DIFFERENCE:
        return None
    most = max(NEAR_CHARACTERS, min(differences))
    near = [tweet for tweet, far in zip(tweets, differences, strict=True) if far <= most]
    return Twins(clean, near[seed % len(near)])
