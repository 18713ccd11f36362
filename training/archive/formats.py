"""Turns a file into records: the rows of a table, the entries of JSON, or one text a record.

The format is recognised by the first characters. A file is read in pieces: a million tweets would
not fit.
"""

import csv
import io
import re
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Any, BinaryIO, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from training import TrainingError
from training.archive.encodings import open_text
from training.archive.files import HEAD_BYTES, File
from training.archive.json_lists import MAX_ENTRY_CHARACTERS, SCRIPT, JsonReader, is_json
from training.archive.tweets import (
    TEXT_COLUMN,
    Options,
    Record,
    is_column,
    is_text_column,
)

# So many lines tell a table, whose rows are equally wide, from sentences with commas.
_TABLE_LINES = 20
# What `csv` says where a quotation mark is never closed.
_UNENDED = "end of data"
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_PARQUET = b"PAR1"
_BATCH_ROWS = 1024
_TWEETS = ("tweet", "tweets", "community_tweet", "community_tweets")
_FOREIGN = re.compile(
    r"(?P<web_page><!doctype html|<html)|(?P<file_of_XML><\?xml)|(?P<document_of_RTF>\{\\rtf)"
    r"|(?P<script>(?:window\.|(?:var|const) )[\w.]+\s*=\s*[\[{])|(?P<file_of_YAML>---\n|- \w+: )"
    r"|(?P<dump_of_SQL>(?:-- (?:My|Maria)|--\n-- Post|PRAGMA |(?:CREATE|DROP) TABLE|INSERT INTO))"
    r"|(?P<chat_of_WhatsApp>\[?\d+[/.]\d+[/.]\d+,? \d+:\d\d[^\n]{0,12}[-\]] )",
    re.IGNORECASE,
)
# How files for GPT-2 mark where a text begins and ends.
_MARK = re.compile(r"<\|(?:startoftext|endoftext)\|>")
_BLANK_LINE = re.compile(r"\A\s*\Z")
# What Excel reads, and some programs write, before a table.
_SEPARATOR = re.compile(r"sep=(.)\r?\n")
# A quotation mark inside a text, as MySQL writes it.
_ESCAPED = re.compile(r"""\\"[^",;\t|\r\n]""")
# A text of paragraphs: blank lines between most of what is one to four lines.
_MIN_GAPS, _MAX_PARAGRAPH_LINES = 5, 4


@dataclass(frozen=True)
class Records:
    """What a file holds: `form` says how it was read; a record is None where it is no object."""

    form: str
    entries: Iterator[Record | None]


@dataclass(frozen=True)
class Table:
    """A table's delimiter, whether its first row names the columns, what stands before a quotation
    mark inside a text where that is not doubled, and whether such marks mean anything."""

    delimiter: str
    has_header: bool = True
    escape: str | None = None
    is_quoted: bool = True

    def rows(self, lines: Iterable[str]) -> Any:
        """A reader of the rows; it raises csv.Error."""
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            escapechar=self.escape,
            quoting=csv.QUOTE_MINIMAL if self.is_quoted else csv.QUOTE_NONE,
            strict=True,
        )


@contextmanager
def open_records(file: File, options: Options) -> Iterator[Records]:
    """Every record of the file. Raises TrainingError if it is empty, of an unknown kind, or cut
    short, at once or while it is read."""
    if file.head().startswith(_PARQUET):
        with file.open() as stream:
            yield Records("parquet", _read_parquet(stream, file))
    else:
        with open_text(file, options.encoding) as beginning:
            head, encoding = beginning.read(HEAD_BYTES), beginning.encoding
        with open_text(file, encoding) as text:
            yield _records_of_text(text, head, file, options)


def _records_of_text(text: TextIO, head: str, file: File, options: Options) -> Records:
    if not head.strip():
        raise TrainingError(f"{file} is empty.")
    is_cut, head = len(head) == HEAD_BYTES, head.lstrip()
    if (script := SCRIPT.match(head)) and script["part"]:
        if script["part"] not in _TWEETS:
            raise TrainingError(
                f"{file} is the part {script['part']!r} of an X export; its tweets are in "
                "data/tweets.js."
            )
        return Records("X's export", _read_json(text, file))
    if is_json(head):
        return Records("JSON", _read_json(text, file))
    if foreign := _FOREIGN.match(head):
        kind = str(foreign.lastgroup).replace("_", " ")
        raise TrainingError(f"{file} is a {kind}, not an archive of tweets.")
    if _MARK.search(head):
        return Records(
            "texts between <|startoftext|> and <|endoftext|>", _read_texts(text, file, _MARK)
        )
    if separator := _SEPARATOR.match(head):
        text.readline()
        return Records("a table of Excel", _read_table(text, file, Table(separator[1]), options))
    if table := find_table(head, is_cut):
        form = f"a table with {_DELIMITERS[table.delimiter]}"
        return Records(form, _read_table(text, file, table, options))
    if _has_paragraphs(head):
        return Records("texts with blank lines between them", _read_texts(text, file, _BLANK_LINE))
    return Records("a text a line", _records_of(_full_lines(text, file)))


