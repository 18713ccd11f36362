"""The benchmarks run, in small: their figures mean nothing here, their tables must be whole."""

import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import guess
from benchmarks.guess import Played, Round
from tests.processes import ROOT


def run(*arguments: object) -> None:
    """`python -m benchmarks …`, which must end well."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr


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
    for engine in ("OpenVINO int8, fast", "OpenVINO int8, exact", "transformers fp32"):
        assert re.search(r"\d", "".join(cells(page, engine)[1:])), engine


def test_train_measures_both_loops(tmp_path: Path) -> None:
    run("train", "--quick", "--out", tmp_path)
    page = (tmp_path / "train.md").read_text(encoding="utf-8")
    for loop in ("original", "ours"):
        assert int(re.sub(r"\D.*", "", cells(page, loop)[1].replace(",", ""))) > 0
    assert "Ours / original" in page


def test_prepare_measures_each_size(tmp_path: Path) -> None:
    run("prepare", "--tweets", 100, 200, "--results", tmp_path)
    page = (tmp_path / "prepare.md").read_text(encoding="utf-8")
    assert [float(cells(page, size)[2]) > 0 for size in ("100", "200")] == [True, True]


def test_judge_measures_both_judges(tmp_path: Path) -> None:
    run("judge", "--texts", 50, "--results", tmp_path)
    page = (tmp_path / "judge.md").read_text(encoding="utf-8")
    for judge in ("originals", "detector"):
        median, p99, highest = map(float, cells(page, judge)[1:])
        assert 0 < median <= p99 <= highest


def test_a_script_that_sees_what_gives_a_kind_away_is_found_out() -> None:
    """The strategies learn: on rounds that are no game at all they are right."""
    chance = random.Random(0)
    truths = [chance.random() < 0.5 for _ in range(200)]
    rounds = [
        Played(
            Round(
                "tea!" + " tea" * (4 * truth), bytes([200 * truth] * 48), 0.1 + truth, 1.0 - truth
            ),
            truth,
            None,
        )
        for truth in truths
    ]
    page = guess.markdown(rounds, outside=0.0)
    for name in (
        "length, best",
        "length, as",
        "punctuation",
        "response time",
        "what",
        "ticket bytes",
    ):
        (share,) = re.findall(rf"^\| {name}[^|]*\| ([\d.]+)%", page, re.MULTILINE)
        assert float(share) > 90, name
    assert guess.wilson(50, 100) == pytest.approx((0.4038, 0.5962), abs=1e-3)
