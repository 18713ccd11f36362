"""The blog's app, rebuilt to be measured: `python -m benchmarks.original_app`.

transformers' pipeline as that app used it: fp32 on the CPU, one text at a time, nothing shown
before the whole text is there. Its page, queue and server are ours, so that only the way to a text
differs.
"""

import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import pipeline

from demo.generation.engine import Chunk, Ending, Engine, EngineIdentity, FinishReason
from demo.generation.profile import read_profile
from demo.generation.request import GenerationRequest
from demo.launch import launch
from demo.server.service import ready
from demo.settings import read_settings


class OriginalEngine(Engine):
    """An `Engine` that cannot stream, be cancelled, be seeded or keep to a deadline: the blog's
    app could do none of it, and took the temperature and the length alone."""

    slots = 1

    def __init__(self, folder: Path) -> None:
        self._pipeline: Any = pipeline(
            "text-generation", model=str(folder), dtype=torch.float32, device="cpu"
        )
        self.context_tokens: int = self._pipeline.model.config.max_position_embeddings
        self.identity = EngineIdentity(
            checkpoint=folder.name,
            revision="unread",
            engine=f"transformers {transformers.__version__} pipeline()",
            precision="float32",
        )

    def stream(self, request: GenerationRequest) -> Generator[Chunk, None, None]:
        started = time.monotonic()
        prompt_tokens = self.count_tokens(request.opening)
        [answer] = self._pipeline(
            request.opening,
            do_sample=True,
            temperature=request.temperature,
            max_new_tokens=request.max_new_tokens,
            return_tensors=True,
        )
        new = answer["generated_token_ids"][prompt_tokens:]
        text = self._pipeline.tokenizer.decode(new, skip_special_tokens=True)
        seconds = time.monotonic() - started
        reason: FinishReason = "length" if len(new) == request.max_new_tokens else "end_of_tweet"
        counts = (prompt_tokens, len(new), request.max_new_tokens)
        yield Chunk(text, Ending(reason, *counts, seconds, seconds))

    def count_tokens(self, text: str) -> int:
        return len(self._pipeline.tokenizer(text)["input_ids"])

    def health(self) -> bool:
        return True

    def close(self) -> None:
        """Its memory goes with its process."""


def main() -> int:
    """Serves the checkpoint folder named by CHECKPOINT until it is told to stop."""
    settings = read_settings()
    if settings.checkpoint is None:
        print("Set CHECKPOINT to a checkpoint folder.", file=sys.stderr)
        return 1
    launch(
        ready(OriginalEngine(settings.checkpoint)),
        settings,
        read_profile(settings.checkpoint),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
