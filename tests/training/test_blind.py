"""The sheet for people, through the command line on a tiny model, filled in and scored."""

import csv
import json
import random
import shutil
from pathlib import Path

import pytest

from tests.training.conftest import verb
from training import TrainingError
from training.blind import NEAR_CHARACTERS, pair_by_length, read_sheet
from training.prepare import read_texts

TEXTS = (("A kettle.", "real"), ("“A cup”", "computer"), ("=1+1", "computer"))


def fill(sheet: Path, answers: list[str], separator: str = ",") -> Path:
    """A copy of the sheet with these answers in its last column, as a spreadsheet saves it."""
    with sheet.open(encoding="utf-8-sig", newline="") as file:
        header, *rows = csv.reader(file)
    filled = sheet.with_name("filled.csv")
    with filled.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, delimiter=separator)
        writer.writerow(header)
        writer.writerows([*row[:2], said] for row, said in zip(rows, answers, strict=True))
    return filled


@pytest.fixture(scope="module")
def sheet(scratch_run: Path, prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("blind")
    shutil.copytree(scratch_run / "checkpoint", folder / "checkpoint")
    with pytest.MonkeyPatch.context() as patch:
        # A model of twelve steps hardly writes words.
        patch.setattr("demo.judging.canonical.is_too_short", lambda _: False)
        patch.setattr("training.blind.NEAR_CHARACTERS", 1_000)
        patch.setattr("training.sampling.MAX_NEW_TOKENS", 60)
        patch.setattr("training.blind.DRAWN_PER_PAIR", 60)
        options = ["--checkpoint", folder / "checkpoint", "--data", prepared]
        done = verb("blind", *options, "--out", folder / "out", "--texts", 4)
    assert done.returncode == 0, done.stderr
    return folder / "out" / "sheet.csv"


def test_half_of_the_sheet_is_real_and_the_sheet_says_nothing_of_it(
    sheet: Path, prepared: Path
) -> None:
    answers = json.loads((sheet.parent / "answers.json").read_text())["texts"]
    held_back = read_texts(prepared, "test")
    assert [row["kind"] for row in answers].count("real") == 2
    for row in answers:
        assert (row["text"] in held_back) == (row["kind"] == "real")
    lines = sheet.read_text(encoding="utf-8-sig").splitlines()
    assert lines[0] == "number,text,real or computer"
    assert len(lines) == 5
    assert all(line.endswith(",") for line in lines[1:])


@pytest.mark.parametrize("separator", [",", ";"])
def test_a_filled_sheet_is_scored(sheet: Path, separator: str) -> None:
    answers = json.loads((sheet.parent / "answers.json").read_text())["texts"]
    truth = [row["kind"] for row in answers]
    filled = fill(sheet, [*truth[:3], ""], separator)
    done = verb("blind", "--out", sheet.parent, "--score", filled, "--score", sheet)
    assert f"{sheet} holds no answer." in done.stderr
    done = verb("blind", "--out", sheet.parent, "--score", filled)
    assert "3 of 3" in done.stdout
    assert "29% to 100%" in done.stdout


def test_a_sheet_is_not_written_over(sheet: Path) -> None:
    before = sheet.read_bytes()
    done = verb("blind", "--out", sheet.parent)
    assert done.returncode == 1
    assert "holds a sheet already" in done.stderr
    assert sheet.read_bytes() == before


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("1,“A pot.”,real", r"Text 1 of .* is not that of this sheet\."),
        ("9,“A kettle.”,real", r"has a row '9'"),
        (
            "1,“A kettle.”,perhaps",
            r"says .perhaps. of text 1; it must be real, computer",
        ),
    ],
)
def test_another_sheet_or_answer_is_refused(tmp_path: Path, row: str, sentence: str) -> None:
    path = tmp_path / "sheet.csv"
    path.write_text(f"number,text,real or computer\n{row}\n", encoding="utf-8")
    with pytest.raises(TrainingError, match=sentence):
        read_sheet(path, TEXTS)  # type: ignore[arg-type]


def test_answers_are_read_beside_what_the_texts_are(tmp_path: Path) -> None:
    path = tmp_path / "sheet.csv"
    rows = "1,“A kettle.”, Computer \n2,“A cup”,\n3,“=1+1”,computer\n"
    path.write_text(f"number,text,real or computer\n{rows}", encoding="utf-8")
    read = read_sheet(path, TEXTS)  # type: ignore[arg-type]
    assert read == [("computer", "real"), ("computer", "computer")]


def test_texts_are_paired_by_length_and_none_twice() -> None:
    real = ["r" * length for length in (20, 21, 80, 200)]
    pairs = pair_by_length(["g" * 20, "g" * 20, "g" * 120, "g" * 84], real, 3, random.Random(0))
    lengths = [(len(ours), len(theirs)) for ours, theirs in pairs]
    assert lengths == [(20, 20), (20, 21), (84, 80)]
    assert all(abs(ours - theirs) <= NEAR_CHARACTERS for ours, theirs in lengths)
    with pytest.raises(TrainingError, match="Only 3 pairs"):
        pair_by_length(["g" * 20] * 9, real[:3] + ["r" * 22], 4, random.Random(0))
