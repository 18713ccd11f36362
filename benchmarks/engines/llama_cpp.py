"""llama.cpp with 8-bit weights (q8_0), through its C interface: tokens in, tokens out.

Knows llama.cpp's batches; must not know what it is compared with.
"""

from collections.abc import Sequence
from pathlib import Path

import llama_cpp as llama
import numpy as np
from numpy.typing import NDArray

from benchmarks.engines.sampling import draw
from benchmarks.engines.weights import Matrix, read_hyperparameters
from benchmarks.engines.worker import PROMPT_TOKENS, SEED, Decode, Prompts, serve

MODEL = "model.gguf"
MOST_SEQUENCES = 16
POSITIONS_EACH = 256


def load(folder: Path, setting: str, threads: int) -> Decode:
    """A context for many sequences; there are no settings."""
    context = _Context(folder, threads)
    random = np.random.default_rng(SEED)

    def decode(prompts: Prompts, new_tokens: int) -> Sequence[Sequence[int]]:
        context.clear()
        ids = draw(context.run(np.array(prompts), 0), random)
        made = [ids]
        for position in range(PROMPT_TOKENS, PROMPT_TOKENS + new_tokens - 1):
            ids = draw(context.run(ids[:, None], position), random)
            made.append(ids)
        rows: list[list[int]] = np.stack(made, axis=1).tolist()
        return rows

    return decode


class _Context:
    """A model and the caches of as many sequences as a batch may have."""

    def __init__(self, folder: Path, threads: int) -> None:
        llama.llama_backend_init()
        path = str(folder / MODEL).encode()
        model = llama.llama_model_load_from_file(path, llama.llama_model_default_params())
        params = llama.llama_context_default_params()
        params.n_ctx = MOST_SEQUENCES * POSITIONS_EACH
        params.n_seq_max = params.n_outputs_max = MOST_SEQUENCES
        params.n_batch = params.n_ubatch = MOST_SEQUENCES * PROMPT_TOKENS
        params.n_threads = params.n_threads_batch = threads
        self._context = llama.llama_init_from_model(model, params)
        self._batch = llama.llama_batch_init(params.n_batch, 0, 1)
        self._vocab_size = read_hyperparameters(folder).vocab_size

    def clear(self) -> None:
        """Forgets every sequence."""
        llama.llama_memory_clear(llama.llama_get_memory(self._context), False)

    def run(self, ids: NDArray[np.int64], position: int) -> Matrix:
        """The logits [batch, vocabulary] after ids [batch, tokens], the first at the position."""
        self._fill(ids, position)
        code = llama.llama_decode(self._context, self._batch)
        if code:
            raise RuntimeError(f"llama_decode gave {code}.")
        rows, tokens = ids.shape
        ends = range(tokens - 1, rows * tokens, tokens)
        return np.stack([self._logits(end) for end in ends])

    def _fill(self, ids: NDArray[np.int64], position: int) -> None:
        batch, (rows, tokens) = self._batch, ids.shape
        batch.n_tokens = rows * tokens
        for place, (row, column) in enumerate(np.ndindex(rows, tokens)):
            batch.token[place] = int(ids[row, column])
            batch.pos[place] = position + column
            batch.n_seq_id[place] = 1
            batch.seq_id[place][0] = row
            batch.logits[place] = column == tokens - 1

    def _logits(self, place: int) -> Matrix:
        row = llama.llama_get_logits_ith(self._context, place)
        return np.ctypeslib.as_array(row, (self._vocab_size,))


if __name__ == "__main__":
    serve(load)
