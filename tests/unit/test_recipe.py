"""Recipes: every one there is can be read, and a wrong one is refused by name."""

from pathlib import Path

import pytest

from training import TrainingError
from training.finetune import override
from training.recipe import read_recipe, recipe_names


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_can_be_read(name: str) -> None:
    assert read_recipe(name).learning_rate > 0


# Keys stand before tables.
FULL = 'method = "full"\nbase = "packaged"\nlearning_rate = 0.1\nepochs = 1\n'
SCRATCH = 'method = "scratch"\nlearning_rate = 0.1\nepochs = 1\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rate = ", "is not TOML"),
        (f"{FULL}teapots = 2", "there is no setting teapots"),
        (f"{FULL}fsdp = true\n[difference]\nstart = 0.5", "fsdp does not go with"),
        (f"{FULL}calibrate = true", r"calibrate = true goes with \[difference\] alone"),
        (f"{FULL}[difference]\nstart = 0.5\nend = 1", "there is no setting difference.end"),
        ('method = "full"\nepochs = 1', "learning_rate: Field required"),
        ('method = "full"\nlearning_rate = "high"\nepochs = 1', "learning_rate: .* valid number"),
        ('method = "magic"\nlearning_rate = 1\nepochs = 1', "method: .* 'full', 'lora' or"),
        ('method = "lora"\nlearning_rate = 1\nepochs = 1', r"\[lora\] belongs to"),
        ('method = "full"\nlearning_rate = 1\nepochs = 1', "method = 'full' needs a base"),
        (f"{FULL}[lora]\nrank = 1\nalpha = 1", r"\[lora\] belongs to"),
        (
            f"{FULL.replace('packaged', 'gpt2')}[difference]\nstart = 0.5",
            r"\[difference\] belongs to .* base = 'packaged'",
        ),
        (f"{FULL}[difference]\nstart = 50", "difference.start: .* less than or equal to 1"),
        (f'{FULL}[difference]\nstart = 0\ntwo_bits = "attn"', "difference.two_bits: .* array"),
        (f'{FULL}scheduler = "liner"', "scheduler: Input should be 'linear', 'cosine'"),
        (f"{FULL}block_size = 0", "block_size: .* greater than or equal to 16"),
        (f"{FULL}batch_size = 0", "batch_size: .* greater than or equal to 1"),
        (f"{FULL}evaluate_every = 0", "evaluate_every: .* greater than or equal to 1"),
        (f"{FULL}warmup_steps = nan", "warmup_steps: Input should be"),
        (f"{FULL}weight_decay = -0.1", "weight_decay: .* greater than or equal to 0"),
        (f"{FULL}seed = -1", "seed: .* greater than or equal to 0"),
        (f"{FULL}seed = true", "seed: .* valid integer"),
        (
            f"{SCRATCH}block_size = 256\n[scratch]\nvocab_size = 300\nn_positions = 128\n"
            "n_embd = 32\nn_layer = 1\nn_head = 2",
            r"block_size \(256\) is over n_positions \(128\)",
        ),
        (
            f"{SCRATCH}[scratch]\nvocab_size = 300\nn_positions = 128\nn_embd = 32\n"
            "n_layer = 1\nn_head = 3",
            r"n_embd \(32\) must be a multiple of n_head \(3\)",
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
