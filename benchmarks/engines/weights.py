"""Reads the weights of a checkpoint folder, in one naming for the exporters of the peers.

Knows safetensors and the two architectures' names; must not know any engine's format.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

WEIGHTS = "model.safetensors"
Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class Hyperparameters:
    """What both architectures have; `rope_theta` is 0 where positions are learned."""

    architecture: str
    layers: int
    width: int
    inner: int
    heads: int
    kv_heads: int
    head_dim: int
    positions: int
    vocab_size: int
    epsilon: float
    rope_theta: float


class Weights:
    """The fp32 tensors of a GPT-2 or Llama checkpoint with a tied head, each read when asked for.

    They come as the checkpoint has them: GPT-2's linear weights are [in, out].
    """

    def __init__(self, checkpoint: Path) -> None:
        self.shape = read_hyperparameters(checkpoint)
        self._file = _open(checkpoint)
        self._keys = {_short(key): key for key in self._file.keys()}  # noqa: SIM118 - not a dict

    def __getitem__(self, name: str) -> Matrix:
        tensor: Matrix = self._file.get_tensor(self._keys[name])
        return tensor

    def transposed(self, name: str) -> Matrix:
        """The tensor turned round, contiguous."""
        return np.ascontiguousarray(self[name].T)


def read_hyperparameters(checkpoint: Path) -> Hyperparameters:
    """From config.json; any other architecture than the two is a KeyError."""
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    return {"gpt2": _gpt2, "llama": _llama}[config["model_type"]](config)


def matrix_parameters(checkpoint: Path) -> int:
    """How many weights one new token needs to be read: all matrices but the position table,
    of which one row is read. The tied embedding is read whole, as the head."""
    return sum(rows * columns for rows, columns in _matrix_shapes(checkpoint))


def _matrix_shapes(checkpoint: Path) -> Iterator[tuple[int, int]]:
    with _open(checkpoint) as file:
        for key in file.keys():  # noqa: SIM118 - not a dict
            shape = file.get_slice(key).get_shape()
            if len(shape) == 2 and _short(key) != "wpe.weight":
                yield shape[0], shape[1]


def _open(checkpoint: Path) -> Any:
    return safe_open(checkpoint / WEIGHTS, "np")


def _short(key: str) -> str:
    return key.removeprefix("transformer.").removeprefix("model.")


def _gpt2(config: dict[str, Any]) -> Hyperparameters:
    width, heads = config["n_embd"], config["n_head"]
    return Hyperparameters(
        architecture="gpt2",
        layers=config["n_layer"],
        width=width,
        inner=config.get("n_inner") or 4 * width,
        heads=heads,
        kv_heads=heads,
        head_dim=width // heads,
        positions=config["n_positions"],
        vocab_size=config["vocab_size"],
        epsilon=config["layer_norm_epsilon"],
        rope_theta=0.0,
    )


def _llama(config: dict[str, Any]) -> Hyperparameters:
    heads = config["num_attention_heads"]
    return Hyperparameters(
        architecture="llama",
        layers=config["num_hidden_layers"],
        width=config["hidden_size"],
        inner=config["intermediate_size"],
        heads=heads,
        kv_heads=config["num_key_value_heads"],
        head_dim=config["head_dim"],
        positions=config["max_position_embeddings"],
        vocab_size=config["vocab_size"],
        epsilon=config["rms_norm_eps"],
        rope_theta=config["rope_parameters"]["rope_theta"],
    )
