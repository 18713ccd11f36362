"""Does a text repeat a real tweet? An index of hashed windows, made by training.

Knows words and hashes; must not know where the tweets come from. The file holds no tweet and
none can be read out of it: whoever has a passage can ask whether it is there, and nobody can
list what is.

A *window* begins at a word and takes as many whole words as make 8 words or 50 characters,
whichever is fewer, so whole words of a tweet that are 8 or make 50 characters hold one of its
windows wherever they begin. Words are compared without case and without anything but letters
and digits, characters counted in what that leaves with one space between words; links and
handles are left out. A tweet too short for a window (under 8 words and 50 characters) is kept as
a whole: a text repeats it only by being equal to it, and no other short text repeats anything.
"""

import math
import unicodedata
from bisect import bisect_left
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from demo.judging import files
from demo.judging.words import HANDLE, Word, blank, split_words

NAME = "originals.safetensors"
KIND = "originals 1"
WINDOW_WORDS = 8
WINDOW_CHARACTERS = 50
MAX_BYTES = 2_000_000
# Of windows that are in no tweet: an ordinary tweet has about 15, so one text in 60,000.
FALSE_POSITIVE_RATE = 1e-6
# Also a small archive's filter is made for that rate, which takes 20.
MAX_HASHES = 64
_DIGEST_BYTES = 16


class Passage(NamedTuple):
    """`[start, end)`, in characters of the text that was asked about."""

    start: int
    end: int


@dataclass(frozen=True)
class OriginalsFacts:
    """What the index was made from and with. `windows` counts distinct ones; the rate is the
    one expected, for a window that is in none of the texts."""

    texts: int
    windows: int
    bits: int
    hashes: int
    false_positive_rate: float
    window_words: int = WINDOW_WORDS
    window_characters: int = WINDOW_CHARACTERS


class Originals:
    """The windows of many tweets as a Bloom filter (Bloom 1970): what was put in is always
    found, and what was not is found at a rate that is known. Safe to use from many threads."""

    def __init__(self, facts: OriginalsFacts, bits: np.ndarray) -> None:
        """Takes the filter as it is stored: `bits` of shape `(facts.bits / 8,)`, uint8."""
        self.facts = facts
        self._bits = bits

    @classmethod
    def build(cls, texts: Iterable[str], max_bytes: int = MAX_BYTES) -> Self:
        """The index of these texts, as large as `FALSE_POSITIVE_RATE` needs, and no larger than
        `max_bytes` as a file.

        Raises:
            ValueError: there is no text to index.
        """
        count, digests = 0, bytearray()
        for text in texts:
            count += 1
            digests += b"".join(_digest(window.text) for window in _windows(_bare_words(text)))
        keys = np.unique(_keys(bytes(digests)), axis=0)
        if not len(keys):
            raise ValueError("There is no text to index.")
        wanted = math.ceil(-len(keys) * math.log(FALSE_POSITIVE_RATE) / math.log(2) ** 2)
        bits = min(math.ceil(wanted / 8), max_bytes - files.HEADER_BYTES) * 8
        hashes = max(1, round(bits / len(keys) * math.log(2)))
        rate = (1 - math.exp(-hashes * len(keys) / bits)) ** hashes
        facts = OriginalsFacts(count, len(keys), bits, hashes, rate)
        is_set = np.zeros(bits, dtype=bool)
        for places in _places(keys, facts):
            is_set[places] = True
        return cls(facts, np.packbits(is_set, bitorder="little"))

    def save(self, path: Path) -> None:
        """Writes the index; the same texts give the same bytes."""
        files.write(path, KIND, asdict(self.facts), self._bits)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads an index.

        Raises:
            UnusableFile: missing, damaged, or made for other windows.
        """
        values, bits = files.read(path, KIND)
        try:
            facts = _checked(OriginalsFacts(**values))
        except (TypeError, ValueError) as error:
            raise files.UnusableFile(f"{path} is damaged: its facts are not an index's.") from error
        if bits.dtype != np.uint8 or bits.shape != (facts.bits // 8,):
            raise files.UnusableFile(
                f"{path} is damaged: it holds {bits.dtype} of shape {bits.shape}, "
                f"not {facts.bits // 8} bytes."
            )
        return cls(facts, bits)

    def repeats(self, text: str, hidden: Container[bytes] = ()) -> tuple[Passage, ...]:
        """The passages of the text that a real tweet has too, in order, made one where they
        overlap; empty if there is none. Windows whose digest is `hidden` are not told."""
        windows = list(_windows(_bare_words(text)))
        known = (
            window
            for window, found in zip(windows, self._known(windows), strict=True)
            if found and _digest(window.text) not in hidden
        )
        return tuple(_merged(known))

    def windows_found(self, text: str) -> list[bool]:
        """For each window of the text, in order, whether a real tweet has it too."""
        return self._known(list(_windows(_bare_words(text))))

    def _known(self, windows: Sequence[Word]) -> list[bool]:
        if not windows:
            return []
        keys = _keys(b"".join(_digest(window.text) for window in windows))
        is_known = np.ones(len(windows), dtype=bool)
        for places in _places(keys, self.facts):
            is_known &= (self._bits[places >> 3] >> (places & 7).astype(np.uint8) & 1).astype(bool)
        found: list[bool] = is_known.tolist()
        return found


def window_digests(text: str) -> list[bytes]:
    """The digests of a text's windows: two texts that repeat each other share one."""
    return [_digest(window.text) for window in _windows(_bare_words(text))]


