"""The command that takes nodes away from a Ray cluster. Most of it needs root and Ray, which no
requirements file of the tests has: `-m cluster`, see tests/README.md."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from benchmarks import BenchmarkError
from benchmarks.cluster import inside
from benchmarks.cluster.growth import CROWD, simulated
from benchmarks.cluster.inside import INSIDE
from benchmarks.cluster.losses import MEASURED, measured
from benchmarks.cluster.texts import PROMPT, Text, a_minute, at_once, read, readers, told_after
from benchmarks.scale import SLOTS, speeds_of_each
from demo.generation.engine import EngineError
from tests.processes import ROOT, wait_until
from tests.scripted import Reply, ScriptedEngine

CUT = Text(asked=0.0, begun=1.0, last=3.0, ended=12.5, tokens=0)
LOST = Text(asked=0.0, begun=None, last=None, ended=9.0, tokens=0)
WHOLE = Text(asked=1.0, begun=1.5, last=2.5, ended=3.0, tokens=60)


@pytest.mark.parametrize(
    ("reply", "fate"),
    [
        (Reply("some words"), "is_whole"),
        (Reply("some", error=EngineError("The engine fell silent.")), "is_cut"),
        (Reply("", error=EngineError("There is no engine.")), "is_lost"),
    ],
)
def test_a_text_is_whole_or_cut_or_lost(reply: Reply, fate: str) -> None:
    text = read(ScriptedEngine({PROMPT: reply}), tokens=60, seed=0)
    fates = {name for name in ("is_whole", "is_cut", "is_lost") if getattr(text, name)}
    assert fates == {fate}


def test_readers_ask_again_until_the_end_and_a_crowd_asks_once() -> None:
    engine = ScriptedEngine()
    with readers(engine, number=2, tokens=3) as texts:
        wait_until(lambda: len(texts) > 4)
    assert all(text.is_whole for text in texts)
    assert len(at_once(engine, 5, tokens=3)) == 5


def test_the_cells_say_what_became_of_texts() -> None:
    texts = [CUT, LOST, WHOLE]
    told = told_after(texts, fault=4.0)
    cells = dict(zip(MEASURED, measured(texts, told, mended=31.0), strict=True))
    assert (cells["texts"], cells["whole"], cells["cut"]) == ("3", "1", "1")
    assert (cells["lost before they began"], cells["told after, s"]) == ("1", "8.5")
    assert (cells["slowest first word, s"], cells["full strength after, s"]) == ("1.0", "31.0")
    # One that was cut later is told after its own last word.
    assert told_after([CUT], fault=1.0) == 9.5
    assert told_after([CUT], fault=20.0) == 0.0
    assert told_after([WHOLE, LOST], fault=0.0) is None
    assert a_minute([WHOLE, WHOLE]) == pytest.approx(60.0)


def test_the_simulation_gives_a_second_engine_a_machine_of_its_own() -> None:
    # 100 tokens a second in all: a crowd of 64 with 10 tokens each takes 6.4 s.
    speeds = speeds_of_each((1, SLOTS), (100.0, 100.0))
    assert simulated(speeds, 1, 10) == pytest.approx(60 * CROWD / 6.4)
    assert simulated(speeds, 2, 10) == pytest.approx(2 * simulated(speeds, 1, 10))


@pytest.mark.parametrize(
    ("user", "tool", "sentence"),
    [
        (1000, "/usr/bin/true", "Only root can make network namespaces: run it as root."),
        (0, None, "There is no setpriv, .*: install util-linux and iproute2."),
        (0, "/usr/bin/true", "Ray is not installed: pip install -r deploy/ray/requirements.txt"),
    ],
)
def test_what_is_missing_is_said(
    monkeypatch: pytest.MonkeyPatch, user: int, tool: str | None, sentence: str
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: user)
    monkeypatch.setattr("shutil.which", lambda name: tool)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BenchmarkError, match=sentence):
        inside.require_means()


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "benchmarks", "cluster", "--quick", *map(str, arguments)]


def processes_inside() -> list[str]:
    """The names of those that a command has put into its namespaces."""
    found = []
    for process in psutil.process_iter():
        try:
            if INSIDE in process.environ():
                found.append(process.name())
        except psutil.Error:
            continue
    return found


@pytest.mark.cluster
def test_no_text_that_had_not_begun_is_lost_with_a_node_and_nothing_is_left(tmp_path: Path) -> None:
    chosen = ("nothing", "replica_killed", "node_killed")
    only = [word for name in chosen for word in ("--only", name)]
    done = subprocess.run(command(*only, "--results", tmp_path), cwd=ROOT, timeout=900, check=False)
    # 1: some readers were told late, on a machine that is busy.
    assert done.returncode in (0, 1)
    rows = [
        dict(zip(("trial", "what", *MEASURED), line.strip("| ").split(" | "), strict=False))
        for line in (tmp_path / "cluster.md").read_text(encoding="utf-8").splitlines()
        if line.startswith(tuple(f"| {name} |" for name in chosen))
    ]
    assert [row["trial"] for row in rows] == list(chosen)
    for row in rows:
        assert int(row["texts"]) == int(row["whole"]) + int(row["cut"]) > 0
        assert row["lost before they began"] == "0"
    for row in rows[1:]:
        assert float(row["full strength after, s"]) > 0
    assert not processes_inside()


@pytest.mark.cluster
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_of_a_command_that_was_ended(number: signal.Signals) -> None:
    process = subprocess.Popen(command("--only", "nothing"), cwd=ROOT)
    wait_until(lambda: "raylet" in processes_inside())
    process.send_signal(number)
    assert process.wait(90) in (130, -signal.SIGKILL)
    wait_until(lambda: not processes_inside())
