"""The canonical text of a tweet, on which every figure of this project is measured.

`training prepare` applies these rules in this order:

1. Skip retweets, also those made by hand (`RT @…` or `"@…`), and texts that the collecting API cut
   off (they end in `…`, alone or before links).
2. Unescape HTML entities once, and normalise Unicode to NFC.
3. Remove links. One ends at white space, or where letters begin that addresses are not written in:
   Japanese goes on right after a link.
4. Replace a handle by `@user` if fewer than 20 tweets mention it, whatever its case.
5. Collapse white space to single spaces and strip the ends. Quotation marks, case, emoji and
   hashtags stay.
6. Skip what has fewer than 20 characters, or fewer than three words that have a letter and are
   neither handles nor hashtags. Of scripts without spaces between words, words are those of UAX 29,
   and a character counts twice, as X counts it.

A change here changes every figure: `VERSION` must change with it.
"""

import html
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import regex

VERSION = 1
MIN_CHARACTERS = 20
MIN_WORDS = 3
MIN_HANDLE_ROWS = 20
ANONYMOUS_HANDLE = "@user"

# The scripts that are written without spaces between words, and their punctuation.
_UNSPACED_LETTERS = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}"
_UNSPACED = rf"{_UNSPACED_LETTERS}\u3000-\u303f\u30fb\u30fc\uff01-\uffef"
# No part of an address: other letters than Latin, Greek and Cyrillic ones, and that punctuation.
_NO_ADDRESS = rf"[[\p{{L}}--\p{{Latin}}--\p{{Greek}}--\p{{Cyrillic}}]{_UNSPACED}]"
# A host may have any letters before its last dot.
_HOST = r"(?:[^\s/?#\p{P}][^\s/?#、。]*\.(?=[A-Za-z]))?"
LINK = regex.compile(
    rf"https?://(?:{_HOST}[^\s{_NO_ADDRESS}]+)|pic\.twitter\.com/[^\s{_NO_ADDRESS}]+",
    regex.VERSION1,
)
HANDLE = regex.compile(rf"@[\w--[{_UNSPACED}]]{{1,15}}", regex.VERSION1)
_MANUAL_RETWEET = re.compile(r"RT @|[\"“”„«'‘’]@")
_RETWEET_OPENING = regex.compile(
    rf"^(?:RT (?=@))?([\"“”„«'‘’]?){HANDLE.pattern}[\s:]*", regex.VERSION1
)
_CUT_OFF = regex.compile(rf"…(?:\s*(?:{LINK.pattern}))*\s*$", regex.VERSION1)
# Not by `regex`, for which the second half of an emoji is a letter.
_HAS_LETTER = re.compile(r"[^\W\d_]")
_IN_UNSPACED = regex.compile(rf"[{_UNSPACED}]", regex.VERSION1)
_UNSPACED_LETTER = regex.compile(rf"[{_UNSPACED_LETTERS}]", regex.VERSION1)
# Where a word begins or ends by UAX 29.
_WORD_BOUNDARY = regex.compile(r"\b", regex.WORD | regex.VERSION1)


class Word(NamedTuple):
    """A word and its offsets `[start, end)` in the text, in characters."""

    text: str
    start: int
    end: int


def split_words(text: str) -> list[Word]:
    """Splits a text into words with their offsets, skipping links: at white space, and between two
    white spaces as UAX 29 does if there are letters of scripts without spaces."""
    return [
        Word(piece, start, start + len(piece))
        for match in re.finditer(r"\S+", blank(LINK, text))
        for start, piece in _pieces(match[0], match.start())
    ]


def _pieces(token: str, start: int) -> Iterator[tuple[int, str]]:
    """What is between two white spaces, in words, each with its offset."""
    for piece in _WORD_BOUNDARY.split(token) if is_unspaced(token) else [token]:
        if piece:
            yield start, piece
            start += len(piece)


def is_unspaced(text: str) -> bool:
    """Whether there is a letter of a script that is written without spaces between words."""
    return not text.isascii() and _UNSPACED_LETTER.search(text) is not None


def blank(pattern: regex.Pattern[str], text: str) -> str:
    """Replaces every match by as many spaces, so that offsets stay valid."""
    blanked: str = pattern.sub(lambda match: " " * len(match[0]), text)
    return blanked


def is_manual_retweet(raw: str) -> bool:
    """Whether somebody else's tweet was repeated by hand: `RT @…` or `"@…` (rule 1)."""
    return _MANUAL_RETWEET.match(raw) is not None


def strip_retweet_opening(raw: str) -> str:
    """A retweet by hand without whom it repeats; a quotation mark stays, as the one that closes the
    quotation does."""
    bare: str = _RETWEET_OPENING.sub(r"\1", raw)
    return bare


def is_cut_off(raw: str) -> bool:
    """Whether the text ends in `…`, alone or before links (rule 1)."""
    return _CUT_OFF.search(raw) is not None


def strip_links(raw: str) -> str:
    """Unescapes HTML entities once, normalises to NFC and removes links (rules 2 and 3)."""
    bare: str = LINK.sub("", unicodedata.normalize("NFC", html.unescape(raw)))
    return bare


def public_handles(texts: Iterable[str]) -> frozenset[str]:
    """Handles, in lower case, that at least 20 of the texts mention (rule 4)."""
    rows: Counter[str] = Counter()
    for text in texts:
        rows.update({handle.lower() for handle in HANDLE.findall(text)})
    return frozenset(handle for handle, count in rows.items() if count >= MIN_HANDLE_ROWS)


def handles_in(texts: Iterable[str]) -> frozenset[str]:
    """All handles of the texts, in lower case. In prepared texts these are the public ones."""
    return frozenset(handle.lower() for text in texts for handle in HANDLE.findall(text))


def finish(text: str, handles: frozenset[str]) -> str:
    """Makes handles anonymous that are not in `handles`, and collapses white space (rules 4, 5)."""

    def anonymise(match: re.Match[str]) -> str:
        return match[0] if match[0].lower() in handles else ANONYMOUS_HANDLE

    return " ".join(HANDLE.sub(anonymise, text).split())


def clean(text: str, handles: frozenset[str]) -> str:
    """Applies rules 2 to 5 to a generated text: anything that cleaning removed from real texts
    alone would tell the two kinds apart. `handles` are those of the prepared texts."""
    return finish(strip_links(text), handles)


def is_too_short(text: str) -> bool:
    """Whether rule 6 skips the text."""
    length = len(text) + len(_IN_UNSPACED.findall(text))
    return length < MIN_CHARACTERS or sum(map(_count_words, text.split())) < MIN_WORDS


def _count_words(token: str) -> int:
    """The words with a letter between two white spaces: one, where spaces separate words."""
    if not _is_word(token):
        return 0
    return sum(_HAS_LETTER.search(piece) is not None for _, piece in _pieces(token, 0))


def _is_word(token: str) -> bool:
    """Whether it has a letter and is no handle or hashtag, ignoring punctuation before it."""
    bare = re.sub(r"^[^\w@#]+", "", token)
    return not bare.startswith(("@", "#")) and _HAS_LETTER.search(bare) is not None