def _bare_words(text: str) -> list[Word]:
    """The words that have a letter or digit left, as they are compared."""
    words = split_words(blank(HANDLE, text))
    return [word._replace(text=bare) for word in words if (bare := _bare(word.text))]


def _bare(word: str) -> str:
    folded = word.casefold()
    if not folded.isascii():
        folded = unicodedata.normalize("NFKC", folded)
    return folded if folded.isalnum() else "".join(filter(str.isalnum, folded))


def _windows(words: Sequence[Word]) -> Iterator[Word]:
    """Every window of a text, each as one long word; the whole text if it has none."""
    line = " ".join(word.text for word in words)
    ends = list(_ends(words))
    begin = 0
    for first, word in enumerate(words):
        last = min(first + WINDOW_WORDS - 1, bisect_left(ends, begin + WINDOW_CHARACTERS))
        if last >= len(words):
            break
        yield Word(line[begin : ends[last]], word.start, words[last].end)
        begin = ends[first] + 1
    if begin == 0 and words:
        yield Word(line, words[0].start, words[-1].end)


def _ends(words: Iterable[Word]) -> Iterator[int]:
    """Where each word ends once they are joined by single spaces."""
    end = -1
    for word in words:
        end += 1 + len(word.text)
        yield end


def _digest(window: str) -> bytes:
    # A surrogate can be half of a pair in a text that somebody pasted.
    return blake2b(window.encode(errors="surrogatepass"), digest_size=_DIGEST_BYTES).digest()


def _keys(digests: bytes) -> np.ndarray:
    """Two 64-bit numbers a window: `(windows, 2)`, the same on every platform."""
    return np.frombuffer(digests, dtype="<u8").reshape(-1, 2).astype(np.uint64)


def _places(keys: np.ndarray, facts: OriginalsFacts) -> Iterator[np.ndarray]:
    """For each hash, the bit of every window, from two numbers (Kirsch and Mitzenmacher 2006)."""
    for i in range(facts.hashes):
        yield _mixed(keys[:, 0] + np.uint64(i) * keys[:, 1]) % np.uint64(facts.bits)


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """The last step of SplitMix64 (Steele, Lea and Flood 2014)."""
    # Unmixed, the places of one window in some thousands would repeat after one or two: in a
    # small archive's filter that alone gives a hundred times the false positives.
    numbers = (numbers ^ numbers >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ numbers >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return np.asarray(numbers ^ numbers >> np.uint64(31))


def _merged(windows: Iterable[Word]) -> list[Passage]:
    passages: list[Passage] = []
    for window in windows:
        if passages and window.start < passages[-1].end:
            passages[-1] = Passage(passages[-1].start, window.end)
        else:
            passages.append(Passage(window.start, window.end))
    return passages


def _checked(facts: OriginalsFacts) -> OriginalsFacts:
    counts: tuple[Any, ...] = (facts.texts, facts.windows, facts.bits, facts.hashes)
    if not all(type(count) is int and count > 0 for count in counts):
        raise ValueError("A count is not a positive number.")
    if facts.bits % 8 or facts.hashes > MAX_HASHES:
        raise ValueError("It is no filter that `build` makes.")
    if (facts.window_words, facts.window_characters) != (WINDOW_WORDS, WINDOW_CHARACTERS):
        raise ValueError("It was made for other windows.")
    return facts
