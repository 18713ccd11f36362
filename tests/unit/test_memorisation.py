"""What counts as completed: a model that knows one sentence by heart, and one that knows none."""

from pathlib import Path

import torch

from demo.checkpoints.weights import load_model
from tests import tiny
from training.memorisation import choose_texts, measure_memorisation, render

OTHERS = ["The teapots, says the harbor!", "the teapot counts the harbor and the teapots"]


def test_a_sentence_known_by_heart_is_completed_and_no_other(fluent_folder: Path) -> None:
    known = load_model(fluent_folder, torch.float32, "cpu")
    models = {"knows": known, "guesses": (tiny.gpt2(seed=1).eval(), known[1])}
    rows = measure_memorisation(models, {"train": [tiny.SENTENCE], "test": OTHERS})
    found = {
        (row["prefix_tokens"], row["model"], row["set"]): (row["texts"], row["completed"]["value"])
        for row in rows
    }
    assert found[10, "knows", "train"] == (1, 1.0)
    assert found[10, "guesses", "train"] == (1, 0.0)
    assert found[10, "knows", "test"][1] == 0.0
    assert f"{'10 tokens':<16}knows" in render(rows)


def test_only_texts_longer_than_their_beginning_are_asked_for() -> None:
    tokenizer = tiny.tokenizer()
    long = "the harbor " * 30
    assert choose_texts(["the harbor", long], tokenizer, 20) == [long]
