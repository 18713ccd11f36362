"""Whether a text repeats a real tweet: an index of hashed windows, made by training.

The file holds no tweet and none can be read out of it: whoever has a passage can ask whether the
index contains it, and nobody can list what it contains.

A *window* begins at a word and takes as many whole words as make 8 words or 50 characters,
whichever comes first, so any run of a tweet's words that is that long contains one of its windows.
Words are compared without case and without anything but letters and digits; characters are counted
in what remains, with one space between words; links and handles are skipped. Words of a script
without spaces, of mostly one character each, are not counted: some 25 of them make a window. A text
too short for a window (under 8 words and 50 characters) is one window as a whole: only an equal
text repeats it.
Every figure of "8 words or 50 characters" in this project means these windows.
"""

import math
import unicodedata
from bisect import bisect_left
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from demo.judging import files
from demo.judging.canonical import HANDLE, Word, blank, is_unspaced, split_words

NAME = "originals.safetensors"
KIND = "originals 1"
WINDOW_WORDS = 8
WINDOW_CHARACTERS = 50
MAX_BYTES = 2_000_000
# Per window that is in no tweet. An ordinary tweet has about 15, so one text in 60,000.
FALSE_POSITIVE_RATE = 1e-6
# That rate takes 20; a file that asks for more than this was not made by `build`.
MAX_HASHES = 64
DIGEST_BYTES = 16


class Passage(NamedTuple):
    """`[start, end)`, in characters of the text that was asked about."""

    start: int
    end: int


class Window(NamedTuple):
    """The digest of one window of a text, and its offsets `[start, end)` in that text."""

    digest: bytes
    start: int
    end: int


