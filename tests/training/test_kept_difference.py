"""A run whose weights are kept as a difference: what was measured on the way is what is written."""

import argparse
import json
from pathlib import Path

import pytest
import torch

from demo.generation.merging import merge_difference
from demo.generation.weights import load_model
from tests import tiny
from training import finetune, models
from training.bits import score_texts, summarise
from training.prepare import read_texts

RECIPE = """
method = "full"
base = "packaged"
learning_rate = 3e-3
epochs = 2
warmup_steps = 2
evaluate_every = 10
sample_every = 1000
block_size = 64

[difference]
start = {start}
two_bits = ["self_attn"]
"""


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny decoder in the place of the packaged one."""
    folder = tiny.write(tmp_path / "base", tiny.llama())
    monkeypatch.setattr(models, "packaged_base_folder", lambda: folder)
    return folder


def trained(tmp_path: Path, prepared: Path, start: float) -> Path:
    recipe = tmp_path / f"{start}.toml"
    recipe.write_text(RECIPE.format(start=start))
    out = tmp_path / f"run-{start}"
    parser = argparse.ArgumentParser()
    finetune.add_arguments(parser)
    arguments = ["--recipe", recipe, "--data", prepared, "--out", out, "--no-tracking"]
    assert finetune.run(parser.parse_args(list(map(str, arguments)))) == 0
    return out / "checkpoint"


def dev_bits(folder: Path, dev: list[str]) -> float:
    model, tokenizer = load_model(folder, torch.float32, "cpu")
    return summarise(score_texts(dev, model, tokenizer)).bits_per_byte


def test_the_best_state_is_chosen_by_the_weights_that_are_written(
    base: Path, prepared: Path, tmp_path: Path
) -> None:
    dev = read_texts(prepared, "dev")
    untrained = dev_bits(base, dev)
    figures = {}
    for start in (0.5, 1.0):
        checkpoint = trained(tmp_path, prepared, start)
        names = {path.name for path in checkpoint.iterdir()}
        assert {"difference.safetensors", "base.json", "generation_config.json"} <= names
        assert not {"model.safetensors", "config.json"} & names
        merged = tmp_path / f"merged-{start}"
        merge_difference(checkpoint, base, merged)
        figures[start] = dev_bits(merged, dev)
        recorded = json.loads((checkpoint / "metrics.json").read_text())["training"]
        assert recorded["best_dev_bits_per_byte"] == pytest.approx(figures[start], rel=1e-6)
    # Steps that see rounded weights learn to do without what rounding takes.
    assert figures[0.5] < figures[1.0] < untrained
