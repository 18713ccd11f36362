"""How tweets begin: what a visitor might type before the demo goes on."""

import re
from collections import Counter
from collections.abc import Iterable

from demo.judging.canonical import is_unspaced, split_words

# Where words have no spaces between them, a word has about two of UAX 29's segments.
SEGMENTS_PER_WORD = 2
_PLAIN = re.compile(r"[\w'’ ]+")


def first_words(text: str, count: int) -> str:
    """The text's first words, with at least one left to write; empty if it has only one."""
    words = split_words(text)
    wanted = count * SEGMENTS_PER_WORD if is_unspaced(text) else count
    taken = min(wanted, len(words) - 1)
    return text[: words[taken - 1].end] if taken > 0 else ""


def frequent_openings(
    texts: Iterable[str], words: int, limit: int, min_count: int = 1
) -> tuple[str, ...]:
    """The openings of so many words with which most texts begin, the most frequent first.

    Openings with punctuation or a handle are left out, and those of fewer than `min_count` texts.
    """
    counts = Counter(first_words(text, words) for text in texts)
    frequent = [
        opening
        for opening, count in counts.most_common()
        if count >= min_count and _PLAIN.fullmatch(opening)
    ]
    return tuple(frequent[:limit])
