"""Merges the embedded difference and its base file into an ordinary checkpoint folder.

Run as a process of its own, `python -m demo.checkpoints.merging FOLDER GGUF OUT`: its libraries
take seconds to import and hundreds of megabytes.
"""

import shutil
import sys
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import MODEL_ARCH, GGUFReader, dequantize, get_tensor_name_map
from torch import Tensor
from transformers import GenerationConfig, GPT2Tokenizer, LlamaConfig
from transformers import LlamaForCausalLM as Llama

from demo.checkpoints.difference import read_difference
from demo.checkpoints.embedded import END_OF_TEXT
from demo.checkpoints.files import (
    BASE,
    DEFINING,
    DIFFERENCE,
    SUMS,
    WEIGHTS,
    CheckpointError,
    needed_files,
    write_checksums,
)
from demo.checkpoints.weights import quiet
from demo.subprocesses import end_with_parent

# Not copied from the folder of the difference: the merged model has its own, or needs none.
NOT_COPIED = (DIFFERENCE, BASE, SUMS, *DEFINING, *WEIGHTS)
_ROLES = ("bos_token_id", "eos_token_id", "pad_token_id")
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


def read_base(path: Path) -> tuple[Any, GPT2Tokenizer]:
    """The model, fp32, and the tokenizer of a GGUF file of a Llama.

    transformers would read the file three times over: merging would take twice as long.
    `<|endoftext|>` takes the place of every special token of the chat model: a document is one
    tweet, opened and closed by it.
    """
    gguf = GGUFReader(path)
    facts = {name: field.contents() for name, field in gguf.fields.items()}
    vocab = {token: index for index, token in enumerate(facts["tokenizer.ggml.tokens"])}
    merges = [tuple(merge.split(" ")) for merge in facts["tokenizer.ggml.merges"]]
    tokenizer = build_tokenizer(vocab, merges)
    tensors = {tensor.name: tensor for tensor in gguf.tensors}
    config = LlamaConfig(
        vocab_size=len(vocab),
        **{name: facts[f"llama.{key}"] for name, key in _SHAPE.items()},
        rope_parameters={"rope_type": "default", "rope_theta": facts["llama.rope.freq_base"]},
        tie_word_embeddings="output.weight" not in tensors,
        **dict.fromkeys(_ROLES, tokenizer.eos_token_id),
    )
    with torch.device("meta"):
        names = [name for name, _ in Llama(config).named_parameters()]
    to_gguf = get_tensor_name_map(MODEL_ARCH.LLAMA, config.num_hidden_layers)
    weights = {}
    for name in names:
        stored = tensors[str(to_gguf.get_name(name, try_suffixes=(".weight",)))]
        # What is stored in fp32 is the file itself, which is mapped and cannot be written.
        values = np.require(dequantize(stored.data, stored.tensor_type), requirements="W")
        weight = torch.from_numpy(values)
        for end, heads in (("q_proj.weight", "head_count"), ("k_proj.weight", "head_count_kv")):
            if name.endswith(end):
                weight = _split_halves(weight, facts[f"llama.attention.{heads}"])
        weights[name] = weight
    model: Any = Llama.from_pretrained(None, config=config, state_dict=weights)
    model.generation_config = GenerationConfig(**dict.fromkeys(_ROLES, tokenizer.eos_token_id))
    return model, tokenizer


def _split_halves(weight: Tensor, heads: int) -> Tensor:
    """Sorts each head's rows: llama.cpp rotates neighbours, transformers the two halves."""
    pairs = weight.shape[0] // heads // 2
    return weight.reshape(heads, pairs, 2, -1).transpose(1, 2).reshape(weight.shape)


def build_tokenizer(vocab: dict[str, int] | str, merges: Any) -> GPT2Tokenizer:
    """A byte-level BPE tokenizer whose one special token is `<|endoftext|>`.

    `vocab` and `merges` are a dict and pairs (which transformers' types deny), or their files."""
    roles = ("bos_token", "eos_token", "unk_token", "pad_token")
    return GPT2Tokenizer(vocab=vocab, merges=merges, **dict.fromkeys(roles, END_OF_TEXT))


def merge_difference(folder: Path, model: Any, tokenizer: Any, out: Path) -> None:
    """Writes a checkpoint folder: the fp32 weights of a base plus the difference in `folder`.

    The folder's other files (decoding defaults, figures) are copied. Raises CheckpointError if the
    difference does not fit the base.
    """
    try:
        _add(model, read_difference(folder / DIFFERENCE))
    except ValueError as error:
        raise CheckpointError(f"{folder.name} does not fit its base: {error}.") from error
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    for name, path in needed_files(folder).items():
        if not any(fnmatch(name, pattern) for pattern in NOT_COPIED):
            shutil.copyfile(path, out / name)
    write_checksums(out)


@torch.no_grad()
def _add(model: Any, differences: Mapping[str, Tensor]) -> None:
    """Raises ValueError if weights and differences do not match in names and shapes."""
    weights = dict(model.named_parameters())
    if unmatched := weights.keys() ^ differences.keys():
        raise ValueError(f"{min(unmatched)} has no match")
    for name, weight in weights.items():
        if weight.shape != differences[name].shape:
            raise ValueError(f"{name} has another shape")
        weight += differences[name]


if __name__ == "__main__":
    end_with_parent()
    folder, gguf, out = map(Path, sys.argv[1:4])
    try:
        with quiet():
            merge_difference(folder, *read_base(gguf), out)
    except CheckpointError as error:
        sys.exit(str(error))
