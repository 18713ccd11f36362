"""The embedded difference and its base file become an ordinary checkpoint folder.

Knows GGUF and fp32; must not know where the files come from or who uses the result.
Run as a process of its own, `python -m demo.checkpoints.merging FOLDER GGUF OUT`: its libraries
take seconds to import and hundreds of megabytes, once in a machine's life.
"""

import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from gguf import GGUFReader
from torch import Tensor
from transformers import AutoModelForCausalLM, GenerationConfig, GPT2Tokenizer, LlamaConfig
from transformers import LlamaForCausalLM as Llama

from demo.checkpoints.difference import read_difference
from demo.checkpoints.embedded import OPENING_MARK
from demo.checkpoints.files import SUMS, write_checksums
from demo.checkpoints.resolve import BASE, DEFINING, DIFFERENCE, CheckpointError
from demo.checkpoints.weights import load_model, quiet

# Whatever else lies in a folder, these are the merged model's.
OF_THE_MODEL = (*DEFINING, "model.safetensors", "model.safetensors.index.json")


def merge(folder: Path, gguf: Path, out: Path) -> None:
    """Merges a folder that holds a difference with its base file, a GGUF.

    Raises:
        CheckpointError: the difference does not fit the base.
    """
    with quiet(), tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        dequantise(gguf, Path(scratch))
        merge_difference(folder, Path(scratch), out)


def dequantise(gguf: Path, folder: Path) -> None:
    """Writes a GGUF of a Llama-shaped model as an ordinary fp32 checkpoint folder.

    The opening mark takes the place of every special token of the chat model: a document
    is one tweet, opened and closed by it.
    """
    read = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name)
    kept = {
        name: value
        for name, value in read.config.to_dict().items()
        if not name.startswith("_")
        and not name.endswith("_token_id")
        and name != "quantization_config"
    }
    tokenizer = read_tokenizer(gguf)
    mark = tokenizer.eos_token_id
    config = LlamaConfig(**kept, bos_token_id=mark, eos_token_id=mark, pad_token_id=mark)
    # A fresh model: the one read from GGUF counts as quantised and refuses to be saved.
    model = Llama(config)
    model.load_state_dict(read.state_dict())
    model.generation_config = GenerationConfig(
        bos_token_id=mark, eos_token_id=mark, pad_token_id=mark
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def read_tokenizer(gguf: Path) -> GPT2Tokenizer:
    """The byte-level BPE tokenizer inside a GGUF file, with `<|endoftext|>` as its one mark."""
    fields = GGUFReader(gguf).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"].contents()]
    return tokenizer_with_mark({token: index for index, token in enumerate(tokens)}, merges)


def tokenizer_with_mark(vocab: dict[str, int] | str, merges: Any) -> GPT2Tokenizer:
    """A byte-level BPE tokenizer, from its parts or the files of them, whose one special token
    is the opening and closing mark. `merges` are pairs, which transformers' types deny."""
    roles = ("bos_token", "eos_token", "unk_token", "pad_token")
    return GPT2Tokenizer(vocab=vocab, merges=merges, **dict.fromkeys(roles, OPENING_MARK))


def merge_difference(folder: Path, base_folder: Path, out: Path) -> None:
    """Adds a folder's difference to the weights of its base, in fp32, as an ordinary checkpoint
    folder.

    What else the folder holds (decoding defaults, figures) is copied.

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
    for path in folder.iterdir():
        if path.is_file() and path.name not in (DIFFERENCE, BASE, SUMS, *OF_THE_MODEL):
            shutil.copyfile(path, out / path.name)
    write_checksums(out)


@torch.no_grad()
def _add(model: Any, differences: Mapping[str, Tensor]) -> None:
    """Raises ValueError if a weight has no difference, one of another shape, or the reverse."""
    weights = dict(model.named_parameters())
    if unmatched := weights.keys() ^ differences.keys():
        raise ValueError(f"{min(unmatched)} has no match")
    for name, weight in weights.items():
        if weight.shape != differences[name].shape:
            raise ValueError(f"{name} has another shape")
        weight += differences[name]


if __name__ == "__main__":
    try:
        merge(*map(Path, sys.argv[1:4]))
    except CheckpointError as error:
        sys.exit(str(error))
