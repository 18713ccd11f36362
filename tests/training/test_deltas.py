"""A run whose weights are stored as deltas: what was measured on the way is what is written."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from demo.checkpoints.merging import merge
from demo.checkpoints.weights import load_model
from tests import tiny
from training import TrainingError, models
from training import finetune as finetuning
from training.bits_per_byte import score_texts, summarise
from training.calibration import Calibration
from training.finetune import finetune, sample_dev
from training.prepare import read_texts

RECIPE = """
method = "full"
base = "packaged"
learning_rate = 3e-3
epochs = 1
warmup_steps = 2
evaluate_every = 20
sample_every = 1000
calibrate = true
block_size = 64

[difference]
start = {start}
two_bits = ["self_attn"]
whole_tokens = 20
"""


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny decoder in the place of the packaged one."""
    folder = tiny.write(tmp_path / "base", tiny.llama())
    monkeypatch.setattr(models, "packaged_base_folder", lambda: folder)
    return folder


@pytest.fixture(autouse=True)
def few_tweets_calibrate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the 14 of dev, half choose the best state, and the others calibrate it."""
    monkeypatch.setattr(finetuning, "DEV_TEXTS", 7)
    monkeypatch.setattr(finetuning, "CALIBRATION_TEXTS", 7)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """A tiny model only loses by sharing, and its sums come out the same every time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def trained(
    out: Path, prepared: Path, start: float, resume: bool = False, teacher: Path | None = None
) -> Path:
    """The checkpoint of a run whose steps are rounded from that share of it on."""
    recipe = out.with_suffix(".toml")
    recipe.write_text(RECIPE.format(start=start))
    teachers = None if teacher is None else [teacher]
    code = finetune(
        str(recipe), data=prepared, out=out, teacher=teachers, resume=resume, no_tracking=True
    )
    assert code == 0
    return out / "checkpoint"


def dev_bits(folder: Path, dev: list[str]) -> float:
    model, tokenizer = load_model(folder, torch.float32, "cpu")
    return summarise(score_texts(dev, model, tokenizer)).bits_per_byte


def test_the_best_state_is_chosen_by_the_weights_that_are_written(
    base: Path, prepared: Path, tmp_path: Path
) -> None:
    dev = sample_dev(read_texts(prepared, "dev"), 1)
    untrained = dev_bits(base, dev)
    figures = {}
    for start in (0.5, 1.0):
        checkpoint = trained(tmp_path / f"run-{start}", prepared, start)
        names = {path.name for path in checkpoint.iterdir()}
        assert {"difference.safetensors", "base.json", "generation_config.json"} <= names
        assert not {"model.safetensors", "config.json"} & names
        merged = tmp_path / f"merged-{start}"
        merge(checkpoint, tiny.read(base), merged)
        figures[start] = dev_bits(merged, dev)
        recorded = json.loads((checkpoint / "metrics.json").read_text())["training"]
        assert recorded["best_dev_bits_per_byte"] == pytest.approx(figures[start], rel=1e-6)
        assert recorded["calibration"]["texts"] == 7
    # Steps that see rounded weights learn to do without what rounding takes.
    assert figures[0.5] < figures[1.0] < untrained


@pytest.mark.parametrize("start", [pytest.param(0.5, marks=pytest.mark.slow), 0.95])
def test_a_run_resumes_to_the_same_difference(
    base: Path, prepared: Path, tmp_path: Path, start: float
) -> None:
    """From a state after the first rounded step, and from one just before it."""
    teacher = tiny.write(tmp_path / "teacher", tiny.llama(1))
    whole = trained(tmp_path / "whole", prepared, start, teacher=teacher)
    states = (tmp_path / "whole" / "states").iterdir()
    *_, earlier, _ = sorted(states, key=lambda state: int(state.name.split("-")[1]))
    shutil.copytree(earlier, tmp_path / "cut" / "states" / earlier.name)
    with pytest.raises(TrainingError, match="made of something else: the teachers are others"):
        trained(tmp_path / "cut", prepared, start, resume=True)
    resumed = trained(tmp_path / "cut", prepared, start, resume=True, teacher=teacher)
    name = "difference.safetensors"
    assert (resumed / name).read_bytes() == (whole / name).read_bytes()
    assert len(json.loads((resumed / "metrics.json").read_text())["training"]["teachers"]) == 1


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (8, "Not calibrated: dev has 7 tweets beside those that choose the best state; 8 are"),
        (1, "Not calibrated: bits per byte on dev would be"),
    ],
)
def test_a_calibration_that_would_not_help_is_left_out(
    base: Path,
    prepared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    texts: int,
    message: str,
) -> None:
    monkeypatch.setattr(finetuning, "CALIBRATION_TEXTS", texts)

    def worse(_texts: object, model: Any, *_: object) -> Calibration:
        names = [name for name, _ in model.named_parameters()]
        return Calibration(dict.fromkeys(names, torch.tensor(9.0)), torch.tensor(0.1))

    monkeypatch.setattr(finetuning, "fit_calibration", worse)
    checkpoint = trained(tmp_path / "run", prepared, 0.5)
    assert message in capsys.readouterr().out
    merged = tmp_path / "merged"
    merge(checkpoint, tiny.read(base), merged)
    recorded = json.loads((checkpoint / "metrics.json").read_text())["training"]
    assert "calibration" not in recorded
    dev = sample_dev(read_texts(prepared, "dev"), 1)
    assert recorded["best_dev_bits_per_byte"] == pytest.approx(dev_bits(merged, dev), rel=1e-6)
