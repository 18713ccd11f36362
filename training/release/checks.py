"""What may be pushed to the Hub: files of listed types that are what their names say, without a
token and without a real tweet, in their texts, names or metadata. No flag overrides a refusal.

Pickles, and archives that can hold one, are of no listed type: they run code where they are loaded.
"""

import ast
import html
import json
import mmap
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from xml.etree import ElementTree

from safetensors import SafetensorError, safe_open

from demo.checkpoints.files import DEFINING, EXPORT_SUBFOLDER, METRICS, SUMS, read_checksums
from demo.judging import originals
from demo.judging.canonical import MIN_WORDS
from demo.judging.files import UnusableFile
from demo.judging.originals import Originals, window_digests, windows_of
from training import TrainingError
from training.files import read_json
from training.prepare import ALL_TEXTS, read_texts

# Ends in .bin, and is OpenVINO's raw numbers.
RAW_WEIGHTS = f"{EXPORT_SUBFOLDER}/openvino_model.bin"
_NO_TEXT = (".png", ".xml")
_TAG = re.compile(r"<[^<>]*>")
_WORD = re.compile(r"[^\W_]+")
# A Hub token, also in UTF-16. No word boundary before it: it may follow an escape. Several
# patterns, since one with a fixed beginning is found forty times as fast.
_TOKENS = (
    re.compile(rb"hf_(?:oauth_[A-Za-z0-9._-]{30,}|[A-Za-z0-9]{30,})"),
    re.compile(rb"api_org_[A-Za-z0-9]{30,}"),
    re.compile(rb"h\0f\0_\0(?:[A-Za-z0-9]\0){30,}"),
)
_PNG, _PARQUET = b"\x89PNG\r\n\x1a\n", b"PAR1"


@dataclass(frozen=True)
class KnownTweets:
    """Tells whether a text repeats a real tweet: exactly, by the window digests of prepared data,
    or with rare false alarms, by the index of a checkpoint."""

    digests: frozenset[bytes]
    index: Originals | None

    @classmethod
    def of(cls, data: Path, checkpoint: Path) -> Self:
        """Takes the prepared data if there are any, and the checkpoint's index unless it was made
        from the same archive. Raises TrainingError if neither tells of all its tweets, or one
        cannot be read."""
        has_data = (data / "report.json").is_file()
        is_alone = has_data and _archive(data / "report.json") == _archive(
            checkpoint / METRICS, "data"
        )
        if not is_alone and not (checkpoint / originals.NAME).is_file():
            raise TrainingError(
                f"{data} is not what {checkpoint} learnt from, which has no {originals.NAME}: "
                "nothing tells which tweets must not be published. Give the prepared data by "
                "--data, or run `python -m training judges`."
            )
        splits = ALL_TEXTS if has_data else ()
        digests = windows_of(text for name in splits for text in read_texts(data, name))
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


def list_files(folder: Path) -> dict[str, Path]:
    """Every file of a folder, by the name under which it is published."""
    return {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if not path.is_dir()
    }


def require_safe(files: Mapping[str, Path], tweets: KnownTweets | None) -> None:
    """Reads every file. Without `tweets`, texts may be anybody's. Raises TrainingError if one must
    not be published; names it and the reason, and quotes nothing."""
    for name, path in files.items():
        try:
            require_no_token(path, name)
            require_type(path, name)
            if tweets is not None:
                require_no_tweet(path, name, tweets)
        except OSError as error:
            raise TrainingError(f"{path} cannot be read: {error.strerror}.") from error


def require_no_token(path: Path, name: str) -> None:
    """
    Raises:
        TrainingError: the file holds something shaped like a token, plain, escaped or in UTF-16.
        OSError: it cannot be read.
    """
    if path.stat().st_size == 0:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        found = _has_token(content)
    if found or (path.suffix == ".json" and _has_token(_without_escapes(path))):
        raise TrainingError(
            f"{name} holds something shaped like a token of the Hub (hf_…), and is not published: "
            "take it out, and if it is one, revoke it at huggingface.co/settings/tokens."
        )


def _has_token(content: bytes | mmap.mmap) -> bool:
    return any(token.search(content) for token in _TOKENS)


def _without_escapes(path: Path) -> bytes:
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return b""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


def is_listed_type(name: str) -> bool:
    """Whether files of that name, with its folders, may be published."""
    return _type_of(name) in _TYPES


def require_type(path: Path, name: str) -> None:
    """
    Raises:
        TrainingError: the file is of no listed type, or is not what its name says.
        OSError: it cannot be read.
    """
    if not is_listed_type(name):
        raise TrainingError(
            f"{name} is of a type that is never published, as pickles are, which can run code "
            f"where they are loaded: delete it. Published are {', '.join(_TYPES)}."
        )
    try:
        _TYPES[_type_of(name)](path)
    except (ValueError, LookupError, SyntaxError, RecursionError, SafetensorError) as error:
        raise TrainingError(
            f"{name} is not what its name says ({type(error).__name__}): delete it, or make it "
            "anew. A pickle under another name is not published either."
        ) from error


def _type_of(name: str) -> str:
    """The suffix; the whole name of a file without one, or whose suffix says nothing."""
    return name if name == RAW_WEIGHTS else Path(name).suffix.lower() or Path(name).name


def _read_text(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    # All pickles but those of the oldest protocol have one, or are no UTF-8.
    if "\0" in text:
        raise ValueError("a NUL")
    return text


def _read_json(path: Path) -> None:
    if not isinstance(json.loads(path.read_bytes()), dict | list):
        raise ValueError("neither an object nor an array")


def _read_safetensors(path: Path) -> None:
    with safe_open(path, framework="numpy") as file:
        file.metadata()


def _require_start(start: bytes) -> Callable[[Path], None]:
    def check(path: Path) -> None:
        with path.open("rb") as file:
            if file.read(len(start)) != start:
                raise ValueError("another beginning")

    return check


def _read_openvino_weights(path: Path) -> None:
    """Raw numbers: as many bytes as the model beside them places in there."""
    model = path.with_suffix(".xml")
    if not model.is_file():
        raise ValueError(f"no {model.name} beside it")
    constants = [one for one in ElementTree.parse(model).iter("data") if "offset" in one.attrib]
    ends = [int(one.attrib["offset"]) + int(one.attrib["size"]) for one in constants]
    if max(ends, default=0) != path.stat().st_size:
        raise ValueError(f"another size than in {model.name}")


_TYPES: Mapping[str, Callable[[Path], object]] = {
    ".safetensors": _read_safetensors,
    ".json": _read_json,
    ".png": _require_start(_PNG),
    ".parquet": _require_start(_PARQUET),
    ".xml": ElementTree.parse,
    RAW_WEIGHTS: _read_openvino_weights,
    ".md": _read_text,
    ".txt": _read_text,
    SUMS: lambda path: read_checksums(path.parent),
    "LICENSE": _read_text,
    ".py": lambda path: ast.parse(_read_text(path)),
    ".js": _read_text,
    ".css": _read_text,
    ".html": _read_text,
    ".svg": ElementTree.parse,
}
