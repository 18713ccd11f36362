"""`prepare`: an archive becomes canonical tweets in four splits, with every count reported. Others'
tweets that were repeated by hand are written beside them: a recipe may learn from them too.

The same input and seed give byte-identical output.
"""

import contextlib
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, pairwise, repeat
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
import typer
from pydantic import ValidationError

from demo.checkpoints.files import CheckpointError
from demo.checkpoints.persona import NOBODY, Persona, persona_of
from demo.judging import canonical
from training import TrainingError, limits
from training.archive import Archive, Options, Row, read_archive
from training.command_line import flag, number
from training.files import (
    read_json,
    require_writable,
    write_json,
    written_aside,
)
from training.openings import frequent_openings
from training.text_figures import TWEET_CHARACTERS

# Whose tweets they are, unless another file is given.
PERSONA = Path(__file__).parent / "persona.toml"
SPLITS = ("train", "dev", "test", "test_time")
RETWEETS = "retweets"
# All texts that must not be published, and may be learnt from or held back.
ALL_TEXTS = (*SPLITS, RETWEETS)
DEV_SHARE = TEST_SHARE = 0.05
TIME_SPLIT_TWEETS = 500
MIN_TWEETS = 40
# Of a persona that is made from an export: how many examples, of how many words each, and of how
# many texts each must be the opening.
EXAMPLES, EXAMPLE_WORDS, OPENED_TEXTS = 3, 2, 3
# Tweets that are a parquet table in memory at once.
WRITTEN_AT_ONCE = 1 << 20
DATE_FORMAT = "%Y-%m-%d %H:%M:%S"


@dataclass(frozen=True, slots=True)
class Tweet:
    """One canonical tweet; `date` is UTC, as the archive writes it, empty if it has none."""

    id: int
    date: str
    text: str


def prepare(
    archive: Annotated[
        str,
        typer.Argument(help="a file or folder of any kind, X's export too; or https://, hf://"),
    ],
    out: Annotated[Path, typer.Option(help="folder for the splits")] = Path("data"),
    persona: Annotated[
        Path | None,
        typer.Option(
            help=f"whose tweets they are: a .toml like {PERSONA.name} in training/; default: what "
            "an export says of its owner"
        ),
    ] = None,
    seed: Annotated[int, number("which tweets are held back", *limits.SEED)] = 20210108,
    text_column: Annotated[
        str | None,
        typer.Option(help="the column with the texts; its number, if the table has no header"),
    ] = None,
    date_column: Annotated[str | None, typer.Option(help="the column with the dates")] = None,
    encoding: Annotated[
        str | None, typer.Option(help="of a text that is not in Unicode: cp1252, shift_jis, …")
    ] = None,
    no_replies: Annotated[bool, flag("no-replies", "leave out replies to others")] = False,
) -> None:
    given = None if persona is None else Persona.read(persona)
    require_writable(out)
    read = read_archive(archive, Options(text_column, date_column, encoding))
    total = len(read.rows) + len(read.bad)
    author = given or find_author(read)
    if no_replies:
        kept = [row for row in read.rows if not row.is_reply]
        read.left.append(f"replies: {len(read.rows) - len(kept):,}")
        read.rows = kept
    tweets, retweets, counts = clean(read.rows)
    splits = split(tweets, seed)
    if given is None and read.owner is not None:
        train = (tweet.text for tweet in splits["train"])
        openings = frequent_openings(train, EXAMPLE_WORDS, EXAMPLES, OPENED_TEXTS)
        longest = max(len(tweet.text) for tweet in tweets)
        author = author.model_copy(
            update={
                "examples": openings or author.examples,
                "max_characters": TWEET_CHARACTERS if longest <= TWEET_CHARACTERS else None,
            }
        )
    splits[RETWEETS] = retweets
    report = _report(read, total, counts, splits, seed)
    with written_aside(out) as made:
        for name, members in splits.items():
            write_split(made / f"{name}.parquet", members)
        write_json(made / "report.json", report)
        author.write(made)
    print(_table(report))
    print(author)


