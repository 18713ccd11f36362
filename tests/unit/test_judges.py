"""A checkpoint's judges: loaded as far as they are there, and trusted as far as was measured."""

import json
from pathlib import Path

import pytest

from demo.judging import detector, originals
from demo.judging.judges import Judges, read_metrics, share_of
from demo.judging.originals import Originals, window_digests
from tests.scripted import REAL_TWEET, scripted_judges

FIGURE = {"value": 0.7, "low": 0.6, "high": 0.8}
GROUP = {"real": 10, "generated": 12, "accuracy": FIGURE, "roc_auc": FIGURE}


def metrics(folder: Path, groups: object) -> None:
    content = {"judges": {"detector": {"by_length": groups}}}
    (folder / "metrics.json").write_text(json.dumps(content))


@pytest.fixture
def said() -> list[str]:
    return []


def test_a_checkpoint_without_judges_has_nothing_to_say(tmp_path: Path, said: list[str]) -> None:
    judges = Judges.load(tmp_path, said.append)
    assert judges == Judges()
    assert judges.repeats(REAL_TWEET) == ()
    assert judges.trust_in(100) is None
    assert said == []


def test_what_was_saved_is_loaded(tmp_path: Path, said: list[str]) -> None:
    made = scripted_judges()
    assert made.originals
    assert made.detector
    made.originals.save(tmp_path / originals.NAME)
    made.detector.save(tmp_path / detector.NAME)
    metrics(tmp_path, {"0-59": GROUP, "60+": GROUP})
    judges = Judges.load(tmp_path, said.append)
    assert judges.repeats(f"Oh. {REAL_TWEET}") == ((4, 4 + len(REAL_TWEET)),)
    trust = judges.trust_in(59), judges.trust_in(60), judges.trust_in(9_999)
    assert [(t.minimum, t.maximum) for t in trust if t] == [(0, 59), (60, None), (60, None)]
    assert judges.detector
    assert said == []


@pytest.mark.parametrize("name", [originals.NAME, detector.NAME])
def test_a_damaged_judge_is_told_and_left_out(tmp_path: Path, said: list[str], name: str) -> None:
    (tmp_path / name).write_bytes(b"nonsense")
    assert Judges.load(tmp_path, said.append) == Judges()
    assert len(said) == 1
    assert name in said[0]


@pytest.mark.parametrize(
    "groups", [None, [], "x", {"many": GROUP}, {"0-59": {}}, {"0-59": {**GROUP, "accuracy": 1}}]
)
def test_figures_that_are_none_are_not_trusted(
    tmp_path: Path, said: list[str], groups: object
) -> None:
    metrics(tmp_path, groups)
    assert Judges.load(tmp_path, said.append).trust == ()


@pytest.mark.parametrize("content", ["", "[]", "{", "null"])
def test_metrics_that_are_none_are_empty(tmp_path: Path, content: str) -> None:
    (tmp_path / "metrics.json").write_text(content)
    assert read_metrics(tmp_path) == {}


def test_a_length_at_which_chance_does_as_well_is_no_ground_for_a_verdict() -> None:
    short, long = (scripted_judges().trust_in(characters) for characters in (20, 200))
    assert short
    assert long
    assert (short.tells_apart(), long.tells_apart()) == (False, True)


def test_hidden_windows_are_not_told_and_others_are() -> None:
    other = "Nobody has ever seen a kettle as beautiful as the one that stands in my tower"
    index = Originals.build([REAL_TWEET, other])
    hidden = Judges(index, hidden=set(window_digests(REAL_TWEET)))
    assert hidden.repeats(REAL_TWEET) == ()
    assert hidden.repeats(f"He wrote: {REAL_TWEET.upper()}!") == ()
    assert hidden.repeats(other) == ((0, len(other)),)


def test_the_share_of_passages_is_one_of_the_text() -> None:
    judges = scripted_judges()
    half = f"{REAL_TWEET} {'y' * len(REAL_TWEET)}"
    assert share_of(judges.repeats(REAL_TWEET), REAL_TWEET) == 1.0
    assert share_of(judges.repeats(half), half) == pytest.approx(0.5, abs=0.01)
    assert share_of((), "") == 0.0
