"""Prepared data and an author for the guessing game, both made up: no real tweet."""

import random
import time
from pathlib import Path
from typing import Any

from demo.game.game import Game, Round
from demo.generation.engine import Ending, EngineIdentity, FinishReason
from demo.generation.idle import Written
from demo.generation.request import GenerationRequest
from tests import made_up
from tests.scripted import Reply, ScriptedEngine
from training.prepare import Tweet, write_split


class Stories(dict[str, Reply]):
    """Replies that are new each time, about as long as made-up tweets."""

    def __init__(self, seconds_per_word: float = 0.0) -> None:
        super().__init__()
        self._chance = random.Random(1)
        self._seconds_per_word = seconds_per_word

    def get(self, opening: str, default: Any = None) -> Any:
        return Reply(made_up.sentence(self._chance), self._seconds_per_word)


def story_of(request: GenerationRequest) -> str:
    """The same for the same opening and seed, about as long as made-up tweets."""
    return made_up.sentence(random.Random(f"{request.opening} {request.seed}"))


class StoryTeller(ScriptedEngine):
    """Writes what opening and seed make of it, as a model does."""

    def _reply(self, request: GenerationRequest) -> Reply:
        return Reply(story_of(request))


def written(asked: GenerationRequest, text: str, identity: EngineIdentity) -> Written:
    """What an engine adds to the opening when it writes this text; empty if it did not end."""
    reason: FinishReason = "end_of_tweet" if text else "length"
    return Written(text.removeprefix(asked.opening), Ending(reason, 1, 1, 160, 0, 0), identity)


def write_tweets(folder: Path, count: int = 200, name: str = "test", seed: int = 7) -> list[Tweet]:
    """Writes one split of made-up tweets, the same ones each time, and returns them."""
    tweets = [Tweet(int(row["id"]), row["date"], row["text"]) for row in made_up.rows(count, seed)]
    folder.mkdir(parents=True, exist_ok=True)
    write_split(folder / f"{name}.parquet", tweets)
    return tweets


def dealt(game: Game, visit: str | None = None, seconds: float = 20) -> Round:
    """The next round, once the computer has written enough."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = game.next(visit)
        if found.state != "waiting":
            return found
        time.sleep(0.005)
    raise AssertionError("No round was dealt.")
