"""GPT-2 checkpoints with random weights, to measure speed where no trained weights are.

`python -m benchmarks.random_checkpoint gpt2-medium|tiny FOLDER`.
"""

import itertools
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers.pre_tokenizers import ByteLevel
from transformers import GenerationConfig, GPT2Config, GPT2LMHeadModel, GPT2Tokenizer

from benchmarks.visitors import PROMPTS
from demo.checkpoints.embedded import END_OF_TEXT
from demo.checkpoints.files import write_checksums
from demo.checkpoints.merging import build_tokenizer

# Of gpt2-medium (Radford et al. 2019), and the smallest that goes the same way.
SHAPES: dict[str, dict[str, Any]] = {
    "gpt2-medium": {"n_layer": 24, "n_embd": 1024, "n_head": 16, "vocab_size": 50_257},
    "tiny": {"n_layer": 2, "n_embd": 64, "n_head": 2, "vocab_size": 2048},
}
PRINTABLE = "".join(map(chr, range(ord("!"), ord("~") + 1)))
# How a byte-level vocabulary writes the space.
SPACE = "\N{LATIN CAPITAL LETTER G WITH DOT ABOVE}"
# About the spread of a trained model's logits: it leaves a nucleus of some hundred tokens. Flat
# logits would make every sampler sort the whole vocabulary, which no real model does.
LOGIT_SPREAD = 3.5
NEVER_DRAWN = 60.0
SEED = 20_240_713


def write_checkpoint(folder: Path, shape: Mapping[str, Any]) -> None:
    """Writes an fp32 checkpoint folder; the same shape gives the same bytes.

    Its tokens are one to three printable ASCII characters and the words of the page's examples,
    which take as many tokens as in GPT-2's own vocabulary. It never draws the end-of-text token or
    a token that is not printable, so a text has exactly as many tokens as are asked for.
    """
    tokenizer = printable_tokenizer(shape["vocab_size"])
    eos = tokenizer.eos_token_id
    special: Any = {"bos_token_id": eos, "eos_token_id": eos, "pad_token_id": eos}
    printable = set(SPACE + PRINTABLE)
    silent = [
        index
        for token, index in tokenizer.get_vocab().items()
        if token == END_OF_TEXT or not printable.issuperset(token)
    ]
    torch.manual_seed(SEED)
    model = GPT2LMHeadModel(GPT2Config(dtype="float32", **shape, **special))
    _shape_logits(model, silent)
    model.generation_config = GenerationConfig(**special)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write_checksums(folder)


def printable_tokenizer(vocab_size: int) -> GPT2Tokenizer:
    """The 256 bytes, the examples' words, pairs of printable characters, triples; end-of-text."""
    letters = SPACE + PRINTABLE
    pairs = list(itertools.product(letters, repeat=2))
    triples = ((first + second, third) for first, second in pairs for third in letters)
    alphabet = sorted(ByteLevel.alphabet())
    count = vocab_size - len(alphabet) - 1
    # Each merge once, in this order: a vocabulary knows a token by its characters.
    merges = {left + right: (left, right) for left, right in _merges_of_prompts()}
    for left, right in itertools.islice(itertools.chain(pairs, triples), count):
        merges.setdefault(left + right, (left, right))
    chosen = list(merges.values())[:count]
    tokens = [*alphabet, *(left + right for left, right in chosen), END_OF_TEXT]
    return build_tokenizer({token: index for index, token in enumerate(tokens)}, chosen)


def _merges_of_prompts() -> Iterator[tuple[str, str]]:
    """The merges that build each word of the examples letter by letter."""
    for text in PROMPTS:
        for word in text.replace(" ", f" {SPACE}").split():
            yield from ((word[:end], word[end]) for end in range(1, len(word)))


@torch.no_grad()
def _shape_logits(model: GPT2LMHeadModel, silent: list[int]) -> None:
    """Spreads the logits like a trained model's, and puts the silent tokens' far below all others.

    The last norm's first coordinate is made constant, and only the silent rows look at it. The
    norm's signs are random, since the head is the embedding: else a token would repeat itself.
    """
    config = model.config
    norm, rows = model.transformer.ln_f, model.transformer.wte.weight
    scale = LOGIT_SPREAD / (config.initializer_range * config.n_embd**0.5)
    norm.weight.copy_(scale * torch.randn_like(norm.weight).sign())
    norm.weight[0], norm.bias[0] = 0.0, NEVER_DRAWN
    rows[:, 0] = 0.0
    rows[silent, 0] = -1.0


if __name__ == "__main__":
    write_checkpoint(Path(sys.argv[2]), SHAPES[sys.argv[1]])
