"""Documents and packed rows: no tweet sees another, everything but the opening is scored. And the
original's data, with its faults, and the blocks it was cut into."""

import random
from typing import Any

import pytest
import torch
from torch.utils.data import default_collate
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from tests import made_up
from training.documents import (
    UNSCORED,
    build_rows,
    cut_blocks,
    cut_pieces,
    fit_block,
    notebook_text,
    pack_documents,
    tokenise,
)
from training.models import train_tokenizer
from training.recipe import Recipe, read_recipe

TEXTS = [made_up.sentence(random.Random(seed)) for seed in range(40)]
TOKENIZER = train_tokenizer(TEXTS, 400)
EOS = TOKENIZER.eos_token_id


def tiny(kind: str) -> Any:
    torch.manual_seed(0)
    if kind == "gpt2":
        shape = GPT2Config(vocab_size=400, n_positions=128, n_embd=32, n_layer=2, n_head=2)
        model: Any = GPT2LMHeadModel(shape)
    else:
        model = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=400, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
                num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=128,
            )
        )  # fmt: skip
    model.config.use_cache = False
    return model.eval()


def test_a_document_is_one_text_between_two_end_of_text_tokens() -> None:
    (document,) = tokenise(["Tea é"], TOKENIZER, 128)
    assert document.ids[0] == document.ids[-1] == EOS
    assert TOKENIZER.decode(document.ids[1:-1]) == "Tea é"
    assert document.scored_bytes == len("Tea é".encode()) + 1


def test_an_end_of_text_token_typed_in_a_text_is_ordinary_characters() -> None:
    (document,) = tokenise(["a <|endoftext|> b"], TOKENIZER, 128)
    assert document.ids.count(EOS) == 2
    assert TOKENIZER.decode(document.ids[1:-1]) == "a <|endoftext|> b"


def test_a_long_text_is_cut_and_only_what_is_left_counts() -> None:
    (document,) = tokenise([TEXTS[0]], TOKENIZER, 6)
    assert len(document.ids) == 6
    assert document.ids[-1] != EOS
    assert document.scored_bytes == len(str(TOKENIZER.decode(document.ids[1:])).encode())


def test_every_document_is_packed_whole_and_once() -> None:
    documents = tokenise(TEXTS, TOKENIZER, 64)
    rows = pack_documents(documents, 64, EOS)
    found = []
    for index in range(len(rows)):
        row = rows[index]
        starts = (row["position_ids"] == 0).nonzero().flatten().tolist()
        ends = [*starts[1:], 64]
        found += [row["input_ids"][a:b].tolist() for a, b in zip(starts, ends, strict=True)]
    packed = [ids for ids in found if set(ids) != {EOS}]
    assert sorted(packed) == sorted(document.ids for document in documents)


def test_a_document_longer_than_a_row_is_learnt_to_its_end() -> None:
    """Its pieces overlap in one token, which is scored once; the last holds the closing one."""
    documents = tokenise([" ".join(TEXTS[:3]), TEXTS[3]], TOKENIZER)
    rows = pack_documents(documents, 64, EOS)
    assert rows.in_pieces == 1
    assert rows.tokens < sum(len(document.ids) for document in documents) + len(rows)
    scored = torch.cat([rows[i]["labels"] for i in range(len(rows))])
    scored = scored[scored != UNSCORED]
    assert sorted(scored.tolist()) == sorted(i for one in documents for i in one.ids[1:])
    assert (scored == EOS).sum() == 2
    assert [len(piece) for piece in cut_pieces(list(range(9)), 5)] == [5, 5]
    assert cut_pieces(list(range(9)), 5)[1] == [4, 5, 6, 7, 8]


@pytest.mark.parametrize(
    ("lengths", "context", "block", "batch"),
    [
        ([30] * 99 + [900], 1_024, 128, 32),  # one in a hundred does not count
        ([30] * 90 + [300] * 10, 1_024, 320, 12),
        ([5_000] * 10, 8_192, 1_024, 4),
        ([300] * 10, 200, 200, 20),
        ([30] * 10, 96, 96, 42),
        ([], 1_024, 128, 32),
    ],
)
def test_rows_suit_the_lengths_of_the_documents(
    lengths: list[int], context: int, block: int, batch: int
) -> None:
    recipe = read_recipe("gpt2")
    found = fit_block(recipe, lengths, context, ranks=1)
    assert (found.block_size, found.batch_size) == (block, batch)
    found = fit_block(recipe, lengths, context, ranks=8)
    assert found.batch_size % 8 == 0
    assert fit_block(read_recipe("original-as-run"), lengths, 1_024, 1).block_size == 128


