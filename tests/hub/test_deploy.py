"""`deploy`, by the real client, to Spaces on loopback: in this process, and in a process of its own
where it is walked through or interrupted."""

import http.server
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from demo.checkpoints.files import file_sha256
from demo.checkpoints.persona import NOBODY
from demo.generation.openvino.export import export
from tests import tiny
from tests.hub.server import READER, STRANGER, WRITER, Broken, InXet, Repo
from tests.hub.spaces import Space, SpaceHub
from tests.hub.verbs import Done, fork, run_here, start_process, wait_for_step
from tests.processes import ROOT, AppProcess, free_port
from training import TrainingError
from training.files import resolve_folder
from training.release import plan
from training.release.space import Space as DeployedSpace
from training.release.space import authorization_for
from training.release.space_files import (
    checkout_files,
    render_space_readme,
    split_front_matter,
)

SPACE = "alice/parody"
MODEL = "alice/gpt2-tweets"
NOWHERE = "0" * 40
AGAIN = "Run the same command again; it goes on from what is there."


@pytest.fixture(scope="module")
def one_hub() -> Iterator[SpaceHub]:
    hub = SpaceHub()
    yield hub
    hub.stop()


@pytest.fixture
def running(hub: SpaceHub, scripted_app: AppProcess) -> SpaceHub:
    """The same, whose Spaces are the real app over a scripted engine."""
    hub.build = lambda *_: scripted_app.url
    return hub


@pytest.fixture
def start(hub: SpaceHub, tmp_path: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts the verb in a process of its own, which is killed if it still runs when the test
    ends."""
    processes: list[subprocess.Popen[str]] = []

    def start_deploy(*options: str) -> "subprocess.Popen[str]":
        processes.append(
            start_process(hub, tmp_path, "deploy", "--space", SPACE, *options, cwd=ROOT)
        )
        return processes[-1]

    yield start_deploy
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def deploy(hub: SpaceHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """Runs the verb in this process, with a few files of this checkout."""
    few = {name: ROOT / name for name in ("app.py", "requirements.txt", "embedded/base.json")}
    monkeypatch.setattr(plan, "checkout_files", lambda: few)
    # Set by the verb.
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")

    def run(*options: str, token: str = WRITER, space: str = SPACE) -> Done:
        return run_here(hub, tmp_path, "deploy", "--space", space, *options, token=token)

    return run


@pytest.fixture
def whole_checkout(deploy: Callable[..., Done], monkeypatch: pytest.MonkeyPatch) -> None:
    """`deploy` with all files."""
    monkeypatch.setattr(plan, "checkout_files", checkout_files)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A published checkpoint's files, and some that no demo reads."""
    folder = tiny.write(tmp_path_factory.mktemp("published"), tiny.gpt2())
    export(folder, folder / "openvino", source=resolve_folder(folder).fingerprint)
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    return {**files, "README.md": b"a card", "pytorch_model.bin": b"pickled"}


def started(
    repo: Repo, space: Space, hub: SpaceHub, folder: Path
) -> tuple[str, "subprocess.Popen[bytes]"]:
    """What the Hub does with a Space: its files alone in a folder, its variables, `app.py`."""
    for name, content in repo.files.items():
        path = folder / "space" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    port = free_port()
    outside = folder / "outside.log"
    outside.touch()
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(folder), "GRADIO_SERVER_PORT": str(port),
        "PYTHONPATH": str(ROOT / "tests" / "watched"), "OUTSIDE_LOG": str(outside),
        "HF_ENDPOINT": hub.endpoint, "HF_HOME": str(folder / "hf"), "HF_HUB_DISABLE_XET": "1",
        "GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "localhost,127.0.0.1", **space.variables, **space.secrets,
    }  # fmt: skip
    with (folder / "app.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "app.py"],
            cwd=folder / "space",
            env=environment,
            stdout=log,
            stderr=log,
        )
    return f"http://127.0.0.1:{port}", process


