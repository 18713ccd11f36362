"""The benchmarks run, in small: their figures mean nothing here, their tables must be whole."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from transformers import PreTrainedModel

from benchmarks.engines import OnnxRuntime, Transformers, make_prompts
from tests import tiny
from tests.processes import ROOT

pytestmark = pytest.mark.slow


def run(*arguments: object, codes: tuple[int, ...] = (0,)) -> None:
    """`python -m benchmarks …`, which must end well."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode in codes, done.stderr


def cells(table: str, first: str) -> list[str]:
    """The cells of the one row that begins with this."""
    (row,) = re.findall(rf"^\| {re.escape(first)} \|.*$", table, flags=re.MULTILINE)
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_serve_measures_both_apps_and_no_text_fails(tmp_path: Path) -> None:
    run("serve", "--quick", "--results", tmp_path)
    page = (tmp_path / "serve.md").read_text(encoding="utf-8")
    assert len(re.findall(r"^\| ours \| 16 \| \d+ \| \d+ \| 0 \|", page, re.MULTILINE)) == 1
    assert len(re.findall(r"^\| original \| 16 \| \d+ \| \d+ \| 0 \|", page, re.MULTILINE)) == 1
    assert "OpenVINO" in page
    assert "pipeline() float32" in page


def test_raw_measures_the_engines_that_are_installed(tmp_path: Path) -> None:
    run("raw", "--quick", "--results", tmp_path)
    page = (tmp_path / "raw.md").read_text(encoding="utf-8")
    for engine in ("OpenVINO int8", "transformers fp32"):
        assert re.search(r"\d", "".join(cells(page, engine)[1:])), engine
    assert cells(page, "transformers fp32")[3] == "1.000"


def test_train_measures_both_loops(tmp_path: Path) -> None:
    run("train", "--quick", "--out", tmp_path)
    page = (tmp_path / "train.md").read_text(encoding="utf-8")
    for loop in ("original", "ours"):
        assert re.fullmatch(r"[\d,.]+", cells(page, loop)[1]), loop
    assert "Ours / original" in page


def test_prepare_measures_each_size(tmp_path: Path) -> None:
    run("prepare", "--tweets", 100, "--tweets", 200, "--results", tmp_path)
    page = (tmp_path / "prepare.md").read_text(encoding="utf-8")
    assert [re.fullmatch(r"[\d.]+", cells(page, size)[2]) is not None for size in ("100", "200")]
    assert cells(page, "200")[4]


def test_in_the_short_form_of_stays_up_nobody_is_left_without_an_answer(tmp_path: Path) -> None:
    """About two minutes on two cores with nothing else to do."""
    chosen = ("crowd", "slow_senders", "idle", "engine_killed", "disk", "stop")
    only = [word for name in chosen for word in ("--only", name)]
    # 1: something was slower than its bar, on a machine that is busy with tests.
    run("stays_up", "--quick", *only, "--results", tmp_path, codes=(0, 1))
    page = (tmp_path / "stays_up.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \|.*\| (?:yes|\*\*no\*\*|not judged) \|$", page, re.MULTILINE)
    assert tuple(dict.fromkeys(rows)) == chosen
    assert "8 × text;" in page
    for broken in ("× cut", "× 500", "without a sentence", "the trial itself"):
        assert broken not in page


def test_same_text_finds_every_text_again(tmp_path: Path) -> None:
    run("same_text", "--texts", 12, "--results", tmp_path)
    page = (tmp_path / "same_text.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| (\d+) \| \d+ \| 0 of 12 \|", page, re.MULTILINE) == ["2", "8", "16"]


@pytest.mark.parametrize("make", [tiny.gpt2, tiny.llama])
def test_the_exported_onnx_computes_what_the_checkpoint_does(
    make: Callable[[], PreTrainedModel], tmp_path: Path
) -> None:
    """Only where the peers are installed; see benchmarks/requirements.txt."""
    for package in ("onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    checkpoint, folder = tiny.write(tmp_path / "checkpoint", make()), tmp_path / "onnx"
    command = [sys.executable, "-m", "benchmarks.exports", "onnx", str(checkpoint), str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    prompts = make_prompts(1, 290)
    expected = Transformers(checkpoint, 1, 290).logits(prompts)[0]
    engine = OnnxRuntime(folder, 1, 290)
    assert np.corrcoef(engine.forward(prompts, 0)[0], expected)[0, 1] > 0.95
    engine.forward(prompts[:, :5], 0)
    assert np.corrcoef(engine.forward(prompts[:, 5:], 5)[0], expected)[0, 1] > 0.95
