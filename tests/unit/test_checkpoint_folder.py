"""The folder that is published, without its export; and the embedded checkpoint's card."""

import json
import re
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from demo.checkpoints.embedded import EMBEDDED, BaseFile
from demo.checkpoints.files import verify_checksums, write_checksums
from tests.hub.publisher import make_checkpoint, make_data
from training import TrainingError
from training.card import Publication, render_card
from training.release.checkpoint import build_checkpoint, is_path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_data(tmp_path_factory.mktemp("prepared") / "data")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CACHE_DIR", str(tmp_path / "cache"))


def built(checkpoint: Path, out: Path) -> list[str]:
    """Builds, and returns what was said."""
    said: list[str] = []
    out.mkdir()
    build_checkpoint(checkpoint, "alice/parody", out, said.append, with_export=False)
    verify_checksums(out)
    return said


def test_of_a_base_that_was_a_folder_its_name_alone_is_published(
    data: Path, tmp_path: Path
) -> None:
    base = tmp_path / "secret place" / "my-base"
    base.mkdir(parents=True)
    checkpoint = make_checkpoint(tmp_path / "checkpoint", data, base=str(base))
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    (checkpoint / "config.json").write_text(json.dumps({**config, "_name_or_path": str(base)}))
    write_checksums(checkpoint)
    built(checkpoint, tmp_path / "out")
    for path in (tmp_path / "out").iterdir():
        assert b"secret place" not in path.read_bytes(), path.name
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert (metrics["recipe"]["base"], metrics["comparison"]["base"]) == ("my-base", "my-base")
    card = ModelCard.load(tmp_path / "out" / "README.md")
    assert "| base | my-base |" in card.text
    assert "-0.1000 | -0.2000 to +0.0000 |" in card.text
    assert card.data.base_model is None
    assert "secret place" in (checkpoint / "metrics.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("base", ["gpt2", "openai-community/gpt2-medium", "packaged", ""])
def test_a_hub_id_is_no_path(base: str) -> None:
    assert not is_path(base)


@pytest.mark.parametrize(
    "base", ["/a/b", "./a", "../a", "~/a", "runs/gpt2/checkpoint", "C:\\a", "a.gguf", "training"]
)
def test_a_path_is_one(base: str) -> None:
    assert is_path(base)


def test_what_no_checkpoint_has_is_left_out_and_said(data: Path, tmp_path: Path) -> None:
    checkpoint = make_checkpoint(tmp_path / "checkpoint", data)
    (checkpoint / "notes.txt").write_text("tea", encoding="utf-8")
    said = built(checkpoint, tmp_path / "out")
    assert said == ["Left out: notes.txt, which a published checkpoint does not have."]
    assert not (tmp_path / "out" / "notes.txt").exists()


def test_a_damaged_checkpoint_is_not_published(data: Path, tmp_path: Path) -> None:
    checkpoint = make_checkpoint(tmp_path / "checkpoint", data)
    (checkpoint / "metrics.json").write_text("{}", encoding="utf-8")
    with pytest.raises(TrainingError, match=r"metrics.json does not have its sha256"):
        built(checkpoint, tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("metrics.json", "{}", "not as training writes it (KeyError: 'recipe')"),
        ("persona.json", "tea", "checkpoint/persona.json"),
    ],
)
def test_a_file_that_training_did_not_write_is_named_where_it_is(
    data: Path, tmp_path: Path, name: str, content: str, reason: str
) -> None:
    checkpoint = make_checkpoint(tmp_path / "checkpoint", data)
    (checkpoint / name).write_text(content, encoding="utf-8")
    write_checksums(checkpoint)
    with pytest.raises(TrainingError, match=re.escape(reason)):
        built(checkpoint, tmp_path / "out")


def test_figures_that_the_card_cannot_tell_end_in_a_sentence(data: Path, tmp_path: Path) -> None:
    checkpoint = make_checkpoint(tmp_path / "checkpoint", data)
    metrics = json.loads((checkpoint / "metrics.json").read_text(encoding="utf-8"))
    del metrics["data"]["splits"]["test_time"]
    (checkpoint / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    write_checksums(checkpoint)
    with pytest.raises(TrainingError, match=r"not as training writes it \(UndefinedError"):
        built(checkpoint, tmp_path / "out")


def test_a_merged_differences_card_names_base_licence_and_sum() -> None:
    base = BaseFile.read(EMBEDDED / "base.json")
    merged = render_card(EMBEDDED, Publication("alice/parody", base, ("Tea.",)))
    assert "license: apache-2.0" in merged
    assert base.sha256 in merged
    assert base.requirement in merged
    assert "\n**Tea.**\n" in merged
