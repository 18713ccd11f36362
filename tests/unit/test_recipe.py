"""Recipes: every one there is can be read, and a wrong one is refused by name."""

from pathlib import Path

import pytest

from training import TrainingError
from training.finetune import override
from training.recipe import read_recipe, recipe_names


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_can_be_read(name: str) -> None:
    assert read_recipe(name).learning_rate > 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rate = ", "is not TOML"),
        (
            'method = "full"\nlearning_rate = 1\nepochs = 1\nteapots = 2',
            "teapots: Unexpected keyword",
        ),
        ('method = "full"\nepochs = 1', "learning_rate: Field required"),
        (
            'method = "full"\nlearning_rate = "high"\nepochs = 1',
            "learning_rate: Input should be a valid number",
        ),
        (
            'method = "magic"\nlearning_rate = 1\nepochs = 1',
            "method: Input should be 'full', 'lora' or",
        ),
        ('method = "lora"\nlearning_rate = 1\nepochs = 1', r"\[lora\] belongs to"),
        (
            'method = "full"\nlearning_rate = 1\nepochs = 1\n[lora]\nrank = 1\nalpha = 1',
            r"\[lora\]",
        ),
        (
            'method = "full"\nlearning_rate = 1\nepochs = 1\n[difference]\nstart = 0.5',
            r"\[difference\] belongs to .* base = 'packaged'",
        ),
        (
            'method = "full"\nbase = "packaged"\nlearning_rate = 1\nepochs = 1\n'
            "[difference]\nstart = 50",
            "difference.start: Input should be less than or equal to 1",
        ),
        (
            'method = "full"\nbase = "packaged"\nlearning_rate = 1\nepochs = 1\n'
            '[difference]\nstart = 0\ntwo_bits = "attn"',
            "difference.two_bits: Input should be a valid array",
        ),
    ],
)
def test_a_wrong_recipe_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(TrainingError, match=rf"wrong\.toml.*{message}"):
        read_recipe(str(path))


def test_only_over_the_packaged_base_are_weights_stored_as_a_difference() -> None:
    recipe = read_recipe("embedded")
    assert recipe.difference is not None
    assert override(recipe) == override(recipe, base="packaged") == recipe
    assert override(recipe, base="another/decoder").difference is None
    adapter = override(recipe, lora=4)
    assert (adapter.method, adapter.difference) == ("lora", None)