def commits(hub: SpaceHub) -> int:
    """How many there are after the first."""
    return len(list(hub.repos[SPACE].history())) - 1


def test_from_nothing_to_a_space_that_runs_the_published_model(
    hub: SpaceHub,
    start: Callable[..., "subprocess.Popen[str]"],
    checkpoint: dict[str, bytes],
    tmp_path: Path,
) -> None:
    """The Space is what was pushed, and nothing else of this checkout."""
    commit = Repo(checkpoint).commit
    hub.repos[MODEL] = Repo(checkpoint, tags={"v1": commit})
    processes: list[subprocess.Popen[bytes]] = []

    def build(repo: Repo, space: Space) -> str:
        address, process = started(repo, space, hub, tmp_path)
        processes.append(process)
        return address

    hub.build = build
    try:
        process = start("--model", MODEL, "--model-revision", "v1", "--contact", "a@example.org")
        out, err = process.communicate(timeout=300)
    finally:
        for app in processes:
            app.kill()
            app.wait()
    assert process.returncode == 0, err + (tmp_path / "app.log").read_text()
    space = hub.spaces[SPACE]
    assert space.variables == {
        "MODEL_ID": MODEL, "MODEL_REVISION": commit, "CONTACT": "a@example.org",
    }  # fmt: skip
    assert commits(hub) == 1
    assert not space.secrets
    assert f"/checkpoint answers: {MODEL} at {commit}" in out
    assert re.search(r"BUILDING\n.*APP_STARTING\n(.*\n)*.*RUNNING\n", out)
    assert f"{SPACE} is up: " in out
    assert (tmp_path / "outside.log").read_text() == ""


@pytest.mark.usefixtures("whole_checkout")
def test_only_what_the_app_needs_is_pushed(
    running: SpaceHub, deploy: Callable[..., Done], checkpoint: dict[str, bytes]
) -> None:
    running.repos[MODEL] = repo = Repo(checkpoint)
    assert deploy("--model", MODEL, "--no-wait").returncode == 0
    files = running.repos[SPACE].files
    allowed = r"(app\.py|requirements\.txt|README\.md|LICENSE|\.gitattributes|(demo|embedded)/.+)"
    assert not [name for name in files if not re.fullmatch(allowed, name)]
    assert not [name for name in files if "__pycache__" in name or name.endswith(".pyc")]
    assert {"app.py", "demo/ui/static/style.css", "embedded/difference.safetensors"} <= set(files)
    for name in ("demo", "embedded"):
        there = [path for path in (ROOT / name).rglob("*") if path.is_file()]
        kept = [p for p in there if "__pycache__" not in p.parts and not p.name.startswith(".")]
        assert {p.relative_to(ROOT).as_posix() for p in kept} <= set(files)
    for secret in (WRITER, str(ROOT), str(Path.home())):
        assert not [name for name, content in files.items() if secret.encode() in content]
    values, body = split_front_matter(files["README.md"].decode())
    line = values["preload_from_hub"][0].split(" ")
    assert (values["models"], line[0], line[2]) == ([MODEL], MODEL, repo.commit)
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= set(line[1].split(","))
    assert not {"README.md", "pytorch_model.bin"} & set(line[1].split(","))
    assert "# Trump or Computer Dump?" in body
    assert set(re.findall(r"\]\((?!https?:|#)([^)]+)\)", body)) <= set(files)


@pytest.mark.usefixtures("whole_checkout")
def test_large_files_go_by_xet_where_the_hub_has_it(
    hub: SpaceHub, deploy: Callable[..., Done], tmp_path: Path
) -> None:
    hub.xet = f"local://{tmp_path / 'xet'}"
    done = deploy("--no-wait")
    assert done.returncode == 0, done.stderr
    name = "embedded/difference.safetensors"
    pushed = hub.repos[SPACE].files[name]
    assert isinstance(pushed, InXet)
    assert pushed.digest == file_sha256(ROOT / name)
    assert "upload" not in hub.steps


