"""Reads JSON of any length entry by entry: a list, objects one after another, or an object around
a list."""

import json
import re
from collections.abc import Generator, Iterator
from typing import Any, TextIO

from training import TrainingError

# Longer than any tweet with all that an export says about it.
MAX_ENTRY_CHARACTERS = 1 << 22
_CHUNK_CHARACTERS = 1 << 16
# Under which name an object holds its list: Mastodon's outbox, X's API, and what people write.
_LISTS = (
    "orderedItems", "data", "tweets", "statuses", "posts", "items", "results", "records",
    "messages", "feed",
)  # fmt: skip
# What X's exports put before their JSON, and the name of the part.
SCRIPT = re.compile(
    r"\s*(?:(?:window\.YTD|Grailbird\.data)\.(?P<part>\w+?)(?:\.part\d+|_\d{4}_\d\d)"
    r"|window\.__\w+|var user_details)\s*=\s*"
)
# No tweet begins like this; `[1/3] My thread` is a line of text.
_START = re.compile(r'\{\s*"|\[\s*["{\[]')


def is_json(head: str) -> bool:
    """True for an object or list of objects, texts or lists, and for a first line of JSON."""
    if head[0] not in "[{":
        return False
    try:
        json.loads(head.partition("\n")[0])
    except (ValueError, RecursionError):
        return _START.match(head) is not None
    return True


class JsonReader:
    """Decodes JSON entry by entry, reading the text in chunks.

    Not ijson: its C parser turns half an emoji into a question mark, so that a bad row would pass;
    its Python parser takes three times as long as this; and neither knows the line of an error.
    """

    def __init__(self, text: TextIO, name: str) -> None:
        self._text, self._name = text, name
        self._buffer, self._at, self._line = text.read(_CHUNK_CHARACTERS), 0, 1
        self._decode = json.JSONDecoder().raw_decode
        if script := SCRIPT.match(self._buffer):
            self._at = script.end()

    def entries(self) -> Iterator[Any]:
        """Every entry of the list; or every object, as in JSON lines, but where it is one around a
        list, that list's entries. Raises TrainingError if the text is not JSON, or cut short."""
        if self._peek() == "[":
            yield from self._list()
            if self._peek() == ";":
                self._at += 1
            if self._peek():
                raise self._error("Extra data", self._at)
            return
        # What the first object is, all are.
        is_around_list = True
        while self._peek():
            if is_around_list:
                record: dict[str, Any] = {}
                lists = yield from self._object(record)
                is_around_list = lists > 0
                if not lists:
                    yield record
            else:
                yield self._value()
            if self._peek() in (",", ";"):
                self._at += 1

    def _list(self) -> Iterator[Any]:
        self._take("[")
        if self._peek() == "]":
            self._take("]")
            return
        yield self._value()
        while self._take(",]") == ",":
            # Who writes by hand leaves a comma at the end.
            if self._peek() == "]":
                self._take("]")
                return
            yield self._value()

    def _object(self, record: dict[str, Any]) -> Generator[Any, None, int]:
        """Yields the entries of the lists in an object, and returns how many such lists there were;
        all that is no such list goes into `record`."""
        lists = 0
        self._take("{")
        while self._peek() != "}":
            if self._peek() != '"':
                raise self._error("Expecting a name in double quotes", self._at)
            name = self._value()
            self._take(":")
            if name in _LISTS and self._peek() == "[":
                lists += 1
                yield from self._list()
            elif name in _LISTS and self._peek() == "{":
                record[name] = {}
                lists += yield from self._object(record[name])
            elif name.isdecimal() and self._peek() == "{":
                # By the id of each.
                lists += 1
                yield self._value()
            else:
                record[name] = self._value()
            if self._peek() != "}":
                self._take(",")
        self._take("}")
        return lists

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
            if is_long:
                problem = f"an entry is longer than {MAX_ENTRY_CHARACTERS:,} characters"
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
