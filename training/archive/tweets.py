"""What a tweet is: which columns of a record hold its text, its date, its id, and whether it is a
retweet or a reply."""

import ast
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from training import TrainingError
from training.archive.values import (
    FALSE,
    TRUE,
    is_day_first,
    is_given,
    parse_date,
    parse_flag,
    parse_id,
    plain_text,
)

Record = dict[Any, Any]

# What texts without columns are read as.
TEXT_COLUMN = "text"
# Names of columns without case and punctuation, the likeliest first.
_TEXT = (
    "fulltext", "text", "tweet", "tweets", "tweettext", "content", "rawcontent", "body",
    "posttext", "statustext", "post", "status", "message", "caption", "texto", "texte", "本文",
    "ツイート本文", "ツイート", "内容",
)  # fmt: skip
_DATE = (
    "createdat", "date", "timestamp", "published", "publishedat", "datetime", "created",
    "postedat", "createdutc", "tweetcreatedat", "tweetdate", "posttime", "postdate", "time",
    "datum", "fecha", "日時", "投稿日時", "日付",
)  # fmt: skip
_ID = ("idstr", "id", "tweetidstr", "tweetid", "statusid", "postid")
_RETWEET = ("isretweet", "isrt", "isrepost", "repostflag", "retweet")
_RETWEET_OF = (
    "retweetedstatus", "retweetedstatusid", "retweetedstatusidstr", "retweetedtweet", "reblog"
)  # fmt: skip
_REPLY_TO = (
    "inreplytouseridstr", "inreplytouserid", "inreplytoscreenname", "inreplytoaccountid",
    "inreplytostatusidstr", "inreplytostatusid", "inreplytotweetid", "inreplytoid", "inreplyto",
    "reply",
)  # fmt: skip
# The columns of the Trump Twitter Archive.
TRUMP_ARCHIVE = {
    "id", "text", "isRetweet", "isDeleted", "device", "favorites", "retweets", "date", "isFlagged"
}  # fmt: skip
_MARKUP = re.compile(r"</?(?:p|br|a|span)\b[^>]*>", re.IGNORECASE)
_MARKS = re.compile(r"\A\s*(?:<\|startoftext\|>)+|(?:<\|endoftext\|>)+\s*\Z")
# All that Unicode calls control characters but white space.
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]")
# What Python writes of bytes: many a tutorial saved tweets so.
_BYTES = re.compile(r"""b(?:'.*'|".*")""")
_PUBLIC = "https://www.w3.org/ns/activitystreams#Public"


@dataclass(frozen=True, slots=True)
class Row:
    """One tweet as the archive has it; `date` is UTC, None if the archive has no dates. HTML
    entities in `text` stand for characters."""

    id: int
    text: str
    is_retweet: bool
    date: datetime | None
    is_reply: bool = False


@dataclass(frozen=True)
class BadRow:
    """A row that was left out: `number` counts from 1, the header not included; `file` says in
    which file, where there are several."""

    number: int
    column: str
    problem: str
    file: str = ""

    def __str__(self) -> str:
        where = f"{self.file}, " if self.file else ""
        return f"{where}row {self.number:,}, column {self.column}: {self.problem}"


@dataclass(frozen=True)
class Owner:
    """Whose archive it is, as an export says; "" where it does not. `handle` has no @."""

    name: str
    handle: str
    id: str = ""


@dataclass(frozen=True)
class Options:
    """What a file's content cannot tell. A column of a table without a header is named by its
    number, from 1."""

    text_column: str | None = None
    date_column: str | None = None
    encoding: str | None = None


def is_column(name: str) -> bool:
    plain = _plain(name)
    return any(plain in names for names in (_TEXT, _DATE, _ID, _RETWEET, _RETWEET_OF, _REPLY_TO))


def is_text_column(name: str) -> bool:
    return _plain(name) in _TEXT


def unwrap(record: Record) -> Record:
    """The tweet itself: exports from 2019 on, the APIs of X and Bluesky and a Fediverse outbox wrap
    it."""
    for name in ("tweet", "communityTweet", "status", "data", "value"):
        if isinstance(inner := record.get(name), dict):
            return inner
    post = record.get("post")
    if isinstance(post, dict) and isinstance(post.get("record"), dict):
        # In Bluesky's feed, a repost has a reason to be there.
        return {**post["record"], "type": "Announce" if record.get("reason") else "Create"}
    inner = record.get("object")
    if record.get("type") in ("Create", "Announce") and inner is not None:
        # Of a boost there is only the address.
        post = inner if isinstance(inner, dict) else {"content": ""}
        return {"published": record.get("published"), "id": record.get("id"), **post,
                "type": record["type"], "to": [record.get("to"), record.get("cc")]}  # fmt: skip
    return record


