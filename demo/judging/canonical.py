"""The canonical text of a tweet: what every figure of this project is measured on.

Knows text and its rules; must not know files, splits or models. A change here changes
every figure, so `VERSION` must change with it.
"""

import html
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

from demo.judging.words import HANDLE, LINK

VERSION = 1
MIN_CHARACTERS = 20
MIN_WORDS = 3
MIN_HANDLE_ROWS = 20
ANONYMOUS_HANDLE = "@user"

_MANUAL_RETWEET = re.compile(r"RT @|[\"“”„«'‘’]@")
_CUT_OFF = re.compile(rf"…(?:\s*(?:{LINK.pattern}))*\s*$")
_HAS_LETTER = re.compile(r"[^\W\d_]")


def is_manual_retweet(raw: str) -> bool:
    """True for somebody else's tweet repeated by hand: `RT @…` or `"@…`."""
    return _MANUAL_RETWEET.match(raw) is not None


def is_cut_off(raw: str) -> bool:
    """True for a text that the collecting API cut: it ends in `…`, alone or before links."""
    return _CUT_OFF.search(raw) is not None


def strip_links(raw: str) -> str:
    """HTML entities unescaped once, Unicode NFC, links removed (rules 1 and 2)."""
    return LINK.sub("", unicodedata.normalize("NFC", html.unescape(raw)))


def public_handles(texts: Iterable[str]) -> frozenset[str]:
    """Handles, in lower case, that occur in at least 20 of the texts."""
    rows: Counter[str] = Counter()
    for text in texts:
        rows.update({handle.lower() for handle in HANDLE.findall(text)})
    return frozenset(handle for handle, count in rows.items() if count >= MIN_HANDLE_ROWS)


def handles_in(texts: Iterable[str]) -> frozenset[str]:
    """Every handle of the texts, in lower case: of prepared ones, those that are public."""
    return frozenset(handle.lower() for text in texts for handle in HANDLE.findall(text))


def finish(text: str, handles: frozenset[str]) -> str:
    """Private handles made anonymous, white space collapsed (rules 3 and 4)."""

    def anonymise(match: re.Match[str]) -> str:
        return match[0] if match[0].lower() in handles else ANONYMOUS_HANDLE

    return " ".join(HANDLE.sub(anonymise, text).split())


def clean_alike(text: str, handles: frozenset[str]) -> str:
    """A generated text, cleaned as prepared ones were: what cleaning took from one kind only
    would tell them apart. `handles` are those of the prepared texts."""
    return finish(strip_links(text), handles)


def is_too_short(text: str) -> bool:
    """True under 20 characters, or under three words that are not handles or hashtags (rule 5)."""
    return len(text) < MIN_CHARACTERS or sum(map(_is_word, text.split())) < MIN_WORDS


def _is_word(token: str) -> bool:
    """A letter in it, and no handle or hashtag, whatever punctuation stands before it."""
    bare = re.sub(r"^[^\w@#]+", "", token)
    return not bare.startswith(("@", "#")) and _HAS_LETTER.search(bare) is not None
