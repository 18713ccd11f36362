"""The checkpoint folder: what a run hands over.

Knows which files it holds and how a model becomes them; must not know how it was trained.
"""

import shutil
from pathlib import Path
from typing import Any

import transformers
from transformers import PreTrainedTokenizerBase

from demo.checkpoints.difference import Differences, write_difference
from demo.checkpoints.embedded import SMOLLM2_135M_INSTRUCT
from demo.checkpoints.files import BASE, DIFFERENCE, write_checksums
from demo.checkpoints.persona import Persona
from demo.generation.request import FIELDS
from training.card import write_card
from training.files import write_json
from training.models import Starting


def write_checkpoint(
    folder: Path,
    model: Any,
    start: Starting,
    persona: Persona,
    facts: dict[str, Any],
    differences: Differences | None = None,
) -> None:
    """Fills the folder, and with nothing else: weights, config, tokenizer, decoding defaults,
    persona, facts, card and sums.

    An adapter is merged. Where there are `differences`, to the packaged base, they are written
    with a `base.json` in the place of weights, config and tokenizer.
    """
    # Of an earlier run's, whole weights or a difference would be taken for this one's.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if differences is not None:
        write_difference(folder / DIFFERENCE, differences)
        SMOLLM2_135M_INSTRUCT.write(folder / BASE)
    else:
        whole = model.merge_and_unload() if start.recipe.method == "lora" else model
        whole.config.use_cache = True
        whole.save_pretrained(folder)
        start.tokenizer.save_pretrained(folder)
    persona.write(folder)
    _generation_config(start.tokenizer).save_pretrained(folder)
    _write_figures(folder, facts)


def record(folder: Path, metrics: dict[str, Any]) -> None:
    """Writes a checkpoint's figures, its card anew from them, and the sums of all its files."""
    _write_figures(folder, metrics)
    print(f"Recorded in {folder}.")


def _write_figures(folder: Path, metrics: dict[str, Any]) -> None:
    write_json(folder / "metrics.json", metrics)
    write_card(folder)
    write_checksums(folder)


def _generation_config(tokenizer: PreTrainedTokenizerBase) -> transformers.GenerationConfig:
    """Decoding defaults with which a plain pipeline("text-generation") just works."""
    mark = tokenizer.eos_token_id
    return transformers.GenerationConfig(
        do_sample=True,
        max_new_tokens=int(FIELDS["max_new_tokens"].default or 0),
        temperature=FIELDS["temperature"].default,
        top_p=FIELDS["top_p"].default,
        top_k=0,
        bos_token_id=mark,
        eos_token_id=mark,
        pad_token_id=mark,
    )
