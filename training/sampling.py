"""Opens a checkpoint to measure it: as an fp32 model, or as the demo's engine to draw texts from.

Every text has a seed of its own, so that it is the same in every run on one machine.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm
from transformers import PreTrainedTokenizerBase

from demo.checkpoints.resolve import Checkpoint
from demo.checkpoints.weights import load_model
from demo.generation.engine import Engine, load_engine
from demo.generation.profile import SAMPLING, read_profile
from demo.generation.request import FIELDS, GenerationRequest
from demo.settings import read_settings
from training.models import load_decoder, packaged_base_folder
from training.recipe import PACKAGED_BASE

SLOTS = 16
DEADLINE_SECONDS = 600
# As long as the texts that visitors get who choose no length.
MAX_NEW_TOKENS = int(FIELDS["max_new_tokens"].default or 0)


@dataclass(frozen=True)
class Sample:
    """One text, which begins with its prompt; `ended` is whether it ended by itself, before its
    length was reached."""

    text: str
    ended: bool


def load_fp32(checkpoint: Checkpoint) -> tuple[Any, PreTrainedTokenizerBase]:
    """The model in fp32, on the GPU if there is one, and its tokenizer. Raises CheckpointError if
    it cannot be loaded."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return load_model(checkpoint.folder, torch.float32, device)


@contextmanager
def open_engine(checkpoint: Checkpoint) -> Iterator[Engine]:
    """The engine that the demo would choose for the checkpoint on this machine."""
    settings = replace(
        read_settings(),
        engine="auto",
        device="auto",
        slots=SLOTS,
        deadline_seconds=DEADLINE_SECONDS,
        zero_gpu=False,
    )
    engine = load_engine(checkpoint, settings, print)
    try:
        yield engine
    finally:
        engine.close()


def load_base(source: str = PACKAGED_BASE) -> tuple[Any, PreTrainedTokenizerBase]:
    """A model before any fine-tuning, in evaluation mode; by default the embedded checkpoint's
    base. Raises TrainingError or CheckpointError if it cannot be had."""
    model, tokenizer = load_decoder(
        str(packaged_base_folder()) if source == PACKAGED_BASE else source
    )
    return model.to("cuda" if torch.cuda.is_available() else "cpu").eval(), tokenizer


def read_decoding(folder: Path) -> dict[str, Any]:
    """A checkpoint folder's own sampling defaults, as fields of `GenerationRequest`."""
    defaults = read_profile(folder).defaults.settings()
    return {name: defaults[name] for name in SAMPLING}


def draw(
    engine: Engine,
    prompts: Sequence[str],
    decoding: Mapping[str, Any],
    first_seed: int,
    label: str,
) -> list[Sample]:
    """One text for each prompt, in their order, with the seeds from `first_seed` on.

    Args:
        decoding: fields of `GenerationRequest` other than the prompt and the seed.
        label: shown by the progress bar.
    """

    def write(numbered: tuple[int, str]) -> Sample:
        seed, prompt = numbered
        request = GenerationRequest(
            prompt=prompt, seed=seed, **{"max_new_tokens": MAX_NEW_TOKENS, **decoding}
        )
        chunks = list(engine.stream(request))
        text = request.opening + "".join(chunk.text for chunk in chunks)
        ending = chunks[-1].ending
        return Sample(text, ending is not None and ending.reason == "end_of_tweet")

    with ThreadPoolExecutor(SLOTS) as pool:
        drawn = pool.map(write, enumerate(prompts, first_seed))
        return list(tqdm(drawn, total=len(prompts), desc=label, unit=" texts"))
