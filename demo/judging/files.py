"""A judge's file: arrays and the facts they were made with, as safetensors.

Knows the format; must not know what the arrays mean. The same content gives the same bytes.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

# More than the header of any of these files takes.
HEADER_BYTES = 2_000


class UnusableFile(ValueError):
    """A judge's file is missing, damaged or something else; the message names it and says why."""


def write(path: Path, kind: str, facts: Mapping[str, Any], array: np.ndarray) -> None:
    """Writes the array and its facts, which must be JSON, as a file of that kind."""
    # In one entry: safetensors writes several in an order that differs from run to run.
    save_file({kind: array}, path, {kind: json.dumps(facts, sort_keys=True)})


def read(path: Path, kind: str) -> tuple[dict[str, Any], np.ndarray]:
    """The facts and the array of a file of that kind.

    Raises:
        UnusableFile: it is missing, cut short, no safetensors, or of another kind.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            facts = json.loads((file.metadata() or {})[kind])
            array: np.ndarray = file.get_tensor(kind)
    except (OSError, SafetensorError) as error:
        raise UnusableFile(f"{path} cannot be read: {error}.") from error
    except (KeyError, ValueError) as error:
        raise UnusableFile(f"{path} is not of the kind {kind!r}.") from error
    if not isinstance(facts, dict):
        raise UnusableFile(f"{path} does not say how it was made.")
    return facts, array
