"""Reads a file of texts, one document each: .txt lines, .jsonl, .json, .csv or .parquet.

Knows file formats; must not know what the texts are for. They are taken as they are.
"""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from training.errors import TrainingError


def read_texts_file(path: Path) -> list[str]:
    """The texts of a file, empty ones left out; tables and objects have a `text` column.

    Raises:
        TrainingError: it does not exist, is of another kind, or holds no text.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise TrainingError(f"{path} must end in one of {', '.join(_READERS)}.")
    try:
        texts = reader(path)
    except FileNotFoundError:
        raise TrainingError(f"There is no {path}.") from None
    except (KeyError, TypeError):
        raise TrainingError(f"{path} has no `text` column.") from None
    except (pa.ArrowInvalid, ValueError, csv.Error, OSError) as error:
        raise TrainingError(f"{path} could not be read: {error}.") from error
    if any(not isinstance(text, str) for text in texts):
        raise TrainingError(f"{path} holds values that are not texts.")
    kept = [text for text in texts if text.strip()]
    if not kept:
        raise TrainingError(f"{path} holds no text.")
    return kept


def _lines(path: Path) -> list[Any]:
    return path.read_text(encoding="utf-8").splitlines()


def _jsonl(path: Path) -> list[Any]:
    return [_text(json.loads(line)) for line in _lines(path) if line.strip()]


def _json(path: Path) -> list[Any]:
    return [_text(entry) for entry in json.loads(path.read_text(encoding="utf-8"))]


def _csv(path: Path) -> list[Any]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return [row["text"] for row in csv.DictReader(file)]


def _parquet(path: Path) -> list[Any]:
    texts: list[Any] = pq.read_table(path)["text"].to_pylist()
    return texts


def _text(entry: Any) -> Any:
    return entry if isinstance(entry, str) else entry["text"]


_READERS: dict[str, Callable[[Path], list[Any]]] = {
    ".txt": _lines,
    ".jsonl": _jsonl,
    ".json": _json,
    ".csv": _csv,
    ".parquet": _parquet,
}
