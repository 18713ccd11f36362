"""Tiny checkpoints, made once."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from demo.checkpoints.resolve import Checkpoint
from demo.generation.transformers_engine import TransformersEngine
from tests import tiny


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Models this small only wait for each other's threads."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def noise_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ordinary checkpoint: a GPT-2 with random weights."""
    return tiny.write(tmp_path_factory.mktemp("noise"), tiny.gpt2())


@pytest.fixture(scope="session")
def fluent_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ordinary checkpoint: a GPT-2 that knows one sentence."""
    return tiny.write_fluent(tmp_path_factory.mktemp("fluent"))


@pytest.fixture
def noise(noise_folder: Path) -> Iterator[TransformersEngine]:
    """Writes noise, mostly until its length is reached."""
    engine = TransformersEngine(Checkpoint(noise_folder, "noise", "0" * 12), device="cpu")
    yield engine
    engine.close()


@pytest.fixture
def fluent(fluent_folder: Path) -> Iterator[TransformersEngine]:
    """Writes its one sentence and ends it."""
    engine = TransformersEngine(Checkpoint(fluent_folder, "fluent", "0" * 12), device="cpu")
    yield engine
    engine.close()


@pytest.fixture
def exports_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exports are made in this process."""
    monkeypatch.setattr("demo.generation.openvino.exported.run_module", tiny.export_here)
