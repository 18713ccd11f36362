"""Merges the embedded difference and its base file into an ordinary checkpoint folder.

Run as a process of its own, `python -m demo.checkpoints.merging FOLDER GGUF OUT`: its libraries
take seconds to import and hundreds of megabytes.
"""

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGUFReader, dequantize
from safetensors.torch import save_file
from torch import Tensor
from transformers import GPT2Tokenizer

from demo.checkpoints.difference import read_difference
from demo.checkpoints.embedded import END_OF_TEXT
from demo.checkpoints.files import (
    BASE,
    CONFIG,
    DEFINING,
    DIFFERENCE,
    SUMS,
    WEIGHTS,
    CheckpointError,
    needed_files,
    write_checksums,
)
from demo.subprocesses import end_with_parent

# Not copied from the folder of the difference: the merged model has its own, or needs none.
NOT_COPIED = (DIFFERENCE, BASE, SUMS, *DEFINING, *WEIGHTS)
# A Llama's config by the metadata of GGUF.
_SHAPE = {
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_hidden_layers": "block_count",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "max_position_embeddings": "context_length",
    "rms_norm_eps": "attention.layer_norm_rms_epsilon",
}
# Its weights by the names of GGUF, in which "blk.3." stands for "model.layers.3.".
_WEIGHTS = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_HEADS = {"attn_q": "attention.head_count", "attn_k": "attention.head_count_kv"}


@dataclass(frozen=True)
class Decoder:
    """A model as its files: the config, the weights in fp32 by their names, and the tokenizer."""

    config: Mapping[str, Any]
    weights: Mapping[str, Tensor]
    tokenizer: Any

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONFIG).write_text(json.dumps(self.config, indent=2), encoding="utf-8")
        save_file(dict(self.weights), folder / "model.safetensors", metadata={"format": "pt"})
        self.tokenizer.save_pretrained(folder)


class _Reader(GGUFReader):  # type: ignore[misc]
    """Slices a plain array, which is four times as fast as the mapped one and shares its memory."""

    def _read_plainly(self, mapped: np.ndarray) -> None:
        self._plain = mapped.view(np.ndarray)

    data = property(lambda self: self._plain, _read_plainly)


class _Metadata(dict[str, Any]):
    """What a GGUF file says of its model."""

    def __missing__(self, name: str) -> Any:
        raise CheckpointError(f"The base file lacks {name}, which every llama has.")


def read_base(path: Path) -> Decoder:
    """A Llama from a GGUF file; raises CheckpointError if it is another model. transformers would
    read the file three times over, and import far more than is needed here. `<|endoftext|>` takes
    the place of every special token of the chat model: a document is one tweet, opened and closed
    by it."""
    gguf = _Reader(path)
    facts = _Metadata({name: field.contents() for name, field in gguf.fields.items()})
    if (kind := facts["general.architecture"]) != "llama":
        raise CheckpointError(f"{path.name} is a {kind} model; the base must be a llama.")
    vocab = {token: index for index, token in enumerate(facts["tokenizer.ggml.tokens"])}
    merges = [tuple(merge.split(" ")) for merge in facts["tokenizer.ggml.merges"]]
    tokenizer = build_tokenizer(vocab, merges)
    weights = {}
    for tensor in gguf.tensors:
        *block, name, end = tensor.name.split(".")
        if name not in _WEIGHTS:
            raise CheckpointError(f"{path.name} has a weight that no llama has: {tensor.name}.")
        # What is stored in fp32 is the file itself, which is mapped and cannot be written.
        values = np.require(dequantize(tensor.data, tensor.tensor_type), requirements="W")
        weight = torch.from_numpy(values)
        if name in _HEADS:
            weight = _split_halves(weight, facts[f"llama.{_HEADS[name]}"])
        layer = f"model.layers.{block[1]}." if block else ""
        weights[f"{layer}{_WEIGHTS[name]}.{end}"] = weight
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "float32",
        "vocab_size": len(vocab),
        **{name: facts[f"llama.{key}"] for name, key in _SHAPE.items()},
        "rope_parameters": {"rope_type": "default", "rope_theta": facts["llama.rope.freq_base"]},
        "tie_word_embeddings": "lm_head.weight" not in weights,
        **dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), tokenizer.eos_token_id),
    }
    return Decoder(config, weights, tokenizer)


def _split_halves(weight: Tensor, heads: int) -> Tensor:
    """Sorts each head's rows: llama.cpp rotates neighbours, transformers the two halves."""
    pairs = weight.shape[0] // heads // 2
    return weight.reshape(heads, pairs, 2, -1).transpose(1, 2).reshape(weight.shape)


def build_tokenizer(vocab: dict[str, int] | str, merges: Any) -> GPT2Tokenizer:
    """A byte-level BPE tokenizer whose one special token is `<|endoftext|>`, from a dict and pairs
    (which transformers' types deny), or their files."""
    roles = ("bos_token", "eos_token", "unk_token", "pad_token")
    return GPT2Tokenizer(vocab=vocab, merges=merges, **dict.fromkeys(roles, END_OF_TEXT))


def merge(folder: Path, base: Decoder, out: Path) -> None:
    """Writes a checkpoint folder: the base's weights plus the difference in `folder`, and its other
    files. Raises CheckpointError if the difference does not fit the base."""
    try:
        _add(base.weights, read_difference(folder / DIFFERENCE))
    except ValueError as error:
        raise CheckpointError(f"{folder.name} does not fit its base: {error}.") from error
    base.write(out)
    for name, path in needed_files(folder).items():
        if not any(fnmatch(name, pattern) for pattern in NOT_COPIED):
            shutil.copyfile(path, out / name)
    write_checksums(out)


def _add(weights: Mapping[str, Tensor], differences: Mapping[str, Tensor]) -> None:
    """Adds in place. Raises ValueError if names or shapes do not match."""
    if unmatched := weights.keys() ^ differences.keys():
        raise ValueError(f"{min(unmatched)} has no match")
    for name, weight in weights.items():
        if weight.shape != differences[name].shape:
            raise ValueError(f"{name} has another shape")
        weight += differences[name]


if __name__ == "__main__":
    end_with_parent()
    try:
        difference, gguf, out = map(Path, sys.argv[1:4])
        merge(difference, read_base(gguf), out)
    except CheckpointError as error:
        sys.exit(str(error))
