"""The life of a game's counts or tweets: of a process of its own, for the real client remembers.

`counts DATASET ANSWERS` counts so many right answers, one before the Hub was asked, and stops.
`two DATASET` is two processes that share a dataset: A answers three times and stops while B runs,
then B answers four times and stops. `tweets DATASET REVISION` fetches. Each prints one JSON object.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from demo.checkpoints.hub import HubError, fetch_files
from demo.game import scores
from demo.game.scores import Counts
from demo.game.tweets import FILES, read_tweets
from tests.hub.repositories import State
from tests.hub.verbs import client_of

PATIENCE_SECONDS = 30.0


def until(condition: Callable[[], object]) -> None:
    """Waits for it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def kept(dataset: str, answers: int = 0) -> tuple[Counts, list[str]]:
    """Counts with so many answers, once the dataset was read or could not be, and what the owner
    is told."""
    counts, said = Counts(), list[str]()
    for _ in range(answers):
        counts.add(right=True, detector_right=None)
    counts.keep(dataset, said.append)
    until(lambda: counts.everyone().kept or said)
    return counts, said


def count(dataset: str, answers: str) -> dict[str, Any]:
    """What was counted, and what the owner was told."""
    counts, said = kept(dataset, answers=1)
    for _ in range(int(answers) - 1):
        counts.add(right=True, detector_right=None)
    everyone = counts.everyone()
    started = time.monotonic()
    counts.close()
    return {**asdict(everyone), "said": said, "seconds": time.monotonic() - started}


def two(dataset: str) -> dict[str, Any]:
    """What each had counted in the end, and what the owner was told."""
    (a, said_by_a), (b, said_by_b) = kept(dataset), kept(dataset)
    for counts, answers in ((a, 3), (b, 4)):
        for _ in range(answers):
            counts.add(right=True, detector_right=None)
        counts.close()
    return {"a": a.everyone().answers, "b": b.everyone().answers, "said": said_by_a + said_by_b}


def tweets(dataset: str, revision: str) -> dict[str, Any]:
    """The files that were fetched, and how many tweets are in them."""
    try:
        folder = fetch_files(dataset, revision, FILES, PATIENCE_SECONDS, "dataset")
        return {
            "files": sorted(path.name for path in folder.iterdir()),
            "shown": len(read_tweets(folder).tweets),
        }
    except HubError as error:
        return {"error": str(error)}


def live(
    hub: State, home: Path, token: str, stop_seconds: float, what: str, *arguments: str
) -> None:
    """One of these lives, by the client of `hub`; the counts may take so long to stop."""
    lives: dict[str, Callable[..., dict[str, Any]]] = {
        "counts": count,
        "two": two,
        "tweets": tweets,
    }
    scores.STOP_SECONDS = stop_seconds
    with client_of(hub, home, token):
        print(json.dumps(lives[what](*arguments)))
