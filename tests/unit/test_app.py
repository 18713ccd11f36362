"""What the app serves when the Hub's checkpoint is whole but cannot be run."""

from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file, save_file

import app
from demo.checkpoints import resolve
from demo.checkpoints.resolve import Checkpoint, CheckpointError
from demo.settings import read_settings
from tests import tiny

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def without_a_weight(folder: Path) -> Path:
    """A checkpoint whose sums would be right, and which lacks what the model needs."""
    tiny.write(folder, tiny.gpt2())
    weights = load_file(folder / "model.safetensors")
    del weights["transformer.h.0.mlp.c_fc.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.fixture
def resolved(
    tmp_path: Path, fluent_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """The Hub gives a checkpoint that lacks a weight, and a tiny one is embedded."""
    broken = without_a_weight(tmp_path / "broken")

    def resolved_folder(**asked: Any) -> Checkpoint:
        if asked["model_id"]:
            return Checkpoint(broken, asked["model_id"], COMMIT)
        if asked["folder"]:
            return Checkpoint(broken, "broken", COMMIT[:12])
        return Checkpoint(fluent_folder, "embedded", COMMIT[:12], is_embedded=True)

    monkeypatch.setattr(resolve, "resolve_checkpoint", resolved_folder)
    return {"ENGINE": "transformers", "DEVICE": "cpu", "CACHE_DIR": str(tmp_path)}


def test_the_embedded_checkpoint_runs_where_the_hubs_lacks_a_weight(
    resolved: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    hub = {"MODEL_ID": "user/name", "MODEL_REVISION": COMMIT}
    loaded = app.load(read_settings({**resolved, **hub}))
    assert loaded.engine.identity.checkpoint == "embedded"
    assert loaded.notice == ("user/name could not be run. The embedded checkpoint runs instead.")
    assert "c_fc.weight" in capsys.readouterr().out
    loaded.engine.close()


def test_a_folder_that_lacks_a_weight_is_its_owners_to_mend(
    resolved: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=r"c_fc\.weight"):
        app.load(read_settings({**resolved, "CHECKPOINT": str(tmp_path)}))
