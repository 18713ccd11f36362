"""`python app.py` as its owner meets it: what it needs, what it says, how it ends."""

import json
import resource
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app import main
from demo.checkpoints.files import write_checksums
from demo.checkpoints.persona import NOBODY
from demo.settings import VARIABLES
from tests.app.calls import generate
from tests.conftest import NOTICE
from tests.forking import Forked
from tests.processes import (
    HTTP,
    ROOT,
    AppProcess,
    command_environment,
    run_module,
    running_app,
)

SAMPLING = {"temperature": 1.05, "top_p": 0.7, "top_k": 9_999, "max_new_tokens": 7}
KETTLE = NOBODY.model_copy(
    update={
        "title": "Pot & Pan or Kettle?",
        "label": "made up by a kettle",
        "examples": ("Boil 'it' & pour",),
    }
)


def refused(folder: Path, **variables: str) -> str:
    """The one sentence that a start with these variables ends in."""
    out, err = folder / "out", folder / "err"
    environment = command_environment(folder, **variables)
    process = Forked(out, run_module, "app", environment, err)
    assert process.wait(timeout=240) == 1
    return sentence_of(out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8"))


def refused_anew(folder: Path, memory: int = resource.RLIM_INFINITY, **variables: str) -> str:
    """The same in a new interpreter, with so much memory: nothing is imported yet."""
    ended = subprocess.run(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env=command_environment(folder, **variables),
        capture_output=True,
        text=True,
        timeout=240,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (memory, memory)),
    )
    assert ended.returncode == 1
    return sentence_of(ended.stdout, ended.stderr)


def sentence_of(out: str, err: str) -> str:
    """What is said instead of a start."""
    assert "Traceback" not in err
    assert "Running on" not in out
    (sentence,) = err.splitlines()
    return sentence


def test_a_bad_setting_is_named(tmp_path: Path) -> None:
    """Before Gradio is imported, which reads this variable too and ends in a traceback."""
    sentence = refused_anew(tmp_path, GRADIO_SERVER_PORT="abc")
    assert sentence == "GRADIO_SERVER_PORT is 'abc'; it must be a whole number."


@pytest.mark.parametrize(
    ("name", "value"),
    [("GRADIO_SERVER_PORT", "70000"), ("DEVICE", "gpu"), ("ENGINE", "fast"), ("SLOTS", "0")],
)
def test_so_is_every_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable.name, raising=False)
    monkeypatch.setenv(name, value)
    assert main() == 1
    (sentence,) = capsys.readouterr().err.splitlines()
    assert sentence.startswith(f"{name} is")
    assert value in sentence


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        sentence = refused(tmp_path, GRADIO_SERVER_PORT=str(port))
    assert f"127.0.0.1:{port}" in sentence
    assert "GRADIO_SERVER_PORT" in sentence


@pytest.mark.parametrize("megabytes", [250, 400, 600])
def test_too_little_memory_is_said_with_what_is_needed(tmp_path: Path, megabytes: int) -> None:
    sentence = refused_anew(tmp_path, megabytes * 10**6)
    assert sentence.startswith("The demo needs 1.0 GB of memory. A process may use 0.")


def test_a_checkpoint_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "nothing"
    sentence = refused(tmp_path, CHECKPOINT=str(missing))
    assert str(missing) in sentence


@pytest.fixture(scope="module")
def real_app(
    tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AppProcess]:
    """`python app.py` over a tiny checkpoint with a persona; in the end, Ctrl-C."""
    folder = tmp_path_factory.mktemp("real_app")
    checkpoint = folder / tiny_checkpoint.name
    shutil.copytree(tiny_checkpoint, checkpoint)
    KETTLE.write(checkpoint)
    config = checkpoint / "generation_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **SAMPLING}))
    write_checksums(checkpoint)
    with running_app(["app.py"], folder, {"CHECKPOINT": str(checkpoint)}) as app:
        yield app
        assert app.terminate(signal.SIGINT) == 0
        assert "Traceback" not in app.log()