def test_all_but_the_opening_token_and_the_padding_is_scored() -> None:
    documents = tokenise(TEXTS, TOKENIZER, 64)
    rows = pack_documents(documents, 64, EOS)
    labels = torch.cat([rows[i]["labels"] for i in range(len(rows))])
    assert (labels != UNSCORED).sum() == sum(len(document.ids) - 1 for document in documents)
    for i in range(len(rows)):
        assert (rows[i]["labels"][rows[i]["position_ids"] == 0] == UNSCORED).all()


def test_a_retweet_has_an_opening_that_is_not_scored() -> None:
    recipe = read_recipe("full")
    rows = list(build_rows(recipe, TOKENIZER, TEXTS[:1], TEXTS[1:3]))
    found, scored = [], []
    for row in rows:
        starts = (row["position_ids"] == 0).nonzero().flatten().tolist()
        for start, end in zip(starts, [*starts[1:], recipe.block_size], strict=True):
            labels = row["labels"][start:end]
            found.append(TOKENIZER.decode(row["input_ids"][start:end], skip_special_tokens=True))
            scored.append(TOKENIZER.decode(labels[labels != UNSCORED]))
    assert {TEXTS[0], f"RT: {TEXTS[1]}", f"RT: {TEXTS[2]}"} <= set(found)
    for text in (TEXTS[0], f" {TEXTS[1]}", f" {TEXTS[2]}"):
        assert f"{text}<|endoftext|>" in scored


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_the_loss_of_packed_rows_is_that_of_the_texts_alone(kind: str) -> None:
    """Fails if attention crosses between tweets, or an end-of-text token is scored twice."""
    model = tiny(kind)
    documents = tokenise(TEXTS, TOKENIZER, 64)
    rows = pack_documents(documents, 64, EOS)
    with torch.no_grad():
        packed = model(**default_collate([rows[i] for i in range(len(rows))])).loss
        alone = [
            (model(input_ids=ids, labels=ids).loss * (ids.numel() - 1), ids.numel() - 1)
            for ids in (torch.tensor([document.ids]) for document in documents)
        ]
    expected = sum(loss for loss, _ in alone) / sum(count for _, count in alone)
    assert packed.item() == pytest.approx(float(expected), abs=2e-5)


NOTED = ["My campaign, as the teapots say!", 'The "harbor" & the amp', "plain words here"]


def test_the_notebooks_noise() -> None:
    assert notebook_text(NOTED) == (
        '"My caign, as the teapots say!"\n"The ""harbor"" & the "\nplain words here\n'
    )


def test_blocks_are_cut_wherever_they_end() -> None:
    rows = cut_blocks(list(range(11)), 4)
    assert len(rows) == 2
    assert rows.tokens == 8
    assert rows[1]["input_ids"].tolist() == rows[1]["labels"].tolist() == [4, 5, 6, 7]
    assert rows[1]["position_ids"].tolist() == [0, 1, 2, 3]


def test_the_tokens_that_occur_most_often_come_in_the_order_of_their_ids() -> None:
    rows = cut_blocks([7, 7, 7, 3, 3, 9, 9, 9, 9, 1, 1, 1], 4)
    assert rows.most_frequent(3).tolist() == [1, 7, 9]
    assert rows.most_frequent(99).tolist() == list(range(10))
    assert rows.most_frequent(0).tolist() == []


def small(name: str) -> Recipe:
    return read_recipe(name).changed(block_size=16)


def test_as_written_closes_tweets_and_as_run_does_not() -> None:
    tokenizer = TOKENIZER
    eos = tokenizer.eos_token_id
    written = build_rows(small("original-as-written"), tokenizer, NOTED)
    ran = build_rows(small("original-as-run"), tokenizer, NOTED)
    assert any(eos in written[i]["input_ids"].tolist() for i in range(len(written)))
    assert not any(eos in ran[i]["input_ids"].tolist() for i in range(len(ran)))
    text = "".join(str(tokenizer.decode(ran[i]["input_ids"])) for i in range(len(ran)))
    assert notebook_text(NOTED).startswith(text)