def test_an_update_is_one_commit_that_deletes_what_went_away_and_sets_what_is_named(
    running: SpaceHub, deploy: Callable[..., Done], checkpoint: dict[str, bytes]
) -> None:
    running.repos[MODEL] = repo = Repo(checkpoint)
    variables = {"MODEL_ID": MODEL, "MODEL_REVISION": repo.commit, "SLOTS": "8"}
    there = {".gitattributes": b"*.png filter=lfs\n", "app.py": b"3"}
    running.repos[SPACE] = Repo({**there, "old/app.py": b"1", "demo/gone.py": b"2"})
    running.spaces[SPACE] = space = Space(variables=dict(variables))
    first = deploy("--contact", "https://example.org/me", "--hardware", "cpu-upgrade", "--no-wait")
    assert first.returncode == 0, first.stderr
    assert commits(running) == 1
    files = running.repos[SPACE].files
    assert not {"old/app.py", "demo/gone.py"} & set(files)
    assert files[".gitattributes"] == there[".gitattributes"]
    assert "no longer needed, and deleted: demo/gone.py, old/app.py" in first.stdout
    assert space.variables == {**variables, "CONTACT": "https://example.org/me"}
    assert space.hardware == "cpu-upgrade"
    # The README goes on to name the model that the Space was set to.
    values, _ = split_front_matter(files["README.md"].decode())
    assert values["preload_from_hub"][0].endswith(repo.commit)
    running.steps.clear()
    second = deploy("--contact", "https://example.org/me", "--hardware", "cpu-upgrade", "--no-wait")
    assert second.returncode == 0, second.stderr
    assert "main holds these files already" in second.stdout
    assert not {"set variable", "set hardware", "commit"} & set(running.steps)


def test_a_dry_run_touches_nothing_and_needs_no_token(
    hub: SpaceHub, deploy: Callable[..., Done], checkpoint: dict[str, bytes]
) -> None:
    hub.repos[MODEL] = repo = Repo(checkpoint)
    done = deploy("--model", MODEL, "--hardware", "cpu-upgrade", "--dry-run", token="")
    assert done.returncode == 0, done.stderr
    assert hub.steps == ["info"]
    assert not hub.spaces
    assert "Persona: nobody in particular" in done.stdout
    for told in (
        f"MODEL_REVISION={repo.commit}",
        "Hardware: cpu-upgrade",
        "Files, ",
        "  app.py",
        f"{repo.commit}\n",
        "suggested_hardware: cpu-upgrade",
        "nothing was touched",
    ):
        assert told in done.stdout  # fmt: skip


def test_whose_tweets_the_space_imitates_is_said(
    hub: SpaceHub, deploy: Callable[..., Done], checkpoint: dict[str, bytes]
) -> None:
    assert "Persona: Donald Trump" in deploy("--dry-run").stdout
    ann = NOBODY.model_copy(update={"name": "Ann Teapot"}).model_dump_json()
    hub.repos[MODEL] = Repo({**checkpoint, "persona.json": ann.encode()})
    assert "Persona: Ann Teapot" in deploy("--model", MODEL, "--dry-run").stdout
    hub.repos[MODEL] = Repo({**checkpoint, "persona.json": b"{}"})
    refused = deploy("--model", MODEL)
    assert "persona.json lacks name" in refused.stderr
    assert (refused.returncode, hub.spaces) == (1, {})


