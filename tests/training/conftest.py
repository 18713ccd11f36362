"""A made-up archive, prepared once, for the walk through the verbs."""

import fcntl
import io
import os
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

import huggingface_hub
import pytest
import torch
import transformers

from tests import made_up, tiny
from training import __main__ as command_line
from training.recipe import RECIPES

SMALL = """[scratch]
vocab_size = 512
n_positions = 128
n_embd = 64
n_layer = 2
n_head = 2
"""


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
        exports = "demo.generation.openvino.exported.run_module"
        stack.enter_context(patch(exports, tiny.export_here))
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
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Callable[..., Path]:
    """Makes a folder once for all processes that run tests; they only read it."""
    root = tmp_path_factory.getbasetemp()
    root = root if worker_id == "master" else root.parent

    def make_once(name: str, make: Callable[[Path], None]) -> Path:
        folder = root / "shared" / name
        folder.parent.mkdir(exist_ok=True)
        with folder.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                unfinished = Path(tempfile.mkdtemp(dir=root))
                make(unfinished)
                unfinished.rename(folder)
        return folder

    return make_once


@pytest.fixture(scope="session")
def prepared(shared: Callable[..., Path]) -> Path:
    """What `prepare` writes for 300 made-up tweets."""

    def make(folder: Path) -> None:
        archive = made_up.write(folder / "archive.csv.gz", made_up.rows(300))
        done = verb("prepare", archive, "--out", folder / "data")
        assert done.returncode == 0, done.stderr

    return shared("prepared", make) / "data"


@pytest.fixture(scope="session")
def recipe(shared: Callable[..., Path]) -> Path:
    """The recipe `scratch` of a smaller model."""

    def make(folder: Path) -> None:
        text = (RECIPES / "scratch.toml").read_text(encoding="utf-8")
        (folder / "small.toml").write_text(text.partition("[scratch]")[0] + SMALL, encoding="utf-8")

    return shared("recipe", make) / "small.toml"


@pytest.fixture(scope="session")
def scratch_run(shared: Callable[..., Path], recipe: Path, prepared: Path) -> Path:
    """The run's folder of a tiny GPT-2 made by `finetune`, 12 steps."""

    def make(folder: Path) -> None:
        command = ["finetune", "--recipe", recipe, "--data", prepared, "--max-steps", 12]
        done = verb(*command, "--out", folder / "run")
        assert done.returncode == 0, done.stderr

    return shared("scratch", make) / "run"


@pytest.fixture
def tiny_base(scratch_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands for the packaged base, which takes seconds to load."""
    monkeypatch.setattr(
        "training.sampling.packaged_base_folder", lambda: scratch_run / "checkpoint"
    )
