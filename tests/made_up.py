"""A made-up archive of tweets: the archive's columns and X's export, and no real tweet."""

import csv
import gzip
import io
import json
import random
import zipfile
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import accumulate
from pathlib import Path
from typing import Any

COLUMNS = (
    "id", "text", "isRetweet", "isDeleted", "device", "favorites", "retweets", "date", "isFlagged"
)  # fmt: skip
DATE_FORMAT = "%Y-%m-%d %H:%M:%S"
_VERBS = ("polishes", "borrows", "paints", "follows", "forgets", "praises", "carries", "counts")
_VOCABULARY = 5_000
_ENDINGS = ((), (), ("!",), ("#teapots",), ("@teapots", "“really”"), ("🫖",), ("https://t.co/x",))
_COPIED, _NEARLY_COPIED, _RETWEETED = 0.02, 0.05, 0.1
# A copy is of one of so many texts before it.
_RECENT = 500


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
    """`count` good rows."""
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


def varied(count: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """`count` rows with what an archive has: frequent and rare words, emoji, handles, links,
    retweets, copies and near copies. One at a time: a million do not fit in a list."""
    chance = random.Random(seed)
    vocabulary = [word(chance) for _ in range(_VOCABULARY)]
    # Zipf's law: the nth word is n times rarer than the first.
    weights = list(accumulate(1 / rank for rank in range(1, _VOCABULARY + 1)))
    recent = [sentence(chance)]
    for number in range(count):
        draw = chance.random()
        text = chance.choice(recent)
        if draw < _COPIED:
            pass
        elif draw < _COPIED + _NEARLY_COPIED:
            text += f" {chance.choice(vocabulary)}"
        else:
            words = chance.choices(vocabulary, cum_weights=weights, k=chance.randint(5, 30))
            text = " ".join([*words, *chance.choice(_ENDINGS)])
            recent = [*recent[-_RECENT:], text]
        opening = f"RT @{chance.choice(vocabulary)[:15]}: " if chance.random() < _RETWEETED else ""
        date = datetime(2010, 1, 1) + timedelta(minutes=5 * number)
        yield row(number, opening + text, date=date.strftime(DATE_FORMAT))


def export(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """The same good rows as X's own export has them."""
    return [{"tweet": exported(record)} for record in rows(count, seed)]


def exported(record: dict[str, Any]) -> dict[str, Any]:
    """A row of the archive, as an entry of the export."""
    date = datetime.strptime(record["date"], DATE_FORMAT)
    return {
        "id_str": record["id"],
        "full_text": record["text"],
        "created_at": f"{date:%a %b %d %H:%M:%S} +0000 {date:%Y}",
        "retweeted": False,
        "entities": {"urls": []},
    }


def as_script(entries: Sequence[dict[str, Any]], part: str = "tweets.part0") -> str:
    """The entries as the export's JavaScript."""
    return f"window.YTD.{part} = {json.dumps(list(entries), indent=2)}"
