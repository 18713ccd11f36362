"""Checkpoints small enough to be made while a test waits; they write noise, or one sentence."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPT2Tokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
)

from demo.checkpoints.difference import Delta, write_difference
from demo.checkpoints.embedded import BaseFile
from demo.checkpoints.files import CheckpointError, file_sha256, read_object, write_checksums
from demo.checkpoints.merging import Decoder
from demo.generation.openvino.export import export
from demo.subprocesses import ModuleFailed
from training.models import train_tokenizer

SENTENCE = "The café counts 😀 teapots: naïve 🫖🫖, says the 🇩🇰 harbor – tremendous!"
CONTEXT = 96


def tokenizer() -> GPT2Tokenizer:
    """Byte-level, the mark first; no merge joins the bytes of an emoji."""
    return train_tokenizer(["the teapot counts the harbor", "The teapots, says the harbor!"], 290)


def gpt2(seed: int = 0) -> GPT2LMHeadModel:
    """Random weights."""
    torch.manual_seed(seed)
    shape: dict[str, Any] = {"n_positions": CONTEXT, "n_embd": 32, "n_layer": 2, "n_head": 2}
    marks: dict[str, Any] = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    return GPT2LMHeadModel(GPT2Config(vocab_size=290, **shape, **marks))


def llama(seed: int = 0, tied: bool = False) -> LlamaForCausalLM:
    """Random weights; the embeddings are the head's too if `tied`."""
    torch.manual_seed(seed)
    shape: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    heads: dict[str, Any] = {"num_attention_heads": 4, "num_key_value_heads": 2}
    marks: dict[str, Any] = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    marks["tie_word_embeddings"] = tied
    return LlamaForCausalLM(
        LlamaConfig(vocab_size=290, max_position_embeddings=CONTEXT, **shape, **heads, **marks)
    )


def write(folder: Path, model: PreTrainedModel) -> Path:
    """An ordinary checkpoint folder."""
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    write_checksums(folder)
    return folder


def read(folder: Path) -> Decoder:
    """What merging takes for the base: an ordinary folder stands for the base's file."""
    config = read_object(folder, "config.json")
    weights = load_file(folder / "model.safetensors")
    return Decoder(config, weights, GPT2Tokenizer.from_pretrained(folder))


def export_here(_module: str, folder: str, out: str, source: str, **_: Any) -> None:
    """Stands for `demo.generation.openvino.exported.run_module`, whose process imports torch and
    transformers for each export."""
    try:
        export(Path(folder), Path(out), source=source)
    except CheckpointError as error:
        raise ModuleFailed(str(error)) from error


def write_fluent(folder: Path, sureness: float = 1.0) -> Path:
    """A GPT-2 that knows one sentence by heart, with characters of up to four bytes.

    Its blocks add nothing, and its positions point at the token that follows. Its logits are
    multiplied by `sureness`.
    """
    model: Any = gpt2()
    ids = [0, *tokenizer()(SENTENCE)["input_ids"], 0]
    with torch.no_grad():
        for block in model.transformer.h:
            block.attn.c_proj.weight.zero_()
            block.mlp.c_proj.weight.zero_()
        words = model.transformer.wte.weight
        words -= words.mean(dim=1, keepdim=True)
        words /= words.norm(dim=1, keepdim=True)
        model.transformer.wpe.weight[: len(ids) - 1] = 10 * words[ids[1:]]
        model.transformer.ln_f.weight *= sureness
    return write(folder, model)


def write_tuned(folder: Path, base_file: Path) -> Path:
    """A folder with a difference to `llama()`, whose weights `base_file` stands for."""
    folder.mkdir()
    torch.manual_seed(1)
    differences = {
        name: Delta(torch.randn_like(weight) / 10, 2 if "q_proj" in name else 1)
        for name, weight in llama().named_parameters()
    }
    write_difference(folder / "difference.safetensors", differences)
    content = base_file.read_bytes()
    BaseFile(
        package="teapots", version="1.0", member="teapots/t.gguf",
        sha256=file_sha256(base_file), bytes=len(content), license="MIT",
    ).write(folder / "base.json")  # fmt: skip
    (folder / "metrics.json").write_text(json.dumps({"bits_per_byte": 9.9}), encoding="utf-8")
    (folder / "generation_config.json").write_text('{"top_p": 0.5}', encoding="utf-8")
    write_checksums(folder)
    return folder
