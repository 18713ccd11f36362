"""Bits per byte and perplexity of a set of texts, with intervals and classical baselines.

For each text, the negative log-likelihood in bits of its tokens and of the closing end-of-text
token, given the opening one, which is not scored; summed over the set and divided by the sum of
(UTF-8 bytes of the scored text + 1). No text attends to another; everything is fp32.
"""

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from tqdm import tqdm
from transformers import PreTrainedTokenizerBase

from demo.judging.judges import Share
from training.documents import UNSCORED, Document, tokenise
from training.intervals import bootstrap_interval

BATCH_TOKENS = 2_048
# The byte models' symbols: U+0000 to U+00FF for bytes, and two more that end and begin a text, so
# that a context is a `str`. The beginning is never predicted.
END, BEGIN = chr(256), chr(257)
ALPHABET = 257
KNESER_NEY_ORDER = 8


@dataclass(frozen=True)
class Score:
    """One text: its negative log-likelihood in bits, and the bytes and tokens it is spread over."""

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

    def __str__(self) -> str:
        return f"{self.bits_per_byte:.4f}  [{self.low:.4f}, {self.high:.4f}]"


def mean_bits_per_byte(scores: Sequence[Score]) -> float:
    return float(_ratio(*_bits_and_bytes(scores)))


def summarise(scores: Sequence[Score]) -> Figure:
    """The set's figures, with a percentile bootstrap over its texts (Efron 1979)."""
    bits, sizes = _bits_and_bytes(scores)
    found = bootstrap_interval(_ratio, (bits, sizes), is_paired=True)
    tokens = sum(score.tokens for score in scores)
    return Figure(
        texts=len(scores),
        bytes=int(sizes.sum()),
        tokens=tokens,
        bits_per_byte=found.value,
        low=found.low,
        high=found.high,
        perplexity=math.exp(float(bits.sum()) * math.log(2) / tokens),
    )


def measure_gap(ours: Sequence[Score], theirs: Sequence[Score]) -> Share:
    """Our bits per byte less theirs, by a paired bootstrap over the texts that both models were
    scored on: below 0, ours is better."""

    def gap(our_bits: Any, our_sizes: Any, bits: Any, sizes: Any, axis: int = -1) -> Any:
        return _ratio(our_bits, our_sizes, axis) - _ratio(bits, sizes, axis)

    columns = (*_bits_and_bytes(ours), *_bits_and_bytes(theirs))
    return bootstrap_interval(gap, columns, is_paired=True)


