"""Reads an archive of tweets: CSV or JSON; plain, .gz or .zip; a path, https:// or hf://.

Knows the archive's columns and their types; must not know what a good tweet is.
"""

import csv
import gzip
import hashlib
import io
import json
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fsspec

from training.errors import TrainingError

# Above this share of bad rows a file counts as the wrong file, not as a file with bad rows.
MAX_BAD_SHARE = 0.01
DATE_FORMAT = "%Y-%m-%d %H:%M:%S"
_READ_BYTES = 1 << 20


@dataclass(frozen=True)
class Row:
    """One tweet as the archive has it; `date` is UTC."""

    id: int
    text: str
    is_retweet: bool
    date: datetime


@dataclass(frozen=True)
class BadRow:
    """A row that was left out: `number` counts from 1, the header not included."""

    number: int
    column: str
    problem: str

    def __str__(self) -> str:
        return f"row {self.number:,}, column {self.column}: {self.problem}"


@dataclass
class Archive:
    """What was read: `rows` that are valid, `bad` ones, the sha256 of the input's bytes."""

    name: str
    sha256: str
    rows: list[Row] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)


def _flag(value: object) -> bool:
    if value not in ("t", "f", "true", "false", True, False):
        raise ValueError("must be t or f")
    return value in ("t", "true", True)


def _identifier(value: object) -> int:
    if not re.fullmatch(r"[0-9]{1,20}", str(value)):
        raise ValueError("must be a number of at most 20 digits")
    return int(str(value))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a text")
    return value


def _count(value: object) -> int:
    if not re.fullmatch(r"[0-9]{1,12}", str(value)):
        raise ValueError("must be a whole number")
    return int(str(value))


def _date(value: object) -> datetime:
    try:
        return datetime.strptime(str(value), DATE_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        raise ValueError("must be a date like 2016-11-09 11:36:58") from None


COLUMNS: dict[str, Callable[[object], Any]] = {
    "id": _identifier,
    "text": _text,
    "isRetweet": _flag,
    "isDeleted": _flag,
    "device": _text,
    "favorites": _count,
    "retweets": _count,
    "date": _date,
    "isFlagged": _flag,
}


def read_archive(source: str, progress: Callable[[int, int | None], None]) -> Archive:
    """Reads and validates every row.

    Args:
        source: a local path, or an `https://` or `hf://` address.
        progress: told the bytes just read and the total, if known.

    Raises:
        TrainingError: unreadable, wrongly encoded or compressed, not an archive, empty, or
            over 1 % of the rows bad; it names the row and the column where there is one.
    """
    data = _fetch(source, progress)
    archive = Archive(name=source.rstrip("/").rsplit("/", 1)[-1], sha256=_sha256(data))
    number = 0
    for number, record in enumerate(
        _records(_decode(_decompress(data, source), source), source), 1
    ):
        row = _validate(number, record)
        if isinstance(row, Row):
            archive.rows.append(row)
        else:
            archive.bad.append(row)
    _judge(archive, number, source)
    return archive


def _judge(archive: Archive, number: int, source: str) -> None:
    if number == 0:
        raise TrainingError(f"{source} holds no rows.")
    if len(archive.bad) > MAX_BAD_SHARE * number:
        raise TrainingError(
            f"{source}: {len(archive.bad):,} of {number:,} rows are bad, over the "
            f"{MAX_BAD_SHARE:.0%} that is let pass; the first is {archive.bad[0]}."
        )


def _fetch(source: str, progress: Callable[[int, int | None], None]) -> bytes:
    try:
        if "://" not in source and not Path(source).is_file():
            raise FileNotFoundError
        with fsspec.open(source, "rb") as file:
            total = getattr(file, "size", None) or _local_size(source)
            pieces = []
            while piece := file.read(_READ_BYTES):
                pieces.append(piece)
                progress(len(piece), total)
    except FileNotFoundError as error:
        # Also raised where an address does not answer; only then has it a cause.
        reason = f" ({error.__cause__})" if error.__cause__ else ""
        raise TrainingError(f"There is no archive at {source}{reason}.") from error
    except Exception as error:
        # fsspec raises its backends' own types (aiohttp's, the Hub's); all mean the same here.
        raise TrainingError(
            f"{source} could not be read: {error or type(error).__name__}."
        ) from error
    return b"".join(pieces)


def _local_size(source: str) -> int | None:
    return Path(source).stat().st_size if "://" not in source else None


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _decompress(data: bytes, source: str) -> bytes:
    """By content, not by name: an address may have no suffix."""
    try:
        if data[:2] == b"\x1f\x8b":
            return gzip.decompress(data)
        if data[:2] == b"PK":
            return _unzip(data, source)
    except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile) as error:
        raise TrainingError(f"{source} is damaged or cut short: {error}.") from error
    return data


def _unzip(data: bytes, source: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as bundle:
        names = [n for n in bundle.namelist() if n.lower().endswith((".csv", ".json"))]
        if len(names) != 1:
            raise TrainingError(
                f"{source} must hold one .csv or .json file; it holds {len(names)}."
            )
        return bundle.read(names[0])


def _decode(data: bytes, source: str) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise TrainingError(
            f"{source} is not UTF-8: line {line:,} has the byte 0x{data[error.start]:02x}."
        ) from None
    if not text.strip():
        raise TrainingError(f"{source} is empty.")
    return text


def _records(text: str, source: str) -> Iterator[dict[str, Any]]:
    is_json = text.lstrip()[0] in "[{"
    return _json_records(text, source) if is_json else _csv_records(text, source)


def _csv_records(text: str, source: str) -> Iterator[dict[str, Any]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    _require_columns(reader.fieldnames or [], source)
    try:
        yield from reader
    except csv.Error as error:
        raise TrainingError(
            f"{source}, line {reader.line_num:,}: {error}. Is it cut short?"
        ) from None


def _json_records(text: str, source: str) -> Iterator[dict[str, Any]]:
    try:
        records = json.loads(text)
    except json.JSONDecodeError as error:
        raise TrainingError(f"{source} is not JSON: line {error.lineno:,}: {error.msg}.") from None
    if not isinstance(records, list):
        raise TrainingError(f"{source} must be a JSON list of tweets, not an object.")
    if records:
        _require_columns(list(records[0]) if isinstance(records[0], dict) else [], source)
    yield from records


def _require_columns(found: list[str] | Any, source: str) -> None:
    missing = [name for name in COLUMNS if name not in found]
    if missing:
        raise TrainingError(
            f"{source} is not a tweet archive: its first row lacks the column {missing[0]} "
            f"(expected {', '.join(COLUMNS)})."
        )


def _validate(number: int, record: Any) -> Row | BadRow:
    values = {}
    for column, parse in COLUMNS.items():
        value = record.get(column) if isinstance(record, dict) else None
        try:
            values[column] = parse(value)
        except ValueError as error:
            return BadRow(number, column, f"{error}, not {str(value)[:40]!r}")
    if None in record:
        return BadRow(number, "isFlagged", "is followed by further columns")
    return Row(values["id"], values["text"], values["isRetweet"], values["date"])
