"""Factors for differences and a temperature are found on texts, and written into weights."""

import random
from typing import Any

import pytest
import torch

from tests import made_up, tiny
from training.bits_per_byte import mean_bits_per_byte, score_texts
from training.calibration import LAST_NORM, Calibration, fit_calibration

TEXTS = [made_up.sentence(random.Random(seed)) for seed in range(32)]


@pytest.fixture
def model() -> Any:
    model = tiny.llama(tied=True).eval()
    model.config.use_cache = False
    return model


def copied(model: Any) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


def test_texts_are_likelier_once_a_model_is_calibrated(model: Any) -> None:
    """One whose differences have the wrong size and which is too sure of itself."""
    tokenizer, base = tiny.tokenizer(), copied(model)
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight))
    wrong = copied(model)
    before = mean_bits_per_byte(score_texts(TEXTS, model, tokenizer))
    found = fit_calibration(TEXTS[:24], model, tokenizer, base, 64)
    assert all(torch.equal(weight, wrong[name]) for name, weight in model.named_parameters())
    assert found.temperature > 1
    assert set(found.factors) == set(base)
    found.write(model, base)
    assert mean_bits_per_byte(score_texts(TEXTS[24:], model, tokenizer)) < before


def test_what_it_writes_are_scaled_differences_and_divided_logits(model: Any) -> None:
    base, ids = copied(model), torch.tensor([[0, 5, 9]])
    logits = model(ids).logits
    # No difference yet, so that only the temperature counts.
    Calibration(dict.fromkeys(base, 3.0), 2.0).write(model, base)
    torch.testing.assert_close(model(ids).logits, logits / 2)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(base[name] + 0.5)
    Calibration(dict.fromkeys(base, 3.0), 2.0).write(model, base)
    for name, weight in model.named_parameters():
        expected = (base[name] + 1.5) / (2 if name == LAST_NORM else 1)
        torch.testing.assert_close(weight, expected)
