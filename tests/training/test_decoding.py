"""Decoding defaults chosen by figures, through the command line on a tiny model."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from demo.checkpoints.files import verify_checksums
from demo.judging.judges import Share
from tests.training.conftest import verb
from training.decoding import NAMES, TRIED, Trial, choose, forget_texts, openings
from training.mauve import cluster, mauve
from training.text_distance import COMPARED, TextSet, distance, measure_distance, measure_gap

CHANCE = np.random.default_rng(0)


def texts(share: float, count: int = 200) -> TextSet:
    """Texts of which this share has whatever is counted; all in one cluster and of one length."""
    has = CHANCE.random((len(COMPARED), count)) < share
    counts = np.stack([has, np.ones_like(has)], axis=-1).astype(float)
    return TextSet(counts, np.full(count, 100), np.zeros(count, dtype=int))


REAL = {"exclamations": 0.5, "capitals": 0.1}


def trial(bits: float, gap: float, **figures: float) -> Trial:
    """One whose gap to the nearest is at least that."""
    some = Share(0.1, 0.0, 0.2)
    found = {**REAL, "base_bits_per_byte": bits, **figures}
    return Trial({}, found, some, some, Share(gap, gap, 0.1))


@pytest.mark.usefixtures("short_samples", "tiny_base")
def test_every_setting_is_measured_and_the_choice_recorded(
    scratch_run: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "checkpoint"
    shutil.copytree(scratch_run / "checkpoint", folder)
    before = (folder / "generation_config.json").read_bytes()
    done = verb("decoding", "--checkpoint", folder, "--data", prepared)
    assert "14 texts (dev has 14) are too few to compare settings; 100 are" in done.stdout
    assert (folder / "generation_config.json").read_bytes() == before
    monkeypatch.setattr("training.decoding.MIN_TEXTS", 4)
    forgotten: list[dict[str, object]] = []
    monkeypatch.setattr("training.decoding.forget_texts", forgotten.append)
    done = verb("decoding", "--checkpoint", folder, "--data", prepared, "--samples", 12)
    assert done.returncode == 0, done.stderr
    search = json.loads((folder / "metrics.json").read_text())["decoding"]
    assert (search["samples"], search["prompted"]) == (12, 6)
    # The checkpoint's own defaults are one of those that are tried anyway.
    assert len(search["tried"]) == len(TRIED)
    nearest = min(search["tried"], key=lambda one: one["distance"]["value"])
    assert nearest["gap"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    near = [one for one in search["tried"] if one["gap"]["low"] <= 0]
    (best,) = (one for one in near if search["chosen"] == {name: one[name] for name in NAMES})
    config = json.loads((folder / "generation_config.json").read_text())
    assert search["chosen"].items() <= config.items()
    # The file does not name the penalty, but figures of texts by the same settings are kept.
    assert "repetition_penalty" not in json.loads(before)
    own = {"temperature": 0.9, "top_p": 0.95, "repetition_penalty": 1.0}
    assert bool(forgotten) == (search["chosen"] != own)
    assert config["do_sample"] is True
    assert config["max_new_tokens"] == search["max_new_tokens"]
    verify_checksums(folder)
    card = (folder / "README.md").read_text()
    assert f"**{best['distance']['value']:.4f}**" in card
    assert f"| other real tweets | | | {search['noise']['distance']['value']:.4f} |" in card


def test_the_distance_is_zero_only_for_the_same_figures() -> None:
    figures = np.array([0.2, 0.4])
    assert distance(figures, figures) == 0
    assert distance(figures, figures[::-1]) == pytest.approx(0.5)
    assert distance(figures[::-1], figures) == pytest.approx(0.5)


def test_a_gap_is_sure_where_texts_differ_and_not_where_they_do_not() -> None:
    real, far, near, same = texts(0.5), texts(0.9), texts(0.5), texts(0.5)
    assert measure_gap(far, near, real, gaps=5).low > 0
    gap = measure_gap(same, near, real, gaps=5)
    assert gap.low < 0 < gap.high
    alone = measure_gap(same, near, real, gaps=1)
    assert alone.high - alone.low < gap.high - gap.low
    assert measure_distance(far, real).low > measure_distance(near, real).high


def test_the_least_surprising_texts_are_chosen_of_those_that_may_be_nearest() -> None:
    nearest, near, far = trial(1.7, 0.0), trial(1.6, -0.01), trial(1.4, 0.01)
    assert choose([nearest, near, far], REAL) is near
    assert choose([nearest, far], REAL) is nearest


@pytest.mark.parametrize("seen", [{"exclamations": 0.56}, {"capitals": 0.089}])
def test_texts_that_look_like_tweets_come_before_less_surprising_ones(
    seen: dict[str, float],
) -> None:
    like, other = trial(1.7, 0.0, exclamations=0.54, capitals=0.091), trial(1.6, 0.0, **seen)
    assert choose([like, other], REAL) is like
    assert choose([trial(1.7, 0.0, **seen), other], REAL) is other


def test_half_of_the_texts_have_a_prompt_that_leaves_a_word_to_write() -> None:
    prompts = openings(["The teapot counts the cups", "Too few words"] * 8, ("Today I'll be",))
    assert prompts[::2] == [""] * 8
    assert prompts[1::2] == ["Today I'll be", *["Too few"] * 3] * 2
    assert openings(["a b c d e"] * 4, ())[1::2] == ["a b c"] * 2
    # Each example has its turn.
    assert openings(["a b c d e"] * 20, ("A kettle", "A spoon"))[1::8] == [
        "A kettle",
        "A spoon",
        "A kettle",
    ]
    assert openings(["a @user c d e"] * 4, ())[3] == ""
    assert openings(["a @user c d e"] * 4, ("Today I'll be",))[3] == "Today I'll be"


def test_mauve_is_one_for_equal_sets_and_less_the_further_they_are() -> None:
    one = np.repeat(np.arange(10), 10)
    half = np.where(np.arange(100) < 50, one, one + 10)
    assert mauve(one, one) == pytest.approx(1)
    assert 0.01 < mauve(one, half) < 0.9
    assert mauve(one, one + 10) < 0.01
    assert mauve(half, one) == pytest.approx(float(mauve(one, half)))
    both = mauve(np.stack([one, half]), np.stack([one, one]))
    assert both.tolist() == pytest.approx([1, float(mauve(half, one))])


def test_texts_in_different_places_are_in_different_clusters() -> None:
    here, there = (CHANCE.normal(place, 0.1, (40, 8)) for place in (1, -1))
    ours, theirs, again = cluster([here, there, here], seed=0)
    assert set(ours.tolist()).isdisjoint(theirs.tolist())
    assert ours.tolist() == again.tolist()


def test_figures_of_texts_are_of_the_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    metrics = {"texts": {}, "judges": {"detector": {"seed": 1}}, "evaluation": {}}
    forget_texts(metrics)
    assert metrics == {"judges": {"detector": {"seed": 1}}, "evaluation": {}}
    said = capsys.readouterr().out
    assert "run evaluate again" in said
    assert "run judges again" in said
