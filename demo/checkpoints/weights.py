"""Loads a checkpoint folder's model and tokenizer, and checks that every weight was used.

Nothing pickled is loaded, and no code that a checkpoint brings is run.
"""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from demo.checkpoints.files import CheckpointError, require_ordinary


def load_model(
    folder: Path, dtype: torch.dtype, device: str
) -> tuple[Any, PreTrainedTokenizerBase]:
    """The model of a checkpoint folder, in evaluation mode on the device, and its tokenizer.

    Raises:
        CheckpointError: a weight is missing, superfluous, misshapen or not finite, the
            tokenizer does not fit, or the checkpoint brings code of its own.
    """
    require_ordinary(folder, folder.name)
    options: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(folder, **options)
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                folder, dtype=dtype, use_safetensors=True, output_loading_info=True, **options
            )
    except Exception as error:
        raise CheckpointError(f"{folder.name} could not be loaded: {first_line(error)}") from error
    model, report = loaded
    _require_every_weight(folder.name, report)
    _require_fitting_tokenizer(folder.name, model, tokenizer)
    model.to(device).eval()
    _require_finite(folder.name, model, tokenizer.eos_token_id)
    return model, tokenizer


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
