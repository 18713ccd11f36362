"""Does a file repeat a real tweet, in its texts, its names or its metadata?

Knows prepared data, what texts look like in the files of a checkpoint, and what a tweet can be
hidden in by accident; must not know what is done with the files.
"""

import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from safetensors import safe_open

from demo.checkpoints.files import DEFINING
from demo.judging import originals
from demo.judging.canonical import MIN_WORDS
from demo.judging.files import UnusableFile
from demo.judging.originals import Originals, window_digests
from training.errors import TrainingError
from training.prepare import SPLITS, read_texts
from training.safety.pickles import RAW_WEIGHTS

_NO_TEXT = (".png", ".xml")
_TAG = re.compile(r"<[^<>]*>")
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class KnownTweets:
    """Whether a text repeats a prepared tweet: exactly, by the `digests` of prepared data, or by
    the index of a checkpoint."""

    digests: frozenset[bytes]
    index: Originals | None

    @classmethod
    def of(cls, data: Path, checkpoint: Path) -> Self:
        """Of prepared data where there are any, and of the checkpoint's own index where it was
        made of others, or there are none.

        Raises:
            TrainingError: there is neither, or one cannot be read.
        """
        has_data = (data / "report.json").is_file()
        index = checkpoint / originals.NAME
        if not has_data and not index.is_file():
            raise TrainingError(
                f"Neither {data} nor {index.name} of {checkpoint} tells which tweets must not be "
                "published: give the prepared data by --data, or run `python -m training judges`."
            )
        digests = frozenset(
            digest
            for name in (SPLITS if has_data else ())
            for text in read_texts(data, name)
            for digest in window_digests(text)
        )
        is_alone = has_data and _archive(data / "report.json") == _archive(
            checkpoint / "metrics.json", "data"
        )
        if has_data and not is_alone and not index.is_file():
            raise TrainingError(
                f"{data} is of another archive than {checkpoint} learnt from, so it does not tell "
                "which tweets must not be published: give that one's data by --data."
            )
        return cls(digests, None if is_alone else _index(checkpoint))

    @classmethod
    def by_index(cls, checkpoint: Path) -> Self:
        """By the checkpoint's own index alone, which is faster, and takes one text in 60,000 for a
        tweet that is none.

        Raises:
            TrainingError: it cannot be read.
        """
        return cls(frozenset(), _index(checkpoint))

    def repeats(self, text: str) -> bool:
        """True if it has 8 words or 50 characters of one, or all of a short one."""
        if not self.digests.isdisjoint(window_digests(text)):
            return True
        return self.index is not None and bool(self.index.repeats(text))


def require_no_tweet(path: Path, name: str, tweets: KnownTweets) -> None:
    """
    Raises:
        TrainingError: it repeats one, or holds tables, which are not looked into.
        OSError: it cannot be read.
    """
    if path.suffix in _NO_TEXT or name == RAW_WEIGHTS:
        return
    if path.suffix == ".parquet":
        raise TrainingError(
            f"{name} is a table, which may hold real tweets, and none is ever published with a "
            "checkpoint: take it out."
        )
    for place, text in _texts(path):
        if any(tweets.repeats(meant) for meant in _as_meant(text)):
            raise TrainingError(
                f"{name} repeats a real tweet of the prepared data, at {place}: no tweet is ever "
                "published with a checkpoint. Take it out; if the model wrote it, draw other texts "
                "(`python -m training evaluate`)."
            )


def _as_meant(text: str) -> Iterator[str]:
    """The text, and as a browser would show it."""
    yield text
    shown = html.unescape(_TAG.sub(" ", text)).replace("_", " ")
    if shown != text:
        yield shown


def _texts(path: Path) -> Iterator[tuple[str, str]]:
    """What has as many words as a prepared tweet, and where it stands."""
    for place, text in _all_texts(path):
        # Also of those that have something else than white space between them.
        if max(len(text.split()), len(_WORD.findall(text))) >= MIN_WORDS:
            yield place, text


def _all_texts(path: Path) -> Iterator[tuple[str, str]]:
    # A vocabulary's entries follow one another by no sense; an index would take some for a tweet.
    is_vocabulary = path.name in DEFINING
    if path.suffix == ".safetensors":
        with safe_open(path, framework="numpy") as file:
            yield from _strings(file.metadata() or {}, "its metadata", is_vocabulary)
            yield from _strings(list(file.keys()), "its tensors", is_vocabulary=True)
        return
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.suffix == ".json":
        try:
            yield from _strings(json.loads(text), "", is_vocabulary)
            return
        except (ValueError, RecursionError):
            pass
    for number, line in enumerate(text.splitlines(), start=1):
        yield f"line {number}", line
    if not is_vocabulary:
        yield "a passage over several lines", text


def _strings(value: Any, place: str, is_vocabulary: bool) -> Iterator[tuple[str, str]]:
    """Those of a JSON value, keys too, and those of a list as one."""
    if isinstance(value, str):
        yield place or "it", value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _strings(key, f"a name in {place or 'it'}", is_vocabulary)
            yield from _strings(inner, f"{place}.{key}".strip("."), is_vocabulary)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _strings(inner, f"{place}[{number}]", is_vocabulary)
        if not is_vocabulary:
            yield place or "it", " ".join(inner for inner in value if isinstance(inner, str))


def _index(checkpoint: Path) -> Originals:
    try:
        return Originals.load(checkpoint / originals.NAME)
    except UnusableFile as error:
        raise TrainingError(f"{error} Run `python -m training judges`.") from error


def _archive(path: Path, part: str = "") -> str:
    """The sha256 of the archive that a report was made from; of none, something unequal."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        return str((report[part] if part else report)["archive_sha256"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return f"none in {path}"
