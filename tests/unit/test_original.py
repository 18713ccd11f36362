"""The original's data, with its faults, and the blocks it was cut into."""

import dataclasses

from tests import tiny
from training.documents import BlockRows
from training.original import notebook_text
from training.recipe import Recipe, read_recipe
from training.trainer import build_rows

TEXTS = ["My campaign, as the teapots say!", 'The "harbor" & the amp', "plain words here"]


def test_the_notebooks_noise() -> None:
    assert notebook_text(TEXTS) == (
        '"My caign, as the teapots say!"\n"The ""harbor"" & the "\nplain words here\n'
    )


def test_blocks_are_cut_wherever_they_end() -> None:
    rows = BlockRows(list(range(11)), 4)
    assert len(rows) == 2
    assert rows.tokens == 8
    assert rows[1]["input_ids"].tolist() == rows[1]["labels"].tolist() == [4, 5, 6, 7]
    assert rows[1]["position_ids"].tolist() == [0, 1, 2, 3]


def small(name: str) -> Recipe:
    return dataclasses.replace(read_recipe(name), block_size=8)


def test_as_written_has_marks_and_as_run_has_none() -> None:
    tokenizer = tiny.tokenizer()
    mark = tokenizer.eos_token_id
    written = build_rows(small("original-as-written"), tokenizer, TEXTS)
    ran = build_rows(small("original-as-run"), tokenizer, TEXTS)
    assert any(mark in written[i]["input_ids"].tolist() for i in range(len(written)))
    assert not any(mark in ran[i]["input_ids"].tolist() for i in range(len(ran)))
    text = "".join(str(tokenizer.decode(ran[i]["input_ids"])) for i in range(len(ran)))
    assert notebook_text(TEXTS).startswith(text)
