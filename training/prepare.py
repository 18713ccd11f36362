"""`prepare`: an archive becomes canonical tweets in four splits, with every count reported.

Knows the archive, the canonical text and near duplicates; must not know tokens or models.
The same input and seed give byte-identical output.
"""

import argparse
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasketch import MinHash, MinHashLSH
from tqdm import tqdm

from training import canonical
from training.archive import DATE_FORMAT, Archive, Row, read_archive
from training.errors import TrainingError
from training.files import require_writable, write_json

SPLITS = ("train", "dev", "test", "test_time")
DEV_SHARE = TEST_SHARE = 0.05
TIME_SPLIT_TWEETS = 500
MIN_TWEETS = 40
# Two tweets are near duplicates when they share this much of their character 5-grams (Jaccard).
NEAR_DUPLICATE_SIMILARITY = 0.7
SHINGLE_CHARACTERS = 5
MINHASH_PERMUTATIONS = 128


@dataclass(frozen=True)
class Tweet:
    """One canonical tweet; `date` is UTC, as the archive writes it."""

    id: int
    date: str
    text: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's command line."""
    parser.add_argument("archive", help="CSV or JSON, plain, .gz or .zip; path, https:// or hf://")
    parser.add_argument("--out", type=Path, default=Path("data"), help="folder for the splits")
    parser.add_argument("--seed", type=int, default=20210108, help="which tweets are held back")


def run(arguments: argparse.Namespace) -> None:
    """Reads, cleans, splits, writes, prints the counts."""
    require_writable(arguments.out)
    with tqdm(unit="B", unit_scale=True, desc="reading") as bar:
        archive = read_archive(arguments.archive, lambda n, total: _advance(bar, n, total))
    tweets, counts = clean(archive.rows)
    splits = split(tweets, arguments.seed)
    report = _report(archive, counts, splits, arguments.seed)
    for name, members in splits.items():
        write_split(arguments.out / f"{name}.parquet", members)
    write_json(arguments.out / "report.json", report)
    print(_table(report))


def clean(rows: Sequence[Row]) -> tuple[list[Tweet], dict[str, int]]:
    """Canonical tweets in the order of their ids, and what was dropped at each step."""
    unique = {row.id: row for row in sorted(rows, key=lambda row: row.id)}
    kept = [row for row in unique.values() if not row.is_retweet]
    own = [row for row in kept if not canonical.is_manual_retweet(row.text)]
    whole = [row for row in own if not canonical.is_cut_off(row.text)]
    texts = [canonical.strip_links(row.text) for row in whole]
    handles = canonical.public_handles(texts)
    finished = [
        Tweet(row.id, row.date.strftime(DATE_FORMAT), canonical.finish(text, handles))
        for row, text in zip(whole, texts, strict=True)
    ]
    long_enough = [tweet for tweet in finished if not canonical.is_too_short(tweet.text)]
    first: dict[str, Tweet] = {}
    for tweet in long_enough:
        first.setdefault(tweet.text, tweet)
    exact = list(first.values())
    distinct = drop_near_duplicates(exact)
    return distinct, {
        "valid rows": len(rows),
        "repeated ids": len(rows) - len(unique),
        "retweets": len(unique) - len(kept),
        "retweets by hand": len(kept) - len(own),
        "cut off": len(own) - len(whole),
        "too short": len(finished) - len(long_enough),
        "exact duplicates": len(long_enough) - len(exact),
        "near duplicates": len(exact) - len(distinct),
        "kept": len(distinct),
        "handles kept": len(handles),
    }


def drop_near_duplicates(tweets: Sequence[Tweet]) -> list[Tweet]:
    """Every tweet that is no near duplicate of an earlier kept one.

    Candidates come from MinHash LSH (Broder 1997; datasketch), and are then compared exactly,
    so that the estimate's error drops nothing that differs.
    """
    index = MinHashLSH(threshold=NEAR_DUPLICATE_SIMILARITY, num_perm=MINHASH_PERMUTATIONS)
    shingles: dict[int, frozenset[str]] = {}
    kept = []
    for tweet, signature in _signatures(tweets):
        own = _shingle(tweet.text)
        if any(
            _jaccard(own, shingles[key]) >= NEAR_DUPLICATE_SIMILARITY
            for key in index.query(signature)
        ):
            continue
        index.insert(tweet.id, signature)
        shingles[tweet.id] = own
        kept.append(tweet)
    return kept


def _signatures(tweets: Sequence[Tweet]) -> Iterator[tuple[Tweet, MinHash]]:
    blank = MinHash(num_perm=MINHASH_PERMUTATIONS, seed=1)
    for tweet in tqdm(tweets, desc="near duplicates", unit=" tweets"):
        signature = blank.copy()
        signature.update_batch([piece.encode() for piece in sorted(_shingle(tweet.text))])
        yield tweet, signature


