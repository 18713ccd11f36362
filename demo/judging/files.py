"""One array and the facts it was made with, as a safetensors file: the format of both judges.

The same content gives the same bytes.
"""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TypeVar

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from demo.strict_json import parse_json

# An upper bound of what the header of such a file takes.
HEADER_BYTES = 2_000


class UnusableFile(ValueError):
    """The file is missing, damaged or something else; the message names it and says why."""


@dataclass(frozen=True)
class Facts:
    """What an array was made from and how, as JSON values."""

    def check(self, array: np.ndarray) -> None:
        """Raises ValueError if these are not the facts of such an array."""
        raise NotImplementedError


_Facts = TypeVar("_Facts", bound=Facts)


def write(path: Path, kind: str, facts: Facts, array: np.ndarray) -> None:
    # All facts in one entry: safetensors writes several in an order that differs between runs.
    save_file({kind: array}, path, {kind: json.dumps(asdict(facts), sort_keys=True)})


def read(path: Path, kind: str, facts_type: type[_Facts]) -> tuple[_Facts, np.ndarray]:
    """Reads the facts and the array of a file of that kind. Raises UnusableFile if it is none."""
    try:
        with safe_open(path, framework="numpy") as file:
            stored = (file.metadata() or {})[kind]
            array: np.ndarray = file.get_tensor(kind)
    except (OSError, SafetensorError) as error:
        raise UnusableFile(f"{path} cannot be read: {error}.") from error
    except KeyError as error:
        raise UnusableFile(f"{path} is not of the kind {kind!r}.") from error
    try:
        facts = facts_type(**parse_json(stored.encode("utf-8", "surrogatepass")))
        _require_numbers(facts)
        facts.check(array)
    except (TypeError, ValueError) as error:
        raise UnusableFile(f"{path} is damaged: {error}") from error
    return facts, array


def _require_numbers(facts: Facts) -> None:
    """Raises ValueError unless each fact is a number of its type, of at most 64 bits."""
    for field in fields(facts):
        value = getattr(facts, field.name)
        is_whole = type(value) is int and -(2**63) <= value < 2**63
        if not (is_whole or (field.type is float and type(value) is float)):
            raise ValueError(f"{field.name} is not a number that it can be.")
