"""One array and the facts it was made with, as a safetensors file: the format of both judges.

The same content gives the same bytes.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

# An upper bound of what the header of such a file takes.
HEADER_BYTES = 2_000


class UnusableFile(ValueError):
    """The file is missing, damaged or something else; the message names it and says why."""


def write(path: Path, kind: str, facts: Mapping[str, Any], array: np.ndarray) -> None:
    """Writes an array and its facts, which must be JSON, as a file of that kind."""
    # All facts in one entry: safetensors writes several in an order that differs between runs.
    save_file({kind: array}, path, {kind: json.dumps(facts, sort_keys=True)})


def read(path: Path, kind: str) -> tuple[dict[str, Any], np.ndarray]:
    """Reads the facts and the array of a file of that kind.

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
