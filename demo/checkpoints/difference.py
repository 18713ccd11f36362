"""Fine-tuned weights as a small file: their difference to a base, in a bit or two a weight.

A matrix of differences is stored as planes (Liu et al. 2024, "BitDelta", with a scale per column
added): its signs, times a scale for each row and one for each column, whose products approximate
the magnitudes; a second plane approximates what the first leaves over. Vectors are stored whole,
and so are rows that matter more than others, such as the embeddings of frequent tokens.
In the file, `NAME.0.signs` are packed bits, 1 for a value that is not negative, the first weight
in the highest bit; `NAME.0.rows` and `NAME.0.columns` are bfloat16, as are `NAME` of a vector and
`NAME.whole`, the rows whose numbers are in `NAME.whole_at` (int32).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

_PARTS = ("signs", "rows", "columns")


class Delta(NamedTuple):
    """The fp32 difference of a vector or matrix and how a matrix of them is stored: in how many
    planes, and which of its rows whole."""

    values: Tensor
    planes: int = 1
    whole: Tensor | None = None


@dataclass(frozen=True)
class Plane:
    """One bit a weight: signs, those of `signed` [rows, columns], and a scale a row and column."""

    signed: Tensor
    rows: Tensor
    columns: Tensor

    def matrix(self) -> Tensor:
        """The matrix that it stands for, fp32 [rows, columns]."""
        return torch.outer(self.rows.float(), self.columns.float()).copysign_(self.signed)


def fit_planes(values: Tensor, count: int) -> Iterator[Plane]:
    """Approximates an fp32 matrix by the sum of `count` planes. A row's scale is the mean of its
    magnitudes, a column's the least-squares fit given the rows'."""
    for left in range(count, 0, -1):
        magnitudes = values.abs()
        rows = magnitudes @ torch.full_like(values[0], 1 / values.shape[1])
        # For a matrix of zeros, scales of zero.
        columns = rows @ magnitudes / rows.dot(rows).clamp_min(1e-30)
        plane = Plane(values, rows.bfloat16(), columns.bfloat16())
        yield plane
        if left > 1:
            values = values - plane.matrix()


def round_trip(delta: Delta) -> Tensor:
    """The difference, fp32, as it is after it was written and read again."""
    values, planes, whole = delta
    if values.ndim == 1:
        return values.bfloat16().float()
    first, *others = (plane.matrix() for plane in fit_planes(values, planes))
    for other in others:
        first += other
    if whole is not None:
        first[whole] = values[whole].bfloat16().float()
    return first


def write_difference(path: Path, differences: Mapping[str, Delta]) -> None:
    stored: dict[str, Tensor] = {}
    for name, (values, planes, whole) in differences.items():
        if values.ndim == 1:
            stored[name] = values.bfloat16()
            continue
        for number, plane in enumerate(fit_planes(values, planes)):
            bits = np.packbits(~np.signbit(plane.signed.numpy()))
            parts = (torch.from_numpy(bits), plane.rows, plane.columns)
            for part, tensor in zip(_PARTS, parts, strict=True):
                stored[f"{name}.{number}.{part}"] = tensor
        if whole is not None:
            stored[f"{name}.whole_at"] = whole.int()
            stored[f"{name}.whole"] = values[whole].bfloat16()
    save_file(stored, path)


def read_difference(path: Path) -> dict[str, Tensor]:
    """Each weight's difference, fp32, by the weight's name. Raises ValueError, which says why."""
    try:
        stored = load_file(path)
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    differences: dict[str, Tensor] = {}
    for key in sorted(stored):
        prefix, _, part = key.rpartition(".")
        if part == "signs":
            # In the order of the planes: floating-point sums depend on it.
            name, _, _ = prefix.rpartition(".")
            matrix = _read_plane(stored, prefix).matrix()
            differences[name] = differences[name] + matrix if name in differences else matrix
        elif part == "whole":
            # After the planes, in the order of the keys.
            _set_rows(differences.get(prefix), stored.get(f"{key}_at"), stored[key], prefix)
        elif part not in (*_PARTS, "whole_at"):
            differences[key] = stored[key].float()
    return differences


def _read_plane(stored: Mapping[str, Tensor], prefix: str) -> Plane:
    signs, rows, columns = (stored.get(f"{prefix}.{part}") for part in _PARTS)
    if signs is None or rows is None or columns is None:
        raise ValueError(f"{prefix} lacks its scales")
    count = rows.numel() * columns.numel()
    if signs.dtype != torch.uint8 or signs.numel() != -(-count // 8):
        raise ValueError(f"{prefix} has signs that do not go with its scales")
    bits = np.unpackbits(signs.numpy(), count=count).reshape(rows.numel(), columns.numel())
    return Plane(torch.from_numpy(bits.view(np.int8)).mul_(2).sub_(1), rows, columns)


def _set_rows(matrix: Tensor | None, at: Tensor | None, rows: Tensor, name: str) -> None:
    if matrix is None or at is None or at.dtype != torch.int32:
        raise ValueError(f"{name} lacks the numbers of its whole rows, or its planes")
    if rows.shape != (at.numel(), matrix.shape[1]) or not bool(
        ((at >= 0) & (at < len(matrix))).all()
    ):
        raise ValueError(f"{name} has whole rows that do not go with its planes")
    matrix[at.flatten()] = rows.float()
