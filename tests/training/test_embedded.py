"""The embedded checkpoint: its difference to the fetched base becomes an ordinary checkpoint."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import pipeline

from demo.checkpoints.embedded import SMOLLM2_135M_INSTRUCT, locate_base
from demo.checkpoints.files import verify_checksums
from demo.checkpoints.resolve import Checkpoint, resolve_checkpoint
from demo.settings import read_settings
from training.bits import score_texts
from training.card import EMBEDDED
from training.models import load_decoder, packaged_base_folder


def resolve(said: list[str]) -> Checkpoint:
    """With the owner's own cache: the base file is 98 MB."""
    settings = read_settings()
    return resolve_checkpoint(
        model_id="",
        model_revision="",
        folder=None,
        embedded=EMBEDDED,
        base_file=settings.base_file,
        cache_dir=settings.cache_dir,
        say=said.append,
    )


@pytest.fixture(scope="module")
def merged() -> Path:
    return resolve([]).folder


def test_three_lines_as_in_the_blog_post(merged: Path) -> None:
    generate: Any = pipeline("text-generation", model=str(merged))
    text = generate("Today I'll be")[0]["generated_text"]
    assert text.startswith("Today I'll be")
    # Random weights pass the above, but do not tell a sentence from its words in another order.
    sentence = "Today I'll be going to the White House to talk about jobs."
    shuffled = "the jobs. Today House about going be talk to I'll White to"
    assert sorted(sentence.split()) == sorted(shuffled.split())
    plain, mixed = score_texts([sentence, shuffled], generate.model, generate.tokenizer)
    assert plain.bits + 20 < mixed.bits


def test_the_merged_checkpoint_is_kept_and_found_again_without_a_word(merged: Path) -> None:
    said: list[str] = []
    again = resolve(said)
    assert (again.folder, again.name, again.notice) == (merged, "embedded", "")
    assert said == []
    verify_checksums(merged)


def test_a_gguf_file_is_a_base_like_any_other(tmp_path: Path) -> None:
    """Its weights are those of the packaged base, which is made from it; it can be saved."""
    settings = read_settings()
    gguf = locate_base(SMOLLM2_135M_INSTRUCT, settings.base_file, settings.cache_dir, print)
    model, tokenizer = load_decoder(str(gguf))
    expected, _ = load_decoder(str(packaged_base_folder()))
    name = "model.layers.3.mlp.up_proj.weight"
    assert torch.equal(model.state_dict()[name], expected.state_dict()[name])
    assert tokenizer.eos_token == "<|im_end|>"
    model.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").is_file()


def test_it_carries_its_figures_and_decoding_defaults(merged: Path) -> None:
    assert json.loads((merged / "metrics.json").read_text())["recipe"]["method"] == "full"
    decoding = json.loads((merged / "generation_config.json").read_text())
    assert decoding["do_sample"] is True
    assert decoding["eos_token_id"] == 0
