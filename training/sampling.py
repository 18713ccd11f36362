"""Texts drawn from a checkpoint as its visitors get them: by the demo's own engine.

Knows engines and seeds; must not know what is done with the texts. A text depends on its request
alone, so the same checkpoint, decoding and seeds give the same texts in any order.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from demo.generation.engine import Engine, EngineSettings, load_engine
from demo.generation.request import GenerationRequest
from training.subject import Subject

SLOTS = 16
DEADLINE_SECONDS = 600
# Enough for any tweet: what has not ended by then does not end by itself.
MAX_NEW_TOKENS = 160


@dataclass(frozen=True)
class Sample:
    """One text; `ended` if by itself, not by its length."""

    prompt: str
    text: str
    ended: bool
    seed: int


@contextmanager
def engine_of(subject: Subject, say: Callable[[str], None] = print) -> Iterator[Engine]:
    """The engine that the demo would take for the checkpoint on this machine."""
    settings = EngineSettings(
        name="auto",
        device="auto",
        exact=False,
        slots=SLOTS,
        deadline_seconds=DEADLINE_SECONDS,
        cache_dir=subject.cache_dir,
    )
    engine = load_engine(subject.checkpoint, settings, say)
    try:
        yield engine
    finally:
        engine.close()


def draw(
    engine: Engine,
    prompts: Sequence[str],
    decoding: Mapping[str, Any],
    first_seed: int,
    label: str,
) -> list[Sample]:
    """One text a prompt, in their order, with the seeds from `first_seed` on.

    Args:
        decoding: fields of `GenerationRequest` other than the prompt and the seed.
        label: shown by the progress bar.
    """
    options = {"max_new_tokens": MAX_NEW_TOKENS, **decoding}
    requests = [
        GenerationRequest(prompt=prompt, seed=first_seed + i, **options)
        for i, prompt in enumerate(prompts)
    ]
    with ThreadPoolExecutor(SLOTS) as pool:
        drawn = pool.map(lambda request: _write(engine, request), requests)
        return list(tqdm(drawn, total=len(requests), desc=label, unit=" texts"))


def _write(engine: Engine, request: GenerationRequest) -> Sample:
    chunks = list(engine.stream(request))
    text = request.opening + "".join(chunk.text for chunk in chunks)
    ending = chunks[-1].ending
    ended = ending is not None and ending.reason == "end_of_tweet"
    return Sample(request.prompt, text, ended, int(request.seed or 0))
