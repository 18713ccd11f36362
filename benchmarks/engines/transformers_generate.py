"""transformers' `generate` in fp32, a static batch at a time: the baseline.

Knows transformers; must not know what it is compared with.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, GenerationConfig

from benchmarks.engines.sampling import TEMPERATURE, TOP_P
from benchmarks.engines.worker import SEED, Decode, Prompts, serve


def load(folder: Path, setting: str, threads: int) -> Decode:
    """The model; there are no settings."""
    torch.set_num_threads(threads)
    torch.manual_seed(SEED)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    # The checkpoint's own has an end mark, and these texts have none.
    model.generation_config = GenerationConfig()

    def decode(prompts: Prompts, new_tokens: int) -> Sequence[Sequence[int]]:
        ids = torch.tensor(prompts)
        settings = GenerationConfig(
            do_sample=True,
            temperature=TEMPERATURE,
            top_p=TOP_P,
            top_k=0,
            max_new_tokens=new_tokens,
            pad_token_id=0,
        )
        made = model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=settings)
        rows: list[list[int]] = made[:, ids.shape[1] :].tolist()
        return rows

    return decode


if __name__ == "__main__":
    serve(load)
