"""A made-up archive of tweets: the real format, no real tweet.

Knows the archive's columns; must not know what is tested with it.
"""

import csv
import gzip
import io
import json
import random
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

COLUMNS = (
    "id", "text", "isRetweet", "isDeleted", "device", "favorites", "retweets", "date", "isFlagged"
)  # fmt: skip
_VERBS = ("polishes", "borrows", "paints", "follows", "forgets", "praises", "carries", "counts")


def word(chance: random.Random) -> str:
    """Two or three syllables that mean nothing."""
    syllables = chance.randint(2, 3)
    return "".join(chance.choice("bdfgklmnprst") + chance.choice("aeiou") for _ in range(syllables))


def sentence(chance: random.Random) -> str:
    """Ten to twenty words of nonsense, different every time."""
    words = [
        f"The {word(chance)} {chance.choice(_VERBS)} the {word(chance)}"
        for _ in range(chance.randint(2, 4))
    ]
    return f"{', and '.join(words)}!"


def row(number: int, text: str, **changes: Any) -> dict[str, Any]:
    """One row of the archive; ids and dates grow with the number."""
    date = f"20{10 + number // 3000:02}-{1 + number // 250 % 12:02}-{1 + number // 10 % 25:02}"
    values = (
        str(10**12 + number), text, "f", "f", "Twitter for Teapots", "1", "2",
        f"{date} 10:00:00", "f",
    )  # fmt: skip
    return {**dict(zip(COLUMNS, values, strict=True)), **changes}


def rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """So many good rows."""
    chance = random.Random(seed)
    return [row(number, sentence(chance)) for number in range(count)]


def as_csv(records: Sequence[dict[str, Any]]) -> str:
    """The records as the archive's CSV."""
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS)
    writer.writeheader()
    writer.writerows(records)
    return file.getvalue()


def write(path: Path, records: Sequence[dict[str, Any]]) -> Path:
    """Writes by the path's ending: .csv, .csv.gz, .zip or .json."""
    text = as_csv(records) if path.suffix != ".json" else json.dumps(list(records))
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as bundle:
            bundle.writestr("tweets.csv", text)
    else:
        path.write_text(text, encoding="utf-8", newline="")
    return path
