"""JSON from strangers, of which every later reader must understand the same."""

import json
import math
from collections.abc import Sequence
from typing import Any

# Enough for everything that MCP's clients say of themselves.
MAX_DEPTH = 20
NOT_JSON = (
    "The request's body must be JSON in UTF-8 with finite numbers, whole characters, "
    f"no name twice in an object and at most {MAX_DEPTH} levels."
)
NOT_AN_OBJECT = "The request's body must be a JSON object."


class InvalidBody(ValueError):
    """A body that is refused; the message is a sentence for its sender."""


def read_json(content: bytes) -> Any:
    """The value that a body holds.

    Python's own reader also takes other encodings, NaN, numbers that become infinite, halves of
    surrogate pairs, which no answer can repeat, and the last of several values of one name, where
    another reader might take the first.

    Raises:
        InvalidBody: for any of that.
    """
    try:
        value = json.loads(
            content.decode(),
            object_pairs_hook=_without_repetition,
            parse_constant=_finite,
            parse_float=_finite,
            parse_int=_whole,
        )
        _require_plain(value, MAX_DEPTH)
    # Of a surrogate and of bad bytes there are errors that are ValueErrors, too.
    except (ValueError, OverflowError, RecursionError):
        raise InvalidBody(NOT_JSON) from None
    return value


def read_object(content: bytes) -> dict[str, Any]:
    """The object that a body holds.

    Raises:
        InvalidBody: it holds none.
    """
    value = read_json(content)
    if not isinstance(value, dict):
        raise InvalidBody(NOT_AN_OBJECT)
    return value


def _without_repetition(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a name is there twice")
    return values


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("no finite number")
    return number


def _whole(text: str) -> int:
    # One that a float cannot hold is as good as infinite to whatever calculates with it.
    _finite(text)
    return int(text)


def _require_plain(value: Any, levels: int) -> None:
    if isinstance(value, str):
        value.encode()
        return
    if isinstance(value, dict | list) and not levels:
        raise ValueError("too deep")
    if isinstance(value, dict):
        for name in value:
            _require_plain(name, levels)
        value = value.values()
    elif not isinstance(value, list):
        return
    for inner in value:
        _require_plain(inner, levels - 1)
