"""Starts the real app with words in every place that try to run: `python -m tests.hostile_app`.

A checkpoint's persona is refused when it is read; this one is not read, so that what the page does
with it can be seen. The same goes for the persona of the game's tweets.
"""

import random
import sys
from pathlib import Path
from unittest.mock import patch

from demo.checkpoints.persona import Persona
from demo.game.tweets import RealTweets, Tweet
from demo.generation.engine import EngineIdentity
from demo.generation.profile import Profile
from demo.launch import launch
from demo.server.service import Loaded, Service
from demo.settings import read_settings
from tests import made_up
from tests.scripted import Reply, ScriptedEngine, scripted_judges

ATTACK = (
    "<img src=x onerror=window.__pwned=1>${window.__pwned=1}{{value}}`"
    "</script><script>window.__pwned=1</script>"
)
# Short enough for a tweet of the game.
SHORT_ATTACK = "<img src=x onerror=window.__pwned=1>"


def hostile(name: str) -> str:
    """A value that says which one it is."""
    return f"{name} {ATTACK}"


PERSONA = Persona.model_construct(
    name=hostile("name"),
    tweets=hostile("tweets"),
    archive=hostile("archive"),
    title=f"{hostile('one')} or {hostile('other')}",
    author=hostile("author"),
    handle=hostile("handle"),
    label=hostile("label"),
    badge=hostile("badge"),
    examples=(hostile("example"), f'"; window.__pwned=1; "{ATTACK}'),
    link="javascript:window.__pwned=1//{id}",
)
IDENTITY = EngineIdentity(
    checkpoint=hostile("checkpoint"),
    revision=hostile("revision"),
    engine=hostile("engine"),
    precision="exact",
)
METRICS = {
    "data": {"splits": {"train": {"tweets": hostile("tweets")}, hostile("split"): 1}},
    "evaluation": {"test": {"checkpoint": {"bits_per_byte": 1.2, "perplexity": hostile("p")}}},
}


chance = random.Random(1)


class Replies(dict[str, Reply]):
    """Whatever is asked; the game's texts are new each time and as long as its tweets."""

    def get(self, opening: str, default: object = None) -> Reply:
        if opening == "fail":
            return Reply(hostile("half"), error=RuntimeError(hostile("error")))
        if opening == "write" or ATTACK in opening:
            return Reply(hostile("text"))
        return Reply(tweet(chance))


def tweet(own: random.Random) -> str:
    return f"{made_up.sentence(own)} {SHORT_ATTACK}"


def read_tweets(_: Path) -> RealTweets:
    own = random.Random(7)
    tweets = tuple(Tweet(str(10**12 + i), "2015-01-01", tweet(own)) for i in range(200))
    return RealTweets(tweets, PERSONA)


def load() -> Loaded:
    engine = ScriptedEngine(Replies(), identity=IDENTITY)
    return Loaded(engine, hostile("notice"), scripted_judges(), METRICS, None)


if __name__ == "__main__":
    service = Service(load)
    service.begin()
    with patch("demo.game.game.read_tweets", read_tweets):
        launch(service, read_settings(), Profile(PERSONA))
    sys.exit(0)