def test_a_tag_that_moves_changes_nothing_until_the_next_deploy(
    running: SpaceHub, deploy: Callable[..., Done], checkpoint: dict[str, bytes]
) -> None:
    first = Repo(checkpoint)
    running.repos[MODEL] = replace(first, tags={"v1": first.commit})
    assert deploy("--model", MODEL, "--model-revision", "v1", "--no-wait").returncode == 0
    later = Repo({**checkpoint, "README.md": b"tea"}, parent=first)
    running.repos[MODEL] = replace(later, tags={"v1": later.commit})
    assert deploy("--no-wait").returncode == 0
    assert running.spaces[SPACE].variables["MODEL_REVISION"] == first.commit
    readme = running.repos[SPACE].files["README.md"].decode()
    assert split_front_matter(readme)[0]["preload_from_hub"][0].endswith(first.commit)
    assert deploy("--model", MODEL, "--model-revision", "v1", "--no-wait").returncode == 0
    assert running.spaces[SPACE].variables["MODEL_REVISION"] == later.commit


def test_a_private_model_needs_a_secret_that_is_never_sent_unasked(
    running: SpaceHub, deploy: Callable[..., Done], checkpoint: dict[str, bytes]
) -> None:
    running.repos[MODEL] = Repo(checkpoint, private=True)
    told = deploy("--model", MODEL, "--private", "--no-wait")
    space = running.spaces[SPACE]
    repo = running.repos[SPACE]
    assert (told.returncode, repo.private, space.secrets) == (0, True, {})
    assert f"needs a token of its own, to read {MODEL}. None is sent" in told.stdout
    assert f"spaces/{SPACE}/settings; or say --secret-token" in told.stdout
    assert "preload_from_hub" not in split_front_matter(repo.files["README.md"].decode())[0]
    sent = deploy("--model", MODEL, "--secret-token", "--no-wait")
    assert space.secrets == {"HF_TOKEN": WRITER}
    assert "--secret-token: HF_TOKEN of this environment goes to" in sent.stdout
    assert WRITER not in told.stdout + told.stderr + sent.stdout + sent.stderr
    assert "needs a token" not in sent.stdout


def test_a_space_that_runs_another_model_is_told_with_the_reason(
    running: SpaceHub, deploy: Callable[..., Done], checkpoint: dict[str, bytes]
) -> None:
    running.repos[MODEL] = repo = Repo(checkpoint)
    running.tells_commit = False
    done = deploy("--model", MODEL)
    assert done.returncode == 1
    assert "/checkpoint answers: scripted at 0123456789ab" in done.stdout
    assert "/generate answers in 0.1 s:\n    Today I'll be going to make" in done.stdout
    assert f"runs scripted at 0123456789ab, not {MODEL} at {repo.commit}" in done.stderr
    assert "because no other one was named" in done.stderr
    assert "Traceback" not in done.stderr


def stages_of(done: Done) -> list[str]:
    """The states that it told of."""
    return re.findall(r"^ +\d+ s  (.+)$", done.stdout, re.MULTILINE)


def test_a_space_that_is_only_set_anew_is_waited_for_until_it_has_restarted(
    running: SpaceHub, deploy: Callable[..., Done], scripted_app: AppProcess
) -> None:
    assert deploy("--no-wait").returncode == 0
    running.spaces[SPACE].stages = ["RUNNING"]
    done = deploy("--contact", "https://example.org/me")
    assert done.returncode == 0, done.stderr
    assert "main holds these files already" in done.stdout
    assert stages_of(done) == [
        "RUNNING, maybe of what was there before",
        "RUNNING_APP_STARTING",
        "RUNNING",
    ]
    assert f"{SPACE} is up: {scripted_app.url}" in done.stdout


def refusal(status: int, message: str, headers: Mapping[str, str] | None = None) -> Broken:
    """An answer of the Hub's, with what it says."""
    return Broken("status", status, {"X-Error-Message": message, **(headers or {})})


