"""Bits per byte, its interval and the classical baselines, against values worked out by hand."""

import math
import random

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from tests import made_up
from training.bits_per_byte import (
    ALPHABET,
    BEGIN,
    END,
    KneserNey,
    Score,
    Unigram,
    score_texts,
    summarise,
)
from training.models import train_tokenizer

TEXTS = [made_up.sentence(random.Random(seed)) for seed in range(60)]


def test_a_model_that_knows_nothing_scores_the_logarithm_of_its_vocabulary() -> None:
    tokenizer = train_tokenizer(TEXTS, 300)
    shape = GPT2Config(vocab_size=300, n_positions=128, n_embd=8, n_layer=1, n_head=1)
    model = GPT2LMHeadModel(shape).eval()
    torch.nn.init.zeros_(model.transformer.wte.weight)
    texts = ["Tea", "The kettle sings, é!"]
    scores = score_texts(texts, model, tokenizer, "test")
    for text, score in zip(texts, scores, strict=True):
        tokens = len(tokenizer(text)["input_ids"]) + 1
        assert (score.tokens, score.bytes) == (tokens, len(text.encode()) + 1)
        assert score.bits == pytest.approx(tokens * math.log2(300), rel=1e-5)


def test_padding_and_neighbours_change_no_score() -> None:
    tokenizer = train_tokenizer(TEXTS, 300)
    torch.manual_seed(1)
    shape = GPT2Config(vocab_size=300, n_positions=128, n_embd=16, n_layer=2, n_head=2)
    model = GPT2LMHeadModel(shape).eval()
    together = score_texts(TEXTS, model, tokenizer, "together")
    for text, score in list(zip(TEXTS, together, strict=True))[::12]:
        (alone,) = score_texts([text], model, tokenizer, "alone")
        assert alone.bits == pytest.approx(score.bits, rel=1e-4)


def test_figures_are_sums_over_the_set_not_means_of_texts() -> None:
    figure = summarise([Score(bits=10, bytes=10, tokens=5), Score(bits=90, bytes=30, tokens=15)])
    assert figure.bits_per_byte == pytest.approx(2.5)
    assert figure.perplexity == pytest.approx(2 ** (100 / 20))
    assert (figure.texts, figure.bytes, figure.tokens) == (2, 40, 20)


def test_the_interval_holds_the_figure_and_narrows_with_more_texts() -> None:
    chance = random.Random(3)
    scores = [Score(chance.uniform(50, 150), 100, 30) for _ in range(400)]
    few, many = summarise(scores[:25]), summarise(scores)
    assert few.low < few.bits_per_byte < few.high
    assert many.high - many.low < (few.high - few.low) / 2
    assert summarise(scores) == many


def test_the_interval_of_a_single_text_is_its_own_figure() -> None:
    figure = summarise([Score(bits=10, bytes=8, tokens=5)])
    assert figure.low == figure.bits_per_byte == figure.high == 1.25


@pytest.mark.parametrize("model", [Unigram(TEXTS), KneserNey(TEXTS, 4)], ids=["unigram", "ngram"])
@pytest.mark.parametrize("context", ["", BEGIN * 3, "The", "xyz", "\x00\xff"])
def test_the_probabilities_of_a_baseline_sum_to_one(
    model: Unigram | KneserNey, context: str
) -> None:
    total = sum(model.probability(context, chr(code)) for code in range(ALPHABET))
    assert total == pytest.approx(1)


def test_kneser_ney_by_hand() -> None:
    """Two texts "a": of order 2, every bigram is seen twice, so the discount is 0.5."""
    model = KneserNey(["a", "a"], order=2)
    uniform = 1 / ALPHABET
    # Unigrams count what they follow: "a" one symbol, the closing mark one; discount 1.
    below = (max(1 - 1, 0) + 1 * 2 * uniform) / 2
    assert model.probability("a", END) == pytest.approx((2 - 0.5 + 0.5 * 1 * below) / 2)


def test_a_longer_memory_foresees_more() -> None:
    train, test = TEXTS[:50], TEXTS[50:]
    unigram = summarise(Unigram(train).score(test)).bits_per_byte
    trigram = summarise(KneserNey(train, 3).score(test)).bits_per_byte
    sixgram = summarise(KneserNey(train, 6).score(test)).bits_per_byte
    assert unigram > trigram > sixgram
