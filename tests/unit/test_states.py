"""A state is resumed only if every file is as it was saved."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from demo.checkpoints.files import SUMS
from demo.checkpoints.persona import NOBODY
from training import TrainingError
from training.checkpoints import SealStates, find_best, has_states, newest_whole_state, remove_newer
from training.terms import Terms

TERMS = Terms(tweets={"train": "0"}, base="1", recipe={"learning_rate": 0.1}, persona=NOBODY)


def save(states: Path, step: int, sealed: bool = True) -> Path:
    folder = states / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    for name in ("model.safetensors", "optimizer.pt"):
        (folder / name).write_text(f"{name} at step {step}")
    if sealed:
        arguments: Any = SimpleNamespace(output_dir=str(states))
        state: Any = SimpleNamespace(global_step=step, is_world_process_zero=True)
        SealStates(TERMS).on_save(arguments, state, control=None)
    return folder


def test_the_newest_by_number_is_taken(tmp_path: Path) -> None:
    save(tmp_path, 100)
    newest = save(tmp_path, 1_000)
    save(tmp_path, 900)
    assert newest_whole_state(tmp_path) == newest


@pytest.mark.parametrize("damage", ["unsealed", "cut short", "changed", "file missing", "bad sums"])
def test_a_damaged_state_is_named_and_the_one_before_is_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    before = save(tmp_path, 10)
    damaged = save(tmp_path, 20, sealed=damage != "unsealed")
    optimizer = damaged / "optimizer.pt"
    if damage == "cut short":
        optimizer.write_text(optimizer.read_text()[:-1])
    elif damage == "changed":
        optimizer.write_text(optimizer.read_text().replace("2", "3"))
    elif damage == "file missing":
        optimizer.unlink()
    elif damage == "bad sums":
        (damaged / SUMS).write_text("nonsense")
    assert newest_whole_state(tmp_path) == before
    said = capsys.readouterr().out
    assert "checkpoint-20 is passed over: " in said
    assert "Going on from checkpoint-10." in said
    remove_newer(tmp_path, before)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-10"]


def test_where_none_is_whole_none_is_removed(tmp_path: Path) -> None:
    kept = save(tmp_path, 10)
    (kept / "optimizer.pt").unlink()
    with pytest.raises(TrainingError, match="No saved state in .* is whole: delete that folder"):
        newest_whole_state(tmp_path)
    assert kept.is_dir()
    assert has_states(tmp_path)


def test_a_run_whose_first_save_was_cut_short_begins_again(tmp_path: Path) -> None:
    save(tmp_path, 10, sealed=False)
    assert newest_whole_state(tmp_path) is None
    remove_newer(tmp_path, None)
    assert not has_states(tmp_path)


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"tweets": {"train": "9"}}, "the tweets of train are others"),
        ({"base": "9"}, "the base or its tokenizer is another"),
        ({"recipe": {"learning_rate": 0.2}}, "learning_rate was 0.1 and is 0.2"),
        ({"recipe": {}}, "learning_rate was 0.1 and is null"),
        ({"teachers": ["9"]}, "the teachers are others"),
        ({"persona": NOBODY.model_copy(update={"name": "A. Teapot"})}, "the persona was nobody"),
    ],
)
def test_a_state_is_gone_on_from_with_what_it_was_made_of(
    tmp_path: Path, other: dict[str, Any], says: str
) -> None:
    state = save(tmp_path, 10)
    TERMS.require_same(state)
    with pytest.raises(TrainingError, match=f"checkpoint-10 was made of something else: {says}"):
        TERMS.model_copy(update=other).require_same(state)
    (state / "terms.json").unlink()
    with pytest.raises(TrainingError, match="does not say what it was made of"):
        TERMS.require_same(state)


def test_a_state_that_is_older_than_a_setting_was_made_with_its_default(tmp_path: Path) -> None:
    state = save(tmp_path, 10)
    recipe = {**TERMS.recipe, "retweets": False}
    TERMS.model_copy(update={"recipe": recipe}).require_same(state)
    other = TERMS.model_copy(update={"recipe": {**recipe, "retweets": True}})
    with pytest.raises(TrainingError, match="retweets was false and is true"):
        other.require_same(state)


def test_the_best_state_is_found_where_the_run_was_moved_to(tmp_path: Path) -> None:
    best = save(tmp_path, 10)
    arguments: Any = SimpleNamespace(output_dir=str(tmp_path))
    state: Any = SimpleNamespace(
        best_global_step=10, best_metric=1.0, best_model_checkpoint="/before/checkpoint-10"
    )
    find_best(arguments, state)
    assert (state.best_model_checkpoint, state.best_metric) == (str(best), 1.0)
    (best / "model.safetensors").write_text("damaged")
    find_best(arguments, state)
    assert (state.best_model_checkpoint, state.best_metric) == (None, None)


def test_other_folders_are_no_states(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-best").mkdir()
    (tmp_path / "checkpoint-7").write_text("a file")
    assert not has_states(tmp_path)
