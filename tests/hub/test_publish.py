"""`publish`, by the real client, to a Hub of our own on loopback: in this process, and in real ones
where a process is walked through, killed, interrupted or starved of disk.

A fake proves how the client and we behave, not the real Hub's rules. Xet is off unless a test
switches it on.
"""

import json
import re
import resource
import shutil
import signal
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from gradio_client import Client
from huggingface_hub import ModelCard
from transformers import pipeline

from demo.checkpoints.embedded import EMBEDDED, SMOLLM2_135M_INSTRUCT, locate_base
from demo.settings import read_settings
from tests import tiny
from tests.hub.publisher import (
    REPO,
    Publisher,
    make_checkpoint,
    make_data,
    make_project,
    reason_of,
)
from tests.hub.resolving import Client as Demo
from tests.hub.server import READER, STRANGER, Broken, Hub, InXet, Repo
from tests.hub.verbs import Done, wait_for_step
from tests.processes import HTTP, running_app
from training import TrainingError
from training.prepare import read_texts
from training.publish import choose_tag
from training.release.repository import temporary_folder

DATASET = "alice/tweets"
ORIGINAL = {"README.md": b"tea", "old.txt": b"for now", ".gitattributes": b"*.bin -text"}
# What a push to a repository that is there asks for, each once or more.
STEPS = (
    "info", "refs", "tree", "preupload", "batch", "upload", "verify", "validate", "commit", "tag"
)  # fmt: skip


@dataclass(frozen=True)
class Desk:
    """What every test publishes from."""

    folder: Path
    data: Path
    checkpoint: Path
    better: Path
    project: Path


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    folder = tmp_path_factory.mktemp("desk")
    data = make_data(folder / "data")
    return Desk(
        folder,
        data,
        make_checkpoint(folder / "checkpoint", data, bits=1.25),
        make_checkpoint(folder / "better", data, bits=1.2),
        make_project(folder / "project"),
    )


@pytest.fixture
def publisher(hub: Hub, desk: Desk) -> Publisher:
    """Exports are kept for all tests: they take seconds."""
    return Publisher(hub, desk.project, desk.data, desk.checkpoint, desk.folder / "home")


def edited(desk: Desk, to: Path) -> Path:
    """A copy of the checkpoint, without the sums that an edit would break."""
    shutil.copytree(desk.checkpoint, to)
    (to / "SHA256SUMS").unlink()
    return to


def written(repo: Repo, folder: Path) -> Path:
    """A repository's files, as a folder."""
    for name, content in repo.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_the_app_runs_what_was_published_without_exporting_it_again(
    publisher: Publisher, hub: Hub, desk: Desk, tmp_path: Path
) -> None:
    commit = publisher.publish("--tag", "v1")
    done = publisher.run("--dataset", DATASET, "--data", str(desk.data))
    assert done.returncode == 0, done.stderr
    tweets = hub.repos[DATASET].commit
    assert f"TWEETS_DATASET={DATASET} TWEETS_REVISION={tweets}" in done.stdout
    settings = {
        **demo_of(hub, commit, tmp_path), "TWEETS_DATASET": DATASET, "TWEETS_REVISION": tweets
    }  # fmt: skip
    with running_app(["app.py"], tmp_path, settings) as app:
        written = Client(app.url, verbose=False).predict(
            "The café", top_k=1, repetition_penalty=1.0, api_name="/generate"
        )
        game = {"state": "off"}
        deadline = time.monotonic() + 30
        while game["state"] == "off" and time.monotonic() < deadline:
            game = HTTP.post(f"{app.url}/guess/next", json={}).json()
        assert written["text"].startswith("The café counts 😀 teapots")
        assert f"{REPO}@{commit[:12]}" in written["source"]
        assert game["state"] in ("waiting", "ready"), game
        assert "Exporting" not in app.log()


