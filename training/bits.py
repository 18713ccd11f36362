"""Bits per byte and perplexity: how well a set of texts is foreseen, with intervals.

Knows log-likelihoods, bytes and the bootstrap; must not know where texts or models come
from. The definition: for each text, the negative log-likelihood in bits of its tokens and of
the closing mark, given the opening one, which is never scored; summed over the set and
divided by the sum of (UTF-8 bytes of the scored text + 1). Nothing attends across texts; fp32.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from tqdm import tqdm
from transformers import PreTrainedTokenizerBase

from training.documents import UNSCORED, Document, tokenise
from training.files import rounded

BATCH_TOKENS = 2_048
BOOTSTRAP_RESAMPLES = 2_000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Score:
    """One text: its negative log-likelihood in bits, and what that is spread over."""

    bits: float
    bytes: int
    tokens: int


@dataclass(frozen=True)
class Figure:
    """A set's figures: `low` and `high` bound the bootstrap 95 % interval of bits per byte;
    `perplexity` is per token, and only comparable within one tokenizer."""

    texts: int
    bytes: int
    tokens: int
    bits_per_byte: float
    low: float
    high: float
    perplexity: float

    def as_dict(self) -> dict[str, float]:
        """For `metrics.json`: figures rounded to what the interval can tell apart."""
        figures: dict[str, float] = rounded(asdict(self))
        return figures

    def __str__(self) -> str:
        return f"{self.bits_per_byte:.4f}  [{self.low:.4f}, {self.high:.4f}]"


def summarise(scores: Sequence[Score], seed: int = 0) -> Figure:
    """The set's figures, with a percentile bootstrap over texts (Efron 1979) by that seed."""
    bits = np.array([score.bits for score in scores])
    sizes = np.array([score.bytes for score in scores])
    picks = np.random.default_rng(seed).integers(
        len(scores), size=(BOOTSTRAP_RESAMPLES, len(scores))
    )
    ratios = bits[picks].sum(axis=1) / sizes[picks].sum(axis=1)
    low, high = np.quantile(ratios, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    tokens = sum(score.tokens for score in scores)
    return Figure(
        texts=len(scores),
        bytes=int(sizes.sum()),
        tokens=tokens,
        bits_per_byte=float(bits.sum() / sizes.sum()),
        low=float(low),
        high=float(high),
        perplexity=math.exp(float(bits.sum()) * math.log(2) / tokens),
    )


def difference(
    ours: Sequence[Score], theirs: Sequence[Score], seed: int = 0
) -> tuple[float, float, float]:
    """Bits per byte of `ours` less those of `theirs`, and its 95 % interval, by a paired
    bootstrap over the texts both were measured on: below 0, ours is the better."""
    bits = np.array([[score.bits for score in scores] for scores in (ours, theirs)])
    sizes = np.array([[score.bytes for score in scores] for scores in (ours, theirs)])
    picks = np.random.default_rng(seed).integers(len(ours), size=(BOOTSTRAP_RESAMPLES, len(ours)))
    both = bits[:, picks].sum(axis=2) / sizes[:, picks].sum(axis=2)
    low, high = np.quantile(both[0] - both[1], [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    whole = bits.sum(axis=1) / sizes.sum(axis=1)
    return float(whole[0] - whole[1]), float(low), float(high)


def score_texts(
    texts: Sequence[str], model: Any, tokenizer: PreTrainedTokenizerBase, label: str = ""
) -> list[Score]:
    """Scores every text with a causal language model, in the order given.

    Args:
        model: in eval mode, fp32; a text longer than its context is cut to it.
        label: shown by a progress bar; none without it.
    """
    documents = tokenise(texts, tokenizer, int(model.config.max_position_embeddings))
    order = sorted(range(len(documents)), key=lambda i: len(documents[i].ids))
    scores: dict[int, Score] = {}
    with tqdm(total=len(order), desc=label, unit=" texts", disable=not label) as bar:
        for batch in _batches(order, documents):
            bits = _bits([documents[i].ids for i in batch], model, tokenizer.eos_token_id)
            for i, value in zip(batch, bits, strict=True):
                document = documents[i]
                scores[i] = Score(value, document.scored_bytes, len(document.ids) - 1)
            bar.update(len(batch))
    return [scores[i] for i in range(len(documents))]


def _batches(order: Sequence[int], documents: Sequence[Document]) -> list[list[int]]:
    """Texts of similar length together, at most BATCH_TOKENS tokens with padding."""
    batches: list[list[int]] = [[]]
    for i in order:
        if (len(batches[-1]) + 1) * len(documents[i].ids) > BATCH_TOKENS and batches[-1]:
            batches.append([])
        batches[-1].append(i)
    return [batch for batch in batches if batch]


@torch.inference_mode()
def _bits(rows: Sequence[Sequence[int]], model: Any, padding: int) -> list[float]:
    width = max(map(len, rows))
    ids = torch.tensor([[*row, *[padding] * (width - len(row))] for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    ids, mask = ids.to(model.device), mask.to(model.device)
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    nats: Tensor = cross_entropy(
        logits[:, :-1].flatten(0, 1).float(),
        ids[:, 1:].masked_fill(mask[:, 1:] == 0, UNSCORED).flatten(),
        ignore_index=UNSCORED,
        reduction="none",
    )
    per_row: list[float] = nats.view(len(rows), -1).double().sum(dim=1).tolist()
    return [value / math.log(2) for value in per_row]