class Tweets:
    """How tweets are told from the records of one kind: by the names of their columns, and by the
    values in the first of them.

    Args:
        sample: the first records.
        name: of the file, for errors.
        owner: whose replies to themselves are threads, not replies.

    Raises:
        TrainingError: no column holds texts, or one that was asked for is not there.
    """

    def __init__(
        self, sample: Sequence[Record | None], options: Options, name: str, owner: Owner | None
    ) -> None:
        records = [unwrap(record) for record in sample if record is not None]
        columns = list(
            dict.fromkeys(column for r in records for column in r if isinstance(column, str))
        )
        self._columns, self._name, self._records = columns, name, records
        self._texts = self._chosen(options.text_column, "--text-column", _TEXT)
        if not records:
            raise TrainingError(f"{name} must hold objects or texts, one a tweet.")
        if not self._texts:
            raise TrainingError(
                f"{name} has no column that is known to hold texts. Name it with --text-column"
                f"{_listed(columns)} A table without a header has numbers for columns."
            )
        if all(str(_first(record, self._texts)[1]).strip().isdecimal() for record in records):
            raise TrainingError(
                f"{name} holds ids of tweets and not their texts, which X's API gives for them."
            )
        dates = self._chosen(options.date_column, "--date-column", _DATE)
        self._day_first = any(
            is_day_first(str(record.get(column))) for record in records for column in dates
        )
        dates = [d for d in dates if any(is_given(record.get(d)) for record in records)]
        # `time` beside `date` may be one of the day.
        self._dates = [d for d in dates if any(self._is_date(r.get(d)) for r in records)] or dates
        self._ids, self.id_problem = self._usable_ids()
        self._flag = next(filter(self._is_flag, self._chosen(None, "", _RETWEET)), None)
        self._retweet_of = self._chosen(None, "", _RETWEET_OF)
        self._reply_to = self._chosen(None, "", _REPLY_TO)
        self._own = (
            {value.casefold() for value in (owner.id, owner.handle) if value} if owner else set()
        )
        self._authors: set[tuple[str, str]] = set()
        self.cleaned = 0
        self.private = 0

    @property
    def columns(self) -> str:
        """Which columns are read, for the report; "" if there is only one."""
        if len(self._columns) == 1:
            return ""
        found = {"text": self._texts, "date": self._dates, "id": self._ids}
        return ", ".join(f"{what} from {names[0]}" for what, names in found.items() if names)

    @property
    def is_trumps(self) -> bool:
        """Whether the columns are those of the Trump Twitter Archive, and no others."""
        return set(self._columns) == TRUMP_ARCHIVE

    @property
    def author(self) -> Owner | None:
        """Who wrote all of them, if each says so and it is one."""
        return Owner(*next(iter(self._authors))) if len(self._authors) == 1 else None

    def row(self, number: int, entry: Record | None, first_id: int = 0) -> Row | BadRow | None:
        """The tweet of a record, or None if it is not public. Where there are no ids, tweets are
        numbered after `first_id`."""
        if entry is None:
            return BadRow(number, self._texts[0], "must be an object with columns")
        record = unwrap(entry)
        if None in record:
            problem = "is followed by further columns: a text with commas must stand in quotes"
            return BadRow(number, self._columns[-1], problem)
        if not _is_public(record):
            self.private += 1
            return None
        column = ""
        try:
            column, value = _first(record, self._ids)
            identifier = parse_id(value) if column else first_id + number
            column, value = _first(record, self._texts)
            text = self._text(record, column, value)
            column, value = _first(record, self._dates)
            is_dated = is_given(value) or column not in record
            when = parse_date(value, self._day_first) if column and is_dated else None
            column = self._flag or ""
            is_retweet = self._is_retweet(record, text)
        except ValueError as error:
            return BadRow(number, column, f"{error}, not {str(record.get(column))[:40]!r}")
        self._note_author(record)
        return Row(identifier, text, is_retweet, when, self._is_reply(record, text))

    def _chosen(self, asked: str | None, option: str, known: Iterable[str]) -> list[str]:
        """The column asked for, else those with a known name, the likeliest first."""
        if asked is not None:
            if asked not in self._columns:
                raise TrainingError(
                    f"{self._name} has no column {asked!r}. Name one with {option}"
                    f"{_listed(self._columns)}"
                )
            return [asked]
        by_plain = {_plain(column): column for column in reversed(self._columns)}
        return [by_plain[plain] for plain in known if plain in by_plain]

    def _usable_ids(self) -> tuple[list[str], str]:
        """The columns with ids, and what is wrong with them if none is used."""
        columns = self._chosen(None, "", _ID)
        values = [str(_first(record, columns)[1]) for record in self._records]
        if not columns:
            return [], ""
        if any(re.fullmatch(r"[\d.,]+[eE]\+?\d+", value) for value in values):
            return [], "the ids were rounded by a spreadsheet"
        numbers = []
        for value in values:
            try:
                numbers.append(parse_id(value))
            except ValueError:
                continue
        if not numbers:
            return [], "the ids are no numbers"
        if 2 * len(set(numbers)) < len(numbers):
            return [], f"the column {columns[0]} has the same number many times"
        return columns, ""

    def _is_flag(self, column: str) -> bool:
        """`retweet` may count retweets."""
        values = {str(record[column]).casefold() for record in self._records if column in record}
        return _plain(column) != "retweet" or values <= {*TRUE[:2], *FALSE[:2]}

    def _text(self, record: Record, column: str, value: object) -> str:
        for holder, name in (("extended_tweet", "full_text"), ("note_tweet", "text")):
            if isinstance(longer := record.get(holder), dict):
                value = longer.get(name, value)
        if value is None and column in record:
            return ""
        if isinstance(value, dict):
            raise ValueError("must be a text; pandas writes one a row with orient='records'")
        if isinstance(value, list):
            # Telegram marks up parts of a text.
            parts = [part.get("text") if isinstance(part, dict) else part for part in value]
            value = "".join(map(str, parts))
        if not isinstance(value, str):
            raise ValueError("must be a text")
        if _BYTES.fullmatch(value):
            value = _decoded(value)
        try:
            value.encode()
        except UnicodeEncodeError:
            # A JSON escape may be half of an emoji, which cannot be encoded.
            raise ValueError("must be whole Unicode characters") from None
        if _CONTROLS.search(value):
            self.cleaned += 1
            value = _CONTROLS.sub("", value)
        if "<|" in value:
            value = _MARKS.sub("", value)
        is_markup = value.startswith("<p") or _plain(column) == "content"
        if is_markup and _MARKUP.search(value):
            value = plain_text(value)
        return value

    def _is_date(self, value: object) -> bool:
        try:
            parse_date(value, self._day_first)
        except ValueError:
            return False
        return True

    def _is_retweet(self, record: Record, text: str) -> bool:
        if self._flag and self._flag in record:
            return parse_flag(record[self._flag])
        return (
            text.startswith("RT @")
            or record.get("type") == "Announce"
            or any(is_given(record.get(column)) for column in self._retweet_of)
            or "retweeted" in _references(record)
        )

    def _is_reply(self, record: Record, text: str) -> bool:
        for column in self._reply_to:
            if is_given(to := record.get(column)) and str(to).casefold() not in FALSE:
                author = record.get("user")
                author = author.get("id_str") if isinstance(author, dict) else None
                own = {*self._own, author, record.get("author_id")}
                by = record.get("attributedTo")
                is_thread = isinstance(by, str) and str(to).startswith(f"{by}/")
                return not (is_thread or str(to).casefold() in own)
        return "replied_to" in _references(record) or text.lstrip().startswith("@")

    def _note_author(self, record: Record) -> None:
        for column in ("user", "account"):
            if isinstance(author := record.get(column), dict) and len(self._authors) < 2:
                handle = author.get("screen_name") or author.get("username") or ""
                names = map(author.get, ("name", "display_name", "displayname"))
                name = next(filter(None, names), "")
                self._authors.add((str(name), str(handle)))


