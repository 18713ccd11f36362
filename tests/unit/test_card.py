"""The card of checkpoints that are not the embedded one: their data, base and license."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from demo.checkpoints.embedded import EMBEDDED
from demo.checkpoints.persona import NOBODY
from training.card import Publication, render_card


def render_changed(
    folder: Path, change: Callable[[dict[str, Any]], None], publication: Publication | None = None
) -> str:
    """The card of a folder with the embedded checkpoint's figures, changed."""
    shutil.copy(EMBEDDED / "generation_config.json", folder)
    metrics = json.loads((EMBEDDED / "metrics.json").read_text(encoding="utf-8"))
    change(metrics)
    (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    return render_card(folder, publication)


def test_the_card_of_an_archive_without_dates_claims_none(tmp_path: Path) -> None:
    def forget_dates(metrics: dict[str, Any]) -> None:
        for part in metrics["data"]["splits"].values():
            part.update(first_date="", last_date="")

    card = render_changed(tmp_path, forget_dates)
    assert "It knows the world of its archive, and small" in card
    assert "`test_time` is the last 500 tweets of the file, which has no dates." in card
    # The four splits and the retweets.
    assert card.count("| unknown |") == 5


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
    card = render_changed(tmp_path, lambda metrics: metrics["recipe"].update(base=base))
    assert f"\nlicense: {license_id}\n" in card


@pytest.mark.parametrize("name", ["gpt2", "packaged"])
def test_a_folder_named_like_a_known_base_is_not_taken_for_it(tmp_path: Path, name: str) -> None:
    publication = Publication("alice/parody", base_is_folder=True)
    card = render_changed(
        tmp_path, lambda metrics: metrics["recipe"].update(base=name), publication
    )
    assert "\nlicense: other\n" in card
    assert "base_model:" not in card


def test_a_persona_in_another_script_gives_a_valid_card(tmp_path: Path) -> None:
    """The Hub takes no empty name or data set, and letters from a to z alone in an identifier."""
    japanese = NOBODY.model_copy(
        update={
            "name": "急須",
            "tweets": "急須のつぶやき",
            "archive": "急須の記録",
            "title": "急須か機械か",
        }
    )
    japanese.write(tmp_path)
    data: Any = ModelCard(render_changed(tmp_path, lambda _: None)).data
    assert (data.language, data.datasets, data.model_name) == ("ja", None, "急須か機械か")
    assert data.eval_results
    assert {result.dataset_type for result in data.eval_results} == {"tweets"}
    german = NOBODY.model_copy(update={"archive": "Müllers Tweets", "language": "de"})
    german.write(tmp_path)
    data = ModelCard(render_changed(tmp_path, lambda _: None)).data
    assert (data.language, data.datasets) == ("de", ["mullers-tweets"])
    NOBODY.write(tmp_path)
    data = ModelCard(render_changed(tmp_path, lambda _: None)).data
    assert data.language is None


def test_the_card_claims_only_what_happened(tmp_path: Path) -> None:
    """A run of 8 steps at a warm-up of 100, which left some weights alone and helped nothing."""

    def shorten(metrics: dict[str, Any]) -> None:
        metrics["recipe"]["warmup_steps"] = 100
        metrics["training"] |= {
            "steps": 8, "epochs": 0.3, "warmup_steps": 0, "tensors": 272, "tensors_changed": 3,
            "best_dev_bits_per_byte": metrics["curve"][0]["bits_per_byte"] + 1,
        }  # fmt: skip

    card = render_changed(tmp_path, shorten)
    assert "| method | 3 of 272 tensors of weights fine-tuned; the rest did not change |" in card
    assert "linear, 0 warm-up steps |" in card
    assert "| epochs, steps | 0.3, 8 |" in card
    assert "**Optimizer steps: 8. In so few, little is learnt.**" in card
    assert "**Training did not help: " in card


def test_a_card_without_a_detector_says_so(tmp_path: Path) -> None:
    card = render_changed(tmp_path, lambda metrics: metrics["judges"].pop("detector"))
    assert "No detector: there were too few tweets" in card
    assert "`originals.safetensors` recognises" in card
    card = render_changed(tmp_path, lambda metrics: metrics.pop("judges"))
    assert "### Judges" not in card


def test_a_file_of_texts_is_not_called_a_part_of_the_archive(tmp_path: Path) -> None:
    def add_file(metrics: dict[str, Any]) -> None:
        evaluation = metrics["evaluation"]
        evaluation["my.txt"] = {"checkpoint": evaluation["test"]["checkpoint"]}

    card: Any = ModelCard(render_changed(tmp_path, add_file))
    results = {(result.dataset_name, result.dataset_split) for result in card.data.eval_results}
    assert ("my.txt", None) in results
    assert {split for _, split in results} == {"dev", "test", "test_time", None}
    assert [name for name, _ in results if "my.txt" in name] == ["my.txt"]
    assert "`my.txt` is not part of the archive above" in card.text
    assert "is not part of the archive above" not in render_card(EMBEDDED)


@pytest.mark.parametrize(
    ("rows", "said", "unsaid"),
    [
        ("packed", "whole tweets packed, none attending to another", "cut where a row is full"),
        ("blocks", "running text with `<|endoftext|>` between tweets, cut where", "packed"),
        ("notebook", "the CSV file of the 2023 notebook", "packed"),
    ],
)
def test_the_card_says_how_the_recipe_made_rows(
    tmp_path: Path, rows: str, said: str, unsaid: str
) -> None:
    card = render_changed(tmp_path, lambda metrics: metrics["recipe"].update(rows=rows))
    (line,) = (line for line in card.splitlines() if line.startswith("| batch |"))
    assert said in line
    assert unsaid not in line


def test_the_card_says_by_which_rule_repeats_were_counted(tmp_path: Path) -> None:
    card = render_changed(
        tmp_path, lambda metrics: metrics["texts"].update(verbatim_rule="ten words in a row")
    )
    assert "| texts that repeat train, by ten words in a row | " in card