def test_the_real_app_writes_with_the_checkpoint_it_is_given(
    real_app: AppProcess, tiny_checkpoint: Path
) -> None:
    record = generate(real_app.url, prompt="Today I'll be", max_new_tokens=8, seed=1)
    assert record["text"].startswith("Today I'll be")
    assert record["checkpoint"] == tiny_checkpoint.name
    assert record["engine"].startswith("OpenVINO")
    assert record["precision"] == "int8"
    assert "Engine: OpenVINO, because there is no GPU." in real_app.log()
    assert record["label"] == KETTLE.label
    assert f"— {KETTLE.label}, {KETTLE.title} (seed 1" in record["shareable"]


def test_the_page_is_in_the_checkpoints_words_and_none_of_them_is_markup(
    real_app: AppProcess,
) -> None:
    config = HTTP.get(f"{real_app.url}/config").json()
    assert config["title"] == KETTLE.title
    header, *_ = (c for c in config["components"] if c["props"].get("elem_id") == "cd-header")
    assert "Pot &#38; Pan <span>or</span> <b>Kettle?</b>" in header["props"]["value"]
    labels = [c["props"].get("value") for c in config["components"] if c["type"] == "button"]
    assert KETTLE.examples[0] in labels
    assert "Trump" not in json.dumps(config)


def test_what_nobody_asks_for_is_sampled_as_the_checkpoint_says(real_app: AppProcess) -> None:
    """As far as it is within the limits; and the page shows the same."""
    settings = generate(real_app.url, prompt="Today", seed=1)["settings"]
    expected = {"temperature": 1.05, "top_p": 0.7, "top_k": 0, "max_new_tokens": 80}
    assert {name: settings[name] for name in expected} == expected
    config = HTTP.get(f"{real_app.url}/config").json()
    sliders = {
        c["props"]["label"]: c["props"]["value"]
        for c in config["components"]
        if c["type"] == "slider"
    }
    assert (sliders["Temperature"], sliders["Top-p"], sliders["Length"]) == (1.05, 0.7, 80)


def test_a_persona_that_cannot_be_used_is_named(tiny_checkpoint: Path, tmp_path: Path) -> None:
    checkpoint = tmp_path / "tiny"
    shutil.copytree(tiny_checkpoint, checkpoint)
    hostile = {**NOBODY.model_dump(), "title": "<script>" + "x" * 200}
    (checkpoint / "persona.json").write_text(json.dumps(hostile))
    sentence = refused(tmp_path, CHECKPOINT=str(checkpoint))
    assert sentence == "persona.json: title holds '<'; it must be plain text, not markup."


def test_the_real_app_repeats_a_text_by_its_seed(real_app: AppProcess) -> None:
    texts = [generate(real_app.url, prompt="The", seed=seed)["text"] for seed in (5, 5, 6)]
    assert texts[0] == texts[1] != texts[2]


def test_the_real_app_calls_no_outside_host(real_app: AppProcess) -> None:
    generate(real_app.url, prompt="Today")
    assert real_app.outside_hosts() == []


def test_a_call_outside_would_be_seen(tmp_path: Path) -> None:
    lookup = "import socket\ntry: socket.getaddrinfo('example.invalid', 80)\nexcept OSError: pass"
    environment = command_environment(tmp_path)
    subprocess.run([sys.executable, "-c", lookup], env=environment, check=True)
    seen = Path(environment["OUTSIDE_LOG"]).read_text(encoding="utf-8")
    assert "example.invalid" in seen


def test_probes_tell_a_server_that_lives_from_one_that_writes(scripted_app: AppProcess) -> None:
    assert HTTP.get(f"{scripted_app.url}/healthz").json() == {"status": "alive"}
    answer = HTTP.get(f"{scripted_app.url}/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "ready")
    assert answer.json()["notice"] == NOTICE
