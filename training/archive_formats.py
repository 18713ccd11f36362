"""From text to rows: the archive's CSV and JSON, X's own export, one tweet a line.

Knows the kinds of archive, told apart by what they hold, and their fields; must not know files,
or what a good tweet is. A text is read as it comes: a million tweets as dicts would not fit.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any, TextIO

from training.errors import TrainingError

DATE_FORMAT = "%Y-%m-%d %H:%M:%S"
EXPORT_DATE_FORMAT = "%a %b %d %H:%M:%S %z %Y"
# Parquet and X itself keep an id in a signed 64-bit integer.
MAX_ID = 2**63 - 1
# Longer than any tweet with all that an export says about it.
MAX_ENTRY_CHARACTERS = 1 << 22
_PIECE_CHARACTERS = 1 << 16
# As many lines as tell a table, whose rows are equally wide, from sentences with commas.
_TABLE_LINES = 20

_IDENTIFIER = re.compile(r"[0-9]{1,20}")
_COUNT = re.compile(r"[0-9]{1,12}")
_EXPORT = re.compile(r"window\.YTD\.(\w+)\.part\d+\s*=\s*")
# What no tweet begins with; `[1/3] My thread` is a line of text.
_JSON = re.compile(r'\{\s*"|\[\s*["{\[]')
_WEB_PAGE = re.compile(r"<!doctype html|<html", re.IGNORECASE)
_SPACE = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True, slots=True)
class Row:
    """One tweet as the archive has it; `date` is UTC, None where the archive has no dates."""

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


def _identifier(value: object) -> int:
    if not _IDENTIFIER.fullmatch(str(value)):
        raise ValueError("must be a number of at most 20 digits")
    if int(str(value)) > MAX_ID:
        raise ValueError(f"must be at most {MAX_ID}")
    return int(str(value))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a text")
    try:
        value.encode()
    except UnicodeEncodeError:
        # JSON can say half of an emoji, which nothing can write.
        raise ValueError("must be whole Unicode characters") from None
    return value


def _line(value: object) -> str:
    if "\0" in _text(value):
        raise ValueError("must be text without NUL characters")
    return _text(value)


def _count(value: object) -> int:
    if not _COUNT.fullmatch(str(value)):
        raise ValueError("must be a whole number")
    return int(str(value))


def _date(value: object) -> datetime:
    try:
        return datetime.strptime(str(value), DATE_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        raise ValueError("must be a date like 2016-11-09 11:36:58") from None


def _export_date(value: object) -> datetime:
    try:
        return datetime.strptime(str(value), EXPORT_DATE_FORMAT).astimezone(UTC)
    except ValueError:
        raise ValueError("must be a date like Wed Oct 10 20:19:24 +0000 2018") from None


Columns = Mapping[str, Callable[[object], Any]]
COLUMNS: Columns = {
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
EXPORT_COLUMNS: Columns = {
    "id_str": _identifier,
    "full_text": _text,
    "created_at": _export_date,
}


def read_rows(text: TextIO, place: str) -> Iterator[Row | BadRow]:
    """Every row, good or bad, of a text that can be read again from its start.

    Raises:
        TrainingError: empty, of no kind that is known, or cut short; it names the place.
    """
    head = _head(text, place)
    if export := _EXPORT.match(head):
        return _export_rows(text, export, place)
    if _is_json(head):
        return _json_rows(text, place)
    if _is_table(head):
        return _csv_rows(text, place)
    if _WEB_PAGE.match(head):
        raise TrainingError(f"{place} is a web page, not an archive.")
    return _line_rows(text)


def _head(text: TextIO, place: str) -> str:
    """The first piece that is not blank; the text stands at its start again."""
    while piece := text.read(_PIECE_CHARACTERS):
        if piece.strip():
            text.seek(0)
            return piece.lstrip()
    raise TrainingError(f"{place} is empty.")


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
    first = head.splitlines()[0]
    names = {name.strip(' "') for name in re.split(r"[,;\t]", first)}
    return len(names & COLUMNS.keys()) > 1 or any(_is_even(head, c) for c in ",;\t")


def _is_even(head: str, delimiter: str) -> bool:
    reader = csv.reader(io.StringIO(head, newline=""), delimiter=delimiter, strict=True)
    try:
        widths = [len(record) for record in islice(filter(None, reader), _TABLE_LINES)]
    except csv.Error:
        return False
    return len(widths) > 1 and widths[0] > 1 and len(set(widths)) == 1


def _csv_rows(text: TextIO, place: str) -> Iterator[Row | BadRow]:
    reader = csv.DictReader(text, strict=True)
    try:
        _require_columns(COLUMNS, reader.fieldnames or [], place)
        for number, record in enumerate(reader, 1):
            yield _archive_row(number, record)
    except csv.Error as error:
        raise TrainingError(
            f"{place}, line {reader.line_num:,}: {error}. Is it cut short?"
        ) from None


def _json_rows(text: TextIO, place: str) -> Iterator[Row | BadRow]:
    for number, record in enumerate(_entries(_Window(text, place)), 1):
        if number == 1:
            _require_columns(COLUMNS, record if isinstance(record, dict) else (), place)
        yield _archive_row(number, record)


def _export_rows(text: TextIO, start: re.Match[str], place: str) -> Iterator[Row | BadRow]:
    if start[1] not in ("tweet", "tweets"):
        raise TrainingError(
            f"{place} is the part {start[1]!r} of an X export; its tweets are in data/tweets.js."
        )
    window = _Window(text, place)
    window.skip(start[0])
    for number, entry in enumerate(_entries(window), 1):
        # Exports before 2019 have the tweet itself where later ones wrap it.
        record = entry.get("tweet", entry) if isinstance(entry, dict) else None
        if number == 1:
            _require_columns(EXPORT_COLUMNS, record if isinstance(record, dict) else (), place)
        yield _export_row(number, record)


def _line_rows(text: TextIO) -> Iterator[Row | BadRow]:
    """One tweet a line; its id is the line's number."""
    for number, line in enumerate(text, 1):
        if line.strip():
            values = _parsed(number, {"text": line.rstrip("\r\n")}, {"text": _line})
            yield (
                values
                if isinstance(values, BadRow)
                else Row(number, values["text"], is_retweet=False, date=None)
            )


