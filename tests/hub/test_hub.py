"""Checkpoints from the Hub: fetched, verified, kept, and replaced when they cannot be had."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from demo.checkpoints.files import EARLY
from demo.checkpoints.persona import NOBODY
from demo.checkpoints.resolve import Checkpoint, resolve_checkpoint
from demo.generation.openvino.export import export
from demo.generation.openvino.exported import exported_folder
from demo.generation.profile import read_profile
from demo.settings import read_settings
from tests import tiny
from tests.hub.resolving import Client
from tests.hub.server import READER, STRANGER, Broken, Hub, Repo

# Where the Hub stalls on purpose, or is gone and the client tries for long to reach it.
PATIENCE_SECONDS = 3.0


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good checkpoint folder."""
    return tiny.write(tmp_path_factory.mktemp("noise"), tiny.gpt2())


@pytest.fixture(scope="module")
def client(one_hub: Hub, noise: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    client = Client(one_hub, noise, tmp_path_factory.mktemp("home"))
    yield client
    client.close()


@pytest.fixture
def files(noise: Path) -> dict[str, bytes]:
    """A good checkpoint's files, and some that no demo needs."""
    needed = {path.name: path.read_bytes() for path in noise.iterdir()}
    others = ("README.md", "pytorch_model.bin", "training_args.bin", "code.py", "onnx/model.bin")
    return {**needed, **dict.fromkeys(others, b"not needed")}


@pytest.fixture
def model_id(request: pytest.FixtureRequest) -> str:
    """A repository name for this test alone, since the client's cache outlives it."""
    return f"alice/{re.sub('[^a-z]+', '-', request.node.name.lower())[-60:].strip('-')}"


@pytest.fixture
def repo(hub: Hub, files: dict[str, bytes], model_id: str) -> Repo:
    """A good repository."""
    hub.repos[model_id] = Repo(files)
    return hub.repos[model_id]


def test_a_snapshot_is_fetched_with_what_is_needed_and_nothing_else(
    hub: Hub, client: Client, repo: Repo, model_id: str, noise: Path
) -> None:
    result = client.resolve(model_id, repo.commit)
    assert (result.name, result.revision, result.notice) == (model_id, repo.commit, "")
    assert {path.name for path in result.folder.iterdir()} == {p.name for p in noise.iterdir()}
    for path in noise.iterdir():
        assert (result.folder / path.name).read_bytes() == path.read_bytes()
    assert not {"pytorch_model.bin", "training_args.bin", "code.py"} & set(hub.served)


def test_an_export_that_is_shipped_is_fetched_and_taken(
    hub: Hub, client: Client, files: dict[str, bytes], model_id: str, tmp_path: Path
) -> None:
    plain = Repo(files)
    hub.repos[model_id] = plain
    folder = client.resolve(model_id, plain.commit).folder
    made = tmp_path / "openvino"
    export(folder, made, source=resolved(folder).fingerprint)
    shipped = {f"openvino/{path.name}": path.read_bytes() for path in made.iterdir()}
    repo = Repo({**files, **shipped, "openvino/extra.bin": b"not needed"})
    hub.repos[model_id] = repo
    fetched = client.resolve(model_id, repo.commit).folder
    taken = exported_folder(resolved(fetched), tmp_path, lambda said: pytest.fail(said))
    assert taken == fetched / "openvino"
    assert {path.name for path in taken.iterdir()} == {path.name for path in made.iterdir()}


def resolved(folder: Path) -> Checkpoint:
    """Verified once more, in this process."""
    settings = read_settings({"CHECKPOINT": str(folder), "CACHE_DIR": str(folder)})
    return resolve_checkpoint(settings, lambda _: None, lambda checkpoint: checkpoint)


def test_what_the_page_is_built_from_is_fetched_before_any_weights(
    client: Client, hub: Hub, files: dict[str, bytes], repo: Repo, model_id: str
) -> None:
    """After that a local copy of those files is read, whether the Hub is gone or stalls."""
    files["persona.json"] = json.dumps({**NOBODY.model_dump(), "title": "Kettle"}).encode()
    folder = client.early(model_id, repo.commit)
    assert read_profile(folder).persona.title == "Kettle"
    assert {path.name for path in folder.iterdir()} == set(EARLY)
    hub.fault = "stall"
    assert client.early(model_id, repo.commit, PATIENCE_SECONDS) == folder
    hub.stop()
    assert client.early(model_id, repo.commit) == folder
    assert client.resolve(model_id, repo.commit).is_embedded_because("No whole copy")


def test_without_a_hub_and_a_copy_the_page_is_built_from_the_embedded_one(
    client: Client, hub: Hub, repo: Repo, model_id: str, noise: Path
) -> None:
    hub.stop()
    assert client.early(model_id, repo.commit, PATIENCE_SECONDS) == noise


def test_a_persona_that_cannot_be_used_gives_way_to_the_embedded_checkpoint(
    client: Client, hub: Hub, files: dict[str, bytes], model_id: str, noise: Path
) -> None:
    """Its owner is told what is wrong with it; visitors, and the page's title, are not."""
    files["persona.json"] = json.dumps({**NOBODY.model_dump(), "title": "<script>"}).encode()
    hub.repos[model_id] = repo = Repo(files)
    assert client.early(model_id, repo.commit) == noise
    result = client.resolve(model_id, repo.commit)
    assert result.is_embedded_because(f"{model_id} could not be used.")
    assert "title holds '<'" in result.said[-2]


def test_the_second_start_fetches_nothing(
    hub: Hub, client: Client, repo: Repo, model_id: str
) -> None:
    first = client.resolve(model_id, repo.commit)
    hub.served.clear()
    second = client.resolve(model_id, repo.commit)
    assert (second.folder, second.notice, hub.served) == (first.folder, "", [])


def test_without_a_hub_the_kept_copy_runs_and_says_so(
    hub: Hub, client: Client, repo: Repo, model_id: str
) -> None:
    first = client.resolve(model_id, repo.commit)
    hub.stop()
    second = client.resolve(model_id, repo.commit)
    assert (second.name, second.folder) == (model_id, first.folder)
    assert "The Hub could not be reached" in second.notice
    assert second.notice.endswith(f"The copy of {model_id} from an earlier start runs.")


def test_without_a_hub_and_a_copy_the_embedded_one_runs(
    hub: Hub, client: Client, repo: Repo, model_id: str
) -> None:
    hub.stop()
    result = client.resolve(model_id, repo.commit)
    assert result.is_embedded_because(f"No whole copy of {model_id} is kept here.")


def test_a_kept_copy_of_another_commit_does_not_stand_in(
    hub: Hub, client: Client, repo: Repo, model_id: str
) -> None:
    client.resolve(model_id, repo.commit)
    hub.stop()
    assert client.resolve(model_id, "0" * 40).is_embedded_because("No whole copy")


def test_a_kept_copy_that_lost_a_file_does_not_stand_in(
    hub: Hub, client: Client, repo: Repo, model_id: str
) -> None:
    folder = client.resolve(model_id, repo.commit).folder
    hub.stop()
    (folder / "tokenizer.json").unlink()
    assert client.resolve(model_id, repo.commit).is_embedded_because("No whole copy")


@pytest.mark.parametrize("listed", [True, False], ids=["SHA256SUMS", "no_SHA256SUMS"])
def test_wrong_bytes_are_never_loaded_and_are_fetched_anew(
    hub: Hub, client: Client, files: dict[str, bytes], model_id: str, listed: bool
) -> None:
    if not listed:
        del files["SHA256SUMS"]
    hub.repos[model_id] = repo = Repo(files)
    hub.fault = "wrong_bytes"
    damaged = client.resolve(model_id, repo.commit)
    assert damaged.is_embedded_because("damaged and was not loaded: model.safetensors")
    hub.fault = ""
    mended = client.resolve(model_id, repo.commit)
    assert (mended.name, mended.notice) == (model_id, "")


def test_wrong_bytes_do_not_come_back_from_the_cache(
    hub: Hub, client: Client, repo: Repo, model_id: str
) -> None:
    hub.fault = "wrong_bytes"
    client.resolve(model_id, repo.commit)
    hub.stop()
    assert client.resolve(model_id, repo.commit).is_embedded_because("No whole copy")


def test_weights_that_the_list_leaves_out_are_not_loaded(
    hub: Hub, client: Client, files: dict[str, bytes], model_id: str
) -> None:
    lines = files["SHA256SUMS"].splitlines(keepends=True)
    files["SHA256SUMS"] = b"".join(line for line in lines if b"model.safetensors" not in line)
    hub.repos[model_id] = repo = Repo(files)
    result = client.resolve(model_id, repo.commit)
    assert result.is_embedded_because("there is no sha256 of model.safetensors")


def test_a_list_that_names_an_absent_shard_is_noticed(
    hub: Hub, client: Client, files: dict[str, bytes], model_id: str
) -> None:
    files["SHA256SUMS"] += b"0" * 64 + b"  model-00002-of-00002.safetensors\n"
    hub.repos[model_id] = repo = Repo(files)
    result = client.resolve(model_id, repo.commit)
    assert result.is_embedded_because("model-00002-of-00002.safetensors is missing")


def test_a_repository_with_pickled_weights_only_is_not_loaded(
    hub: Hub, client: Client, files: dict[str, bytes], model_id: str
) -> None:
    del files["model.safetensors"], files["SHA256SUMS"]
    hub.repos[model_id] = repo = Repo(files)
    result = client.resolve(model_id, repo.commit)
    assert result.is_embedded_because("pickled ones are never loaded")
    assert "pytorch_model.bin" not in hub.served


def test_a_tag_that_moves_and_a_newer_main_change_nothing_for_a_pinned_commit(
    hub: Hub, client: Client, files: dict[str, bytes], repo: Repo, model_id: str
) -> None:
    later = Repo({**files, "tokenizer.json": b"other"}, parent=repo)
    hub.repos[model_id] = replace(later, tags={"v1": later.commit})
    result = client.resolve(model_id, repo.commit)
    assert (result.name, result.revision, result.notice) == (model_id, repo.commit, "")
    assert (result.folder / "tokenizer.json").read_bytes() == files["tokenizer.json"]


def test_a_private_repository_opens_to_its_readers_token_alone(
    hub: Hub, client: Client, files: dict[str, bytes], model_id: str
) -> None:
    hub.repos[model_id] = repo = Repo(files, private=True)
    for token in ("", STRANGER):
        result = client.resolve(model_id, repo.commit, token)
        assert result.is_embedded_because("does not exist, or HF_TOKEN may not read it")
    assert client.resolve(model_id, repo.commit, READER).name == model_id
    withdrawn = client.resolve(model_id, repo.commit, STRANGER)
    assert withdrawn.is_embedded_because("HF_TOKEN may not read it")


def test_a_gated_repository_is_told_from_a_missing_one(
    hub: Hub, client: Client, files: dict[str, bytes], model_id: str
) -> None:
    hub.repos[model_id] = repo = Repo(files, gated=True)
    result = client.resolve(model_id, repo.commit, STRANGER)
    assert result.is_embedded_because("is gated and HF_TOKEN has not been granted access")


@pytest.mark.usefixtures("repo")
def test_a_token_that_is_no_token_is_named(client: Client, repo: Repo, model_id: str) -> None:
    result = client.resolve(model_id, repo.commit, "hf_nonsense")
    assert result.is_embedded_because("refused access")
    assert "hf_nonsense" not in result.notice


@pytest.mark.parametrize("status", [401, 429])
def test_a_hub_that_refuses_everything_is_named(
    hub: Hub, client: Client, repo: Repo, model_id: str, status: int
) -> None:
    hub.broken.update(dict.fromkeys(("info", "tree", "resolve"), Broken("status", status)))
    result = client.resolve(model_id, repo.commit)
    said = "refused access" if status == 401 else "could not be reached"
    assert result.is_embedded_because(said)


def test_an_unknown_commit_is_named(client: Client, repo: Repo, model_id: str) -> None:
    assert repo.commit != "0" * 40
    result = client.resolve(model_id, "0" * 40)
    assert result.is_embedded_because(f"{model_id} has no commit {'0' * 40}")


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("name", ["alice/absent", "not//an id"])
def test_an_id_that_is_no_repository_is_named(client: Client, name: str) -> None:
    assert client.resolve(name, "0" * 40).is_embedded_because(name)


@pytest.mark.parametrize("fault", ["stall", "stall_files"])
def test_a_stalled_hub_is_given_up_in_time(
    hub: Hub, client: Client, repo: Repo, model_id: str, fault: Any
) -> None:
    hub.fault = fault
    result = client.resolve(model_id, repo.commit, patience=PATIENCE_SECONDS)
    assert result.is_embedded_because("The Hub stalled: nothing arrived for 3 seconds.")
    assert result.seconds < PATIENCE_SECONDS + 5


def test_a_hub_that_dies_in_the_middle_is_given_up_and_the_rest_fetched_later(
    hub: Hub, client: Client, repo: Repo, model_id: str
) -> None:
    hub.fault = "die"
    result = client.resolve(model_id, repo.commit)
    assert result.is_embedded_because("No whole copy")
    hub.stop()
    hub.fault = ""
    hub.start()
    assert client.resolve(model_id, repo.commit).notice == ""


def test_a_difference_may_come_from_the_hub_and_needs_its_base(
    hub: Hub, client: Client, tmp_path: Path, model_id: str
) -> None:
    (tmp_path / "base.gguf").write_bytes(b"made up")
    tuned = tiny.write_tuned(tmp_path / "tuned", tmp_path / "base.gguf")
    hub.repos[model_id] = repo = Repo({p.name: p.read_bytes() for p in tuned.iterdir()})
    result = client.resolve(model_id, repo.commit)
    # Its owner is told what mends it; visitors are not: it could name paths of this machine.
    assert result.is_embedded_because(f"{model_id} could not be used.")
    assert "names teapots==1.0, which is not fetched" in result.said[-2]
