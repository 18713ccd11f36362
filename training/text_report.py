"""What a checkpoint writes, held beside real tweets, and what it repeats of its training data.

Knows samples, figures of texts and verbatim repeats; must not know how figures are stored.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from demo.generation.engine import Engine
from demo.generation.introduction import SAMPLING, introduce
from training.memorisation import Verbatim
from training.sampling import Sample, draw
from training.text_figures import describe, novelty

FIRST_SEED = 2_000_000
SHOWN = 20
PREFIX_TOKENS = 10
# A tweet hardly longer than its prefix would be completed by chance.
MIN_COMPLETED_TOKENS = 10
PREFIXES = 1_000
GREEDY = {"top_k": 1, "temperature": 1.0, "top_p": 1.0}


@dataclass(frozen=True)
class Report:
    """Everything but bits per byte.

    `generated` and `real` are of equally many texts; `novelty` is by n, of both; `verbatim` the
    share of all `samples` texts, and of the real held-out ones, that repeat 8 words or 50
    characters of train; `completed` the share of training tweets, and of held-out ones, of which
    the greedy continuation of the first `prefix_tokens` tokens is the rest to the letter, of
    `prefixes` each; `unpicked` the first texts drawn.
    """

    samples: int
    first_seed: int
    decoding: Mapping[str, Any]
    generated: Mapping[str, Any]
    real: Mapping[str, Any]
    novelty: Mapping[str, Mapping[int, float]]
    verbatim: Mapping[str, float]
    prefix_tokens: int
    prefixes: Mapping[str, int]
    completed: Mapping[str, float]
    unpicked: Sequence[str]


def decoding_of(folder: Path) -> dict[str, Any]:
    """The checkpoint's own sampling defaults, as an engine is asked for them."""
    defaults = introduce(folder).defaults.settings()
    return {name: defaults[name] for name in SAMPLING}


def measure_texts(
    engine: Engine,
    tokenizer: PreTrainedTokenizerBase,
    texts: Mapping[str, Sequence[str]],
    decoding: Mapping[str, Any],
    count: int,
) -> Report:
    """Draws `count` unprompted texts, and continues the openings of real ones.

    Args:
        texts: of the splits "train" and "test".
    """
    train, test = texts["train"], texts["test"]
    samples = draw(engine, [""] * count, decoding, FIRST_SEED, "unprompted")
    written = [sample.text for sample in samples]
    compared = min(count, len(test))
    real = random.Random(FIRST_SEED).sample(list(test), compared)
    verbatim = Verbatim.of(train)
    prefixes = {name: _prefixes(texts[name], tokenizer, count) for name in ("train", "test")}
    return Report(
        samples=count,
        first_seed=FIRST_SEED,
        decoding=dict(decoding),
        generated=_described(samples[:compared]),
        real=describe(real).as_dict(),
        novelty={
            name: {n: round(share, 4) for n, share in novelty(side, train).items()}
            for name, side in (("generated", written), ("real", test))
        },
        verbatim={
            "generated": round(verbatim.share(written), 4),
            "real": round(verbatim.share(test), 4),
        },
        prefix_tokens=PREFIX_TOKENS,
        prefixes={name: len(found) for name, found in prefixes.items()},
        completed={name: _completed(engine, found, name) for name, found in prefixes.items()},
        unpicked=written[:SHOWN],
    )


def _described(samples: Sequence[Sample]) -> dict[str, Any]:
    return describe([s.text for s in samples], [s.ended for s in samples]).as_dict()


def _prefixes(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, count: int
) -> list[tuple[str, str]]:
    """Openings of whole texts, with those: at most `PREFIXES` and `count`, drawn by seed."""
    found = []
    for text in random.Random(FIRST_SEED).sample(list(texts), len(texts)):
        ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        opening = str(tokenizer.decode(ids[:PREFIX_TOKENS]))
        is_long = len(ids) >= PREFIX_TOKENS + MIN_COMPLETED_TOKENS
        # A token can end within a character, or after a space that an opening must not end with.
        if is_long and text.startswith(opening) and opening == opening.rstrip():
            found.append((opening, text))
        if len(found) == min(PREFIXES, count):
            break
    return found


def _completed(engine: Engine, prefixes: Sequence[tuple[str, str]], name: str) -> float:
    openings = [opening for opening, _ in prefixes]
    written = draw(engine, openings, GREEDY, 0, f"openings of {name}")
    same = sum(one.text == text for one, (_, text) in zip(written, prefixes, strict=True))
    return round(same / max(1, len(prefixes)), 4)
