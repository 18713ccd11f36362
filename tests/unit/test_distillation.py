"""What teachers expect becomes the labels of the positions that they were read at."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests import made_up, tiny
from training import TrainingError, distillation
from training.distillation import LIKELIEST, NAME, TEACHERS_SHARE, Teachers
from training.documents import UNSCORED, TokenRows, pack_documents, tokenise
from training.models import train_tokenizer

TEXTS = [row["text"] for row in made_up.rows(12)]
BLOCK = 64


@pytest.fixture(autouse=True)
def in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distillation, "precision", lambda: "float32")


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    return [tiny.write(tmp_path / f"teacher-{seed}", tiny.llama(seed)) for seed in (1, 2)]


def packed() -> TokenRows:
    tokenizer = tiny.tokenizer()
    return pack_documents(tokenise(TEXTS, tokenizer, BLOCK), BLOCK, tokenizer.eos_token_id)


def teachers(folders: list[Path]) -> Teachers:
    return Teachers(folders, tiny.llama(), tiny.tokenizer())


def test_each_scored_position_has_the_mean_of_what_the_teachers_expect(
    folders: list[Path], tmp_path: Path
) -> None:
    """Compared with each document read alone: no teacher sees the one packed before it."""
    rows = teachers(folders).label(packed(), tmp_path)
    models = [tiny.llama(seed).eval() for seed in (1, 2)]
    seen = 0
    for row in rows:
        starts = (row["position_ids"] == 0).nonzero().flatten().tolist()
        for start, end in zip(starts, [*starts[1:], BLOCK], strict=True):
            ids = row["input_ids"][None, start:end]
            with torch.inference_mode():
                expected = sum(model(ids).logits[0].softmax(dim=-1) for model in models) / 2
            for at in range(start + 1, end):
                if row["labels"][at] == UNSCORED:
                    assert not row["soft_weights"][at].any()
                    continue
                found = torch.zeros(expected.shape[-1])
                found[row["soft_ids"][at].long()] = row["soft_weights"][at].float()
                values, tokens = expected[at - start - 1].topk(LIKELIEST)
                wanted = torch.zeros(expected.shape[-1])
                wanted[tokens] = TEACHERS_SHARE * values
                torch.testing.assert_close(found, wanted, rtol=2e-3, atol=1e-6)
                seen += 1
    assert seen == sum(len(one.ids) - 1 for one in tokenise(TEXTS, tiny.tokenizer(), BLOCK))


def test_a_run_that_is_resumed_reads_what_they_expected_and_no_other_runs(
    folders: list[Path], tmp_path: Path
) -> None:
    rows = teachers(folders).label(packed(), tmp_path)
    kept = load_file(tmp_path / NAME)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Teachers, "_expect", None)
        again = teachers(folders).label(packed(), tmp_path)
    for before, after in zip(rows, again, strict=True):
        assert before["soft_weights"].equal(after["soft_weights"])
    # Of other teachers it is none, nor a file that says of nothing what it is of.
    teachers(folders[:1]).label(packed(), tmp_path)
    assert not load_file(tmp_path / NAME)["soft_weights"].equal(kept["soft_weights"])
    save_file(kept, tmp_path / NAME)
    teachers(folders[:1]).label(packed(), tmp_path)
    assert not load_file(tmp_path / NAME)["soft_weights"].equal(kept["soft_weights"])


def test_without_teachers_rows_stay_as_they_are(tmp_path: Path) -> None:
    rows = packed()
    assert teachers([]).label(rows, tmp_path) is rows
    assert not (tmp_path / NAME).exists()


def test_a_teacher_reads_the_same_tokens(folders: list[Path], tmp_path: Path) -> None:
    other = train_tokenizer(TEXTS, 290)
    with pytest.raises(TrainingError, match="teacher-1 has another vocabulary than the base"):
        Teachers(folders, tiny.llama(), other)
    wider = tiny.llama(1)
    wider.resize_token_embeddings(300)
    folder = tiny.write(tmp_path / "wider", wider)
    with pytest.raises(TrainingError, match="wider has another vocabulary than the base"):
        Teachers([folder], tiny.llama(), tiny.tokenizer())


def test_a_student_whose_loss_takes_no_soft_labels_is_refused(folders: list[Path]) -> None:
    student: Any = tiny.gpt2()
    with pytest.raises(TrainingError, match="--teacher goes with a base that is a Llama"):
        Teachers(folders, student, tiny.tokenizer())
    Teachers([], student, tiny.tokenizer())
