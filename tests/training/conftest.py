"""A made-up archive, prepared once, for the walk through the verbs."""

import io
import os
import signal
import subprocess
import sys
import warnings
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

import huggingface_hub
import pytest
import torch
import transformers

from tests import made_up
from training import __main__ as command_line


def verb(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs `python -m training …` in this process: importing torch takes longer than most verbs.

    Tests that kill a verb or send it a signal start a process of their own.
    """
    out, err = io.StringIO(), io.StringIO()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    threads, verbosity = torch.get_num_threads(), transformers.logging.get_verbosity()
    with ExitStack() as stack:
        stack.enter_context(patch.dict(os.environ, {"OMP_NUM_THREADS": "1"}))
        stack.enter_context(patch.object(sys, "argv", ["training", *map(str, arguments)]))
        stack.enter_context(patch.object(huggingface_hub.constants, "HF_HUB_OFFLINE", True))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.enter_context(redirect_stdout(out))
        stack.enter_context(redirect_stderr(err))
        torch.set_num_threads(1)
        try:
            code = command_line.main()
        finally:
            torch.set_num_threads(threads)
            transformers.logging.set_verbosity(verbosity)
            for number, handler in handlers.items():
                signal.signal(number, handler)
    return subprocess.CompletedProcess(
        list(map(str, arguments)), code, out.getvalue(), err.getvalue()
    )


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tiny models only lose by sharing, and sums come out the same every time."""
    torch.set_num_threads(1)


@pytest.fixture
def short_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of a few steps seldom ends a text: what it draws is cut early."""
    monkeypatch.setattr("training.sampling.MAX_NEW_TOKENS", 30)


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


@pytest.fixture
def tiny_base(scratch_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands for the packaged base, which takes seconds to load."""
    monkeypatch.setattr(
        "training.sampling.packaged_base_folder", lambda: scratch_run / "checkpoint"
    )
