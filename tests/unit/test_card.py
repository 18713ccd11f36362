"""The card of checkpoints that are not the embedded one: their data, base and license."""

import json
import shutil
from pathlib import Path

import pytest

from training.card import EMBEDDED, Publication, render_card


def test_the_card_of_an_archive_without_dates_claims_none(tmp_path: Path) -> None:
    for name in ("generation_config.json", "base.json", "difference.safetensors"):
        shutil.copy(EMBEDDED / name, tmp_path)
    metrics = json.loads((EMBEDDED / "metrics.json").read_text(encoding="utf-8"))
    for part in metrics["data"]["splits"].values():
        part.update(first_date="", last_date="")
    (tmp_path / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    card = render_card(tmp_path)
    assert "It knows the world of its archive, and small" in card
    assert card.count("| unknown |") == len(metrics["data"]["splits"])


def test_whole_weights_of_the_packaged_base_name_it_and_its_licence(tmp_path: Path) -> None:
    for name in ("generation_config.json", "metrics.json"):
        shutil.copy(EMBEDDED / name, tmp_path)
    card = render_card(tmp_path)
    assert "license: apache-2.0" in card
    assert "base_model: HuggingFaceTB/SmolLM2-135M-Instruct" in card
    assert "holds all weights as their difference" not in card


@pytest.mark.parametrize(
    ("base", "license_id"),
    [("", "mit"), ("openai-community/gpt2", "mit"), ("somebody/else", "other")],
)
def test_no_license_is_made_up(tmp_path: Path, base: str, license_id: str) -> None:
    shutil.copy(EMBEDDED / "generation_config.json", tmp_path)
    metrics = json.loads((EMBEDDED / "metrics.json").read_text(encoding="utf-8"))
    metrics["recipe"]["base"] = base
    (tmp_path / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    assert f"\nlicense: {license_id}\n" in render_card(tmp_path)


@pytest.mark.parametrize("name", ["gpt2", "packaged"])
def test_a_folder_named_like_a_known_base_is_not_taken_for_it(tmp_path: Path, name: str) -> None:
    shutil.copy(EMBEDDED / "generation_config.json", tmp_path)
    metrics = json.loads((EMBEDDED / "metrics.json").read_text(encoding="utf-8"))
    metrics["recipe"]["base"] = name
    (tmp_path / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    card = render_card(tmp_path, Publication("alice/parody", base_is_folder=True))
    assert "\nlicense: other\n" in card
    assert "base_model:" not in card
