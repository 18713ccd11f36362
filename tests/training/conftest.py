"""A made-up archive, prepared once, for the walk through the verbs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import made_up

ROOT = Path(__file__).parent.parent.parent


def environment() -> dict[str, str]:
    """A verb's: off the Hub, and on one thread, since a tiny model only loses by sharing."""
    return {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


def verb(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs `python -m training …` as a process of its own, as the owner does."""
    return subprocess.run(
        [sys.executable, "-m", "training", *map(str, arguments)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `prepare` writes for 300 made-up tweets."""
    folder = tmp_path_factory.mktemp("prepared")
    archive = made_up.write(folder / "archive.csv.gz", made_up.rows(300))
    done = verb("prepare", archive, "--out", folder / "data")
    assert done.returncode == 0, done.stderr
    return folder / "data"


@pytest.fixture(scope="session")
def scratch_run(prepared: Path) -> Path:
    """The run's folder of a tiny GPT-2 made by `finetune --recipe scratch`, 12 steps."""
    out = prepared.parent / "run"
    done = verb(
        "finetune", "--recipe", "scratch", "--data", prepared, "--out", out, "--max-steps", 12
    )
    assert done.returncode == 0, done.stderr
    return out