REFUSALS = {
    "401": ("info", refusal(401, "Invalid credentials in Authorization header"),
            "the Hub does not accept the token (401"),
    "402 plan": ("create", refusal(402, "Gradio Spaces require a PRO subscription"),
                 "Since July 2026 a new Space on cpu-basic needs PRO"),
    "409": ("commit", refusal(409, "conflict"), "change is under way (409: conflict)"),
    "412": ("commit", refusal(412, "A commit has happened since"), "else changed it meanwhile"),
    "429": ("commit", refusal(429, "Too many", {"RateLimit": '"api";r=0;t=55',
            "RateLimit-Policy": '"fixed window";"api";q=500;w=300'}),
            "429: 500 requests in 300 seconds; wait 55 seconds"),
    "503": ("commit", refusal(503, "Service Unavailable"), "a fault of its own (503"),
    "lost": ("commit", Broken("lost"), "the connection was lost"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_ends_in_a_sentence_that_tells_what_was_done(
    hub: SpaceHub, deploy: Callable[..., Done], name: str
) -> None:
    step, fault, sentence = REFUSALS[name]
    hub.broken[step] = fault
    done = deploy("--contact", "https://example.org/me")
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    if step in ("info", "create"):
        assert done.stderr.endswith("Nothing on the Hub was changed.\n")
    else:
        created = f"Done before, and still so: made the public Space {SPACE} with CONTACT=https://"
        assert created in done.stderr
        assert done.stderr.endswith(f"{AGAIN}\n")
    in_doubt = "'commit to alice/parody' is not known" in done.stderr
    assert in_doubt == (name in ("lost", "503"))
    # And it does go on from there.
    hub.broken.clear()
    if name == "lost":
        assert deploy("--contact", "https://example.org/me", "--no-wait").returncode == 0


def test_a_variable_that_cannot_be_set_is_told_with_those_that_were(
    hub: SpaceHub, deploy: Callable[..., Done], checkpoint: dict[str, bytes]
) -> None:
    assert deploy("--no-wait").returncode == 0
    hub.repos[MODEL] = Repo(checkpoint)
    hub.broken["set variable"] = Broken("status", 409, {"X-Error-Message": "conflict"}, after=1)
    done = deploy("--model", MODEL, "--no-wait")
    assert "Could not set MODEL_ID: it is there already, or another change" in done.stderr
    revision = hub.repos[MODEL].commit
    assert f"Done before, and still so: set MODEL_REVISION={revision}. {AGAIN}" in done.stderr
    assert commits(hub) == 1


def test_what_cannot_be_meant_is_refused_before_the_hub_is_asked(
    hub: SpaceHub, deploy: Callable[..., Done]
) -> None:
    wrong = {
        "There is no token. Make one with the role write": ([], ""),
        "--hardware is 'cpu-huge'; it must be one of": (["--hardware", "cpu-huge"], WRITER),
        "--model-revision is 'v1', of no repository": (["--model-revision", "v1"], WRITER),
        "CONTACT is 'me'; it must be an https address": (["--contact", "me"], WRITER),
        "where it is not set": (["--secret-token", "--dry-run"], ""),
    }  # fmt: skip
    for sentence, (options, token) in wrong.items():
        done = deploy(*options, token=token)
        assert (done.returncode, sentence in done.stderr) == (1, True), done.stderr
    assert "--space is 'parody'; it must look like" in deploy(space="parody").stderr
    assert not hub.steps


def test_a_model_that_cannot_be_had_is_named(
    hub: SpaceHub, deploy: Callable[..., Done], checkpoint: dict[str, bytes]
) -> None:
    absent = deploy("--model", "alice/absent").stderr
    assert "Could not read the model alice/absent: it does not exist, or this token" in absent
    hub.repos[MODEL] = Repo(checkpoint, private=True)
    assert "may not see it" in deploy("--model", MODEL, token=STRANGER).stderr
    lost = deploy("--model", MODEL, "--model-revision", NOWHERE).stderr
    assert f"{MODEL} at {NOWHERE}: there is no such branch, tag or commit" in lost
    hub.repos[MODEL] = Repo({"README.md": b"tea"})
    assert f"{MODEL} holds no config.json" in deploy("--model", MODEL).stderr
    assert not hub.spaces


def test_who_may_only_read_is_told_so(hub: SpaceHub, deploy: Callable[..., Done]) -> None:
    done = deploy(token=READER)
    assert (
        "Could not make the public Space alice/parody: the Hub does not allow it (403"
        in done.stderr
    )
    assert "must have the role write" in done.stderr
    assert "PRO" not in done.stderr
    # Nor is a name taken for the Hub's advice to take a plan.
    assert "PRO" not in deploy(token=READER, space="alice/plan-b").stderr
    assert not hub.spaces


def test_a_public_space_is_not_taken_for_a_private_one(
    hub: SpaceHub, deploy: Callable[..., Done]
) -> None:
    hub.repos[SPACE], hub.spaces[SPACE] = Repo({}), Space()
    done = deploy("--private")
    assert "alice/parody is public, and only what is made new is made private" in done.stderr
    assert commits(hub) == 0


@pytest.mark.parametrize(
    ("stage", "log", "sentence"),
    [
        ("BUILD_ERROR", "build", "logs=build"),
        ("NO_APP_FILE", "build", "logs=build"),
        ("RUNTIME_ERROR", "run", "logs=container"),
        ("PAUSED", "", "is PAUSED (the reason), so nothing runs. Restart it on"),
    ],
)
def test_a_space_that_fails_is_told_with_the_end_of_its_log(
    hub: SpaceHub, deploy: Callable[..., Done], stage: str, log: str, sentence: str
) -> None:
    # The Hub tells of what was there before for a while.
    hub.stages, hub.error_message = ("NO_APP_FILE", "BUILDING", stage), "the reason"
    hub.logs = {log: [f"line {i}" for i in range(40)]}
    done = deploy()
    assert done.returncode == 1
    assert f"{stage} (the reason)" in done.stderr
    assert sentence in done.stderr
    assert ("line 39" in done.stderr, "line 20" in done.stderr) == (bool(log), False)
    assert "pushed " in done.stderr


def test_what_was_being_built_before_may_fail_without_a_word(
    running: SpaceHub, deploy: Callable[..., Done]
) -> None:
    running.repos[SPACE], running.spaces[SPACE] = Repo({}), Space(stages=["BUILDING"])
    running.stages = ("BUILDING", "BUILD_ERROR", "BUILDING", "RUNNING")
    done = deploy()
    assert done.returncode == 0, done.stderr
    assert stages_of(done) == [
        "BUILDING", "BUILD_ERROR, maybe of what was there before", "BUILDING", "RUNNING",
    ]  # fmt: skip


def test_a_space_that_failed_is_restarted_by_the_same_command(
    running: SpaceHub, deploy: Callable[..., Done]
) -> None:
    running.stages = ("BUILDING", "BUILD_ERROR")
    assert deploy().returncode == 1
    running.stages = ("BUILD_ERROR", "BUILDING", "RUNNING")
    done = deploy()
    assert done.returncode == 0, done.stderr
    assert (
        f"main holds these files already, by the sums that the Hub has of them\nrestarted {SPACE}\n"
        in (done.stdout)
    )
    assert commits(running) == 1


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"SLOTS": "abc"}, "SLOTS is 'abc'"),
        ({"MODEL_ID": "alice/gone", "MODEL_REVISION": NOWHERE}, "Could not read the model alice/"),
    ],
)
def test_a_variable_of_the_spaces_own_that_will_not_do_is_told_as_such(
    hub: SpaceHub, deploy: Callable[..., Done], variables: dict[str, str], reason: str
) -> None:
    hub.repos[SPACE], hub.spaces[SPACE] = Repo({}), Space(variables=dict(variables))
    done = deploy("--contact", "https://example.org/me")
    assert f"A variable that {SPACE} has been set to will not do: {reason}" in done.stderr
    assert (done.returncode, commits(hub), hub.spaces[SPACE].variables) == (1, 0, variables)


