"""Whether a file repeats a real tweet, in its texts, its names or its metadata."""

import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from safetensors import safe_open

from demo.checkpoints.files import DEFINING, EXPORT_SUBFOLDER
from demo.judging import originals
from demo.judging.canonical import MIN_WORDS
from demo.judging.files import UnusableFile
from demo.judging.originals import Originals, window_digests
from training import TrainingError
from training.files import read_json
from training.prepare import SPLITS, read_texts

# Ends in .bin, and is OpenVINO's raw numbers.
RAW_WEIGHTS = f"{EXPORT_SUBFOLDER}/openvino_model.bin"
_NO_TEXT = (".png", ".xml")
_TAG = re.compile(r"<[^<>]*>")
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class KnownTweets:
    """Tells whether a text repeats a real tweet: exactly, by the window digests of prepared data,
    or with rare false alarms, by the index of a checkpoint."""

    digests: frozenset[bytes]
    index: Originals | None

    @classmethod
    def of(cls, data: Path, checkpoint: Path) -> Self:
        """Takes the prepared data if there are any, and the checkpoint's index unless it was made
        from the same archive. Raises TrainingError if there is neither, or one cannot be read."""
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
        """Takes the checkpoint's index alone: faster, with one false alarm in 60,000 texts. Raises
        TrainingError if it cannot be read."""
        return cls(frozenset(), _index(checkpoint))

    def repeats(self, text: str) -> bool:
        """Whether they share a window, as demo/judging/originals.py defines it."""
        if not self.digests.isdisjoint(window_digests(text)):
            return True
        return self.index is not None and bool(self.index.repeats(text))


def require_no_tweet(path: Path, name: str, tweets: KnownTweets) -> None:
    """Checks one file.

    Raises:
        TrainingError: it repeats a tweet, or is a table, which is not looked into.
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
    """The text as it is, and as a browser would show it if that differs."""
    yield text
    shown = html.unescape(_TAG.sub(" ", text)).replace("_", " ")
    if shown != text:
        yield shown


def _texts(path: Path) -> Iterator[tuple[str, str]]:
    """Where each text is that has as many words as a prepared tweet, and the text."""
    for place, text in _all_texts(path):
        # The second count is for words that something else than white space separates.
        if max(len(text.split()), len(_WORD.findall(text))) >= MIN_WORDS:
            yield place, text


def _all_texts(path: Path) -> Iterator[tuple[str, str]]:
    # The order of a vocabulary's entries means nothing: joined, some would be false alarms.
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
    """All strings of a JSON value, keys too, and the strings of each list joined."""
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
    """The sha256 of the archive that a report was made from; else a text that equals no other's."""
    try:
        report = read_json(path)
        return str((report[part] if part else report)["archive_sha256"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return f"none in {path}"