@dataclass(frozen=True)
class OriginalsFacts(files.Facts):
    """What the index was made from. `windows` counts distinct ones; the false positive rate is the
    expected one, for a window that is in none of the texts."""

    texts: int
    windows: int
    bits: int
    hashes: int
    false_positive_rate: float
    window_words: int = WINDOW_WORDS
    window_characters: int = WINDOW_CHARACTERS

    def check(self, array: np.ndarray) -> None:
        """Raises ValueError unless `build` could have made this of such a filter."""
        counts: tuple[Any, ...] = (self.texts, self.windows, self.bits, self.hashes)
        if not all(type(count) is int and count > 0 for count in counts):
            raise ValueError("A count is not a positive number.")
        if self.bits % 8 or self.hashes > MAX_HASHES:
            raise ValueError("It is no filter that `build` makes.")
        if (self.window_words, self.window_characters) != (WINDOW_WORDS, WINDOW_CHARACTERS):
            raise ValueError("It was made for other windows.")
        if array.dtype != np.uint8 or array.shape != (self.bits // 8,):
            raise ValueError(
                f"It holds {array.dtype} of shape {array.shape}, not {self.bits} bits."
            )


class Originals:
    """The windows of many tweets in a Bloom filter (Bloom 1970): what was put in is always found,
    and what was not is found at a known rate. Safe to use from many threads."""

    def __init__(self, facts: OriginalsFacts, bits: np.ndarray) -> None:
        """Takes the filter as it is stored: `bits` of shape `(facts.bits / 8,)`, uint8."""
        self.facts = facts
        self._bits = bits

    @classmethod
    def build(cls, texts: Iterable[str], max_bytes: int = MAX_BYTES) -> Self:
        """Indexes these texts, in as many bits as `FALSE_POSITIVE_RATE` needs, but in a file of at
        most `max_bytes`. Raises ValueError if there is no text to index."""
        count, digests = 0, bytearray()
        for text in texts:
            count += 1
            digests += b"".join(window_digests(text))
        keys = np.unique(_keys(bytes(digests)), axis=0)
        if not len(keys):
            raise ValueError("There is no text to index.")
        wanted = math.ceil(-len(keys) * math.log(FALSE_POSITIVE_RATE) / math.log(2) ** 2)
        bits = min(math.ceil(wanted / 8), max_bytes - files.HEADER_BYTES) * 8
        hashes = max(1, round(bits / len(keys) * math.log(2)))
        rate = (1 - math.exp(-hashes * len(keys) / bits)) ** hashes
        facts = OriginalsFacts(count, len(keys), bits, hashes, rate)
        is_set = np.zeros(bits, dtype=bool)
        for positions in _positions(keys, facts):
            is_set[positions] = True
        return cls(facts, np.packbits(is_set, bitorder="little"))

    def save(self, path: Path) -> None:
        """Writes the index; the same texts give the same bytes."""
        files.write(path, KIND, self.facts, self._bits)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads an index. Raises UnusableFile."""
        return cls(*files.read(path, KIND, OriginalsFacts))

    def repeats(self, text: str, hidden: Container[bytes] = ()) -> tuple[Passage, ...]:
        """Finds the passages of the text that a real tweet contains too, in order; overlapping ones
        are joined. Windows whose digest is in `hidden` count as not found."""
        windows = _windows(text)
        passages: list[Passage] = []
        found = self.are_found(b"".join(window.digest for window in windows))
        for window, is_found in zip(windows, found, strict=True):
            if not is_found or window.digest in hidden:
                continue
            if passages and window.start < passages[-1].end:
                passages[-1] = Passage(passages[-1].start, window.end)
            else:
                passages.append(Passage(window.start, window.end))
        return tuple(passages)

    def are_found(self, digests: bytes) -> list[bool]:
        """Says of each digest of a window, one after another, whether it is one of a real tweet."""
        keys = _keys(digests)
        are_found = np.ones(len(keys), dtype=bool)
        for bits in _positions(keys, self.facts):
            are_found &= (self._bits[bits >> 3] >> (bits & 7).astype(np.uint8) & 1).astype(bool)
        found: list[bool] = are_found.tolist()
        return found


def window_digests(text: str) -> list[bytes]:
    """The digests of a text's windows: two texts that repeat each other share one."""
    return [window.digest for window in _windows(text)]


def windows_of(texts: Iterable[str]) -> frozenset[bytes]:
    """The digests of all windows of these texts."""
    return frozenset(digest for text in texts for digest in window_digests(text))


def _windows(text: str) -> list[Window]:
    """The windows of a text in order; the whole text if it is too short for one."""
    words = [
        Word(bare, word.start, word.end)
        for word in split_words(blank(HANDLE, text))
        if (bare := _bare(word.text))
    ]
    line = " ".join(word.text for word in words)
    # Where each word ends in the line, and how many there are until then.
    ends = list(accumulate((len(word.text) + 1 for word in words), initial=-1))[1:]
    counts = list(accumulate(not is_unspaced(word.text) for word in words))
    windows = []
    begin = before = 0
    for first, word in enumerate(words):
        last = min(
            bisect_left(counts, before + WINDOW_WORDS),
            bisect_left(ends, begin + WINDOW_CHARACTERS),
        )
        before = counts[first]
        if last >= len(words):
            break
        windows.append(Window(_digest(line[begin : ends[last]]), word.start, words[last].end))
        begin = ends[first] + 1
    if words and not windows:
        windows.append(Window(_digest(line), words[0].start, words[-1].end))
    return windows


def _bare(word: str) -> str:
    """The letters and digits of a word, without case."""
    folded = word.casefold()
    if not folded.isascii():
        folded = unicodedata.normalize("NFKC", folded)
    return folded if folded.isalnum() else "".join(filter(str.isalnum, folded))


def _digest(window: str) -> bytes:
    # A pasted text can contain half of a surrogate pair.
    return blake2b(window.encode(errors="surrogatepass"), digest_size=DIGEST_BYTES).digest()


def _keys(digests: bytes) -> np.ndarray:
    """Each digest as two 64-bit numbers: `(windows, 2)`, the same on every platform."""
    return np.frombuffer(digests, dtype="<u8").reshape(-1, 2).astype(np.uint64)


def _positions(keys: np.ndarray, facts: OriginalsFacts) -> Iterator[np.ndarray]:
    """For each hash function, each window's bit: double hashing (Kirsch and Mitzenmacher 2006)."""
    for i in range(facts.hashes):
        yield _mixed(keys[:, 0] + np.uint64(i) * keys[:, 1]) % np.uint64(facts.bits)


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """The last step of SplitMix64 (Steele, Lea and Flood 2014)."""
    # Without it the bits of one window in some thousands repeat after one or two hashes: in a small
    # filter that alone gives a hundred times the false positives.
    numbers = (numbers ^ numbers >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ numbers >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return np.asarray(numbers ^ numbers >> np.uint64(31))
