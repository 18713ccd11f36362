"""The checkpoint folder: what a run hands over.

Knows which files it holds and how a model becomes them; must not know how it was trained.
"""

from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PreTrainedTokenizerBase

from demo.generation.base import SMOLLM2_135M_INSTRUCT
from demo.generation.checksums import write_checksums
from demo.generation.persona import Persona
from demo.generation.request import FIELDS
from training.card import write_card
from training.files import write_json
from training.models import Starting


def write_checkpoint(
    folder: Path, model: Any, start: Starting, persona: Persona, facts: dict[str, Any]
) -> None:
    """Writes weights, config, tokenizer, decoding defaults, persona, facts, card and sums.

    An adapter over the packaged base is kept apart, in bfloat16, with a `base.json`; one over
    any other base is merged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    is_adapter = start.recipe.method == "lora"
    if is_adapter and start.is_packaged:
        # The base's name, not where it lay on the machine that trained.
        model.peft_config["default"].base_model_name_or_path = SMOLLM2_135M_INSTRUCT.file_name
        # Half the size; what it rounds away is measured by evaluate, which reads these files.
        model.to(torch.bfloat16).save_pretrained(folder)
        SMOLLM2_135M_INSTRUCT.write(folder / "base.json")
    else:
        whole = model.merge_and_unload() if is_adapter else model
        whole.config.use_cache = True
        whole.save_pretrained(folder)
        start.tokenizer.save_pretrained(folder)
    persona.write(folder)
    _generation_config(start.tokenizer).save_pretrained(folder)
    write_json(folder / "metrics.json", facts)
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
