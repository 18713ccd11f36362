"""Recipes side by side through the command line, a few steps each."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from tests.training.conftest import verb
from tests.training.forked import forked, run_verb
from training import TrainingError
from training.__main__ import main
from training.bits_per_byte import Score, measure_gap
from training.checkpoints import newest_whole_state
from training.compare import compare

SMALL = """
method = "scratch"
learning_rate = {rate}
epochs = 1
warmup_steps = 2
sample_every = 1000
[scratch]
vocab_size = 300
n_positions = 128
n_embd = 32
n_layer = 1
n_head = 2
"""


def _run_verb_in_a_session(*command: str) -> None:
    os.setsid()
    run_verb(*command)


def _run_forked(command: list[str]) -> "subprocess.CompletedProcess[str]":
    """Stands for `subprocess.run` where it starts a verb."""
    assert command[:3] == [sys.executable, "-m", "training"]
    with forked(run_verb, *command[3:]) as process:
        code, printed = process.finish()
    assert code is not None
    return subprocess.CompletedProcess(command, code, printed)


def test_two_recipes_are_trained_scored_and_shown(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.compare.subprocess", SimpleNamespace(run=_run_forked))
    for name, rate in (("eager", 5e-3), ("timid", 1e-5)):
        (tmp_path / f"{name}.toml").write_text(SMALL.format(rate=rate))
    recipes = [tmp_path / "eager.toml", tmp_path / "timid.toml"]
    command = ["compare", *recipes, "--data", prepared, "--out", tmp_path / "out"]
    done = verb(*command, "--tokens", 21_000)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "out" / "compare.json").read_text())
    eager, timid = (result["runs"][name] for name in ("eager", "timid"))
    assert [point["tokens"] for point in eager["curve"]] == [p["tokens"] for p in timid["curve"]]
    assert len(eager["curve"]) > 6
    assert eager["curve"][0]["tokens"] == 0
    assert eager["test"]["high"] < timid["test"]["low"]
    less, low, high = timid["ours_less_this"]
    assert low <= less <= high < 0
    assert less == pytest.approx(
        eager["test"]["bits_per_byte"] - timid["test"]["bits_per_byte"], abs=2e-4
    )
    assert (tmp_path / "out" / "compare.png").read_bytes().startswith(b"\x89PNG")
    assert f"**{eager['test']['bits_per_byte']:.4f}**" in (tmp_path / "out/compare.md").read_text()

    again = verb(*command, "--tokens", 21_000)
    assert again.stdout.count("is trained already") == 2

    names = list(map(str, recipes))
    with pytest.raises(TrainingError, match=r"eager holds .* on other terms \(tokens\)"):
        compare(names, data=prepared, out=tmp_path / "out", tokens=30_000)
    recipes[1].write_text(SMALL.format(rate=1e-4))
    with pytest.raises(TrainingError, match=r"timid holds .* on other terms \(recipe\)"):
        compare(names, data=prepared, out=tmp_path / "out", tokens=21_000)


@pytest.mark.slow
def test_a_comparison_by_minutes_goes_on_after_ctrl_c(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "eager.toml").write_text(SMALL.format(rate=5e-3))
    command = ["compare", str(tmp_path / "eager.toml"), "--data", str(prepared)]
    command += ["--out", str(tmp_path / "out"), "--minutes", "0.1"]
    # Its finetune is started by an interpreter of its own.
    with forked(_run_verb_in_a_session, *command) as process:
        while not (line := process.output.readline()).startswith("step"):
            assert line or process.poll() is None
        # A terminal's Ctrl-C reaches every process of the group.
        os.killpg(process.pid, signal.SIGINT)
        code, printed = process.finish()
    assert code == 130, printed
    assert "eager ended with code 130; the same command continues it." in printed
    # finetune was not killed while it saved.
    newest_whole_state(tmp_path / "out" / "eager" / "states")
    run = Mock(side_effect=_run_forked)
    monkeypatch.setattr("training.compare.subprocess", SimpleNamespace(run=run))
    again = verb(*command)
    assert again.returncode == 0, again.stderr
    assert "--resume" in run.call_args.args[0]
    assert "| eager |" in (tmp_path / "out" / "compare.md").read_text()


def test_what_cannot_be_compared_is_said(
    prepared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["training", "compare", "--data", str(prepared), "--out", str(tmp_path)]
    for recipes, message in (
        (["gpt2", "none"], "There is no recipe 'none'"),
        (["scratch", "gpt2"], "a step of gpt2 is 4,096 tokens. Give at least 81,920"),
        (["gpt2", "gpt2"], "Two of the recipes have the same name"),
    ):
        monkeypatch.setattr("sys.argv", [*command, *recipes, "--tokens", "1000"])
        assert main() == 1
        assert message in capsys.readouterr().err


def test_the_gap_is_paired() -> None:
    """Texts that are hard for both widen each one's interval, but not that of the gap."""
    hard = [Score(bits=100.0 * (i % 7), bytes=100, tokens=20) for i in range(60)]
    better = [Score(score.bits - 10, score.bytes, score.tokens) for score in hard]
    gap = measure_gap(better, hard)
    assert (gap.value, gap.low, gap.high) == pytest.approx((-0.1, -0.1, -0.1))
