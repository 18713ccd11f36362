"""A state is resumed only if every file is as it was saved."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from demo.checkpoints.files import SUMS
from training import TrainingError
from training.checkpoints import SealStates, has_states, newest_whole_state, remove_newer


def save(states: Path, step: int, sealed: bool = True) -> Path:
    folder = states / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    for name in ("model.safetensors", "optimizer.pt"):
        (folder / name).write_text(f"{name} at step {step}")
    if sealed:
        arguments: Any = SimpleNamespace(output_dir=str(states))
        state: Any = SimpleNamespace(global_step=step, is_world_process_zero=True)
        SealStates().on_save(arguments, state, control=None)
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
    remove_newer(before)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-10"]


def test_where_none_is_whole_none_is_removed(tmp_path: Path) -> None:
    kept = save(tmp_path, 10, sealed=False)
    with pytest.raises(TrainingError, match="no saved state"):
        newest_whole_state(tmp_path)
    assert kept.is_dir()
    assert has_states(tmp_path)


def test_other_folders_are_no_states(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-best").mkdir()
    (tmp_path / "checkpoint-7").write_text("a file")
    assert not has_states(tmp_path)