def _shingle(text: str) -> frozenset[str]:
    """Character 5-grams without case, handles and punctuation: what a copy keeps."""
    bare = canonical.HANDLE.sub(" ", text).casefold()
    letters = " ".join("".join(c if c.isalnum() else " " for c in bare).split())
    last = max(1, len(letters) - SHINGLE_CHARACTERS + 1)
    return frozenset(letters[i : i + SHINGLE_CHARACTERS] for i in range(last))


def _jaccard(left: frozenset[str], right: frozenset[str]) -> float:
    return len(left & right) / len(left | right)


def split(tweets: Sequence[Tweet], seed: int) -> dict[str, list[Tweet]]:
    """The last 500 by date (a tenth, in a small archive), then 90/5/5 of the rest by seed.

    Near-duplicate groups need no care here: only one member of each is left.

    Raises:
        TrainingError: too few tweets to fill every split.
    """
    if len(tweets) < MIN_TWEETS:
        raise TrainingError(
            f"Only {len(tweets)} tweets are left after cleaning; at least {MIN_TWEETS} are needed."
        )
    latest = sorted(tweets, key=lambda tweet: (tweet.date, tweet.id))
    held = min(TIME_SPLIT_TWEETS, len(tweets) // 10)
    # By hash, not by shuffling: a tweet more or less moves hardly any other to another split.
    rest = sorted(latest[:-held], key=lambda tweet: _rank(seed, tweet))
    dev, test = max(1, round(DEV_SHARE * len(rest))), max(1, round(TEST_SHARE * len(rest)))
    parts = (rest[dev + test :], rest[:dev], rest[dev : dev + test], latest[-held:])
    return {
        name: sorted(part, key=lambda tweet: tweet.id)
        for name, part in zip(SPLITS, parts, strict=True)
    }


def _rank(seed: int, tweet: Tweet) -> str:
    return hashlib.sha256(f"{seed}:{tweet.id}".encode()).hexdigest()


def write_split(path: Path, tweets: Sequence[Tweet]) -> None:
    """Writes id (int64), date and text (strings) as parquet."""
    table = pa.table(
        {
            "id": pa.array([tweet.id for tweet in tweets], pa.int64()),
            "date": pa.array([tweet.date for tweet in tweets], pa.string()),
            "text": pa.array([tweet.text for tweet in tweets], pa.string()),
        }
    )
    pq.write_table(table, path, compression="zstd")


def read_texts(folder: Path, name: str) -> list[str]:
    """The texts of one split.

    Raises:
        TrainingError: the folder holds no prepared split of that name.
    """
    path = folder / f"{name}.parquet"
    try:
        texts: list[str] = pq.read_table(path, columns=["text"])["text"].to_pylist()
    except FileNotFoundError:
        raise TrainingError(
            f"There is no {path}. Run `python -m training prepare` first."
        ) from None
    except (pa.ArrowInvalid, OSError) as error:
        raise TrainingError(f"{path} is not a prepared split: {error}.") from error
    return texts


def _report(
    archive: Archive, counts: dict[str, int], splits: dict[str, list[Tweet]], seed: int
) -> dict[str, Any]:
    return {
        "archive": archive.name,
        "archive_sha256": archive.sha256,
        "canonical_version": canonical.VERSION,
        "seed": seed,
        "rows": len(archive.rows) + len(archive.bad),
        "bad_rows": len(archive.bad),
        "first_bad_rows": [str(bad) for bad in archive.bad[:10]],
        "counts": counts,
        "splits": {name: _split_counts(members) for name, members in splits.items()},
    }


def _split_counts(tweets: Sequence[Tweet]) -> dict[str, Any]:
    texts = "\n".join(tweet.text for tweet in tweets)
    return {
        "tweets": len(tweets),
        "bytes": sum(len(tweet.text.encode()) for tweet in tweets),
        "first_date": min(tweet.date for tweet in tweets),
        "last_date": max(tweet.date for tweet in tweets),
        "texts_sha256": hashlib.sha256(texts.encode()).hexdigest(),
    }


def _table(report: dict[str, Any]) -> str:
    lines = [f"{report['archive']}  sha256 {report['archive_sha256'][:12]}…  seed {report['seed']}"]
    lines += [f"{'rows':<20}{report['rows']:>9,}", f"{'bad rows':<20}{report['bad_rows']:>9,}"]
    lines += [f"  {bad}" for bad in report["first_bad_rows"]]
    lines += [f"{name:<20}{count:>9,}" for name, count in report["counts"].items()]
    lines += [f"{'split':<12}{'tweets':>8}{'bytes':>12}  dates"]
    lines += [
        f"{name:<12}{part['tweets']:>8,}{part['bytes']:>12,}"
        f"  {part['first_date'][:10]} to {part['last_date'][:10]}"
        for name, part in report["splits"].items()
    ]
    return "\n".join(lines)


def _advance(bar: Any, size: int, total: int | None) -> None:
    bar.total = total
    bar.update(size)
