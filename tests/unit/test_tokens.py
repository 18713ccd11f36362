"""Tokens without transformers are the tokens that transformers would give."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models
from transformers import AutoTokenizer

from demo.generation.request import GenerationRequest
from demo.generation.tokens import ForbiddenPair, Progress, Tokens
from tests import tiny

TEXTS = (
    "", " ", "The teapot", "  two  spaces ", "naïve café 🫖🫖 🇩🇰", "a\tb\nc\r\nd", "…“quoted”…",
    "<|endoftext|> and then", "don't we'll I'D", "e\u0301 e\u200d\ufffd", "مرحبا שלום",
    "#MAGA @user",
)  # fmt: skip


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    tiny.tokenizer().save_pretrained(tmp_path)
    return Tokens(Tokenizer.from_file(str(tmp_path / "tokenizer.json")), 0, tiny.CONTEXT)


@pytest.mark.parametrize("text", TEXTS)
def test_ids_and_text_are_those_of_transformers(tokens: Tokens, tmp_path: Path, text: str) -> None:
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    ids = theirs(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert tokens.encode(text) == ids
    assert tokens.decode_continuation([0], [*ids, 0]) == theirs.decode(ids)


def test_pieces_put_together_are_the_text_and_hold_whole_characters(tokens: Tokens) -> None:
    progress = Progress(tokens, tokens.encode_prompt(GenerationRequest("The")), 60.0)
    ids = tokens.encode(" teapot 🫖, 🇩🇰!")
    pieces = [progress.add([token]) for token in ids]
    assert "".join(pieces) == " teapot 🫖, 🇩🇰!"
    assert not any("\ufffd" in piece for piece in pieces)
    assert len(pieces) > len([piece for piece in pieces if piece]) > 5
    assert (len(progress.new), progress.has_ended) == (len(ids), False)
    assert progress.add([0]) == ""
    assert progress.has_ended


def test_what_cannot_be_read_is_left_out(tokens: Tokens) -> None:
    """Half a character and control characters, also where the text goes on after them."""
    half = tokens.encode("🫖")[:2]
    ids = [*tokens.encode("te"), *half, *tokens.encode("a\x07\x85\ufffd\tpot\n"), *half]
    progress = Progress(tokens, tokens.encode_prompt(GenerationRequest("The")), 60.0)
    assert "".join(progress.add([token]) for token in ids) == "tea\tpot\n"


def test_the_anonymous_handle_is_a_name_after_whatever_ends_in_an_at() -> None:
    tokenizer = Tokenizer(models.BPE({"u": 0, "@": 1, ".@": 2, "user": 3, "@home": 4}, []))
    tokenizer.decoder = decoders.Fuse()
    pairs = ForbiddenPair(3, frozenset({1, 2}), (".@user", "@user"))
    assert Tokens(tokenizer, 0, 9).forbidden == pairs


def test_a_tokenizer_without_that_name_has_none(tokens: Tokens) -> None:
    assert tokens.forbidden is None
