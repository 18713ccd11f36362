"""Reads an archive of tweets, of whatever kind, from a path, https:// or hf://.

Knows when an archive is one; must not know files, formats or what a good tweet is.
"""

from dataclasses import dataclass, field

from training.archive_files import Progress, damage_named, fetched, not_utf8, texts
from training.archive_formats import BadRow, Row, read_rows
from training.errors import TrainingError

# Above this share of bad rows a file counts as the wrong file, not as a file with bad rows.
MAX_BAD_SHARE = 0.01


@dataclass
class Archive:
    """What was read: `rows` that are valid, `bad` ones, the sha256 of the input's bytes."""

    name: str
    sha256: str
    rows: list[Row] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)


def read_archive(source: str, progress: Progress) -> Archive:
    """Reads and validates every row.

    Args:
        source: a local path, or an `https://` or `hf://` address.
        progress: told the bytes just read and the total, if known.

    Raises:
        TrainingError: unreadable, wrongly encoded or compressed, not an archive, empty, or
            over 1 % of the rows bad; it names the row and the column where there is one.
    """
    with fetched(source, progress) as (file, sha256), damage_named(source):
        archive = Archive(source.rstrip("/").rsplit("/", 1)[-1], sha256)
        for place, text in texts(file, source):
            try:
                for row in read_rows(text, place):
                    _add(archive, row)
            except UnicodeDecodeError:
                raise not_utf8(text, place) from None
    _judge(archive, source)
    return archive


def _add(archive: Archive, row: Row | BadRow) -> None:
    if isinstance(row, Row):
        archive.rows.append(row)
    else:
        archive.bad.append(row)


def _judge(archive: Archive, source: str) -> None:
    number = len(archive.rows) + len(archive.bad)
    if number == 0:
        raise TrainingError(f"{source} holds no rows.")
    if len(archive.bad) > MAX_BAD_SHARE * number:
        raise TrainingError(
            f"{source}: {len(archive.bad):,} of {number:,} rows are bad, over the "
            f"{MAX_BAD_SHARE:.0%} that is let pass; the first is {archive.bad[0]}."
        )