def find_table(head: str, is_cut: bool) -> Table | None:
    """How a text is a table, if it is one: its first line names columns that we know, its rows are
    equally wide, or it is one column in quotation marks."""
    escape = "\\" if _ESCAPED.search(head) else None
    kinds = [
        Table(delimiter, escape=escape, is_quoted=delimiter != "\t" or _is_quoted(head, is_cut))
        for delimiter in _DELIMITERS
    ]
    for table in kinds:
        names = next(iter(_rows(head, table, 1)), [])
        if len(names) > 1 and sum(map(is_column, names)) > 1:
            return table
    for table in kinds:
        rows = _rows(head, table, _TABLE_LINES, is_cut)
        is_even = len(rows) > 1 and len(rows[0]) > 1 and len(set(map(len, rows))) == 1
        # A comma of a sentence has a space behind it.
        if is_even and not all(cell[:1] == " " for row in rows for cell in row[1:]):
            return table
    rows = _rows(head, kinds[0], _TABLE_LINES, is_cut)
    if len(rows) > 1 and all(len(row) == 1 for row in rows):
        if is_text_column(rows[0][0]):
            return kinds[0]
        if all(line.startswith('"') for line in head.splitlines()[: len(rows) // 2]):
            return replace(kinds[0], has_header=False)
    return None


def _is_quoted(head: str, is_cut: bool) -> bool:
    """Whether quotation marks of a table with tabs mean anything: a text is often written as it
    is."""
    try:
        deque(Table("\t").rows(io.StringIO(head, newline="")), maxlen=0)
    except csv.Error as error:
        return is_cut and _UNENDED in str(error)
    return True


def _rows(head: str, table: Table, count: int, is_cut: bool = False) -> list[list[str]]:
    """The first rows, none if they are no CSV. The last may be cut, and is left out then."""
    reader = table.rows(io.StringIO(head, newline=""))
    rows: list[list[str]] = []
    try:
        rows.extend(islice(filter(None, reader), count))
    except csv.Error:
        if not is_cut:
            return []
    return rows[:-1] if is_cut and len(rows) < count else rows


def _full_lines(text: TextIO, file: File) -> Iterator[str]:
    """Lines with their line breaks, each of a bounded length."""
    while line := text.readline(MAX_ENTRY_CHARACTERS):
        if len(line) == MAX_ENTRY_CHARACTERS:
            raise TrainingError(
                f"{file} has a line of more than {MAX_ENTRY_CHARACTERS:,} characters: "
                "no tweet is so long."
            )
        yield line


def _read_table(text: TextIO, file: File, table: Table, options: Options) -> Iterator[Record]:
    reader = table.rows(_full_lines(text, file))
    rows: Iterator[list[str]] = filter(None, reader)
    try:
        header = next(rows)
        numbers = [str(number) for number in range(1, len(header) + 1)]
        is_numbered = options.text_column in numbers and options.text_column not in header
        if is_numbered or not table.has_header:
            rows = chain([header], rows)
            header = numbers if is_numbered else [TEXT_COLUMN]
        for row in rows:
            record: Record = dict(zip(header, row, strict=False))
            if len(row) > len(header):
                # As csv.DictReader has it.
                record[None] = row[len(header) :]
            yield record
    except csv.Error as error:
        hint = 'A quotation mark inside a text must be doubled ("").'
        if _UNENDED in str(error):
            hint = "Is it cut short?"
        raise TrainingError(f"{file}, line {reader.line_num:,}: {error}. {hint}") from None


def _read_json(text: TextIO, file: File) -> Iterator[Record | None]:
    for entry in JsonReader(text, str(file)).entries():
        if isinstance(entry, str):
            yield {TEXT_COLUMN: entry}
        else:
            yield entry if isinstance(entry, dict) else None


def _read_parquet(stream: BinaryIO, file: File) -> Iterator[Record]:
    # Its directory is at its end.
    source = stream if stream.seekable() else io.BytesIO(stream.read())
    try:
        for batch in pq.ParquetFile(source).iter_batches(_BATCH_ROWS):
            yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise TrainingError(f"{file} is no parquet that can be read: {error}.") from error


def _read_texts(text: TextIO, file: File, between: re.Pattern[str]) -> Iterator[Record]:
    """The texts between what the pattern finds in a line; each may have several lines."""
    begun: list[str] = []
    size = 0
    for line in _full_lines(text, file):
        *whole, rest = between.split(line)
        if whole:
            yield from _records_of(["".join((*begun, whole[0])), *whole[1:]])
            begun, size = [], 0
        begun.append(rest)
        size += len(rest)
        if size > MAX_ENTRY_CHARACTERS:
            raise TrainingError(
                f"{file} has a text of more than {MAX_ENTRY_CHARACTERS:,} characters in several "
                "lines: no tweet is so long."
            )
    yield from _records_of(["".join(begun)])


def _has_paragraphs(head: str) -> bool:
    unix = re.sub(r"\r\n?", "\n", head.strip())
    paragraphs = [part.count("\n") + 1 for part in re.split(r"\n\s*\n", unix)]
    lines = sum(paragraphs)
    is_even = lines <= _MAX_PARAGRAPH_LINES * len(paragraphs)
    return len(paragraphs) > _MIN_GAPS and is_even and lines > len(paragraphs)


def _records_of(texts: Iterable[str]) -> Iterator[Record]:
    for text in texts:
        if text.strip():
            yield {TEXT_COLUMN: text.strip("\r\n")}
