"""Which engine is taken, and what is said of it."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from demo.checkpoints.resolve import Checkpoint, CheckpointError
from demo.generation import choosing
from demo.generation.choosing import EngineSettings, has_gpu, load_engine
from demo.generation.engine import Engine
from tests.processes import ROOT
from tests.scripted import ScriptedEngine

HERE = Checkpoint(Path("teapots"), "teapots", "0" * 12)
SETTINGS = EngineSettings("auto", "cpu", False, 4, 60.0, Path("cache"))


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What is built instead of engines, by name; an exception is raised."""
    engines: dict[str, Any] = {name: ScriptedEngine() for name in ("openvino", "transformers")}

    def build(name: str) -> Engine:
        if isinstance(engines[name], Exception):
            raise engines[name]
        engine: Engine = engines[name]
        return engine

    monkeypatch.setattr(choosing, "_openvino", lambda *_: build("openvino"))
    monkeypatch.setattr(choosing, "_transformers", lambda *_: build("transformers"))
    return engines


def chosen(built: dict[str, Any], said: list[str], **changes: Any) -> str:
    engine = load_engine(HERE, replace(SETTINGS, **changes), said.append)
    return next(name for name, one in built.items() if one is engine)


def test_on_a_cpu_openvino_is_taken(built: dict[str, Any]) -> None:
    said: list[str] = []
    assert chosen(built, said) == "openvino"
    assert said == ["Engine: OpenVINO, because there is no GPU."]


def test_on_a_gpu_transformers_is_taken(
    built: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(choosing, "has_gpu", lambda _: True)
    assert chosen(built, said) == "transformers"
    assert said == ["Engine: transformers, because there is a GPU."]


def test_what_openvino_cannot_run_runs_on_transformers(built: dict[str, Any]) -> None:
    said: list[str] = []
    built["openvino"] = CheckpointError("it is a bert model.")
    assert chosen(built, said) == "transformers"
    assert said == ["Engine: transformers, because OpenVINO cannot be taken: it is a bert model."]


def test_what_the_owner_asks_for_is_taken_or_refused(built: dict[str, Any]) -> None:
    said: list[str] = []
    assert chosen(built, said, name="transformers") == "transformers"
    assert chosen(built, said, name="openvino") == "openvino"
    assert all("because ENGINE says so" in sentence for sentence in said)
    built["openvino"] = CheckpointError("it is a bert model.")
    with pytest.raises(CheckpointError, match="bert"):
        chosen(built, said, name="openvino")


def test_a_device_that_is_named_needs_no_look() -> None:
    assert has_gpu("cuda")
    assert not has_gpu("cpu")


def test_torch_is_asked_only_where_there_may_be_a_gpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[bool] = []

    def is_available() -> bool:
        asked.append(True)
        return True

    torch = SimpleNamespace(cuda=SimpleNamespace(is_available=is_available))
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(choosing, "_GPU_DEVICES", (str(tmp_path / "absent"),))
    assert not has_gpu("auto")
    assert not asked
    monkeypatch.setattr(choosing, "_GPU_DEVICES", (str(tmp_path),))
    assert has_gpu("auto")
    assert asked


def test_the_way_to_openvino_imports_neither_torch_nor_transformers_nor_gradio() -> None:
    script = (
        "import sys, app, demo.generation.choosing, demo.generation.openvino.exported\n"
        "import demo.generation.openvino.engine\n"
        "print([m for m in ('torch', 'transformers', 'gradio', 'peft') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_the_worker_imports_neither_gradio_nor_the_app() -> None:
    script = (
        "import sys, demo.generation.openvino.worker\n"
        "print([m for m in ('torch', 'transformers', 'gradio', 'app') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
