"""How a checkpoint's texts compare with real tweets, and what they repeat of its training data."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from demo.generation.engine import Engine
from training.sampling import draw
from training.text_figures import REPEATING_RULE, describe, novelty, share_repeating

FIRST_SEED = 2_000_000
SHOWN = 20
PREFIX_TOKENS = 10
# A tweet hardly longer than its prefix would be completed by chance.
MIN_COMPLETED_TOKENS = 10
PREFIXES = 1_000
GREEDY = {"top_k": 1, "temperature": 1.0, "top_p": 1.0}


@dataclass(frozen=True)
class Report:
    """Figures of `samples` texts drawn without a prompt, for `metrics.json`.

    generated, real: figures of equally many generated and real texts of test.
    novelty: share of n-grams that train does not have, by n, of all generated and all real ones.
    verbatim: share of all generated texts, and of all real ones, that repeat train by
        `verbatim_rule`.
    completed: share of training tweets, and of held-out ones, that a greedy continuation of their
        first `prefix_tokens` tokens completes exactly; of `prefixes` tweets each.
    unpicked: the first texts drawn.
    """

    samples: int
    first_seed: int
    decoding: Mapping[str, Any]
    generated: Mapping[str, Any]
    real: Mapping[str, Any]
    novelty: Mapping[str, Mapping[int, float]]
    verbatim: Mapping[str, float]
    verbatim_rule: str
    prefix_tokens: int
    prefixes: Mapping[str, int]
    completed: Mapping[str, float]
    unpicked: Sequence[str]


def measure_texts(
    engine: Engine,
    tokenizer: PreTrainedTokenizerBase,
    train: Sequence[str],
    test: Sequence[str],
    decoding: Mapping[str, Any],
    count: int,
) -> Report:
    """Draws `count` texts without a prompt, and continues the openings of real ones."""
    samples = draw(engine, [""] * count, decoding, FIRST_SEED, "unprompted")
    written = [sample.text for sample in samples]
    compared = min(count, len(test))
    ended = [sample.ended for sample in samples[:compared]]
    openings = {
        name: _openings(texts, tokenizer, count)
        for name, texts in (("train", train), ("test", test))
    }
    return Report(
        samples=count,
        first_seed=FIRST_SEED,
        decoding=dict(decoding),
        generated=describe(written[:compared], ended).as_dict(),
        real=describe(random.Random(FIRST_SEED).sample(test, compared)).as_dict(),
        novelty={
            name: {n: round(share, 4) for n, share in novelty(side, train).items()}
            for name, side in (("generated", written), ("real", test))
        },
        verbatim={
            name: round(share_repeating(side, train), 4)
            for name, side in (("generated", written), ("real", test))
        },
        verbatim_rule=REPEATING_RULE,
        prefix_tokens=PREFIX_TOKENS,
        prefixes={name: len(found) for name, found in openings.items()},
        completed={name: _completed(engine, found, name) for name, found in openings.items()},
        unpicked=written[:SHOWN],
    )


def _openings(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, count: int
) -> list[tuple[str, str]]:
    """At most `PREFIXES` and `count` pairs of an opening and the whole text, drawn by seed."""
    found: list[tuple[str, str]] = []
    for text in random.Random(FIRST_SEED).sample(texts, len(texts)):
        if len(found) == min(PREFIXES, count):
            break
        ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        opening = str(tokenizer.decode(ids[:PREFIX_TOKENS]))
        is_long = len(ids) >= PREFIX_TOKENS + MIN_COMPLETED_TOKENS
        # A token can end within a character, or after a space that an opening must not end with.
        if is_long and text.startswith(opening) and opening == opening.rstrip():
            found.append((opening, text))
    return found


def _completed(engine: Engine, openings: Sequence[tuple[str, str]], name: str) -> float:
    written = draw(engine, [o for o, _ in openings], GREEDY, 0, f"openings of {name}")
    same = sum(one.text == text for one, (_, text) in zip(written, openings, strict=True))
    return round(same / max(1, len(openings)), 4)
