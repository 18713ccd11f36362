"""Temperature scaling (Guo et al. 2017): what was read more than once makes a model too sure of
itself, so its logits are divided by the number that predicts dev best."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from transformers import GPT2LMHeadModel, LlamaForCausalLM, PreTrainedTokenizerBase

from training.bits_per_byte import run_model

TEMPERATURES = tuple((np.arange(80, 162, 2) / 100).tolist())
# The last norm of a decoder whose logits are a product with what leaves it.
_LAST_NORMS = {LlamaForCausalLM: "norm", GPT2LMHeadModel: "ln_f"}


def best_temperature(texts: Sequence[str], model: Any, tokenizer: PreTrainedTokenizerBase) -> float:
    """Of TEMPERATURES, that by which a model in eval mode predicts the texts best."""
    nats = np.zeros(len(TEMPERATURES))
    for batch in run_model(texts, model, tokenizer):
        scored = batch.mask[:, 1:].bool()
        logits, tokens = batch.output.logits[:, :-1][scored].float(), batch.ids[:, 1:][scored]
        for i, temperature in enumerate(TEMPERATURES):
            nats[i] += cross_entropy(logits / temperature, tokens, reduction="sum").item()
    return float(TEMPERATURES[int(nats.argmin())])


def last_norm(model: Any) -> Any:
    """The norm whose output, divided, divides the logits; None if the model has none."""
    name = _LAST_NORMS.get(type(model))
    return name and getattr(model.base_model, name)


@torch.no_grad()
def divide_logits(norm: Any, temperature: float) -> None:
    """Divides the logits of the model whose last norm that is."""
    for weights in norm.parameters():
        weights.div_(temperature)