def test_a_space_that_never_comes_up_is_given_up(
    hub: SpaceHub, deploy: Callable[..., Done]
) -> None:
    done = deploy("--timeout-minutes", "0.1")
    assert done.returncode == 1
    assert "did not come up within 0.1 minutes; its last state was APP_STARTING" in done.stderr


def test_a_hub_that_is_lost_while_a_space_is_built_is_asked_again_and_then_given_up(
    hub: SpaceHub, deploy: Callable[..., Done]
) -> None:
    hub.broken["runtime"] = Broken("lost")
    done = deploy()
    assert done.returncode == 1
    assert "no answer from the Hub; asking again" in done.stdout
    assert "Could not ask how alice/parody is getting on: the connection was lost" in done.stderr
    assert hub.steps.count("runtime") == 5


def test_ctrl_c_tells_what_was_done(hub: SpaceHub, tmp_path: Path) -> None:
    hub.broken["commit"] = Broken("stalled")
    process = fork(hub, tmp_path, "deploy", "--space", SPACE)
    try:
        wait_for_step(hub, "commit", process)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    finally:
        process.kill()
    said = (tmp_path / "output").read_text()
    assert "made the public Space alice/parody" in said
    assert "'commit to alice/parody' is not known" in said
    assert "Traceback" not in said


