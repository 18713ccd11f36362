"""Loads a checkpoint folder's model and tokenizer, and checks that every weight was used.

Nothing pickled is loaded, and no code that a checkpoint brings is run.
"""

import logging
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from demo.checkpoints.allow_list import library_view, read_shapes, require_allowed
from demo.checkpoints.files import CheckpointError

# What a model may take in memory, as a multiple of the numbers in its files: weights that are
# missing are named once it is built, so it may be somewhat larger.
MAX_GROWTH = 2
SMALL_NUMBERS = 4_000_000


def load_model(
    folder: Path, dtype: torch.dtype, device: str
) -> tuple[Any, PreTrainedTokenizerBase]:
    """The model of a checkpoint folder, in evaluation mode on the device, and its tokenizer. Raises
    CheckpointError if a weight is missing, superfluous, misshapen or not finite, or the tokenizer
    does not fit."""
    require_allowed(folder, folder.name)
    options: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
    try:
        with quiet(), library_view(folder) as view:
            tokenizer = AutoTokenizer.from_pretrained(view, **options)
            _require_fitting_config(folder, view, options)
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                view, dtype=dtype, use_safetensors=True, output_loading_info=True, **options
            )
        model, report = loaded
        _require_every_weight(folder.name, report)
        _require_fitting_tokenizer(folder.name, model, tokenizer)
        model.to(device).eval()
        _require_finite(folder.name, model, tokenizer.eos_token_id)
    except CheckpointError:
        raise
    except Exception as error:
        raise CheckpointError(f"{folder.name} could not be loaded: {first_line(error)}") from error
    return model, tokenizer


def _require_fitting_config(folder: Path, view: Path, options: Mapping[str, Any]) -> None:
    """Builds the model without memory, and compares its size with what the files hold."""
    config = AutoConfig.from_pretrained(view, **options)
    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(config)
    wanted = sum(tensor.numel() for tensor in (*model.parameters(), *model.buffers()))
    given = sum(math.prod(shape) for shape in read_shapes(folder).values())
    if wanted > MAX_GROWTH * given + SMALL_NUMBERS:
        raise CheckpointError(
            f"config.json of {folder.name} asks for {wanted:,} numbers; its weights hold {given:,}."
        )


def _require_every_weight(name: str, report: Mapping[str, Any]) -> None:
    """transformers fills a missing weight with noise, and only logs that it did."""
    for kind in ("missing", "unexpected", "mismatched"):
        keys = sorted(map(str, report.get(f"{kind}_keys", ())))
        if keys:
            raise CheckpointError(
                f"{name} does not fit its config.json: {len(keys)} {kind} weights, "
                f"the first being {keys[0]}."
            )


def _require_fitting_tokenizer(name: str, model: Any, tokenizer: PreTrainedTokenizerBase) -> None:
    if tokenizer.eos_token_id is None:
        raise CheckpointError(f"The tokenizer of {name} has no eos_token to end a text with.")
    if len(tokenizer) > model.config.vocab_size:
        raise CheckpointError(
            f"The tokenizer of {name} has {len(tokenizer):,} tokens; "
            f"its model knows {model.config.vocab_size:,}."
        )


@torch.inference_mode()
def _require_finite(name: str, model: Any, eos_token_id: int) -> None:
    ids = torch.tensor([[eos_token_id]], device=model.device)
    logits = model(ids, attention_mask=torch.ones_like(ids)).logits
    if not bool(torch.isfinite(logits).all()):
        raise CheckpointError(f"{name} is damaged: its model gives logits that are not finite.")


def first_line(error: Exception) -> str:
    """An error as part of a sentence."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


@contextmanager
def quiet() -> Iterator[None]:
    """Silences what loading would log: what matters is checked here and raised as an error."""
    verbosity = transformers.logging.get_verbosity()
    had_bars = transformers.logging.is_progress_bar_enabled()
    transformers.logging.set_verbosity(logging.ERROR)
    transformers.logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            # peft reads an attribute that transformers is about to rename.
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        transformers.logging.set_verbosity(verbosity)
        if had_bars:
            transformers.logging.enable_progress_bar()
