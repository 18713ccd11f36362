"""Checkpoints of a known shape with random weights, for measuring speed where no weights are.

Knows GPT-2's shape and a made-up byte-level vocabulary; must not know what is measured on them.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers.pre_tokenizers import ByteLevel
from transformers import GenerationConfig, GPT2Config, GPT2LMHeadModel, GPT2Tokenizer

from benchmarks.observations import OPENINGS
from demo.checkpoints.embedded import END_OF_TEXT
from demo.checkpoints.files import write_checksums
from demo.checkpoints.merging import build_tokenizer

PRINTABLE = "".join(map(chr, range(ord("!"), ord("~") + 1)))
# How a byte-level vocabulary writes the space.
SPACE = "\N{LATIN CAPITAL LETTER G WITH DOT ABOVE}"
# The spread of a trained model's logits, about: it leaves a nucleus of some hundred tokens.
# Flat logits would make every sampler sort the whole vocabulary, which no real model does.
LOGIT_SPREAD = 3.5
SILENT = 60.0
SEED = 20_240_713


def build_gpt2_medium(
    folder: Path,
    *,
    layers: int = 24,
    width: int = 1024,
    heads: int = 16,
    vocab_size: int = 50_257,
    seed: int = SEED,
) -> None:
    """Writes an ordinary fp32 checkpoint folder of gpt2-medium's shape (Radford et al. 2019),
    unless told otherwise, with random weights; the same arguments, the same bytes.

    Its tokens are one to three printable ASCII characters, and the words of the page's examples,
    which come to as many tokens as in GPT-2's own vocabulary. It never draws the mark or a token
    that is not printable, so a text has exactly as many tokens as are asked for.
    """
    tokenizer = made_up_tokenizer(vocab_size)
    mark = tokenizer.eos_token_id
    marks = {"bos_token_id": mark, "eos_token_id": mark, "pad_token_id": mark}
    config = GPT2Config(
        vocab_size=vocab_size, n_embd=width, n_layer=layers, n_head=heads, dtype="float32", **marks
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = GPT2LMHeadModel(config)
        _shape_logits(model, _unprintable(tokenizer))
    model.generation_config = GenerationConfig(**marks)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write_checksums(folder)


def build_tiny(folder: Path) -> None:
    """The same in a few megabytes, to see that everything runs."""
    build_gpt2_medium(folder, layers=2, width=64, heads=2, vocab_size=2048)


def made_up_tokenizer(vocab_size: int) -> GPT2Tokenizer:
    """The 256 bytes, then the examples' words, then pairs of printable characters, then pairs
    and a third; the mark last."""
    letters = SPACE + PRINTABLE
    pairs = list(itertools.product(letters, repeat=2))
    triples = ((first + second, third) for first, second in pairs for third in letters)
    alphabet = sorted(ByteLevel.alphabet())
    count = vocab_size - len(alphabet) - 1
    # Each merge once, in this order: a vocabulary knows a token by its characters.
    merges = {left + right: (left, right) for left, right in _words_letter_by_letter()}
    for left, right in itertools.islice(itertools.chain(pairs, triples), count):
        merges.setdefault(left + right, (left, right))
    chosen = list(merges.values())[:count]
    tokens = [*alphabet, *(left + right for left, right in chosen), END_OF_TEXT]
    return build_tokenizer({token: index for index, token in enumerate(tokens)}, chosen)


def _words_letter_by_letter() -> Iterator[tuple[str, str]]:
    """The merges that build each word of the examples from the left."""
    for text in OPENINGS:
        for word in text.replace(" ", f" {SPACE}").split():
            yield from ((word[:end], word[end]) for end in range(1, len(word)))


def _unprintable(tokenizer: GPT2Tokenizer) -> list[int]:
    known = set(SPACE + PRINTABLE)
    vocab = tokenizer.get_vocab()
    return [i for token, i in vocab.items() if token == END_OF_TEXT or not known.issuperset(token)]


@torch.no_grad()
def _shape_logits(model: GPT2LMHeadModel, silent: list[int]) -> None:
    """Spreads the logits like a trained model's, and the silent tokens' far below all others.

    The last norm's first coordinate is made constant; only the silent rows look at it. Its
    signs are random, since the head is the embedding: a token would else repeat itself.
    """
    config = model.config
    norm, rows = model.transformer.ln_f, model.transformer.wte.weight
    spread = LOGIT_SPREAD / (config.initializer_range * config.n_embd**0.5)
    norm.weight.copy_(spread * torch.randn_like(norm.weight).sign())
    norm.weight[0], norm.bias[0] = 0.0, SILENT
    rows[:, 0] = 0.0
    rows[silent, 0] = -1.0
