"""What the app serves when a checkpoint is whole but cannot be run, or not by OpenVINO."""

import json
import logging
import shutil
from functools import partial
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file

from demo import loading
from demo.checkpoints import resolve
from demo.checkpoints.files import CheckpointError, file_sha256, write_checksums
from demo.checkpoints.hub import Snapshot
from demo.checkpoints.resolve import resolve_checkpoint
from demo.loading import load
from demo.settings import read_settings
from tests import tiny
from tests.completions import serving

COMMIT = "0123456789abcdef0123456789abcdef01234567"

pytestmark = pytest.mark.usefixtures("exports_here")


def without_a_weight(folder: Path) -> Path:
    """A checkpoint whose sums would be right, and which lacks what the model needs."""
    tiny.write(folder, tiny.gpt2())
    weights = load_file(folder / "model.safetensors")
    del weights["transformer.h.0.mlp.c_fc.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.fixture
def variables(
    tmp_path: Path, fluent_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """The Hub gives a checkpoint that lacks a weight, and a tiny one is embedded."""
    broken = without_a_weight(tmp_path / "broken")
    sums = {path.name: file_sha256(path) for path in broken.glob("*.safetensors")}
    (broken / "SHA256SUMS").unlink()
    monkeypatch.setattr(resolve, "fetch_snapshot", lambda *_: Snapshot(broken, sums))
    tiny_is_embedded = partial(resolve_checkpoint, embedded=fluent_folder)
    monkeypatch.setattr(loading, "resolve_checkpoint", tiny_is_embedded)
    return {"DEVICE": "cpu", "CACHE_DIR": str(tmp_path / "cache")}


@pytest.mark.parametrize("engine", ["transformers", "openvino"])
def test_the_embedded_checkpoint_runs_where_the_hubs_lacks_a_weight(
    variables: dict[str, str], caplog: pytest.LogCaptureFixture, engine: str
) -> None:
    hub = {"MODEL_ID": "user/name", "MODEL_REVISION": COMMIT, "ENGINE": engine}
    with caplog.at_level(logging.INFO, "demo"):
        loaded = load(read_settings({**variables, **hub}))
    assert loaded.engine.identity.checkpoint == "embedded"
    assert loaded.notice == "user/name could not be run. The embedded checkpoint runs instead."
    assert "c_fc.weight" in caplog.text
    assert loaded.notice in caplog.text
    loaded.engine.close()


def test_a_folder_that_lacks_a_weight_is_its_owners_to_mend(
    variables: dict[str, str], tmp_path: Path
) -> None:
    folder = {"CHECKPOINT": str(tmp_path / "broken"), "ENGINE": "transformers"}
    with pytest.raises(CheckpointError, match=r"c_fc\.weight"):
        load(read_settings({**variables, **folder}))


def test_an_engine_that_stands_in_for_openvino_says_how_many_texts_it_writes(
    variables: dict[str, str], fluent_folder: Path, tmp_path: Path
) -> None:
    """Whatever SLOTS says: then the page gives it one text at a time."""
    config = shutil.copytree(fluent_folder, tmp_path / "relu") / "config.json"
    values = {**json.loads(config.read_text()), "activation_function": "relu"}
    config.write_text(json.dumps(values))
    write_checksums(config.parent)
    folder = {"CHECKPOINT": str(config.parent), "SLOTS": "16"}
    loaded = load(read_settings({**variables, **folder}))
    assert loaded.engine.identity.engine.startswith("transformers")
    assert loaded.engine.slots == 1
    loaded.engine.close()


def test_a_server_elsewhere_that_can_never_do_is_its_owners_to_mend(
    variables: dict[str, str], fluent_folder: Path
) -> None:
    remote = {"ENGINE": "remote", "CHECKPOINT": str(fluent_folder)}
    with serving() as server:
        server.look = lambda request: request.answer(401)
        with pytest.raises(loading.OWNERS_TO_MEND, match="answers 401: check ENGINE_KEY"):
            load(read_settings({**variables, **remote, "ENGINE_URL": server.url}))
