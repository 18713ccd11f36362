"""Merges the embedded difference and its base file into an ordinary checkpoint folder.

Run as a process of its own, `python -m demo.checkpoints.merging FOLDER GGUF OUT`: its libraries
take seconds to import and hundreds of megabytes.
"""

import shutil
import sys
import tempfile
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import torch
from gguf import GGUFReader
from torch import Tensor
from transformers import AutoModelForCausalLM, GenerationConfig, GPT2Tokenizer, LlamaConfig
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
from demo.checkpoints.weights import load_model, quiet
from demo.subprocesses import end_with_parent

# Not copied from the folder of the difference: the merged model has its own, or needs none.
NOT_COPIED = (DIFFERENCE, BASE, SUMS, *DEFINING, *WEIGHTS)


def merge(folder: Path, gguf: Path, out: Path) -> None:
    """Merges the difference in a folder with its base, a GGUF file, and writes the result to `out`.

    Raises:
        CheckpointError: the difference does not fit the base.
    """
    with quiet(), tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        dequantise(gguf, Path(scratch))
        merge_difference(folder, Path(scratch), out)


def dequantise(gguf: Path, folder: Path) -> None:
    """Writes a GGUF of a Llama-shaped model as an ordinary fp32 checkpoint folder.

    `<|endoftext|>` takes the place of every special token of the chat model: a document is one
    tweet, opened and closed by it.
    """
    read = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name)
    shape = {
        name: value
        for name, value in read.config.to_dict().items()
        if not name.startswith("_")
        and not name.endswith("_token_id")
        and name != "quantization_config"
    }
    tokenizer = read_tokenizer(gguf)
    names = ("bos_token_id", "eos_token_id", "pad_token_id")
    roles: dict[str, Any] = dict.fromkeys(names, tokenizer.eos_token_id)
    config = LlamaConfig(**shape, **roles)
    # A fresh model: the one read from GGUF counts as quantised and refuses to be saved.
    model = Llama(config)
    model.load_state_dict(read.state_dict())
    model.generation_config = GenerationConfig(**roles)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def read_tokenizer(gguf: Path) -> GPT2Tokenizer:
    """The byte-level BPE tokenizer of a GGUF file, with one special token, `<|endoftext|>`."""
    fields = GGUFReader(gguf).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"].contents()]
    return build_tokenizer({token: index for index, token in enumerate(tokens)}, merges)


def build_tokenizer(vocab: dict[str, int] | str, merges: Any) -> GPT2Tokenizer:
    """A byte-level BPE tokenizer whose one special token is `<|endoftext|>`.

    `vocab` and `merges` are a dict and pairs (which transformers' types deny), or their files."""
    roles = ("bos_token", "eos_token", "unk_token", "pad_token")
    return GPT2Tokenizer(vocab=vocab, merges=merges, **dict.fromkeys(roles, END_OF_TEXT))


def merge_difference(folder: Path, base_folder: Path, out: Path) -> None:
    """Writes a checkpoint folder: the fp32 weights of a base plus the difference in `folder`.

    The folder's other files (decoding defaults, figures) are copied.

    Raises:
        CheckpointError: the difference does not fit the base.
    """
    model, tokenizer = load_model(base_folder, torch.float32, "cpu")
    try:
        _add(model, read_difference(folder / DIFFERENCE))
    except ValueError as error:
        raise CheckpointError(f"{folder.name} does not fit its base: {error}.") from error
    with quiet():
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
    try:
        merge(*map(Path, sys.argv[1:4]))
    except CheckpointError as error:
        sys.exit(str(error))
