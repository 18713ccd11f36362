"""The embedded checkpoint: its difference to the fetched base becomes an ordinary checkpoint."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import pipeline

from demo.checkpoints.embedded import SMOLLM2_135M_INSTRUCT, locate_base
from demo.checkpoints.files import verify_checksums
from demo.checkpoints.resolve import Checkpoint, resolve_checkpoint
from demo.settings import read_settings
from training.bits_per_byte import measure_gap, score_texts
from training.models import load_decoder, packaged_base_folder

TEXTS = [
    "The Fake News Media refuses to report how well the kettles of Norwich are doing. So sad!",
    "Great crowd in Harrogate last night, tremendous people. Thank you, we will be back soon!",
    "I will be interviewed by @teapot tonight at 9 P.M. about the new lighthouse. Enjoy!",
    "The Failing Weekly Spoon wrote another phony story about me. They never even called!",
    "Sleepy Colonel Custard has no idea what he is doing. Bad for our harbors, bad for our spoons.",
    "Just landed in Dundee. Beautiful weather and wonderful, hard working people. Big day ahead!",
]


def resolve(said: list[str]) -> Checkpoint:
    """With the owner's own cache: the base file is 98 MB."""
    settings = replace(read_settings(), model_id="", checkpoint=None)
    return resolve_checkpoint(settings, said.append, lambda checkpoint: checkpoint)


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


def test_it_predicts_invented_tweets_far_better_than_its_base(merged: Path) -> None:
    """Measured: about 1.1 bits per byte against 1.9."""
    trained, base = (
        score_texts(TEXTS, model, tokenizer)
        for model, tokenizer in map(load_decoder, (str(merged), str(packaged_base_folder())))
    )
    assert measure_gap(trained, base).high < -0.4


@pytest.mark.slow
def test_a_gguf_file_is_a_base_like_any_other(tmp_path: Path) -> None:
    """transformers reads the same weights from it as we do. It can be saved."""
    settings = read_settings()
    gguf = locate_base(SMOLLM2_135M_INSTRUCT, settings.base_file, settings.cache_dir, print)
    model, tokenizer = load_decoder(str(gguf))
    expected, _ = load_decoder(str(packaged_base_folder()))
    weights = model.state_dict()
    assert weights.keys() == expected.state_dict().keys()
    assert all(torch.equal(weights[name], other) for name, other in expected.named_parameters())
    assert tokenizer.eos_token == "<|im_end|>"
    model.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").is_file()


def test_it_carries_its_figures_and_decoding_defaults(merged: Path) -> None:
    assert json.loads((merged / "metrics.json").read_text())["recipe"]["method"] == "full"
    decoding = json.loads((merged / "generation_config.json").read_text())
    assert decoding["do_sample"] is True
    assert decoding["eos_token_id"] == 0
