"""A checkpoint that is measured, in memory, as the demo would resolve it.

Knows checkpoints and how they are loaded; must not know what is measured on them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from transformers import PreTrainedTokenizerBase

from demo.checkpoints.resolve import Checkpoint, CheckpointError, resolve_checkpoint
from demo.checkpoints.weights import load_model
from demo.settings import read_settings
from training.bits import Score, score_texts
from training.card import EMBEDDED
from training.errors import TrainingError


@dataclass(frozen=True)
class Subject:
    """An fp32 model and its tokenizer; `cache_dir` is where what is made of it is kept."""

    checkpoint: Checkpoint
    model: Any
    tokenizer: PreTrainedTokenizerBase
    cache_dir: Path

    @classmethod
    def load(cls, folder: Path, cache_dir: Path | None = None) -> Self:
        """Of a checkpoint folder, a difference being merged first; kept where the settings say
        unless `cache_dir` names another place.

        Raises:
            TrainingError: it cannot be used.
        """
        settings = read_settings()
        cache = cache_dir or settings.cache_dir
        try:
            checkpoint = resolve_checkpoint(
                model_id="",
                model_revision="",
                folder=folder,
                embedded=EMBEDDED,
                base_file=settings.base_file,
                cache_dir=cache,
                say=print,
            )
            device = "cuda" if torch.cuda.is_available() else "cpu"
            model, tokenizer = load_model(checkpoint.folder, torch.float32, device)
        except CheckpointError as error:
            raise TrainingError(str(error)) from error
        return cls(checkpoint, model, tokenizer, cache)

    def score(self, texts: list[str]) -> list[Score]:
        """Of each text."""
        return score_texts(texts, self.model, self.tokenizer, "scoring")