def find_author(archive: Archive) -> Persona:
    """The persona of an archive that says whose it is. Raises TrainingError if it does not."""
    if archive.owner is None and archive.is_trumps:
        return Persona.read(PERSONA)
    if archive.owner is not None:
        handle = archive.owner.handle
        for name in filter(None, (archive.owner.name, handle)):
            # A name may hold what no page can show as a line of text.
            with contextlib.suppress(ValidationError):
                tweets = f"{name}'s tweets" + (f" (@{handle})" if handle else "")
                return Persona.model_validate(
                    {
                        **NOBODY.model_dump(),
                        "name": name,
                        "tweets": tweets,
                        "archive": f"an archive of {tweets}",
                        "title": f"{name} or Computer Dump?",
                    }
                )
    raise TrainingError(
        f"{archive.name} does not say whose tweets it holds. Copy training/{PERSONA.name}, write "
        "in it whose they are, and give it with --persona."
    )


def clean(rows: list[Row]) -> tuple[list[Tweet], list[Tweet], dict[str, int]]:
    """Canonical tweets in the order of their ids, the retweets by hand that repeat none of them,
    and how many rows were dropped at each step. `rows` is empty afterwards: of ten million tweets,
    memory holds each once."""
    # Imported lazily: it takes half a second, and reading prepared data does not need it.
    from training.near_duplicates import find_distinct  # noqa: PLC0415

    counts = {"valid rows": len(rows)}

    def keep(kept: Iterable[Row], dropped: str) -> None:
        before = len(rows)
        rows[:] = kept
        counts[dropped] = before - len(rows)

    rows.sort(key=lambda row: row.id)
    last_of_each_id = (row for row, after in pairwise(rows) if row.id != after.id)
    keep([*last_of_each_id, *rows[-1:]], "repeated ids")
    keep([row for row in rows if not row.is_retweet], "retweets")
    by_hand = [row for row in rows if canonical.is_manual_retweet(row.text)]
    keep([row for row in rows if not canonical.is_manual_retweet(row.text)], "retweets by hand")
    keep([row for row in rows if not canonical.is_cut_off(row.text)], "cut off")
    handles = canonical.public_handles(canonical.strip_links(row.text) for row in rows)
    whole = len(rows)
    exact, short = _distinct_texts(rows, handles)
    others = [
        replace(row, text=canonical.strip_retweet_opening(row.text))
        for row in by_hand
        if not canonical.is_cut_off(row.text)
    ]
    repeated, _ = _distinct_texts(others, handles)
    # Tweets come first, so that none is dropped for a retweet.
    found = find_distinct([tweet.text for tweet in (*exact, *repeated)])
    distinct = [exact[i] for i in found if i < len(exact)]
    retweets = [repeated[i - len(exact)] for i in found if i >= len(exact)]
    counts |= {
        "too short": short,
        "exact duplicates": whole - short - len(exact),
        "near duplicates": len(exact) - len(distinct),
        "kept": len(distinct),
        "handles kept": len(handles),
    }
    return distinct, retweets, counts


def _distinct_texts(rows: list[Row], handles: frozenset[str]) -> tuple[list[Tweet], int]:
    """The first canonical tweet of each text, and how many rows were too short. Empties `rows`."""
    first_of_text: dict[str, Tweet] = {}
    short = 0
    rows.reverse()
    while rows:
        row = rows.pop()
        text = canonical.clean(row.text, handles)
        if canonical.is_too_short(text):
            short += 1
        elif text not in first_of_text:
            date = row.date.strftime(DATE_FORMAT) if row.date else ""
            first_of_text[text] = Tweet(row.id, date, text)
    return list(first_of_text.values()), short


