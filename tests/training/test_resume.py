"""A run that is killed outright goes on as if nothing had happened."""

import json
import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from accelerate import DistributedType, PartialState
from safetensors.torch import load
from transformers import TrainingArguments

from demo.checkpoints.files import SUMS, write_checksums
from tests import made_up
from tests.processes import free_port, wait_until
from tests.training.conftest import verb
from tests.training.forked import Training, forked, run_verb
from tests.training.machines import ADDRESSES, INTERFACE, move_to, two_machines
from training import trainer
from training.callbacks import StopOnSignal
from training.checkpoints import newest_whole_state

RECIPE = """
method = "scratch"
learning_rate = 1e-3
epochs = 10
warmup_steps = 4
log_every = 1
evaluate_every = 3
sample_every = 6
[scratch]
vocab_size = 512
n_positions = 128
n_embd = 64
n_layer = 2
n_head = 2
"""
STEPS = 9
NEVER = STEPS + 1


@pytest.fixture(scope="module")
def command(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    recipe = tmp_path_factory.mktemp("recipe") / "small.toml"
    recipe.write_text(RECIPE)
    return [
        "finetune", "--recipe", recipe, "--data", prepared, "--max-steps", STEPS, "--no-tracking",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(command: list[object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed")
    done = verb(*command, "--out", out)
    assert done.returncode == 0, done.stderr
    return out


def _run_until_sealing(state: str, *arguments: object) -> None:
    """The verb, which stands still before it seals that state."""

    def seal(folder: Path) -> None:
        if folder.name == state:
            signal.pause()
        write_checksums(folder)

    with patch("training.checkpoints.write_checksums", seal):
        run_verb(*arguments)


def killed_when(arguments: list[object], is_time: Callable[[], bool], unsealed: str) -> None:
    """Runs a verb and kills it, as no process can notice, at that moment, and before it seals that
    state."""
    with forked(_run_until_sealing, unsealed, *arguments) as process:

        def has_come() -> bool:
            assert process.poll() is None, process.finish()
            return is_time()

        wait_until(has_come, 240)
        process.send_signal(signal.SIGKILL)
        assert process.finish()[0] == -signal.SIGKILL


@pytest.mark.parametrize("moment", ["between saves", "while saving"])
def test_a_killed_run_resumes_to_the_same_weights(
    command: list[object], undisturbed: Path, tmp_path: Path, moment: str
) -> None:
    second = tmp_path / "states" / "checkpoint-6"
    waited_for = second / SUMS if moment == "between saves" else second / "model.safetensors"
    unsealed = "checkpoint-9" if moment == "between saves" else second.name
    killed_when([*command, "--out", tmp_path], waited_for.exists, unsealed)
    assert (second / SUMS).exists() == (moment == "between saves")
    done = verb(*command, "--out", tmp_path, "--resume")
    assert done.returncode == 0, done.stderr
    if moment == "while saving":
        assert f"checkpoint-6 is passed over: it has no {SUMS}" in done.stdout
        assert "Going on from checkpoint-3." in done.stdout
    else:
        assert "Going on from checkpoint-6." in done.stdout
    name = "checkpoint/model.safetensors"
    assert (tmp_path / name).read_bytes() == (undisturbed / name).read_bytes()
    curves = [
        json.loads((out / "checkpoint" / "metrics.json").read_text())["curve"]
        for out in (tmp_path, undisturbed)
    ]
    points = [[(p["tokens"], p["bits_per_byte"]) for p in curve] for curve in curves]
    assert points[0] == points[1]
    seconds = [point["seconds"] for point in curves[0]]
    assert seconds == sorted(seconds)


def test_a_run_does_not_go_on_with_other_tweets(
    command: list[object], undisturbed: Path, tmp_path: Path
) -> None:
    """Nor with another rate, nor beyond its end; and a finished one makes no step more."""
    out = tmp_path / "run"
    shutil.copytree(undisturbed, out)
    made = (out / "checkpoint" / "model.safetensors").read_bytes()
    other = tmp_path / "other"
    archive = made_up.write(tmp_path / "archive.csv", made_up.rows(300, seed=1))
    assert verb("prepare", archive, "--out", other).returncode == 0
    resumed = [*command, "--out", out, "--resume"]
    done = verb(*resumed, "--data", other)
    assert done.returncode == 1
    assert "made of something else: the tweets of train are others" in done.stderr
    assert "Only these may change: the recipe's epochs" in done.stderr
    done = verb(*resumed, "--max-steps", 6)
    assert done.returncode == 1
    assert "at step 9 already, past the 6 steps" in done.stderr
    (other / "report.json").write_bytes((Path(str(command[4])) / "report.json").read_bytes())
    done = verb(*command, "--data", other, "--out", tmp_path / "mixed")
    assert "is not what one `python -m training prepare` wrote" in done.stderr

    (out / "checkpoint" / "model.safetensors").unlink()
    done = verb(*resumed)
    assert done.returncode == 0, done.stderr
    assert "step     1" not in done.stdout
    assert (out / "checkpoint" / "model.safetensors").read_bytes() == made


@contextmanager
def two_processes(
    *arguments: object, run: Callable[..., object] = run_verb
) -> Iterator[tuple[Training, Training]]:
    """The verb in two processes, with the variables that torchrun sets. torchrun itself imports
    torch three times, and would end the second process when the first one ends."""
    group = {
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
    }  # fmt: skip
    with (
        forked(run, *arguments, **group, RANK="0", LOCAL_RANK="0") as first,
        forked(run, *arguments, **group, RANK="1", LOCAL_RANK="1") as second,
    ):
        yield first, second


@pytest.fixture(scope="module")
def by_two(command: list[object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run's folder of two processes on one machine, which nothing disturbed."""
    out = tmp_path_factory.mktemp("by-two")
    with two_processes(*command, "--out", out) as (first, second):
        printed = [first.finish(), second.finish()]
    assert [code for code, _ in printed] == [0, 0], printed
    assert [text.count("The checkpoint is in") for _, text in printed] == [1, 0]
    return out


def test_a_signal_to_one_process_stops_both(command: list[object], tmp_path: Path) -> None:
    """Each stops after the same step, and the state that they save is whole."""
    with two_processes(*command, "--out", tmp_path, "--max-steps", 4_000) as (first, second):
        while not re.match(r"step +1/", line := first.output.readline()):
            assert line or first.poll() is None
        second.send_signal(signal.SIGTERM)
        code, printed = first.finish()
        assert code == second.finish()[0] == 128 + signal.SIGTERM
    (step,) = re.findall(r"Stopped at step (\d+); go on with --resume", printed)
    newest = newest_whole_state(tmp_path / "states")
    assert newest is not None
    assert newest.name == f"checkpoint-{step}"


def test_two_processes_learn_what_one_does(by_two: Path, undisturbed: Path) -> None:
    """Over gloo, at the same batch of both processes together: the same curve within 0.3 %, which
    is what bfloat16 and the order of sums are worth."""
    metrics, alone = (
        json.loads((out / "checkpoint" / "metrics.json").read_text())
        for out in (by_two, undisturbed)
    )
    assert metrics["training"]["processes"] == 2
    assert metrics["training"]["steps"] == alone["training"]["steps"] == STEPS
    for point, expected in zip(metrics["curve"], alone["curve"], strict=True):
        assert point["tokens"] == expected["tokens"]
        assert point["bits_per_byte"] == pytest.approx(expected["bits_per_byte"], rel=3e-3)
    losses, expected_losses = (
        [
            entry["loss"]
            for entry in json.loads((out / "curves.json").read_text())
            if "loss" in entry
        ]
        for out in (by_two, undisturbed)
    )
    assert losses == pytest.approx(expected_losses, rel=3e-3)


def _run_divided(*arguments: object) -> None:
    """The verb, where accelerate takes CPUs for accelerators: it divides weights among those
    alone."""
    arguments_of = trainer._arguments

    def arguments_on_cpus(*args: Any) -> TrainingArguments:
        made = arguments_of(*args)
        # Asking for the device joins the processes.
        assert made.device.type == "cpu"
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_HPU
        return made

    with patch("training.trainer._arguments", arguments_on_cpus):
        run_verb(*arguments)


def test_weights_that_are_divided_among_processes_learn_the_same_and_go_on(
    command: list[object], by_two: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "divided.toml"
    recipe.write_text(RECIPE.replace("[scratch]", "fsdp = true\n[scratch]"))
    out = tmp_path / "run"
    arguments = [*command, "--recipe", recipe, "--out", out]
    with two_processes(*arguments, run=_run_divided) as (first, second):
        printed = [first.finish(), second.finish()]
    assert [code for code, _ in printed] == [0, 0], printed
    assert (out / "states" / f"checkpoint-{STEPS}" / "pytorch_model_fsdp.bin").is_file()
    curve, expected = (
        json.loads((folder / "checkpoint" / "metrics.json").read_text())["curve"]
        for folder in (out, by_two)
    )
    assert [point["bits_per_byte"] for point in curve] == pytest.approx(
        [point["bits_per_byte"] for point in expected], rel=3e-3
    )
    whole = (out / "checkpoint" / "model.safetensors").read_bytes()
    shapes, expected_shapes = (
        {name: weight.shape for name, weight in load(content).items()}
        for content in (whole, (by_two / "checkpoint" / "model.safetensors").read_bytes())
    )
    assert shapes == expected_shapes

    with two_processes(*arguments, "--out", tmp_path / "cpus") as (first, second):
        printed = [first.finish(), second.finish()]
    for code, text in printed:
        assert (code, "divides weights among GPUs; these processes have none" in text) == (1, True)

    shutil.rmtree(out / "states" / f"checkpoint-{STEPS}")
    with two_processes(*arguments, "--resume", run=_run_divided) as (first, second):
        printed = [first.finish(), second.finish()]
    assert [code for code, _ in printed] == [0, 0], printed
    assert "Going on from checkpoint-6." in printed[0][1]
    assert (out / "checkpoint" / "model.safetensors").read_bytes() == whole


def _run_on(machine: str, killed_after: int, *arguments: object) -> None:
    """The verb on that machine, killed, as no process can notice, at the end of that step."""

    class Killed(StopOnSignal):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == killed_after:
                os.kill(os.getpid(), signal.SIGKILL)
            super().on_step_end(args, state, control)

    move_to(machine)
    with patch("training.finetune.StopOnSignal", Killed):
        run_verb(*arguments)


def test_a_run_on_two_machines_goes_on_after_one_was_lost(
    command: list[object], by_two: Path, tmp_path: Path
) -> None:
    """The other ends by itself and says what to do; the same command with --resume leads to the
    weights of a run that nothing disturbed."""
    arguments = [*command, "--out", tmp_path]
    group = {
        "MASTER_ADDR": ADDRESSES[0], "MASTER_PORT": "29500", "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "1", "LOCAL_RANK": "0", "GLOO_SOCKET_IFNAME": INTERFACE,
    }  # fmt: skip
    with two_machines() as (here, there):
        with (
            forked(_run_on, here, NEVER, *arguments, **group, RANK="0") as first,
            forked(_run_on, there, 7, *arguments, **group, RANK="1") as second,
        ):
            assert second.finish()[0] == -signal.SIGKILL
            assert first.wait(60) == 1
            printed = first.finish()[1]
        assert "finetune: The processes of this run do not reach one another" in printed
        assert not (tmp_path / "checkpoint").exists()

        arguments.append("--resume")
        with (
            forked(_run_on, here, NEVER, *arguments, **group, RANK="0") as first,
            forked(_run_on, there, NEVER, *arguments, **group, RANK="1") as second,
        ):
            (code, printed), others = first.finish(), second.finish()
    assert (code, others[0]) == (0, 0), (printed, others)
    assert "Going on from checkpoint-6." in printed
    assert "step" not in others[1]
    name = "checkpoint/model.safetensors"
    assert (tmp_path / name).read_bytes() == (by_two / name).read_bytes()
