"""Decoding defaults chosen by figures, through the command line on a tiny model."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from demo.checkpoints.files import verify_checksums
from tests.training.conftest import verb
from training.decoding import distance, forget_texts, settings
from training.text_figures import describe

TEXTS = ["@teapot counts the Harbor!", "the #harbor SAYS nothing", "kettles follow kettles"]


@pytest.mark.usefixtures("short_samples")
def test_the_setting_nearest_to_real_tweets_becomes_the_default(
    scratch_run: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "checkpoint"
    shutil.copytree(scratch_run / "checkpoint", folder)
    before = (folder / "generation_config.json").read_bytes()
    done = verb("decoding", "--checkpoint", folder, "--data", prepared)
    assert "compared on 14 texts (dev has 14) chance chooses one; 100 texts" in done.stdout
    assert (folder / "generation_config.json").read_bytes() == before
    monkeypatch.setattr("training.decoding.MIN_TEXTS", 4)
    done = verb("decoding", "--checkpoint", folder, "--data", prepared, "--samples", 4)
    assert done.returncode == 0, done.stderr
    search = json.loads((folder / "metrics.json").read_text())["decoding"]
    assert search["samples"] == 4
    assert len(search["tried"]) == len(settings())
    best = min(search["tried"], key=lambda one: one["distance"])
    config = json.loads((folder / "generation_config.json").read_text())
    for name, value in search["chosen"].items():
        assert config[name] == best[name] == value
    assert config["do_sample"] is True
    verify_checksums(folder)
    rows = (folder / "README.md").read_text().split("| repetition penalty | distance |")[1]
    assert f"**{best['distance']:.4f}**" in rows.splitlines()[2]


def test_the_distance_is_zero_only_for_the_same_figures() -> None:
    real = describe(TEXTS)
    assert distance(real, real) == 0
    assert 0 < distance(replace(real, hashtags=1.0), real) < distance(describe(["a b c"]), real) < 1


def test_figures_of_texts_are_of_the_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    metrics = {"texts": {}, "judges": {"detector": {"seed": 1}}, "evaluation": {}}
    forget_texts(metrics)
    assert metrics == {"judges": {"detector": {"seed": 1}}, "evaluation": {}}
    said = capsys.readouterr().out
    assert "run evaluate again" in said
    assert "run judges again" in said


def test_the_distance_is_symmetric() -> None:
    one, other = describe(TEXTS), describe(TEXTS[1:])
    assert distance(one, other) == pytest.approx(distance(other, one))