def test_only_a_private_space_is_shown_the_owners_token() -> None:
    def space(private: bool) -> DeployedSpace:
        return DeployedSpace(SPACE, private, "http://127.0.0.1:9", "cpu-basic", "RUNNING")

    assert authorization_for(space(private=False), WRITER) == {}
    assert authorization_for(space(private=True), WRITER) == {"Authorization": f"Bearer {WRITER}"}


def test_a_space_that_sleeps_is_woken_by_a_visit(
    running: SpaceHub, deploy: Callable[..., Done]
) -> None:
    visits: list[str] = []
    asleep = http.server.HTTPServer(("127.0.0.1", 0), recorder(visits))
    threading.Thread(target=asleep.serve_forever, daemon=True).start()
    running.build = lambda *_: f"http://127.0.0.1:{asleep.server_port}"
    running.stages = ("SLEEPING", "SLEEPING", "PAUSED")
    done = deploy()
    asleep.shutdown()
    asleep.server_close()
    assert "0 s  SLEEPING" in done.stdout
    assert visits == ["/", "/"]


def recorder(visits: list[str]) -> type[http.server.BaseHTTPRequestHandler]:
    """A server that answers nothing of use, and notes what was asked for."""

    class Recorder(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            visits.append(self.path)
            self.send_response(503)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    return Recorder


def test_a_readme_without_the_gradio_that_is_pinned_is_refused(tmp_path: Path) -> None:
    """Or without front matter; the rest of that the Hub checks."""
    for name in ("README.md", "requirements.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    good = (tmp_path / "README.md").read_text(encoding="utf-8")
    render_space_readme(tmp_path, "", "", [], "")
    for wrong, sentence in (
        (re.sub("sdk_version: .*", "sdk_version: 6.30.0", good), "requirements.txt pins gradio"),
        (good.lstrip("-\n"), "has no front matter"),
        (good.replace("tags:", "tags: [", 1), "is no YAML"),
    ):
        (tmp_path / "README.md").write_text(wrong, encoding="utf-8")
        with pytest.raises(TrainingError, match=sentence):
            render_space_readme(tmp_path, "", "", [], "")


def test_a_readme_that_the_hub_refuses_changes_nothing(
    hub: SpaceHub, deploy: Callable[..., Done]
) -> None:
    hub.broken["validate"] = refusal(400, "colorFrom must be one of red, yellow")
    done = deploy()
    assert "Could not have the Hub check README.md" in done.stderr
    assert done.stderr.endswith("Nothing on the Hub was changed.\n")
    assert (done.returncode, hub.spaces) == (1, {})
