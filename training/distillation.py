"""Distillation (Hinton et al. 2015): before a run, teachers predict each token once; the run learns
from their probabilities as well as from the token itself.

What a teacher finds likely is a softer label than one token, so a small archive can be read more
than once before it is learnt by heart. The teachers' probabilities are averaged: a mixture of
models predicts better than each of them.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm
from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

from training import TrainingError
from training.documents import UNSCORED, TokenRows
from training.files import resolve_folder, written_aside
from training.sampling import load_fp32
from training.terms import weights_sha256
from training.trainer import is_first_process, precision

NAME = "soft_labels.safetensors"
# Of a position's label, the share that the teachers give; the rest is the token that comes.
TEACHERS_SHARE = 0.75
# Only this many of a position's likeliest tokens are stored. The probability of all others goes to
# the token that comes: scaling up those that are stored would overstate them.
LIKELIEST = 64
BATCH_TOKENS = 1_024
AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Teachers:
    """Checkpoints with the student's vocabulary; `sha256` are those of their weights.

    Raises TrainingError if the student is no Llama, whose loss alone takes soft labels, or if a
    teacher has another vocabulary; CheckpointError if one cannot be loaded."""

    def __init__(
        self, folders: Sequence[Path], student: Any, tokenizer: PreTrainedTokenizerBase
    ) -> None:
        if folders and type(student) is not LlamaForCausalLM:
            raise TrainingError("--teacher goes with a base that is a Llama, as the packaged is.")
        self._models = []
        for folder in folders:
            model, own = load_fp32(resolve_folder(folder))
            widths = model.config.vocab_size, student.config.vocab_size
            if own.get_vocab() != tokenizer.get_vocab() or len(set(widths)) > 1:
                raise TrainingError(f"The teacher {folder} has another vocabulary than the base.")
            model.config.use_cache = False
            self._models.append(model)
        self.sha256 = [_sha256(weights_sha256(model)) for model in self._models]

    def label(self, rows: TokenRows, out: Path) -> TokenRows:
        """The rows with soft labels, if there are teachers; what they expect is kept in `out`, for
        a run that is resumed. Frees the teachers' memory."""
        if not self._models:
            return rows
        inputs = [row["input_ids"].tolist() for row in rows]
        key = _sha256([self.sha256, inputs, TEACHERS_SHARE, LIKELIEST])
        labels = _read(out / NAME, key)
        if labels is None:
            labels = self._expect(rows)
            if is_first_process():
                with written_aside(out) as made:
                    save_file(labels, made / NAME, {"key": key})
        self._models.clear()
        return rows.with_columns(labels)

    @torch.inference_mode()
    def _expect(self, rows: TokenRows) -> dict[str, Tensor]:
        block_size = len(rows[0]["labels"])
        batch_rows = max(1, BATCH_TOKENS // block_size)
        shape = (len(rows), block_size, LIKELIEST)
        ids = torch.zeros(shape, dtype=torch.int32)
        weights = torch.zeros(shape, dtype=torch.float16)
        device = self._models[0].device
        dtype = AUTOCAST.get(precision())
        with tqdm(total=len(rows), desc="soft labels", unit=" rows") as bar:
            for number, batch in enumerate(DataLoader(rows, batch_rows)):
                labels = batch.pop("labels")
                given = {name: value.to(device) for name, value in batch.items()}
                scored = labels[:, 1:] != UNSCORED
                with torch.autocast(device.type, dtype, enabled=dtype is not None):
                    total: Any = sum(_probabilities(one, given, scored) for one in self._models)
                found = (total / len(self._models)).topk(LIKELIEST)
                where = slice(number * batch_rows, (number + 1) * batch_rows)
                ids[where, 1:][scored] = found.indices.int().cpu()
                weights[where, 1:][scored] = (TEACHERS_SHARE * found.values).half().cpu()
                bar.update(len(labels))
        return {"soft_ids": ids, "soft_weights": weights}


def _probabilities(model: Any, batch: dict[str, Tensor], scored: Tensor) -> Tensor:
    """Of each token of the vocabulary at the scored positions, fp32."""
    hidden = model.base_model(**batch).last_hidden_state[:, :-1]
    logits: Tensor = model.get_output_embeddings()(hidden[scored.to(hidden.device)])
    return logits.softmax(dim=-1, dtype=torch.float32)


def _read(path: Path, key: str) -> dict[str, Tensor] | None:
    """The labels of that key; None if the file is of others, or there is none."""
    if not path.is_file():
        return None
    with safe_open(path, "pt") as file:
        if (file.metadata() or {}).get("key") != key:
            return None
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no dict)


def _sha256(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