@pytest.mark.slow
def test_the_embedded_checkpoint_goes_up_merged_by_xet_and_runs_elsewhere(
    publisher: Publisher, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Into a folder, by a store that hf_xet has built in; the Hub knows sums alone."""
    kept = read_settings()
    base = locate_base(SMOLLM2_135M_INSTRUCT, kept.base_file, kept.cache_dir, print)
    monkeypatch.setenv("BASE_FILE", str(base))
    hub.xet = f"local://{tmp_path / 'xet'}"
    commit = publisher.publish("--tag", "v1", checkpoint=EMBEDDED)
    assert hub.repos[REPO].tags == {"v1": commit}
    assert ("xet" in hub.steps, "upload" in hub.steps) == (True, False)
    merged = hub.repos[REPO].files["model.safetensors"]
    assert isinstance(merged, InXet)
    assert merged.size > 500_000_000
    settings = {**demo_of(hub, commit, tmp_path), "BASE_FILE": "", "HF_HUB_DISABLE_XET": "0"}
    with running_app(["app.py"], tmp_path, settings) as app:
        client = Client(app.url, verbose=False)
        facts = client.predict(api_name="/checkpoint")
        result = client.predict("Today I'll be", max_new_tokens=12, api_name="/generate")
        log = app.log()
    assert (facts["checkpoint"], facts["revision"]) == (REPO, commit)
    assert result["text"].startswith("Today I'll be ")
    assert not [word for word in ("Adding our weights", "Exporting") if word in log]


def demo_of(hub: Hub, commit: str, folder: Path) -> dict[str, str]:
    """The settings of a demo that keeps nothing but in a folder."""
    return {
        "MODEL_ID": REPO, "MODEL_REVISION": commit, "HF_ENDPOINT": hub.endpoint,
        "HF_TOKEN": READER, "HF_HOME": str(folder / "hf"), "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_OFFLINE": "0", "CACHE_DIR": str(folder / "cache"), "ENGINE": "openvino",
    }  # fmt: skip


def test_one_commit_holds_the_whole_contract_and_a_plain_pipeline_runs_it(
    publisher: Publisher, hub: Hub, tmp_path: Path
) -> None:
    """From the command line of a clean checkout, in a process of its own."""
    process = publisher.start(*publisher.arguments(), "--tag", "v1", "--private")
    told, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    commit = told.strip().rpartition("=")[2]
    repo = hub.repos[REPO]
    assert (repo.private, repo.commit, dict(repo.tags)) == (True, commit, {"v1": commit})
    assert len(list(repo.history())) == 2
    assert {name for name in repo.files if not name.startswith("openvino/")} == {
        "config.json", "generation_config.json", "model.safetensors", "tokenizer.json",
        "tokenizer_config.json", "metrics.json", "persona.json", "originals.safetensors",
        "detector.safetensors", "curve.png", "README.md", "SHA256SUMS", ".gitattributes",
    }  # fmt: skip
    assert "openvino/SHA256SUMS" in repo.files
    folder = written(repo, tmp_path / "folder")
    generate = pipeline("text-generation", model=str(folder))
    assert generate("Tea")[0]["generated_text"].startswith("Tea")
    known = generate("<|endoftext|>The café", do_sample=False, repetition_penalty=1.0)
    assert tiny.SENTENCE[:30] in known[0]["generated_text"]
    card = ModelCard.load(folder / "README.md")
    bits = {(r.dataset_split, r.metric_type): r.metric_value for r in card.data.eval_results or ()}
    assert bits["test", "bits_per_byte"] == 1.25
    assert card.data.to_dict().keys() >= {"language", "license", "base_model", "tags", "widget"}
    assert f'pipeline("text-generation", model="{REPO}")' in card.text


def test_what_is_pushed_is_told_first_and_a_dry_run_leaves_it_at_that(
    publisher: Publisher, hub: Hub
) -> None:
    hub.repos[REPO] = Repo(ORIGINAL)
    done = publisher.run(*publisher.arguments(), "--tag", "v9", "--dry-run", token="")
    assert done.returncode == 0
    assert f"To model {REPO} (public), as v9:" in done.stdout
    assert "model.safetensors" in done.stdout
    assert f"{'old.txt':<32}{'deleted':>14}" in done.stdout
    assert hub.repos[REPO].files == ORIGINAL


def test_a_worse_one_is_refused_and_a_forced_one_says_so(
    publisher: Publisher, hub: Hub, desk: Desk
) -> None:
    publisher.publish(checkpoint=desk.better)
    before = hub.repos[REPO]
    assert "1.2500 bits per byte on test, and what is on the Hub 1.2000" in publisher.refusal()
    assert hub.repos[REPO] == before
    publisher.publish("--force-worse")
    card = hub.repos[REPO].files["README.md"].decode()
    assert "**Published although the version before it was better: 1.2000 bits" in card


def test_uncommitted_changes_are_refused_and_forced_ones_say_so(
    publisher: Publisher, hub: Hub
) -> None:
    changed = ["training/change.py"]
    sentence = publisher.refusal(uncommitted=changed)
    assert "uncommitted changes (training/change.py)" in sentence
    assert hub.steps == []
    publisher.publish("--force-dirty", uncommitted=changed)
    card = hub.repos[REPO].files["README.md"].decode()
    assert "**Published from a working tree with uncommitted changes.**" in card


def test_a_checkpoint_that_was_not_evaluated_is_refused(
    publisher: Publisher, desk: Desk, tmp_path: Path
) -> None:
    folder = edited(desk, tmp_path / "raw")
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    del metrics["evaluation"]["test"]
    (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    assert "run `python -m training evaluate" in publisher.refusal(checkpoint=folder)


def test_no_flag_publishes_a_pickle_a_token_or_a_tweet(
    publisher: Publisher, hub: Hub, desk: Desk, tmp_path: Path
) -> None:
    tweet = read_texts(desk.data, "train")[0]
    wrong = {
        "training_args.bin": (b"\x80\x04tea", "is of a type that is never published, as pickles"),
        "notes.txt": (b"hf_" + b"a1" * 20, "shaped like a token of the Hub"),
        "notes.md": (f"# Tea\n\n{tweet}\n".encode(), "repeats a real tweet of the prepared data"),
    }
    for name, (content, reason) in wrong.items():
        folder = edited(desk, tmp_path / f"with {name}")
        (folder / name).write_bytes(content)
        sentence = publisher.refusal("--force-worse", "--force-dirty", checkpoint=folder)
        assert f"{name} " in sentence
        assert reason in sentence
        assert tweet not in sentence
    assert hub.steps == []


def test_a_tag_that_is_there_is_refused_before_anything_is_built(
    publisher: Publisher, hub: Hub
) -> None:
    hub.repos[REPO] = repo = Repo(ORIGINAL, tags={"v1": Repo(ORIGINAL).commit})
    assert f"has a tag v1 already, of commit {repo.commit[:12]}" in publisher.refusal("--tag", "v1")
    assert hub.repos[REPO] == repo
    assert "preupload" not in hub.steps


def test_wrong_bytes_on_the_hub_are_noticed_and_a_second_run_mends_them(
    publisher: Publisher, hub: Hub
) -> None:
    hub.fault = "wrong_commit"
    sentence = publisher.refusal()
    assert "does not hold what was pushed: detector.safetensors. Nobody should load it" in sentence
    assert hub.repos[REPO].tags == {}
    hub.fault = ""
    commit = publisher.publish("--tag", "v1")
    assert hub.repos[REPO].tags == {"v1": commit}


def test_what_xet_has_damaged_is_never_loaded(
    publisher: Publisher, hub: Hub, desk: Desk, tmp_path: Path
) -> None:
    hub.xet = f"local://{tmp_path / 'xet'}"
    commit = publisher.publish()
    for stored in (tmp_path / "xet").rglob("xorbs/default.*"):
        content = bytearray(stored.read_bytes())
        content[len(content) // 2] ^= 0xFF
        stored.write_bytes(content)
    client = Demo(hub, desk.better, tmp_path, by_xet=True)
    try:
        result = client.resolve(REPO, commit)
    finally:
        client.close()
    assert result.is_embedded_because("is damaged and was not loaded")


def test_who_pushes_meanwhile_is_not_overwritten(publisher: Publisher, hub: Hub) -> None:
    hub.repos[REPO] = Repo(ORIGINAL)

    def somebody_else() -> None:
        repo = hub.repos[REPO]
        hub.repos[REPO] = replace(repo, files={**repo.files, "new.txt": b"tea"}, parent=repo)

    hub.before_commit = somebody_else
    sentence = publisher.refusal()
    assert f"Could not commit to {REPO}: somebody else changed it meanwhile (412" in sentence
    assert sentence.endswith("Nothing on the Hub was changed.")
    assert set(hub.repos[REPO].files) == {*ORIGINAL, "new.txt"}


def test_a_public_repository_is_not_taken_for_a_private_one(publisher: Publisher, hub: Hub) -> None:
    hub.repos[REPO] = Repo(ORIGINAL)
    assert f"{REPO} is public, and only what is made new" in publisher.refusal("--private")


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("", "There is no token. Make one with the role write"),
        ("hf_nonsense", "the Hub does not accept the token (401"),
        (STRANGER, f"Could not make the public model {REPO}: the Hub does not allow it (403"),
    ],
)
def test_a_token_that_will_not_do_is_told_with_what_will(
    publisher: Publisher, hub: Hub, token: str, reason: str
) -> None:
    sentence = publisher.refusal(token=token)
    assert reason in sentence
    assert "hf_nonsense" not in sentence
    assert hub.repos == {}


MADE = f"Done before, and still so: made the public model {REPO}."
RATE = {"RateLimit": '"api";r=0;t=55', "RateLimit-Policy": '"fixed window";"api";q=500;w=300'}


@pytest.mark.parametrize(
    ("step", "status", "reason", "left"),
    [
        ("create", 409, "it is there already", "Nothing on the Hub was changed."),
        ("commit", 403, "does not allow it (403)", MADE),
        ("commit", 404, "does not find it (404)", MADE),
        ("commit", 429, "(429: 500 requests in 300 seconds; wait 55 seconds)", MADE),
        ("commit", 503, "(503). Try again later. Whether the Hub did 'commit to", MADE),
        ("tag", 409, "Could not tag it v1: it is there already", "which is on main now"),
        ("tag", 500, "Whether the Hub did 'tag it v1' is not known", "which is on main now"),
    ],
)
def test_a_hub_that_refuses_is_understood(
    publisher: Publisher, hub: Hub, step: str, status: int, reason: str, left: str
) -> None:
    hub.broken[step] = Broken("status", status, RATE if status == 429 else {})
    sentence = publisher.refusal("--tag", "v1")
    assert reason in sentence
    assert left in sentence


def outcome(repo: Repo, old: Repo) -> str:
    """`old` as it was, `new` one whole commit further, else `torn`."""
    if repo == old:
        return "old"
    is_new = repo.parent is not None and repo.parent.files == old.files
    return "new" if is_new and {"SHA256SUMS", "README.md"} <= repo.files.keys() else "torn"


@pytest.mark.parametrize("step", STEPS)
def test_a_connection_that_is_lost_at_any_step_leaves_the_old_or_the_new(
    publisher: Publisher, hub: Hub, step: str
) -> None:
    hub.repos[REPO] = old = Repo(ORIGINAL)
    hub.broken = {step: Broken("lost")}
    assert "the connection was lost" in publisher.refusal()
    assert outcome(hub.repos[REPO], old) == ("new" if step == "tag" else "old")


def test_an_answer_that_is_lost_is_made_good_by_a_second_run(
    publisher: Publisher, hub: Hub
) -> None:
    hub.broken["commit"] = Broken("unheard")
    assert f"Whether the Hub did 'commit to {REPO}' is not known" in publisher.refusal()
    commit = hub.repos[REPO].commit
    hub.broken.clear()
    assert publisher.publish("--tag", "v1") == commit
    assert hub.repos[REPO].tags == {"v1": commit}


def test_a_tag_whose_answer_is_lost_is_found(publisher: Publisher, hub: Hub) -> None:
    hub.broken["tag"] = Broken("unheard")
    commit = publisher.publish("--tag", "v1")
    assert hub.repos[REPO].tags == {"v1": commit}
    again = publisher.publish("--tag", "v1")
    assert (again, len(list(hub.repos[REPO].history()))) == (commit, 2)


def test_a_connection_that_is_lost_once_may_be_tried_again_by_itself(
    publisher: Publisher, hub: Hub
) -> None:
    hub.broken = {step: Broken("lost", times=1) for step in ("tree", "preupload", "upload")}
    publisher.publish()


@pytest.mark.parametrize("step", [*STEPS, "after the commit"])
def test_a_kill_at_any_step_leaves_the_old_or_the_new(
    publisher: Publisher, hub: Hub, step: str
) -> None:
    """And a second run brings it to its end."""
    hub.repos[REPO] = old = Repo(ORIGINAL)
    if step == "after the commit":
        hub.broken["commit"] = Broken("unheard_stalled")
    else:
        hub.broken[step] = Broken("stalled")
    process = publisher.fork(*publisher.arguments())
    wait_for_step(hub, "broken", process)
    process.kill()
    process.wait(60)
    is_new = step in ("tag", "after the commit")
    assert outcome(hub.repos[REPO], old) == ("new" if is_new else "old")
    hub.broken.clear()
    commit = publisher.publish("--tag", "v1")
    assert (len(list(hub.repos[REPO].history())), hub.repos[REPO].tags["v1"]) == (2, commit)


def test_what_a_killed_run_built_goes_with_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """tests/unit/test_cache.py kills real processes."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with temporary_folder() as folder:
        left = folder.with_name(f"{folder.name}-killed")
        left.mkdir()
        (left / "model.safetensors").touch()
        with temporary_folder() as others:
            assert sorted(tmp_path.iterdir()) == sorted([folder, others])


def test_an_interrupt_ends_it_at_once_and_says_what_is_there(
    publisher: Publisher, hub: Hub
) -> None:
    hub.broken["upload"] = Broken("stalled")
    process = publisher.fork(*publisher.arguments())
    wait_for_step(hub, "broken", process)
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130
    assert (
        (publisher.home / "output")
        .read_text()
        .endswith(
            f"{MADE} Run the same command again; it goes on from what is there.\n"
            "publish: interrupted.\n"
        )
    )


def test_a_disk_that_takes_no_more_is_told(publisher: Publisher, hub: Hub) -> None:
    """No file may be larger than 100 kB here, as on a full disk: a write is refused."""
    process = publisher.start(
        *publisher.arguments(),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
    )
    out, err = process.communicate(timeout=120)
    sentence = reason_of(Done([], process.returncode, out, err))
    assert "The folder to publish could not be written in" in sentence
    assert "Make room there" in sentence
    assert hub.repos == {}


def test_a_rollback_is_a_new_commit_with_the_files_of_the_tag(
    publisher: Publisher, hub: Hub, desk: Desk
) -> None:
    hub.repos[REPO] = Repo({**ORIGINAL, "model.safetensors": b"tea" * 100})
    hub.repos[REPO] = first = replace(hub.repos[REPO], tags={"v0": hub.repos[REPO].commit})
    assert "nobody can tell which is better" in publisher.refusal()
    publisher.publish("--force-worse")
    assert b"**Published over a version that had no figures" in hub.repos[REPO].files["README.md"]
    hub.served.clear()
    told = publisher.run("--repo", REPO, "--rollback", "v0", "--dry-run", token="")
    assert f"{'README.md':<32}{3:>14,} bytes" in told.stdout
    assert f"{'metrics.json':<32}{'deleted':>14}" in told.stdout
    assert len(list(hub.repos[REPO].history())) == 2
    done = publisher.run("--repo", REPO, "--rollback", "v0")
    assert done.returncode == 0, done.stderr
    repo = hub.repos[REPO]
    assert (repo.files, len(list(repo.history()))) == (first.files, 3)
    (tag,) = [name for name in repo.tags if name.startswith("rollback-of-v0-")]
    assert repo.tags[tag] == repo.commit
    assert "model.safetensors" not in hub.served
    again = publisher.run("--repo", REPO, "--rollback", "v0", "--tag", "again")
    assert f"Main of {REPO} is v0 already." in again.stdout
    repo = hub.repos[REPO]
    assert (repo.tags["again"], len(list(repo.history()))) == (repo.commit, 3)
    unknown = publisher.run("--repo", REPO, "--rollback", "v7")
    assert (unknown.returncode, hub.repos[REPO]) == (1, repo)
    assert f"{REPO} has no tag v7; its tags: v0, v" in unknown.stderr


def test_a_rollback_that_was_cut_off_is_tagged_by_a_second_run(
    publisher: Publisher, hub: Hub
) -> None:
    first = Repo(ORIGINAL)
    hub.repos[REPO] = Repo({"new.txt": b"tea"}, tags={"v0": first.commit}, parent=first)
    hub.broken["tag"] = Broken("lost")
    rollback = ["--repo", REPO, "--rollback", "v0", "--tag", "back"]
    assert publisher.run(*rollback).returncode == 1
    hub.broken.clear()
    done = publisher.run(*rollback)
    repo = hub.repos[REPO]
    assert (done.returncode, repo.tags["back"], len(list(repo.history()))) == (0, repo.commit, 3)


def test_a_rollback_takes_no_tag_that_is_there(publisher: Publisher, hub: Hub) -> None:
    first = Repo(ORIGINAL)
    second = Repo({"new.txt": b"tea"}, parent=first)
    tags = {"v0": first.commit, "v2": second.commit}
    hub.repos[REPO] = repo = replace(second, tags=tags)
    done = publisher.run("--repo", REPO, "--rollback", "v0", "--tag", "v2")
    assert f"{REPO} has a tag v2 already" in done.stderr
    assert (done.returncode, hub.repos[REPO]) == (1, repo)
    again = publisher.run("--repo", REPO, "--rollback", "v2", "--tag", "again")
    assert f"MODEL_ID={REPO} MODEL_REVISION={second.commit}" in again.stdout
    assert hub.repos[REPO].tags == {**tags, "again": second.commit}


def test_wrong_bytes_of_a_tag_are_not_put_back(publisher: Publisher, hub: Hub) -> None:
    first = Repo(ORIGINAL)
    hub.repos[REPO] = repo = Repo({"new.txt": b"tea"}, tags={"v0": first.commit}, parent=first)
    hub.fault = "wrong_small_files"
    done = publisher.run("--repo", REPO, "--rollback", "v0")
    assert "of v0 came with other bytes than the Hub lists" in done.stderr
    assert done.stderr.endswith("Nothing on the Hub was changed.\n")
    assert (done.returncode, hub.repos[REPO]) == (1, repo)


def test_what_is_there_already_is_not_pushed_and_nobody_elses_commit_is_claimed(
    publisher: Publisher, hub: Hub
) -> None:
    commit = publisher.publish("--tag", "v1")
    hub.steps.clear()
    assert publisher.publish("--tag", "v2") == commit
    assert not {"commit", "preupload"} & set(hub.steps)
    assert hub.repos[REPO].tags == {"v1": commit, "v2": commit}


def test_no_pickle_comes_back_by_a_rollback(publisher: Publisher, hub: Hub) -> None:
    first = Repo({**ORIGINAL, "evil.pt": b"tea"})
    hub.repos[REPO] = repo = Repo(ORIGINAL, tags={"v0": first.commit}, parent=first)
    done = publisher.run("--repo", REPO, "--rollback", "v0")
    assert "v0 of alice/parody holds files of a type that is never published" in done.stderr
    assert (done.returncode, hub.repos[REPO]) == (1, repo)


def test_a_public_dataset_is_rolled_back_and_keeps_its_counts(
    publisher: Publisher, hub: Hub
) -> None:
    first = Repo({"test.parquet": b"tea"})
    files = {"test.parquet": b"later", "dev.parquet": b"later", "counts.json": b"{}"}
    hub.repos[DATASET] = Repo(files, tags={"v0": first.commit}, parent=first)
    done = publisher.run("--dataset", DATASET, "--rollback", "v0")
    assert done.returncode == 0, done.stderr
    assert hub.repos[DATASET].files == {"test.parquet": b"tea", "counts.json": b"{}"}
    empty = Repo({"counts.json": b"{}"})
    hub.repos[DATASET] = replace(first, tags={"v9": empty.commit}, parent=empty)
    done = publisher.run("--dataset", DATASET, "--rollback", "v9")
    assert f"v9 of {DATASET} has none of the files that it is for" in done.stderr


@pytest.mark.parametrize(
    "tag", ["main", "HEAD", "v1.lock", "v1.", "a..b", ".a", "a/b", "-a", "a" * 101, "0" * 40]
)
def test_a_tag_that_git_or_the_hub_would_not_take_is_refused(tag: str) -> None:
    with pytest.raises(TrainingError, match="it must be a name that git takes"):
        choose_tag(tag, None)


def test_a_tag_is_looked_at_before_the_hub(publisher: Publisher, hub: Hub) -> None:
    assert "it must be a name that git takes" in publisher.refusal("--tag=-a")
    assert hub.steps == []


def test_a_tag_that_is_not_given_tells_the_time_and_what_is_rolled_back() -> None:
    assert re.fullmatch(r"v\d{8}-\d{6}-\d{3}", choose_tag(None, None))
    assert re.fullmatch(r"rollback-of-v1-0-\d{8}-\d{6}-\d{3}", choose_tag(None, "v1.0"))


@pytest.mark.parametrize(
    ("options", "code", "reason"),
    [
        ((), 2, "give one of --repo and --dataset"),
        (("--repo", REPO, "--dataset", DATASET), 2, "give one of --repo and --dataset"),
        (("--repo", REPO, "--public"), 1, "--public belongs to --dataset, without --private"),
        (("--dataset", DATASET, "--public", "--private"), 1, "--public belongs to --dataset"),
        (("--repo", "parody"), 1, "--repo is 'parody'; it must look like user/name"),
    ],
)
def test_options_that_do_not_go_together_are_refused_before_the_hub_is_asked(
    publisher: Publisher, hub: Hub, options: tuple[str, ...], code: int, reason: str
) -> None:
    done = publisher.run(*options)
    assert (done.returncode, hub.steps) == (code, [])
    assert reason in done.stderr


def test_a_rollback_to_nothing_publishes_nothing(publisher: Publisher, hub: Hub) -> None:
    hub.repos[REPO] = repo = Repo(ORIGINAL)
    done = publisher.run(*publisher.arguments(), "--rollback", "")
    assert f"{REPO} has no tag ; its tags: none." in done.stderr
    assert (done.returncode, hub.repos[REPO]) == (1, repo)


def test_a_reader_that_goes_away_ends_no_push(publisher: Publisher, hub: Hub) -> None:
    process = publisher.start(*publisher.arguments(), "--tag", "v1")
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    _, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, "")
    assert "v1" in hub.repos[REPO].tags