def _require_columns(columns: Columns, found: Iterable[str], place: str) -> None:
    missing = [name for name in columns if name not in found]
    if missing:
        raise TrainingError(
            f"{place} is not a tweet archive: its first row lacks the column {missing[0]} "
            f"(expected {', '.join(columns)})."
        )


def _archive_row(number: int, record: Any) -> Row | BadRow:
    values = _parsed(number, record, COLUMNS)
    if isinstance(values, BadRow):
        return values
    if None in record:
        return BadRow(number, "isFlagged", "is followed by further columns")
    return Row(values["id"], values["text"], values["isRetweet"], values["date"])


def _export_row(number: int, record: Any) -> Row | BadRow:
    values = _parsed(number, record, EXPORT_COLUMNS)
    if isinstance(values, BadRow):
        return values
    text = values["full_text"]
    # An export's `retweeted` is false even there.
    return Row(values["id_str"], text, text.startswith("RT @"), values["created_at"])


def _parsed(number: int, record: Any, columns: Columns) -> dict[str, Any] | BadRow:
    values = {}
    for column, parse in columns.items():
        value = record.get(column) if isinstance(record, dict) else None
        try:
            values[column] = parse(value)
        except ValueError as error:
            return BadRow(number, column, f"{error}, not {str(value)[:40]!r}")
    return values


class _Window:
    """JSON that is read of a text and not yet taken."""

    def __init__(self, text: TextIO, place: str) -> None:
        self._text, self.place = text, place
        self._held, self._at, self._line = "", 0, 1
        self._decode = json.JSONDecoder().raw_decode

    def skip(self, start: str) -> None:
        """Passes over white space and then this, which is known to follow."""
        self.peek()
        while len(self._held) - self._at < len(start) and self._read():
            pass
        self._at += len(start)

    def peek(self) -> str:
        """The next character that is no white space, not taken; empty at the end."""
        while True:
            space = _SPACE.match(self._held, self._at)
            self._at = space.end() if space else self._at
            if self._at < len(self._held) or not self._read():
                return self._held[self._at : self._at + 1]

    def take(self, expected: str) -> str:
        """The next character, which must be one of these."""
        found = self.peek()
        if not found or found not in expected:
            problem = f"Expecting {' or '.join(map(repr, expected))}"
            raise self._error(problem, self._at, is_cut=not found)
        self._at += 1
        return found

    def value(self) -> Any:
        """The next value, however many pieces it takes."""
        self.peek()
        while True:
            try:
                value, end = self._decode(self._held, self._at)
            except json.JSONDecodeError as error:
                problem, position = error.msg, error.pos
            except (ValueError, RecursionError) as error:
                raise self._error(str(error), self._at) from None
            else:
                # A number may go on in the next piece.
                if end < len(self._held) or not self._read():
                    self._at = end
                    return value
                continue
            is_long = len(self._held) - self._at > MAX_ENTRY_CHARACTERS
            if is_long or not self._read():
                raise self._error(problem, position, is_cut=not is_long)

    def end(self) -> None:
        """Nothing but white space and a semicolon may follow."""
        if self.peek() == ";":
            self._at += 1
        if self.peek():
            raise self._error("Extra data", self._at)

    def _read(self) -> bool:
        piece = self._text.read(_PIECE_CHARACTERS)
        if piece:
            self._line += self._held.count("\n", 0, self._at)
            self._held, self._at = self._held[self._at :] + piece, 0
        return bool(piece)

    def _error(self, problem: str, position: int, is_cut: bool = False) -> TrainingError:
        line = self._line + self._held.count("\n", 0, position)
        hint = " Is it cut short?" if is_cut else ""
        return TrainingError(f"{self.place} is not JSON: line {line:,}: {problem}.{hint}")


def _entries(window: _Window) -> Iterator[Any]:
    """The entries of a JSON list, one at a time."""
    if window.peek() == "{":
        raise TrainingError(f"{window.place} must be a JSON list of tweets, not an object.")
    window.take("[")
    if window.peek() == "]":
        window.take("]")
    else:
        yield window.value()
        while window.take(",]") == ",":
            yield window.value()
    window.end()