def split(tweets: Sequence[Tweet], seed: int) -> dict[str, list[Tweet]]:
    """The last 500 by date (a tenth of a small archive), then 90/5/5 of the rest by seed.

    Without dates the last are those with the highest ids: the last lines of a plain text.
    Near-duplicate groups need no care here: only one member of each is left.

    Raises TrainingError if there are too few tweets to fill every split."""
    if len(tweets) < MIN_TWEETS:
        raise TrainingError(
            f"Only {len(tweets)} tweets are left after cleaning; at least {MIN_TWEETS} are needed."
        )
    latest = sorted(tweets, key=lambda tweet: (tweet.date, tweet.id))
    held = min(TIME_SPLIT_TWEETS, len(tweets) // 10)
    # By hash, not by shuffling: a tweet more or less moves hardly any other to another split.
    rest = sorted(
        latest[:-held], key=lambda tweet: hashlib.sha256(f"{seed}:{tweet.id}".encode()).digest()
    )
    dev, test = max(1, round(DEV_SHARE * len(rest))), max(1, round(TEST_SHARE * len(rest)))
    parts = (rest[dev + test :], rest[:dev], rest[dev : dev + test], latest[-held:])
    return {
        name: sorted(part, key=lambda tweet: tweet.id)
        for name, part in zip(SPLITS, parts, strict=True)
    }


def write_split(path: Path, tweets: Sequence[Tweet]) -> None:
    """Writes id (int64), date and text (strings) as parquet."""
    columns = pa.schema({"id": pa.int64(), "date": pa.string(), "text": pa.string()})
    with pq.ParquetWriter(path, columns, compression="zstd") as writer:
        for start in range(0, len(tweets), WRITTEN_AT_ONCE):
            part = tweets[start : start + WRITTEN_AT_ONCE]
            values = {name: [getattr(tweet, name) for tweet in part] for name in columns.names}
            writer.write_table(pa.table(values, columns))


def read_texts(folder: Path, name: str) -> list[str]:
    """The texts of one split. Raises TrainingError if the folder holds no prepared split of that
    name."""
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


@dataclass(frozen=True)
class Prepared:
    """What one `prepare` wrote: splits by name, each as the report describes it."""

    texts: dict[str, list[str]]
    report: dict[str, Any]
    persona: Persona

    @property
    def train(self) -> list[str]:
        return self.texts["train"]

    @property
    def retweets(self) -> list[str]:
        """Those that are to be learnt from; none, unless they were read."""
        return self.texts.get(RETWEETS, [])

    @property
    def dev(self) -> list[str]:
        return self.texts["dev"]


def read_prepared(folder: Path, names: Sequence[str] = ("train", "dev")) -> Prepared:
    """Reads these splits. Raises TrainingError if the folder is not what one `prepare` wrote: a
    split of another archive, or under another's name, among them."""
    try:
        report = read_json(folder / "report.json")
        texts = {name: read_texts(folder, name) for name in names}
        for name in names:
            if report["splits"][name]["texts_sha256"] != texts_sha256(texts[name]):
                raise ValueError(f"its {name}.parquet is of another archive, or another split")
        return Prepared(texts, report, persona_of(folder))
    except (OSError, ValueError, KeyError, TypeError, CheckpointError) as error:
        raise TrainingError(
            f"{folder} is not what one `python -m training prepare` wrote ({error}): run it, or "
            "name its folder by --data."
        ) from error


def texts_sha256(texts: Sequence[str]) -> str:
    """As the report has it of each split."""
    sha256 = hashlib.sha256()
    for separator, text in zip(chain([""], repeat("\n")), texts, strict=False):
        sha256.update(f"{separator}{text}".encode())
    return sha256.hexdigest()


def _report(
    archive: Archive, total: int, counts: dict[str, int], splits: dict[str, list[Tweet]], seed: int
) -> dict[str, Any]:
    return {
        "archive": archive.name,
        "archive_sha256": archive.sha256,
        "canonical_version": canonical.VERSION,
        "seed": seed,
        "rows": total,
        "bad_rows": len(archive.bad),
        "first_bad_rows": [str(bad) for bad in archive.bad[:10]],
        "found": archive.found,
        "left": archive.left,
        "counts": counts,
        "splits": {name: _split_counts(members) for name, members in splits.items()},
    }


def _split_counts(tweets: Sequence[Tweet]) -> dict[str, Any]:
    return {
        "tweets": len(tweets),
        "bytes": sum(len(tweet.text.encode()) for tweet in tweets),
        "first_date": min((tweet.date for tweet in tweets), default=""),
        "last_date": max((tweet.date for tweet in tweets), default=""),
        "texts_sha256": texts_sha256([tweet.text for tweet in tweets]),
    }


def _table(report: dict[str, Any]) -> str:
    lines = [f"{report['archive']}  sha256 {report['archive_sha256'][:12]}…  seed {report['seed']}"]
    lines += [f"  {found}" for found in report["found"]]
    lines += [f"  left out: {left}" for left in report["left"]]
    lines += [f"{'rows':<20}{report['rows']:>9,}", f"{'bad rows':<20}{report['bad_rows']:>9,}"]
    lines += [f"  {bad}" for bad in report["first_bad_rows"]]
    lines += [f"{name:<20}{count:>9,}" for name, count in report["counts"].items()]
    lines += [f"{'split':<12}{'tweets':>8}{'bytes':>12}  dates"]
    for name, part in report["splits"].items():
        period = "none: by the order of the archive" if part["tweets"] else ""
        if part["last_date"]:
            period = f"{part['first_date'][:10]} to {part['last_date'][:10]}"
        lines.append(f"{name:<12}{part['tweets']:>8,}{part['bytes']:>12,}  {period}")
    return "\n".join(lines)
