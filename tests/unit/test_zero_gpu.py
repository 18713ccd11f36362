"""ZeroGPU, as far as it can be tried without it: what is decorated, and how."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from demo.checkpoints.resolve import Checkpoint
from demo.generation.engine import load_engine
from demo.generation.request import GenerationRequest
from demo.settings import read_settings


@pytest.fixture
def booked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A stand-in for the package `spaces`; what it is asked to book is recorded. What ZeroGPU
    calls cuda is this machine's CPU."""
    seconds: list[int] = []

    def gpu(duration: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def decorate(task: Callable[..., Any]) -> Callable[..., Any]:
            def lent(*arguments: Any) -> Any:
                seconds.append(duration)
                return task(*arguments)

            return lent

        return decorate

    monkeypatch.setitem(sys.modules, "spaces", SimpleNamespace(GPU=gpu))
    monkeypatch.setattr("demo.generation.transformers_engine._device", lambda _: "cpu")
    monkeypatch.setattr("demo.generation.transformers_engine._dtype", lambda _: torch.float32)
    return seconds


def test_each_text_books_a_gpu_for_a_short_time(booked: list[int], noise_folder: Path) -> None:
    settings = read_settings({"SPACES_ZERO_GPU": "true", "SLOTS": "16"})
    said: list[str] = []
    engine = load_engine(Checkpoint(noise_folder, "noise", ""), settings, said.append)
    assert said == ["Engine: transformers, on ZeroGPU."]
    assert booked == []
    assert engine.slots == 16
    for expected in (1, 2):
        *_, last = engine.stream(GenerationRequest("The", seed=1, max_new_tokens=3))
        assert last.ending is not None
        assert len(booked) == expected
    assert max(booked) <= 30
    engine.close()


def test_zero_gpu_is_where_spaces_says_so() -> None:
    assert read_settings({"SPACES_ZERO_GPU": "true"}).zero_gpu
    assert not read_settings({"SYSTEM": "spaces"}).zero_gpu
