"""The temperature that suits a model is found, and written into its weights."""

import random
from pathlib import Path
from typing import Any

import pytest
import torch

from demo.checkpoints.weights import load_model
from tests import made_up, tiny
from training.bits_per_byte import mean_bits_per_byte, score_texts
from training.calibration import best_temperature, divide_logits, last_norm

TEXTS = [made_up.sentence(random.Random(seed)) for seed in range(8)]


@pytest.mark.parametrize("make", [tiny.llama, tiny.gpt2])
def test_a_model_that_is_too_sure_of_itself_predicts_better_afterwards(make: Any) -> None:
    model, tokenizer = make().eval(), tiny.tokenizer()
    ids = torch.tensor([[0, 5, 9]])
    # Its last norm has no bias yet that would have to be divided too.
    torch.nn.init.normal_(list(last_norm(model).parameters())[-1])
    divide_logits(last_norm(model), 1 / 30)
    before, logits = mean_bits_per_byte(score_texts(TEXTS, model, tokenizer)), model(ids).logits
    temperature = best_temperature(TEXTS, model, tokenizer)
    assert temperature > 1
    divide_logits(last_norm(model), temperature)
    torch.testing.assert_close(model(ids).logits, logits / temperature)
    assert mean_bits_per_byte(score_texts(TEXTS, model, tokenizer)) < before


def test_a_model_that_knows_its_text_may_be_surer_and_of_others_less_sure(tmp_path: Path) -> None:
    model, tokenizer = load_model(tiny.write_fluent(tmp_path / "fluent"), torch.float32, "cpu")
    assert best_temperature([tiny.SENTENCE], model, tokenizer) < 1
    assert best_temperature(TEXTS, model, tokenizer) > 1


def test_another_architecture_has_no_norm_that_is_known_to_do_it() -> None:
    assert last_norm(torch.nn.Linear(1, 1)) is None
