"""How true the OpenVINO export is to the checkpoint: bits per byte, and greedy texts.

Knows exports, engines' settings and transformers, the reference; must not know where texts
or checkpoints come from.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm
from transformers import GenerationConfig, PreTrainedTokenizerBase

from demo.generation.openvino.engine import EXACT, FAST
from demo.generation.openvino.export import export
from demo.generation.openvino.exported import Exported
from demo.generation.openvino.runtime import genai, open_pipeline, ov
from training.bits import Figure, score_texts, summarise

GREEDY_PROMPTS = 200
GREEDY_TOKENS = 60
PROMPT_WORDS = 5
BATCH = 16
# More than any batch of these short texts needs.
CACHE_BLOCKS = 256


@dataclass(frozen=True)
class Fidelity:
    """`bits_per_byte` is the int8 export's by the name of the settings it ran in, `differs` how
    much larger than the reference's, in per cent; `greedy_equal` of `greedy_prompts` texts of
    `greedy_tokens` tokens that the fp32 export and transformers wrote alike."""

    texts: int
    reference: float
    bits_per_byte: Mapping[str, float]
    differs: Mapping[str, float]
    greedy_prompts: int
    greedy_tokens: int
    greedy_equal: int

    def as_dict(self) -> dict[str, Any]:
        """For `metrics.json`."""
        return asdict(self)


def measure_fidelity(
    folder: Path,
    int8: Path,
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    reference: Figure,
) -> Fidelity:
    """Holds the int8 export, and one in fp32 made on the way, against the fp32 model.

    Args:
        folder: the checkpoint; `int8` its export.
        texts: what `reference` was measured on, and whose first words are the prompts.
    """
    settings = {"exact": EXACT, "fast": FAST}
    bits = {
        name: summarise(score_texts(texts, ExportedModel(int8, properties), tokenizer, name))
        for name, properties in settings.items()
    }
    prompts = [_opening(text, tokenizer) for text in texts[:GREEDY_PROMPTS]]
    with tempfile.TemporaryDirectory() as scratch:
        exported = export(folder, Path(scratch), precision="f32")
        theirs = _greedy_by_export(Path(scratch), exported, prompts)
    ours = _greedy_by_transformers(model, exported.eos_token_id, prompts)
    return Fidelity(
        texts=len(texts),
        reference=round(reference.bits_per_byte, 5),
        bits_per_byte={name: round(figure.bits_per_byte, 5) for name, figure in bits.items()},
        differs={
            name: round(100 * (figure.bits_per_byte / reference.bits_per_byte - 1), 3)
            for name, figure in bits.items()
        },
        greedy_prompts=len(prompts),
        greedy_tokens=GREEDY_TOKENS,
        greedy_equal=sum(a == b for a, b in zip(ours, theirs, strict=True)),
    )


class ExportedModel:
    """An export, compiled with an engine's settings, in the shape of a transformers model."""

    device = "cpu"

    def __init__(self, folder: Path, properties: Mapping[str, str]) -> None:
        compiled = ov.Core().compile_model(folder / "openvino_model.xml", "CPU", dict(properties))
        self._run = compiled.create_infer_request()
        context = Exported.read(folder).context_tokens
        self.config = SimpleNamespace(max_position_embeddings=context)

    def __call__(self, input_ids: Tensor, attention_mask: Tensor, use_cache: bool) -> Any:
        """Logits of rows padded on the right, nothing remembered from the call before."""
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


def _opening(text: str, tokenizer: Any) -> list[int]:
    words = " ".join(text.split()[:PROMPT_WORDS])
    encoded = tokenizer(words, add_special_tokens=False, split_special_tokens=True)
    return [tokenizer.eos_token_id, *encoded["input_ids"]]


def _batches(prompts: Sequence[list[int]], label: str) -> Iterator[Sequence[list[int]]]:
    starts = range(0, len(prompts), BATCH)
    return (prompts[i : i + BATCH] for i in tqdm(starts, desc=label, unit=" batches"))


@torch.inference_mode()
def _greedy_by_transformers(model: Any, mark: int, prompts: Sequence[list[int]]) -> list[list[int]]:
    # The checkpoint's own decoding defaults are not what is compared.
    model.generation_config = GenerationConfig()
    texts = []
    for batch in _batches(prompts, "greedy, transformers"):
        width = max(map(len, batch))
        ids = torch.tensor([[mark] * (width - len(row)) + row for row in batch])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in batch])
        output = model.generate(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            do_sample=False,
            max_new_tokens=GREEDY_TOKENS,
            eos_token_id=mark,
            pad_token_id=mark,
        )
        texts += [_until_mark(row, mark) for row in output[:, width:].tolist()]
    return texts


def _greedy_by_export(
    folder: Path, exported: Exported, prompts: Sequence[list[int]]
) -> list[list[int]]:
    pipeline = open_pipeline(str(folder), BATCH, CACHE_BLOCKS, EXACT)
    greedy = genai.GenerationConfig()
    greedy.max_new_tokens = GREEDY_TOKENS
    greedy.set_eos_token_id(exported.eos_token_id)
    texts = []
    for batch in _batches(prompts, "greedy, OpenVINO"):
        inputs = [ov.Tensor(np.array([row], dtype=np.int64)) for row in batch]
        for answer in pipeline.generate(inputs, [greedy] * len(batch)):
            texts.append(_until_mark(answer.m_generation_ids[0], exported.eos_token_id))
    return texts


def _until_mark(ids: Sequence[int], mark: int) -> list[int]:
    return list(ids[: ids.index(mark)] if mark in ids else ids)
