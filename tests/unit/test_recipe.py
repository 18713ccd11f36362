"""Recipes: every one there is can be read, and a wrong one is refused by name."""

import argparse
from pathlib import Path

import pytest

from training.errors import TrainingError
from training.finetune import add_arguments, overridden
from training.recipe import Recipe, read_recipe, recipe_names


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_can_be_read(name: str) -> None:
    assert read_recipe(name).learning_rate > 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rate = ", "is not TOML"),
        ('method = "full"\nlearning_rate = 1\nepochs = 1\nteapots = 2', "teapots"),
        ('method = "full"\nepochs = 1', "learning_rate"),
        ('method = "full"\nlearning_rate = "high"\nepochs = 1', "learning_rate must be a number"),
        ('method = "magic"\nlearning_rate = 1\nepochs = 1', "method must be one of full, lora"),
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
            "a share, 0 to 1",
        ),
        (
            'method = "full"\nbase = "packaged"\nlearning_rate = 1\nepochs = 1\n'
            '[difference]\nstart = 0\ntwo_bits = "attn"',
            "a list of parts of names",
        ),
    ],
)
def test_a_wrong_recipe_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(TrainingError, match=rf"wrong\.toml.*{message}"):
        read_recipe(str(path))


def ordered(*arguments: str) -> Recipe:
    """The recipe `embedded` as the command line changes it."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    given = parser.parse_args(["--recipe", "embedded", *arguments])
    return overridden(read_recipe("embedded"), given)


def test_only_over_the_packaged_base_are_weights_kept_as_a_difference() -> None:
    assert ordered().difference == ordered("--base", "packaged").difference
    assert ordered().difference is not None
    assert ordered("--base", "another/decoder").difference is None
    adapter = ordered("--lora", "4")
    assert (adapter.method, adapter.difference) == ("lora", None)
