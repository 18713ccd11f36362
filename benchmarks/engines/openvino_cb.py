"""OpenVINO GenAI's continuous batching with int8 weights, opened as the demo opens it.

Knows the demo's pipeline; must not know what it is compared with.
"""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.engines.sampling import TEMPERATURE, TOP_P
from benchmarks.engines.worker import SEED, Decode, Prompts, serve
from demo.generation.openvino.engine import EXACT, FAST
from demo.generation.openvino.runtime import genai, open_pipeline, ov

SLOTS = 16
CACHE_BLOCKS = 256
SETTINGS: Mapping[str, Mapping[str, str]] = {"fast": FAST, "exact": EXACT}


def load(folder: Path, setting: str, threads: int) -> Decode:
    """The pipeline, stepped until every request of a batch is done; `fast` or `exact`."""
    properties: dict[str, Any] = {**SETTINGS[setting], "INFERENCE_NUM_THREADS": threads}
    pipeline = open_pipeline(str(folder), SLOTS, CACHE_BLOCKS, properties)
    # The pipeline is ruined by a request's number that was used before.
    numbers = itertools.count()

    def decode(prompts: Prompts, new_tokens: int) -> Sequence[Sequence[int]]:
        handles = [
            pipeline.add_request(next(numbers), _tensor(prompt), _sampling(new_tokens, seed))
            for seed, prompt in enumerate(prompts, start=SEED)
        ]
        while pipeline.has_non_finished_requests():
            pipeline.step()
        return [handle.read_all()[0].generated_ids for handle in handles]

    return decode


def _tensor(prompt: Sequence[int]) -> Any:
    return ov.Tensor(np.array([prompt], np.int64))


def _sampling(new_tokens: int, seed: int) -> Any:
    return genai.GenerationConfig(
        do_sample=True,
        temperature=TEMPERATURE,
        top_p=TOP_P,
        max_new_tokens=new_tokens,
        ignore_eos=True,
        rng_seed=seed,
    )


if __name__ == "__main__":
    serve(load)
