"""How close the OpenVINO export is to the checkpoint: bits per byte, and greedy texts."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from demo.generation.openvino.engine import SETTINGS
from demo.generation.openvino.export import export
from demo.generation.openvino.exported import MODEL
from demo.generation.openvino.runtime import genai, open_pipeline, ov
from training.bits_per_byte import Figure, score_texts, summarise

# Nothing is quantised at run time: with these an fp32 export must write what transformers writes.
FLOAT32 = {
    "INFERENCE_PRECISION_HINT": "f32",
    "KV_CACHE_PRECISION": "f32",
    "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
}
GREEDY_PROMPTS = 200
GREEDY_TOKENS = 60
PROMPT_WORDS = 5
SLOTS = 16
# More than that many of these short texts need.
CACHE_BLOCKS = 256


@dataclass(frozen=True)
class ExportAccuracy:
    """What `metrics.json` says of the export.

    bits_per_byte: of the int8 export as the engine runs it; `reference` is the fp32 model's, and
        `differs` by how many per cent the export's is larger. Both are by the export's name, as
        published figures are, some of which have several.
    greedy_equal: how many of `greedy_prompts` greedy texts of `greedy_tokens` tokens are the same
        from an fp32 export and from transformers.
    """

    texts: int
    reference: float
    bits_per_byte: Mapping[str, float]
    differs: Mapping[str, float]
    greedy_prompts: int
    greedy_tokens: int
    greedy_equal: int

    def __str__(self) -> str:
        lines = [
            f"OpenVINO, {name}: {bits:.4f} bits per byte, {self.differs[name]:+.3f} %"
            for name, bits in self.bits_per_byte.items()
        ]
        greedy = f"{self.greedy_equal} of {self.greedy_prompts}"
        return "\n".join((*lines, f"fp32 OpenVINO, greedy texts equal to transformers': {greedy}"))


def measure_export(
    folder: Path,
    int8: Path,
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    reference: Figure,
) -> ExportAccuracy:
    """Compares the int8 export, and a temporary fp32 one, with the fp32 model.

    Args:
        folder: the checkpoint; `int8` its export.
        texts: the texts that `reference` was measured on; their first words are the prompts.
    """
    context = int(model.config.max_position_embeddings)
    exported = ExportedModel(int8, SETTINGS, context)
    bits = {"int8": summarise(score_texts(texts, exported, tokenizer, "int8")).bits_per_byte}
    prompts = [_prompt(text, tokenizer) for text in texts[:GREEDY_PROMPTS]]
    with tempfile.TemporaryDirectory() as scratch:
        export(folder, Path(scratch), precision="f32")
        written = _greedy_texts(Path(scratch), prompts, int(tokenizer.eos_token_id))
    return ExportAccuracy(
        texts=len(texts),
        reference=round(reference.bits_per_byte, 5),
        bits_per_byte={name: round(value, 5) for name, value in bits.items()},
        differs={
            name: round(100 * (value / reference.bits_per_byte - 1), 3)
            for name, value in bits.items()
        },
        greedy_prompts=len(prompts),
        greedy_tokens=GREEDY_TOKENS,
        greedy_equal=sum(_is_greedy(model, *pair) for pair in zip(prompts, written, strict=True)),
    )


class ExportedModel:
    """An export, compiled with an engine's settings, called like a transformers model."""

    device = "cpu"

    def __init__(self, folder: Path, properties: Mapping[str, str], context: int) -> None:
        compiled = ov.Core().compile_model(folder / MODEL, "CPU", dict(properties))
        self._run = compiled.create_infer_request()
        self.config = SimpleNamespace(max_position_embeddings=context)

    def __call__(self, input_ids: Tensor, attention_mask: Tensor, use_cache: bool) -> Any:
        """Logits of rows padded on the right; the key-value cache is emptied first."""
        rows, width = input_ids.shape
        self._run.reset_state()
        answer = self._run.infer(
            {
                "input_ids": input_ids.numpy(),
                "attention_mask": attention_mask.numpy(),
                "position_ids": np.tile(np.arange(width), (rows, 1)),
                "beam_idx": np.arange(rows, dtype=np.int32),
            }
        )
        return SimpleNamespace(logits=torch.from_numpy(answer["logits"]))


def _prompt(text: str, tokenizer: Any) -> list[int]:
    words = " ".join(text.split()[:PROMPT_WORDS])
    encoded = tokenizer(words, add_special_tokens=False, split_special_tokens=True)
    return [tokenizer.eos_token_id, *encoded["input_ids"]]


def _greedy_texts(folder: Path, prompts: Sequence[list[int]], eos_token_id: int) -> list[list[int]]:
    """What an fp32 export writes: token ids, the closing one included."""
    pipeline = open_pipeline(str(folder), SLOTS, CACHE_BLOCKS, FLOAT32)
    greedy = genai.GenerationConfig()
    greedy.max_new_tokens = GREEDY_TOKENS
    greedy.set_eos_token_id(eos_token_id)
    inputs = [ov.Tensor(np.array([prompt], dtype=np.int64)) for prompt in prompts]
    answers = pipeline.generate(inputs, [greedy] * len(inputs))
    return [list(answer.m_generation_ids[0]) for answer in answers]


@torch.inference_mode()
def _is_greedy(model: Any, prompt: list[int], text: list[int]) -> bool:
    """Whether each token of the text is the likeliest one, so that the model would write it too."""
    ids = torch.tensor([[*prompt, *text]], device=model.device)
    logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits
    likeliest = logits[0].argmax(dim=-1)
    return bool(likeliest[len(prompt) - 1 : -1].tolist() == text)
