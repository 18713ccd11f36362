"""Turns text into rows: the archive's CSV or JSON, X's own export, or one tweet a line.

Formats are told by content. A text is read in chunks: a million tweets as dicts would not fit.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Any, TextIO

from training import TrainingError

DATE_FORMAT = "%Y-%m-%d %H:%M:%S"
EXPORT_DATE_FORMAT = "%a %b %d %H:%M:%S %z %Y"
# Parquet and X itself store an id as a signed 64-bit integer.
MAX_ID = 2**63 - 1
# Longer than any tweet with all that an export says about it.
MAX_ENTRY_CHARACTERS = 1 << 22
_CHUNK_CHARACTERS = 1 << 16
# So many lines tell a table, whose rows are equally wide, from sentences with commas.
_TABLE_LINES = 20

_EXPORT = re.compile(r"window\.YTD\.(\w+)\.part\d+\s*=\s*")
# No tweet begins like this; `[1/3] My thread` is a line of text.
_JSON = re.compile(r'\{\s*"|\[\s*["{\[]')
_WEB_PAGE = re.compile(r"<!doctype html|<html", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Row:
    """One tweet as the archive has it; `date` is UTC, None if the archive has no dates."""

    id: int
    text: str
    is_retweet: bool
    date: datetime | None


@dataclass(frozen=True)
class BadRow:
    """A row that was left out: `number` counts from 1, the header not included."""

    number: int
    column: str
    problem: str

    def __str__(self) -> str:
        return f"row {self.number:,}, column {self.column}: {self.problem}"


def _flag(value: object) -> bool:
    if value not in ("t", "f", "true", "false", True, False):
        raise ValueError("must be t or f")
    return value in ("t", "true", True)


def _number(digits: int, problem: str, value: object) -> int:
    if not re.fullmatch(rf"[0-9]{{1,{digits}}}", str(value)):
        raise ValueError(problem)
    return int(str(value))


def _identifier(value: object) -> int:
    number = _number(20, "must be a number of at most 20 digits", value)
    if number > MAX_ID:
        raise ValueError(f"must be at most {MAX_ID}")
    return number


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a text")
    try:
        value.encode()
    except UnicodeEncodeError:
        # A JSON escape may be half of an emoji, which cannot be encoded.
        raise ValueError("must be whole Unicode characters") from None
    return value


def _line(value: object) -> str:
    if "\0" in _text(value):
        raise ValueError("must be text without NUL characters")
    return _text(value)


def _date(form: str, example: str, value: object) -> datetime:
    try:
        date = datetime.strptime(str(value), form)
    except ValueError:
        raise ValueError(f"must be a date like {example}") from None
    return date.astimezone(UTC) if date.tzinfo else date.replace(tzinfo=UTC)


Columns = Mapping[str, Callable[[object], Any]]
_count = partial(_number, 12, "must be a whole number")
COLUMNS: Columns = {
    "id": _identifier,
    "text": _text,
    "isRetweet": _flag,
    "isDeleted": _flag,
    "device": _text,
    "favorites": _count,
    "retweets": _count,
    "date": partial(_date, DATE_FORMAT, "2016-11-09 11:36:58"),
    "isFlagged": _flag,
}
EXPORT_COLUMNS: Columns = {
    "id_str": _identifier,
    "full_text": _text,
    "created_at": partial(_date, EXPORT_DATE_FORMAT, "Wed Oct 10 20:19:24 +0000 2018"),
}


def read_rows(text: TextIO, name: str) -> Iterator[Row | BadRow]:
    """Every row, good or bad, of a text that can be read again from its start.

    Args:
        name: of the text, for errors.

    Raises:
        TrainingError: empty, of an unknown format, or cut short.
    """
    head = ""
    while not head.strip():
        head = text.read(_CHUNK_CHARACTERS)
        if not head:
            raise TrainingError(f"{name} is empty.")
    text.seek(0)
    head = head.lstrip()
    if export := _EXPORT.match(head):
        return _read_export(text, export, name)
    if _is_json(head):
        return _read_json(text, name)
    if _is_table(head):
        return _read_csv(text, name)
    if _WEB_PAGE.match(head):
        raise TrainingError(f"{name} is a web page, not an archive.")
    return _read_lines(text)


def _is_json(head: str) -> bool:
    """True for an object or list of objects, texts or lists, and for a first line of JSON."""
    if head[0] not in "[{":
        return False
    try:
        json.loads(head.splitlines()[0])
    except (ValueError, RecursionError):
        return _JSON.match(head) is not None
    return True


def _is_table(head: str) -> bool:
    """True if columns of ours are in the first line, or the first lines are equally wide."""
    names = {name.strip(' "') for name in re.split(r"[,;\t]", head.splitlines()[0])}
    return len(names & COLUMNS.keys()) > 1 or any(_is_even(head, c) for c in ",;\t")


def _is_even(head: str, delimiter: str) -> bool:
    reader = csv.reader(io.StringIO(head, newline=""), delimiter=delimiter, strict=True)
    try:
        widths = [len(record) for record in islice(filter(None, reader), _TABLE_LINES)]
    except csv.Error:
        return False
    return len(widths) > 1 and widths[0] > 1 and len(set(widths)) == 1


def _read_csv(text: TextIO, name: str) -> Iterator[Row | BadRow]:
    reader = csv.DictReader(text, strict=True)
    try:
        _require_columns(COLUMNS, dict.fromkeys(reader.fieldnames or ()), name)
        for number, record in enumerate(reader, 1):
            yield _archive_row(number, record)
    except csv.Error as error:
        raise TrainingError(
            f"{name}, line {reader.line_num:,}: {error}. Is it cut short?"
        ) from None


def _read_json(text: TextIO, name: str) -> Iterator[Row | BadRow]:
    for number, record in enumerate(_JsonReader(text, name).entries(), 1):
        if number == 1:
            _require_columns(COLUMNS, record, name)
        yield _archive_row(number, record)


def _read_export(text: TextIO, start: re.Match[str], name: str) -> Iterator[Row | BadRow]:
    if start[1] not in ("tweet", "tweets"):
        raise TrainingError(
            f"{name} is the part {start[1]!r} of an X export; its tweets are in data/tweets.js."
        )
    for number, entry in enumerate(_JsonReader(text, name, after=start[0]).entries(), 1):
        # Exports before 2019 have the tweet itself where later ones wrap it.
        record = entry.get("tweet", entry) if isinstance(entry, dict) else None
        if number == 1:
            _require_columns(EXPORT_COLUMNS, record, name)
        values = _parse(number, record, EXPORT_COLUMNS)
        if not isinstance(values, BadRow):
            tweet = values["full_text"]
            # An export's own `retweeted` is false even for retweets.
            is_retweet = tweet.startswith("RT @")
            values = Row(values["id_str"], tweet, is_retweet, values["created_at"])
        yield values


def _read_lines(text: TextIO) -> Iterator[Row | BadRow]:
    """One tweet a line; its id is the line's number."""
    for number, line in enumerate(text, 1):
        if line.strip():
            values = _parse(number, {"text": line.rstrip("\r\n")}, {"text": _line})
            if not isinstance(values, BadRow):
                values = Row(number, values["text"], is_retweet=False, date=None)
            yield values


