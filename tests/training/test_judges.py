"""Both judges made for a checkpoint, through the command line on a tiny model."""

import json
import shutil
from pathlib import Path

import pytest

from demo.checkpoints.files import verify_checksums
from demo.judging import detector, originals
from tests.training.conftest import verb
from training import judges
from training.prepare import ALL_TEXTS, read_texts
from training.sampling import Sample


@pytest.mark.usefixtures("short_samples", "tiny_base")
def test_a_checkpoint_gets_its_judges_and_their_figures(
    scratch_run: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.judges.DIGEST_BATCHES", 1)
    monkeypatch.setattr("training.judges.MIN_TEXTS", 12)
    folder = tmp_path / "checkpoint"
    shutil.copytree(scratch_run / "checkpoint", folder)
    done = verb("judges", "--checkpoint", folder, "--data", prepared, "--samples", 12)
    assert done.returncode == 0, done.stderr
    recorded = json.loads((folder / "metrics.json").read_text())["judges"]

    index = originals.Originals.load(folder / originals.NAME)
    splits = {name: read_texts(prepared, name) for name in ALL_TEXTS}
    assert all(index.repeats(text) for texts in splits.values() for text in texts)
    assert recorded["originals"]["texts"] == sum(map(len, splits.values()))
    assert recorded["originals"]["digests_asked"] == 100_000
    assert recorded["originals"]["digests_found"] < 10

    judge = detector.Detector.load(folder / detector.NAME)
    # Handles are anonymous in none of these.
    assert judge.facts.real_texts == len(splits["dev"])
    assert judge.facts.generated_texts <= 12
    overall = recorded["detector"]["overall"]
    assert overall["real"] == len(splits["test"])
    # A model of twelve steps is easily told from tweets, which no judge needs a base for.
    assert overall["roc_auc"]["value"] > 0.8

    second = recorded["likelihood"]["asked"]
    assert set(second) == set(recorded["detector"]["asked"])
    assert {"no prompt", "the page's examples", "20 openings", "mood: Off script"} <= set(second)
    assert all(0 <= group["roc_auc"]["value"] <= 1 for group in second.values())

    verify_checksums(folder)
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert f"| no prompt | {overall['generated']} | {overall['roc_auc']['value']:.4f} |" in card
    assert f"| all | {overall['real']} | {overall['generated']} |" in card


def test_generated_texts_are_left_out_for_what_real_ones_are_left_out_for() -> None:
    texts = [
        "A teapot sings for @public in the harbor.",
        "A teapot sings for @made_up in the harbor.",
        "RT @public: a teapot sings in the harbor.",
        "A teapot sings in the harbor and then…",
        "Sad!",
    ]
    kept = judges.clean_samples([Sample(text, True) for text in texts], frozenset({"@public"}))
    assert kept == texts[:1]


def test_of_few_tweets_the_index_alone_is_made(
    scratch_run: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.judges.DIGEST_BATCHES", 1)
    folder = tmp_path / "checkpoint"
    shutil.copytree(scratch_run / "checkpoint", folder)
    done = verb("judges", "--checkpoint", folder, "--data", prepared)
    assert done.returncode == 0, done.stderr
    assert "No detector is made: from 14 texts of a kind (dev has 14, test 14)" in done.stdout
    assert (folder / originals.NAME).is_file()
    assert not (folder / detector.NAME).exists()
    verify_checksums(folder)
    assert "No detector: there were too few" in (folder / "README.md").read_text(encoding="utf-8")
