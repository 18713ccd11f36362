"""What of a text is judged: its words, without links, and where each stands.

Knows text; must not know what it is judged for. White space between the words is not kept, so
that none of it can tell one kind of text from another.
"""

import re
from typing import NamedTuple

LINK = re.compile(r"https?://\S+|pic\.twitter\.com/\S+")
HANDLE = re.compile(r"@\w{1,15}")


class Word(NamedTuple):
    """A word, and its place in the text it was taken from: `[start, end)` in characters."""

    text: str
    start: int
    end: int


def split_words(text: str) -> list[Word]:
    """The runs of anything but white space that are left once links are gone."""
    return [
        Word(match[0], match.start(), match.end())
        for match in re.finditer(r"\S+", blank(LINK, text))
    ]


def blank(pattern: re.Pattern[str], text: str) -> str:
    """The text with spaces in place of every match: whatever is left keeps its place."""
    return pattern.sub(lambda match: " " * len(match[0]), text)
