"""ONNX Runtime with int8 weights: a cache that is written in place, tokens drawn in numpy.

Knows the runtime and the graph's inputs; must not know what it is compared with.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from benchmarks.engines.sampling import draw
from benchmarks.engines.weights import Hyperparameters, Matrix, read_hyperparameters
from benchmarks.engines.worker import PROMPT_TOKENS, SEED, Decode, Prompts, serve

MODEL = "model.onnx"


def load(folder: Path, setting: str, threads: int) -> Decode:
    """The session; there are no settings."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(folder / MODEL, options, providers=["CPUExecutionProvider"])
    shape = read_hyperparameters(folder)
    random = np.random.default_rng(SEED)

    def decode(prompts: Prompts, new_tokens: int) -> Sequence[Sequence[int]]:
        caches = _caches(shape, len(prompts), PROMPT_TOKENS + new_tokens)
        prefill = _Step(session, caches, shape, len(prompts), PROMPT_TOKENS)
        ids = draw(prefill.run(np.array(prompts), 0), random)
        made = [ids]
        step = _Step(session, caches, shape, len(prompts), 1)
        for position in range(PROMPT_TOKENS, PROMPT_TOKENS + new_tokens - 1):
            ids = draw(step.run(ids[:, None], position), random)
            made.append(ids)
        rows: list[list[int]] = np.stack(made, axis=1).tolist()
        return rows

    return decode


class _Step:
    """A forward pass whose every input and output has its place in memory: nothing is copied."""

    def __init__(
        self, session: Any, caches: dict[str, Any], shape: Hyperparameters, batch: int, tokens: int
    ) -> None:
        self._session = session
        self._binding = session.io_binding()
        self._ids = np.zeros((batch, tokens), np.int64)
        self._positions = np.zeros((tokens,), np.int64)
        self._lasts = np.zeros((batch,), np.int32)
        self._total = np.zeros((1,), np.int32)
        self._logits = np.zeros((batch, 1, shape.vocab_size), np.float32)
        inputs = {"ids": self._ids, "lasts": self._lasts, "total": self._total}
        if not shape.rope_theta:
            inputs["positions"] = self._positions
        for name, array in inputs.items():
            self._binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(array))
        for name, cache in caches.items():
            self._binding.bind_ortvalue_input(f"past_{name}", cache)
            self._binding.bind_ortvalue_output(f"present_{name}", cache)
        logits = ort.OrtValue.ortvalue_from_numpy(self._logits)
        self._binding.bind_ortvalue_output("logits", logits)

    def run(self, ids: NDArray[np.int64], position: int) -> Matrix:
        """The logits [batch, vocabulary] after ids [batch, tokens], the first at the position."""
        end = position + ids.shape[1]
        self._ids[:] = ids
        self._positions[:] = np.arange(position, end)
        self._lasts[:] = end - 1
        self._total[:] = end
        self._session.run_with_iobinding(self._binding)
        return self._logits[:, 0]


def _caches(shape: Hyperparameters, batch: int, positions: int) -> dict[str, Any]:
    size = (batch, shape.kv_heads, positions, shape.head_dim)
    return {
        f"{kind}_{layer}": ort.OrtValue.ortvalue_from_numpy(np.zeros(size, np.float32))
        for layer in range(shape.layers)
        for kind in ("key", "value")
    }


if __name__ == "__main__":
    serve(load)