def _require_columns(columns: Columns, first: Any, name: str) -> None:
    """`first` is the first record."""
    missing = [c for c in columns if not isinstance(first, dict) or c not in first]
    if missing:
        raise TrainingError(
            f"{name} is not a tweet archive: its first row lacks the column {missing[0]} "
            f"(expected {', '.join(columns)})."
        )


def _archive_row(number: int, record: Any) -> Row | BadRow:
    values = _parse(number, record, COLUMNS)
    if isinstance(values, BadRow):
        return values
    if None in record:
        return BadRow(number, "isFlagged", "is followed by further columns")
    return Row(values["id"], values["text"], values["isRetweet"], values["date"])


def _parse(number: int, record: Any, columns: Columns) -> Any:
    """The record's values by column, or a BadRow."""
    values = {}
    for column, parse in columns.items():
        value = record.get(column) if isinstance(record, dict) else None
        try:
            values[column] = parse(value)
        except ValueError as error:
            return BadRow(number, column, f"{error}, not {str(value)[:40]!r}")
    return values


class _JsonReader:
    """Decodes a JSON list entry by entry, reading the text in chunks.

    Not ijson: its C parser turns half an emoji into a question mark, so that a bad row would pass;
    its Python parser takes three times as long as this; and neither knows the line of an error.
    """

    def __init__(self, text: TextIO, name: str, after: str = "") -> None:
        """`after` is what comes before the list, which is skipped with white space around it."""
        self._text, self._name = text, name
        self._buffer, self._at, self._line = "", 0, 1
        self._decode = json.JSONDecoder().raw_decode
        self._peek()
        self._at += len(after)

    def entries(self) -> Iterator[Any]:
        """The list's entries. Raises TrainingError if the text is not JSON, not a list, or cut
        short."""
        if self._peek() == "{":
            raise TrainingError(f"{self._name} must be a JSON list of tweets, not an object.")
        self._take("[")
        if self._peek() == "]":
            self._take("]")
        else:
            yield self._value()
            while self._take(",]") == ",":
                yield self._value()
        if self._peek() == ";":
            self._at += 1
        if self._peek():
            raise self._error("Extra data", self._at)

    def _peek(self) -> str:
        """The next character that is no white space; empty at the end."""
        while True:
            while self._buffer[self._at : self._at + 1] in (" ", "\t", "\r", "\n"):
                self._at += 1
            if self._at < len(self._buffer) or not self._read():
                return self._buffer[self._at : self._at + 1]

    def _take(self, expected: str) -> str:
        """The next character, which must be one of these."""
        found = self._peek()
        if not found or found not in expected:
            problem = f"Expecting {' or '.join(map(repr, expected))}"
            raise self._error(problem, self._at, is_cut=not found)
        self._at += 1
        return found

    def _value(self) -> Any:
        """The next value, however many chunks it takes."""
        self._peek()
        while True:
            try:
                value, end = self._decode(self._buffer, self._at)
            except json.JSONDecodeError as error:
                problem, position = error.msg, error.pos
            except (ValueError, RecursionError) as error:
                raise self._error(str(error), self._at) from None
            else:
                # At the buffer's end, a number may continue in the next chunk.
                if end < len(self._buffer) or not self._read():
                    self._at = end
                    return value
                continue
            is_long = len(self._buffer) - self._at > MAX_ENTRY_CHARACTERS
            if is_long or not self._read():
                raise self._error(problem, position, is_cut=not is_long)

    def _read(self) -> bool:
        chunk = self._text.read(_CHUNK_CHARACTERS)
        if chunk:
            self._line += self._buffer.count("\n", 0, self._at)
            self._buffer, self._at = self._buffer[self._at :] + chunk, 0
        return bool(chunk)

    def _error(self, problem: str, position: int, is_cut: bool = False) -> TrainingError:
        line = self._line + self._buffer.count("\n", 0, position)
        hint = " Is it cut short?" if is_cut else ""
        return TrainingError(f"{self._name} is not JSON: line {line:,}: {problem}.{hint}")
