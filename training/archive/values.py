"""The values of a tweet's columns: text, date, id and flags, as people and programs write them."""

import html
import re
from datetime import UTC, date, datetime
from html.parser import HTMLParser

from dateutil import parser

# Parquet and X itself store an id as a signed 64-bit integer.
MAX_ID = 2**63 - 1
_EXPORT_DATE = "%a %b %d %H:%M:%S %z %Y"
_EXAMPLE_DATE = "2016-11-09 11:36:58"
TRUE, FALSE = ("true", "t", "1", "1.0", "yes", "y"), ("false", "f", "0", "0.0", "no", "n")
# How pandas, databases and JSON write what is missing.
_NOTHING = ("", "nan", "none", "null", "[]", "{}", "<na>", r"\n")
# 2020年1月2日 9時30分.
_JAPANESE = str.maketrans("年月日時分秒", "-- :: ")
_ADDRESS_ID = re.compile(r"https?://\S*?/(\d{1,19})(?:/activity)?/?")


def is_given(value: object) -> bool:
    return str(value).strip().casefold() not in _NOTHING


def parse_flag(value: object) -> bool:
    plain = str(value).strip().casefold()
    if plain not in (*TRUE, *FALSE):
        raise ValueError("must be t or f")
    return plain in TRUE


def parse_id(value: object) -> int:
    text = str(value).strip()
    if address := _ADDRESS_ID.fullmatch(text):
        text = address[1]
    digits = re.fullmatch(r"([0-9]{1,20})(?:\.0+)?", text)
    if not digits:
        raise ValueError("must be a number of at most 20 digits")
    if int(digits[1]) > MAX_ID:
        raise ValueError(f"must be at most {MAX_ID}")
    return int(digits[1])


def is_day_first(text: str) -> bool:
    """Whether it can only be a date that begins with the day."""
    found = re.match(r"\s*(\d{1,2})([/.-])(\d{1,2})\2\d{4}", text)
    return bool(found) and (found[2] == "." or int(found[1]) > 12) if found else False


def parse_date(value: object, day_first: bool) -> datetime:
    """The moment in UTC; a date without an offset is UTC already. ISO, X's own and Unix time are
    tried before what dateutil makes of it."""
    if isinstance(value, datetime):
        return _utc(value)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    text = str(value).translate(_JAPANESE).strip(" \t\r\n:")
    if unix := re.fullmatch(r"(\d{10})(?:\d{3})?(?:\.\d+)?", text):
        return datetime.fromtimestamp(int(unix[1]), UTC)
    for parse in (datetime.fromisoformat, _export_date):
        try:
            return _utc(parse(text))
        except ValueError:
            continue
    return _utc(_any_date(text, day_first))


def _export_date(text: str) -> datetime:
    return datetime.strptime(text, _EXPORT_DATE)


def _any_date(text: str, day_first: bool) -> datetime:
    # What a text leaves out, dateutil takes from the default: then it is no whole date.
    defaults = (datetime(2000, 1, 1), datetime(2001, 2, 2))
    # 16-11-09 is ISO's order with half a year.
    year_first = re.match(r"\d\d-\d\d-\d\d\b", text) is not None
    try:
        found: list[datetime] = [
            parser.parse(
                text,
                default=default,
                dayfirst=day_first,
                yearfirst=year_first,
                tzinfos=lambda _, offset: offset,
            )
            for default in defaults
        ]
    except (ValueError, OverflowError):
        found = []
    if len(set(found)) != 1:
        raise ValueError(f"must be a date like {_EXAMPLE_DATE}")
    return found[0]


def _utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError:
        raise ValueError(f"must be a date like {_EXAMPLE_DATE}") from None


class _PlainText(HTMLParser):
    """The text of a post's HTML, with its line breaks."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []

    def handle_data(self, data: str) -> None:
        self.parts.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "br":
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("p", "li", "blockquote"):
            self.parts.append("\n\n")


def plain_text(markup: str) -> str:
    reader = _PlainText()
    reader.feed(markup)
    reader.close()
    # Escaped again: the canonical text unescapes once.
    return html.escape("".join(reader.parts).strip(), quote=False)
