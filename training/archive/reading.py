"""Reads an archive of tweets from a path, https:// or hf://: fetched, hashed, unpacked, and every
row validated.

No file is ever whole in memory.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, cast

import fsspec
from tqdm import tqdm

from training import TrainingError
from training.archive.encodings import check_encoding, undecodable
from training.archive.exports import (
    Notes,
    Selection,
    base_name,
    is_part,
    listed,
    read_owner,
    select,
    versions,
)
from training.archive.files import DAMAGED, MAX_LAYERS, File, file_at, files_of, unpacked
from training.archive.formats import open_records
from training.archive.tweets import BadRow, Options, Owner, Record, Row, Tweets, unwrap

# Above this share of bad rows a file counts as the wrong file, not as a file with bad rows.
MAX_BAD_SHARE = 0.01
# Some 650 bytes of memory each; nobody has tweeted so much.
MAX_ROWS = 10_000_000
# More files than these are counted, not named.
MAX_FILES_FOUND = 20
# So many records tell which columns a file has, and how it writes its dates and ids.
_SAMPLE = 1_000
_ANY = Options()


@dataclass
class Archive:
    """What was read: valid `rows`, `bad` ones, and the sha256 of the input's bytes.

    `owner` is whose tweets they are, if the archive says so; `is_trumps` whether it is the Trump
    Twitter Archive. `found` and `left` say in a line each which files were read and how, and what
    was not taken from them.
    """

    name: str
    sha256: str
    rows: list[Row] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)
    owner: Owner | None = None
    is_trumps: bool = False
    found: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def read_archive(source: str, options: Options = _ANY) -> Archive:
    """Reads and validates every row.

    Args:
        source: a local file or folder, or an `https://` or `hf://` address.

    Raises:
        TrainingError: unreadable, wrongly encoded or packed, not an archive, empty, or over 1 % of
            the rows bad; it names the row and the column if there is one.
    """
    if options.encoding:
        check_encoding(options.encoding)
    with _fetch(source) as (files, sha256):
        archive = Archive(source.rstrip("/").rsplit("/", 1)[-1], sha256)
        reading = _Reading(archive, options)
        try:
            reading.read(files, source)
        except DAMAGED as error:
            raise TrainingError(f"{source} is damaged or cut short: {error}.") from error
    reading.finish()
    total = len(archive.rows) + len(archive.bad)
    if total == 0:
        raise TrainingError(f"{source} holds no rows.")
    if len(archive.bad) > MAX_BAD_SHARE * total:
        raise TrainingError(
            f"{source}: {len(archive.bad):,} of {total:,} rows are bad, over the "
            f"{MAX_BAD_SHARE:.0%} that is let pass; the first is {archive.bad[0]}."
        )
    return archive


class _Reading:
    """An archive while its files are read, one after another."""

    def __init__(self, archive: Archive, options: Options) -> None:
        self._archive, self._options = archive, options
        self._notes = Notes(())
        self._files = self._records = 0
        self._replaced: set[int] = set()
        self._private = self._cleaned = 0

    def read(self, files: Sequence[File], where: str, layers: int = MAX_LAYERS) -> None:
        """Reads those of the files that hold tweets, and what is packed in them."""
        selection = Selection(list(files)) if _is_file(files, where) else select(files, where)
        self._archive.owner = read_owner(selection.owners) or self._archive.owner
        if selection.notes:
            self._notes = Notes(selection.notes)
        if selection.left:
            self._archive.left.append(f"files: {listed(selection.left)}")
        for file in selection.tweets:
            with unpacked(file) as inner:
                if inner == [file]:
                    self._read_file(file, is_one_of_many=len(selection.tweets) > 1)
                elif layers:
                    self.read(inner, str(file), layers - 1)
                else:
                    raise TrainingError(f"{file} is packed too many times. Unpack it.")

    def finish(self) -> None:
        """Leaves out what a later version replaced, and says what else was left."""
        archive = self._archive
        kept = [row for row in archive.rows if row.id not in self._replaced]
        counts = {
            "earlier versions of edited tweets": len(archive.rows) - len(kept),
            "posts that are not public": self._private,
            "texts with control characters, which were removed from them": self._cleaned,
            "long posts without a tweet": self._notes.count - self._notes.used,
        }
        archive.rows = kept
        if self._files > MAX_FILES_FOUND:
            archive.found.append(f"and {self._files - MAX_FILES_FOUND:,} more files like these")
        archive.left += [f"{what}: {count:,}" for what, count in counts.items() if count]
        if self._notes.used:
            archive.found.append(f"long posts given their whole text: {self._notes.used:,}")

    def _read_file(self, file: File, is_one_of_many: bool) -> None:
        archive = self._archive
        before = len(archive.rows)
        try:
            with open_records(file, self._options) as records:
                sample = list(islice(records.entries, _SAMPLE))
                if not sample:
                    return
                tweets = Tweets(sample, self._options, str(file), archive.owner)
                self._add(file, chain(sample, records.entries), tweets, is_one_of_many)
        except UnicodeDecodeError:
            raise undecodable(file, self._options.encoding) from None
        self._private += tweets.private
        self._cleaned += tweets.cleaned
        archive.owner = archive.owner or tweets.author
        archive.is_trumps = tweets.is_trumps and not is_one_of_many
        how = "; ".join(filter(None, (records.form, tweets.columns, tweets.id_problem)))
        self._files += 1
        if self._files <= MAX_FILES_FOUND:
            read = f"{len(archive.rows) - before:,} tweets"
            archive.found.append(f"{base_name(file)}: {read} ({how})")

    def _add(
        self, file: File, entries: Iterable[Record | None], tweets: Tweets, is_one_of_many: bool
    ) -> None:
        first_id, rows = self._records, self._archive.rows
        for number, entry in enumerate(entries, 1):
            row = tweets.row(number, entry, first_id)
            if isinstance(row, BadRow):
                bad = replace(row, file=file.name) if is_one_of_many else row
                self._archive.bad.append(bad)
            elif row is not None and entry is not None:
                whole = self._notes.complete(row.text)
                rows.append(row if whole is row.text else replace(row, text=whole))
                self._replaced.update(v for v in versions(unwrap(entry)) if v < row.id)
            self._records += 1
            if len(rows) + len(self._archive.bad) > MAX_ROWS:
                raise TrainingError(f"{file} holds more than {MAX_ROWS:,} rows.")


def _is_file(files: Sequence[File], where: str) -> bool:
    """Whether it is the one file that was named, not a file found in something."""
    return len(files) == 1 and files[0].name == where


@contextmanager
def _fetch(source: str) -> Iterator[tuple[list[File], str]]:
    """The files at the source, and the sha256 of what is read of them. A remote file is copied to
    disk first. Raises TrainingError if there is no such file, or it could not be read."""
    with tempfile.NamedTemporaryFile() as copy:
        try:
            if "://" in source:
                with fsspec.open(source, "rb") as remote:
                    size = getattr(remote, "size", None)
                    with tqdm.wrapattr(copy, "write", total=size, desc="fetching") as target:
                        shutil.copyfileobj(remote, target)
                copy.flush()
                files = [file_at(Path(copy.name), source)]
            else:
                files = _local(Path(source), source)
            sha256 = _hash(files, source)
        except FileNotFoundError as error:
            # Also raised if an address does not answer; only then it has a cause.
            reason = f" ({error.__cause__})" if error.__cause__ else ""
            raise TrainingError(f"There is no archive at {source}{reason}.") from error
        except TrainingError:
            raise
        except Exception as error:
            # fsspec raises its backends' own types (aiohttp's, the Hub's); all mean the same here.
            raise TrainingError(
                f"{source} could not be read: {error or type(error).__name__}."
            ) from error
        yield files, sha256


def _local(path: Path, source: str) -> list[File]:
    if path.is_dir():
        return files_of(path)
    if path.is_file() and is_part(path.name):
        beside = sorted(other for other in path.parent.iterdir() if other.suffix == ".js")
        return [file_at(other, other.name, str(path.parent)) for other in beside]
    if path.is_file():
        return [file_at(path, source)]
    if path.is_symlink():
        raise TrainingError(f"{source} is a symbolic link that leads to no file.")
    if path.exists():
        raise TrainingError(f"{source} is neither a file nor a folder.")
    raise FileNotFoundError


def _hash(files: Sequence[File], source: str) -> str:
    """Of the one file that was named, its content's; else that of the names and contents of the
    files that are read."""
    if _is_file(files, source):
        return _sha256(files[0])
    selection = select(files, source)
    read = (*selection.tweets, *selection.notes, *selection.owners)
    lines = [f"{file.name}\0{_sha256(file)}\n" for file in read]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _sha256(file: File) -> str:
    with file.open() as stream:
        return hashlib.file_digest(cast(Any, stream), "sha256").hexdigest()
