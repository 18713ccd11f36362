"""Reads JSON that anybody may have written, so that every later reader understands the same."""

import json
import math
from collections.abc import Sequence
from typing import Any

# Each takes up to 72 bytes of memory, however short it is written.
MAX_VALUES = 4_000_000


def parse_json(content: bytes, max_depth: int | None = None) -> Any:
    """The value of a JSON text in UTF-8. Raises ValueError, with the end of a sentence, for more
    than MAX_VALUES values or `max_depth` levels, and for what only Python's reader takes: other
    encodings, NaN, numbers that become infinite, halves of surrogate pairs, which cannot be written
    again, and the last of several values of one name, where another reader might take the first."""
    if sum(content.count(mark) for mark in (b",", b"[", b"{")) > MAX_VALUES:
        raise ValueError(f"it holds more than {MAX_VALUES:,} values")
    text = content.decode()
    try:
        value = json.loads(
            text,
            object_pairs_hook=_without_repetition,
            parse_constant=_finite,
            parse_float=_finite,
            parse_int=_whole,
        )
        if "\\ud" in text.lower():
            json.dumps(value, ensure_ascii=False).encode()
        if max_depth is not None and _depth(value) > max_depth:
            raise ValueError(f"it has more than {max_depth} levels")
    except RecursionError as error:
        raise ValueError("it nests too deep") from error
    except UnicodeEncodeError as error:
        raise ValueError("it holds half a surrogate pair") from error
    return value


def _without_repetition(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a name is there twice")
    return values


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is not finite")
    return number


def _whole(text: str) -> int:
    # One that a float cannot hold is as good as infinite to whatever calculates with it.
    _finite(text)
    return int(text)


def _depth(value: Any) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0
