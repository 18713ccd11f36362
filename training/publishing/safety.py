"""What must never leave this machine with a checkpoint: pickles, tokens, real tweets.

Knows files and what they look like inside; must not know the Hub. There is no flag against it.
"""

import json
import mmap
import pickletools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from safetensors import SafetensorError, safe_open

from demo.generation.checkpoint import DEFINING
from demo.generation.hub import EXPORT_SUBFOLDER
from demo.judging import originals
from demo.judging.canonical import MIN_WORDS
from demo.judging.files import UnusableFile
from demo.judging.originals import Originals, window_digests
from training.errors import TrainingError
from training.prepare import SPLITS, read_texts

TOKEN = re.compile(rb"hf_[A-Za-z0-9]{30,}")
PICKLED = frozenset((
    ".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".npy", ".npz", ".joblib", ".dill", ".pk",
))  # fmt: skip
# Ends in .bin, and is OpenVINO's raw numbers.
RAW_WEIGHTS = f"{EXPORT_SUBFOLDER}/openvino_model.bin"
# Pickle's protocols 2 to 5, zip (what torch saves), numpy, gzip.
_PICKLE_STARTS = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK\x03\x04", b"\x93NUMPY", b"\x1f\x8b")  # fmt: skip # noqa: E501
_PNG_START = b"\x89PNG\r\n\x1a\n"
# Pickle's oldest protocol is text; no file of ours that could be one is larger.
_MAX_TEXT_BYTES = 50_000_000
_NO_TEXT = (".safetensors", ".png", ".xml")


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
        digests = (
            digest
            for name in (SPLITS if has_data else ())
            for text in read_texts(data, name)
            for digest in window_digests(text)
        )
        is_alone = has_data and _archive(data / "report.json") == _archive(
            checkpoint / "metrics.json", "data"
        )
        return cls(frozenset(digests), None if is_alone else _read_index(index))

    def repeats(self, text: str) -> bool:
        """True if it has 8 words or 50 characters of one, or all of a short one."""
        if not self.digests.isdisjoint(window_digests(text)):
            return True
        return self.index is not None and bool(self.index.repeats(text))


def require_safe(folder: Path, tweets: KnownTweets | None) -> None:
    """Reads every file of a folder; without `tweets`, texts may be anybody's.

    Raises:
        TrainingError: one must not be published; it is named, and what is wrong with it.
    """
    for path in sorted(path for path in folder.rglob("*") if not path.is_dir()):
        name = path.relative_to(folder).as_posix()
        try:
            _require_no_token(path, name)
            _require_no_pickle(path, name)
            if tweets is not None:
                _require_no_tweet(path, name, tweets)
        except OSError as error:
            raise TrainingError(f"{path} cannot be read: {error.strerror}.") from error


def _require_no_token(path: Path, name: str) -> None:
    if path.stat().st_size == 0:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if TOKEN.search(content):
            raise TrainingError(
                f"{name} holds something shaped like a token of the Hub (hf_…), and is not "
                "published: take it out, and if it is one, revoke it at "
                "huggingface.co/settings/tokens."
            )


def _require_no_pickle(path: Path, name: str) -> None:
    if path.suffix.lower() in PICKLED and name != RAW_WEIGHTS:
        raise TrainingError(
            f"{name} is pickled, as its name says, and can run code where it is loaded: delete "
            "it; weights are published as safetensors alone."
        )
    if path.suffix == ".safetensors":
        _require_safetensors(path, name)
    elif _looks_pickled(path, name):
        raise TrainingError(
            f"{name} is, by its content, a pickle or an archive that can hold one, whatever its "
            "name says: delete it."
        )


def _require_safetensors(path: Path, name: str) -> None:
    try:
        with safe_open(path, framework="numpy") as file:
            file.metadata()
    except SafetensorError as error:
        raise TrainingError(
            f"{name} is no safetensors file ({error}), whatever its name says: delete it, or make "
            "the checkpoint anew."
        ) from error


def _looks_pickled(path: Path, name: str) -> bool:
    with path.open("rb") as file:
        start = file.read(len(_PNG_START))
    if start.startswith(_PICKLE_STARTS):
        return True
    if start == _PNG_START or name == RAW_WEIGHTS or path.stat().st_size > _MAX_TEXT_BYTES:
        return False
    return _is_pickle(path.read_bytes().rstrip())


def _is_pickle(content: bytes) -> bool:
    """Whether pickle's machine would read it to its very end."""
    end = -1
    try:
        for operation, _, place in pickletools.genops(content):
            end = place or 0
            if operation.name == "STOP":
                break
    except Exception:
        # Whatever it is, its parser says in any type that it is none.
        return False
    return end > 0 and end == len(content) - 1


def _require_no_tweet(path: Path, name: str, tweets: KnownTweets) -> None:
    if path.suffix in _NO_TEXT or name == RAW_WEIGHTS:
        return
    text = path.read_text(encoding="utf-8", errors="replace")
    for place, words in _texts(text, path.suffix, is_vocabulary=path.name in DEFINING):
        if tweets.repeats(words):
            raise TrainingError(
                f"{name} repeats a real tweet of the prepared data, at {place}: no tweet is ever "
                "published with a checkpoint. Take it out; if the model wrote it, draw other texts "
                "(`python -m training evaluate`)."
            )


def _texts(text: str, suffix: str, is_vocabulary: bool) -> Iterator[tuple[str, str]]:
    """What could be or hold a tweet, and where it stands."""
    if suffix == ".json":
        try:
            yield from _strings(json.loads(text), "")
            return
        except ValueError:
            pass
    for number, line in enumerate(text.splitlines(), start=1):
        if len(line.split()) >= MIN_WORDS:
            yield f"line {number}", line
    if not is_vocabulary:
        yield "a passage over several lines", text


def _strings(value: Any, place: str) -> Iterator[tuple[str, str]]:
    """Those of a JSON value, keys too, that have as many words as a prepared tweet."""
    if isinstance(value, str):
        if len(value.split()) >= MIN_WORDS:
            yield place, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _strings(key, f"a name in {place or 'it'}")
            yield from _strings(inner, f"{place}.{key}".strip("."))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _strings(inner, f"{place}[{number}]")


def _archive(path: Path, part: str = "") -> str:
    """The sha256 of the archive that a report was made from; of none, something unequal."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        return str((report[part] if part else report)["archive_sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return f"none in {path}"


def _read_index(path: Path) -> Originals | None:
    if not path.is_file():
        return None
    try:
        return Originals.load(path)
    except UnusableFile as error:
        raise TrainingError(f"{error} Run `python -m training judges`.") from error
