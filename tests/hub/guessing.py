"""One life of a game's counts or tweets, in a process of its own: the real client reads
HF_ENDPOINT once, when it is imported.

`counts DATASET FOLDER ANSWERS` counts so many right answers, one before the Hub was asked, and
stops; `tweets DATASET REVISION` fetches. Writes one JSON object.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from demo.game.kept import keep_counts
from demo.game.scores import Counts
from demo.game.tweets import NoTweets, fetch_tweets, read_tweets


def count(dataset: str, folder: str, answers: str) -> dict[str, Any]:
    """What was counted, and what the owner was told."""
    counts, said = Counts(), list[str]()
    for number in range(int(answers)):
        if number == 1:
            keep_counts(counts, dataset, Path(folder), said.append)
        counts.add(right=True, detector_right=None)
    record = counts.record()
    started = time.monotonic()
    counts.close()
    return {**record, "said": said, "seconds": time.monotonic() - started}


def tweets(dataset: str, revision: str) -> dict[str, Any]:
    """The files that were fetched, and how many tweets are in them."""
    try:
        folder = fetch_tweets(dataset, revision)
        return {
            "files": sorted(path.name for path in folder.iterdir()),
            "shown": len(read_tweets(folder).shown),
        }
    except NoTweets as error:
        return {"error": str(error)}


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    print(json.dumps(count(*arguments) if what == "counts" else tweets(*arguments)))