def _bits_and_bytes(scores: Sequence[Score]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([score.bits for score in scores]), np.array([score.bytes for score in scores])


def _ratio(bits: np.ndarray, sizes: np.ndarray, axis: int = -1) -> Any:
    return bits.sum(axis=axis) / sizes.sum(axis=axis)


def score_texts(
    texts: Sequence[str], model: Any, tokenizer: PreTrainedTokenizerBase, label: str = ""
) -> list[Score]:
    """Scores every text with a causal language model, in the order given.

    Args:
        model: in eval mode, fp32; a text longer than its context is cut to it.
        label: shown by a progress bar; without it there is no bar.
    """
    scores: dict[int, Score] = {}
    for batch in run_model(texts, model, tokenizer, label):
        for i, document, bits in zip(batch.texts, batch.documents, batch.bits(), strict=True):
            scores[i] = Score(bits, document.scored_bytes, len(document.ids) - 1)
    return [scores[i] for i in range(len(texts))]


@dataclass(frozen=True)
class Batch:
    """Documents that a model read side by side, padded on the right.

    `texts` are their numbers; `ids` and `mask` are `(documents, tokens)`, and `output` is the
    model's, for each token.
    """

    texts: Sequence[int]
    documents: Sequence[Document]
    ids: Tensor
    mask: Tensor
    output: Any

    def bits(self) -> list[float]:
        """Each document's negative log-likelihood."""
        nats: Tensor = cross_entropy(
            self.output.logits[:, :-1].flatten(0, 1).float(),
            self.ids[:, 1:].masked_fill(self.mask[:, 1:] == 0, UNSCORED).flatten(),
            ignore_index=UNSCORED,
            reduction="none",
        )
        per_row: list[float] = nats.view(len(self.ids), -1).double().sum(dim=1).tolist()
        return [value / math.log(2) for value in per_row]


@torch.no_grad()
def run_model(
    texts: Sequence[str],
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    label: str = "",
    **options: Any,
) -> Iterator[Batch]:
    """What a causal language model makes of the texts, in batches of similar length; `options` are
    the model's. The arguments are those of `score_texts`."""
    context = int(model.config.max_position_embeddings)
    documents = tokenise(texts, tokenizer, context)
    cut = sum(document.ids[-1] != tokenizer.eos_token_id for document in documents)
    if cut and label:
        print(
            f"{cut:,} texts are longer than the model's {context:,} tokens: the rest is unscored."
        )
    by_length = sorted(range(len(documents)), key=lambda i: len(documents[i].ids))
    with tqdm(total=len(documents), desc=label, unit=" texts", disable=not label) as bar:
        for numbers in _batches(by_length, documents):
            chosen = [documents[i] for i in numbers]
            width = len(chosen[-1].ids)
            fill = [width - len(document.ids) for document in chosen]
            rows = zip(chosen, fill, strict=True)
            ids = torch.tensor([[*d.ids, *[tokenizer.eos_token_id] * n] for d, n in rows])
            mask = torch.tensor([[1] * (width - n) + [0] * n for n in fill])
            ids, mask = ids.to(model.device), mask.to(model.device)
            output = model(input_ids=ids, attention_mask=mask, use_cache=False, **options)
            yield Batch(numbers, chosen, ids, mask, output)
            bar.update(len(numbers))


def _batches(by_length: Sequence[int], documents: Sequence[Document]) -> list[list[int]]:
    """Batches of texts of similar length, at most BATCH_TOKENS tokens each, padding included."""
    batches: list[list[int]] = [[]]
    for i in by_length:
        if (len(batches[-1]) + 1) * len(documents[i].ids) > BATCH_TOKENS and batches[-1]:
            batches.append([])
        batches[-1].append(i)
    return [batch for batch in batches if batch]


class ByteModel(ABC):
    """A classical model that a neural one must beat: it predicts a symbol from the `order - 1`
    before it."""

    order: int

    @abstractmethod
    def probability(self, context: str, symbol: str) -> float:
        """P(symbol | the last `order - 1` symbols of the context), over 257 symbols."""

    def score(self, texts: Iterable[str]) -> list[Score]:
        """Scores every text, by the same definition as a language model's."""
        scores = []
        for text in texts:
            line = self._line(text)
            positions = range(self.order - 1, len(line))
            bits = -sum(
                math.log2(self.probability(line[i - self.order + 1 : i], line[i]))
                for i in positions
            )
            scores.append(Score(bits, len(positions), len(positions)))
        return scores

    def _line(self, text: str) -> str:
        return BEGIN * (self.order - 1) + text.encode().decode("latin-1") + END


class Unigram(ByteModel):
    """Byte frequencies with add-one smoothing."""

    order = 1

    def __init__(self, texts: Iterable[str]) -> None:
        self._counts = Counter(symbol for text in texts for symbol in self._line(text))
        self._total = self._counts.total() + ALPHABET

    def probability(self, context: str, symbol: str) -> float:
        return (self._counts[symbol] + 1) / self._total


class KneserNey(ByteModel):
    """Interpolated Kneser-Ney (Kneser and Ney 1995; Chen and Goodman 1999).

    One absolute discount for each order, n1 / (n1 + 2 n2); below the first order, uniform.
    """

    def __init__(self, texts: Sequence[str], order: int = KNESER_NEY_ORDER) -> None:
        self.order = order
        self._counts = self._count(texts)
        self._discounts = [_discount(counts) for counts in self._counts]
        # By order and history: how many symbols followed it, and how many different ones.
        self._totals: list[Counter[str]] = [Counter() for _ in self._counts]
        self._kinds: list[Counter[str]] = [Counter() for _ in self._counts]
        for counts, totals, kinds in zip(self._counts, self._totals, self._kinds, strict=True):
            for gram, count in counts.items():
                totals[gram[:-1]] += count
                kinds[gram[:-1]] += 1

    def _count(self, texts: Sequence[str]) -> list[Counter[str]]:
        """Counts of n-grams, the shortest first: of the longest, how often each occurs; of shorter
        ones, after how many different symbols."""
        longest: Counter[str] = Counter()
        for text in tqdm(texts, desc="Kneser-Ney", unit=" texts"):
            line = self._line(text)
            longest.update(line[i : i + self.order] for i in range(len(line) - self.order + 1))
        counts = [longest]
        for _ in range(self.order - 1):
            counts.append(Counter(gram[1:] for gram in counts[-1]))
        return counts[::-1]

    def probability(self, context: str, symbol: str) -> float:
        probability = 1 / ALPHABET
        for level in range(self.order):
            history = context[len(context) - level :]
            total = self._totals[level][history]
            if not total:
                break
            discount = self._discounts[level]
            count = self._counts[level][history + symbol]
            backed_off = discount * self._kinds[level][history] * probability
            probability = (max(count - discount, 0.0) + backed_off) / total
        return probability


def _discount(counts: Counter[str]) -> float:
    once = sum(count == 1 for count in counts.values())
    twice = sum(count == 2 for count in counts.values())
    return once / (once + 2 * twice) if once else 0.5
