"""What may be pushed to the Hub: files of listed types that are what their names say, without a
token and without a real tweet. No flag overrides a refusal.

Pickles, and archives that can hold one, are of no listed type: they run code where they are loaded.
"""

import ast
import json
import mmap
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from xml.etree import ElementTree

from safetensors import SafetensorError, safe_open

from demo.checkpoints.files import SUMS, read_checksums
from training import TrainingError
from training.release.tweets import RAW_WEIGHTS, KnownTweets, require_no_tweet

# A Hub token, also in UTF-16. No word boundary before it: it may follow an escape. Several
# patterns, since one with a fixed beginning is found forty times as fast.
_TOKENS = (
    re.compile(rb"hf_(?:oauth_[A-Za-z0-9._-]{30,}|[A-Za-z0-9]{30,})"),
    re.compile(rb"api_org_[A-Za-z0-9]{30,}"),
    re.compile(rb"h\0f\0_\0(?:[A-Za-z0-9]\0){30,}"),
)
_PNG, _PARQUET = b"\x89PNG\r\n\x1a\n", b"PAR1"


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