def test_a_dataset_is_private_and_holds_held_out_tweets_alone(
    publisher: Publisher, hub: Hub, desk: Desk, tmp_path: Path
) -> None:
    done = publisher.run("--dataset", DATASET, "--data", str(desk.data), "--tag", "v1")
    assert done.returncode == 0, done.stderr
    repo = hub.repos[DATASET]
    assert (repo.private, repo.tags) == (True, {"v1": repo.commit})
    assert set(repo.files) == {
        "README.md", "dev.parquet", "test.parquet", "persona.json", "report.json",
        ".gitattributes",
    }  # fmt: skip
    report = json.loads(repo.files["report.json"])
    assert not {"archive", "first_bad_rows"} & report.keys()
    hub.repos[DATASET] = replace(repo, files={**repo.files, "counts.json": b"{}"})
    again = publisher.run("--dataset", DATASET, "--data", str(desk.data), "--tag", "v2")
    assert again.returncode == 0, again.stderr
    assert hub.repos[DATASET].files["counts.json"] == b"{}"
    renamed = shutil.copytree(desk.data, tmp_path / "renamed")
    shutil.copy(renamed / "train.parquet", renamed / "test.parquet")
    refused = publisher.run("--dataset", DATASET, "--data", str(renamed))
    assert refused.returncode == 1
    assert "its test.parquet is of another archive, or another split" in refused.stderr
    hub.repos[DATASET] = replace(repo, files={"train.parquet": b"tea"})
    there = publisher.run("--dataset", DATASET, "--data", str(desk.data))
    assert "holds train.parquet, from which the model learnt" in there.stderr
