"""Which engine is taken and what is said of it; several texts as one stream."""

import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from demo.checkpoints.resolve import Checkpoint, CheckpointError
from demo.generation import engine as engine_module
from demo.generation.engine import (
    Chunk,
    Engine,
    EngineError,
    has_gpu,
    load_engine,
    stream_many,
)
from demo.generation.request import GenerationRequest
from demo.settings import read_settings
from tests.processes import ROOT
from tests.scripted import Reply, ScriptedEngine

HERE = Checkpoint(Path("teapots"), "teapots", "0" * 12)
SETTINGS = read_settings({"DEVICE": "cpu", "CACHE_DIR": "cache"})


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What is built instead of engines, by name; an exception is raised."""
    engines: dict[str, Any] = {name: ScriptedEngine() for name in ("openvino", "transformers")}

    def build(name: str) -> Engine:
        if isinstance(engines[name], Exception):
            raise engines[name]
        engine: Engine = engines[name]
        return engine

    monkeypatch.setattr(engine_module, "_load_openvino", lambda *_: build("openvino"))
    monkeypatch.setattr(engine_module, "_load_transformers", lambda *_: build("transformers"))
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
    monkeypatch.setattr(engine_module, "has_gpu", lambda _: True)
    assert chosen(built, said) == "transformers"
    assert said == ["Engine: transformers, because there is a GPU."]


def test_what_openvino_cannot_run_runs_on_transformers(built: dict[str, Any]) -> None:
    said: list[str] = []
    built["openvino"] = CheckpointError("it is a bert model.")
    assert chosen(built, said) == "transformers"
    assert said == ["Engine: transformers, because OpenVINO cannot be taken: it is a bert model."]


def test_what_the_owner_asks_for_is_taken_or_refused(built: dict[str, Any]) -> None:
    said: list[str] = []
    assert chosen(built, said, engine="transformers") == "transformers"
    assert chosen(built, said, engine="openvino") == "openvino"
    assert all("because ENGINE says so" in sentence for sentence in said)
    built["openvino"] = CheckpointError("it is a bert model.")
    with pytest.raises(CheckpointError, match="bert"):
        chosen(built, said, engine="openvino")


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
    monkeypatch.setattr(engine_module, "_GPU_DEVICES", (str(tmp_path / "absent"),))
    assert not has_gpu("auto")
    assert not asked
    monkeypatch.setattr(engine_module, "_GPU_DEVICES", (str(tmp_path),))
    assert has_gpu("auto")
    assert asked


def test_the_way_to_openvino_imports_neither_torch_nor_transformers_nor_gradio() -> None:
    script = (
        "import sys, app, demo.generation.engine, demo.generation.openvino.exported\n"
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
        "heavy = ('torch', 'transformers', 'huggingface_hub', 'gradio', 'app')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def eventually_closed(engine: ScriptedEngine) -> bool:
    """Whether all streams are closed within a moment."""
    deadline = time.monotonic() + 5
    while engine.active and time.monotonic() < deadline:
        time.sleep(0.02)
    return (engine.active, engine.closed) == (0, len(engine.streams))


def texts_of(events: list[tuple[int, Chunk | Exception]], count: int) -> list[str]:
    texts = [""] * count
    for index, happened in events:
        if isinstance(happened, Chunk):
            texts[index] += happened.text
    return texts


def test_every_text_comes_whole_and_ends_once(engine: ScriptedEngine) -> None:
    requests = [GenerationRequest("Today", max_new_tokens=n) for n in (1, 2, 3)]
    events = list(stream_many(engine, requests))
    assert texts_of(events, 3) == [" going", " going to", " going to make"]
    ended = [index for index, chunk in events if isinstance(chunk, Chunk) and chunk.ending]
    assert sorted(ended) == [0, 1, 2]


def test_they_are_written_at_the_same_time(engine: ScriptedEngine) -> None:
    engine.replies["meet"] = Reply("a b c d", seconds_per_word=0.2)
    start = time.monotonic()
    list(stream_many(engine, [GenerationRequest("meet")] * 4))
    assert time.monotonic() - start < 4 * 0.8


def test_one_that_fails_leaves_the_others_alone(engine: ScriptedEngine) -> None:
    requests = [GenerationRequest("crash"), GenerationRequest("Today", max_new_tokens=2)]
    events = list(stream_many(engine, requests))
    failures = [(i, e) for i, e in events if isinstance(e, Exception)]
    assert [(i, type(e)) for i, e in failures] == [(0, RuntimeError)]
    assert texts_of(events, 2)[1] == " going to"


def test_leaving_closes_every_stream_within_a_moment(engine: ScriptedEngine) -> None:
    events = stream_many(engine, [GenerationRequest("slow")] * 4)
    next(events)
    events.close()
    assert eventually_closed(engine)


def test_nothing_asked_is_nothing_told(engine: ScriptedEngine) -> None:
    assert list(stream_many(engine, [])) == []


def test_if_a_thread_does_not_start_no_text_is_left_running(
    engine: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start
    started: list[threading.Thread] = []

    def start_two(thread: threading.Thread) -> None:
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_two)
    events = stream_many(engine, [GenerationRequest("slow")] * 4)
    with pytest.raises(EngineError, match=r"^The demo is out of resources\."):
        next(events)
    for thread in started:
        thread.join(timeout=5)
    assert not any(thread.is_alive() for thread in started)
    assert (engine.active, engine.closed) == (0, 2)