def _decoded(text: str) -> str:
    try:
        return str(ast.literal_eval(text).decode())
    except (ValueError, SyntaxError):
        return text


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()


def _listed(columns: Sequence[str]) -> str:
    shown = ", ".join(column[:40] for column in columns[:30])
    return f": its columns are {shown}." if columns else "."


def _first(record: Record, columns: Sequence[str]) -> tuple[str, object]:
    """The first of the columns that has a value in the record, and that value; else one that has
    none, and None."""
    for column in columns:
        if record.get(column) is not None:
            return column, record[column]
    present = [column for column in columns if column in record]
    return (*present, *columns, "")[0], None


def _references(record: Record) -> list[Any]:
    """Of X's API, version 2: whether it is a retweet, a reply or a quotation."""
    references = record.get("referenced_tweets")
    if not isinstance(references, list):
        return []
    return [reference.get("type") for reference in references if isinstance(reference, dict)]


def _is_public(record: Record) -> bool:
    """Of the Fediverse: a message to followers or to one person is in its author's outbox too."""
    if record.get("visibility") in ("private", "direct"):
        return False
    given = record.get("to")
    parts = given if isinstance(given, list) else [given]
    addressed = [to for part in parts if part for to in ([part] if isinstance(part, str) else part)]
    return not addressed or any(to in (_PUBLIC, "as:Public", "Public") for to in addressed)
