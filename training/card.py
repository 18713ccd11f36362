"""The model card: rendered from `card.md` and a checkpoint's own `metrics.json`.

Knows the card's template and the Hub's metadata; must not know how figures are measured.
`python -m training.card` renders the embedded checkpoint's card to `model_card.md`.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from demo.checkpoints.embedded import SMOLLM2_135M_INSTRUCT, BaseFile
from demo.checkpoints.files import DIFFERENCE, PLOT
from demo.checkpoints.persona import Persona, persona_of
from training.recipe import PACKAGED_BASE
from training.working_tree import ROOT

EMBEDDED = ROOT / "embedded"
TEMPLATE = Path(__file__).parent / "card.md"
# The Hub's name of the model inside the pinned base file.
PACKAGED_BASE_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
# Of the Hub's models that recipes name; a base that is not here may have any.
LICENSES = {
    "openai-community/gpt2": "mit",
    "openai-community/gpt2-medium": "mit",
    "gpt2": "mit",
    "gpt2-medium": "mit",
}
TEXT_FIGURES = {
    "distinct_1": "different words, of all (distinct-1)",
    "distinct_2": "different pairs of words, of all (distinct-2)",
    "self_bleu": "self-BLEU-4",
    "repetition": "4-grams that the text had before",
    "length": "length in characters: 10 %, 50 %, 90 %",
    "within_280": "ended by themselves within 280 characters",
    "handles": "texts with an @",
    "hashtags": "texts with a #",
    "exclamations": "texts with a !",
    "capitals": "letters that are capitals",
    "shouted": "words in capitals",
}
METHODS = {
    "full": "all weights fine-tuned",
    "lora": "LoRA on all linear layers",
    "scratch": "trained from scratch, with its own byte-level BPE",
}


@dataclass(frozen=True)
class Publication:
    """What a card says beside its folder once that is on the Hub as `repo_id`.

    `base` is the file that went into the weights, if one did, `remarks` what was published in spite
    of; `base_is_folder` says that the recipe's base is no Hub id, but the name of a folder.
    """

    repo_id: str
    base: BaseFile | None = None
    remarks: tuple[str, ...] = ()
    base_is_folder: bool = False


def card_path(folder: Path) -> Path:
    """Where a checkpoint's card is kept: beside the weights, but for the embedded one."""
    return ROOT / "model_card.md" if folder.resolve() == EMBEDDED else folder / "README.md"


def write_card(folder: Path) -> None:
    """Renders the card of a checkpoint folder to its place."""
    card_path(folder).write_text(render_card(folder), encoding="utf-8")


def render_card(folder: Path, publication: Publication | None = None) -> str:
    """The card of a checkpoint folder, with the Hub's metadata as front matter; by `publication`
    as it stands on the Hub."""
    metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    base_json = folder / "base.json"
    base = BaseFile.read(base_json) if base_json.is_file() else None
    published = publication or Publication("FOLDER")
    origin = _origin(metrics["recipe"]["base"], base or published.base, published.base_is_folder)
    decoding = json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))
    recipe = metrics["recipe"]
    persona = persona_of(folder)
    card = ModelCard.from_template(
        _metadata(metrics, origin, persona, published),
        template_path=str(TEMPLATE),
        persona=persona,
        folder=published.repo_id,
        remarks=published.remarks,
        size=(folder / DIFFERENCE).stat().st_size / 1e6 if base else 0,
        base=base,
        origin=origin,
        base_name=PACKAGED_BASE_ID if origin else recipe["base"] or "none",
        method=METHODS[recipe["method"]],
        decoding=decoding,
        data=metrics["data"],
        recipe=recipe,
        training=metrics["training"],
        git_revision=metrics["git_revision"],
        evaluation=metrics.get("evaluation", {}),
        texts=metrics.get("texts"),
        text_rows=_text_rows(metrics.get("texts")),
        unpicked=[_on_one_line(text) for text in metrics.get("texts", {}).get("unpicked", ())],
        comparison=metrics.get("comparison"),
        curve=_curve_address(folder),
        decoding_search=metrics.get("decoding"),
        decoding_rows=_decoding_rows(metrics.get("decoding")),
        judges=metrics.get("judges"),
        judge_rows=_judge_rows(metrics.get("judges")),
        evaluated=metrics.get("evaluated"),
        openvino=metrics.get("openvino"),
    )
    return f"{str(card).rstrip()}\n"


def _origin(name: str, base: BaseFile | None, is_folder: bool) -> BaseFile | None:
    """The pinned file that the weights derive from, whether they are kept whole or not."""
    is_packaged = name == PACKAGED_BASE and not is_folder
    return base or (SMOLLM2_135M_INSTRUCT if is_packaged else None)


def _curve_address(folder: Path) -> str:
    """As the card links it; empty if there is no picture."""
    if not (folder / PLOT).is_file():
        return ""
    return f"{EMBEDDED.name}/{PLOT}" if folder.resolve() == EMBEDDED else PLOT


def _text_rows(texts: dict[str, Any] | None) -> list[tuple[str, str, str]]:
    """Label, generated, real: one row of the card's table a figure."""
    if texts is None:
        return []
    pairs = [
        (label, texts["generated"][name], texts["real"][name])
        for name, label in TEXT_FIGURES.items()
    ]
    novelty = texts["novelty"]
    pairs += [
        (f"{n}-grams of words that train does not have", share, novelty["real"][n])
        for n, share in novelty["generated"].items()
    ]
    verbatim = texts["verbatim"]
    pairs.append(
        ("texts with 8 words or 50 characters of train", verbatim["generated"], verbatim["real"])
    )
    return [(label, _cell(generated), _cell(real)) for label, generated, real in pairs]


def _decoding_rows(search: dict[str, Any] | None) -> list[dict[str, Any]]:
    """What the search for decoding defaults tried, nearest to real tweets first."""
    return sorted(search["tried"], key=lambda one: one["distance"]) if search else []


def _judge_rows(judges: dict[str, Any] | None) -> list[tuple[str, dict[str, Any]]]:
    """What the detector was measured to do, on all texts and by their length."""
    if judges is None:
        return []
    return [("all", judges["detector"]["overall"]), *judges["detector"]["by_length"].items()]


def _cell(value: float | list[float]) -> str:
    if isinstance(value, list):
        return ", ".join(f"{one:.0f}" for one in value)
    return f"{value:.4f}"


def _on_one_line(text: str) -> str:
    """As it stands in a fenced block, which it must not end."""
    return " ".join(text.split()).replace("```", "` ` `")


def _metadata(
    metrics: dict[str, Any], origin: BaseFile | None, persona: Persona, published: Publication
) -> ModelCardData:
    recipe = metrics["recipe"]
    hub_base = None if published.base_is_folder else recipe["base"] or None
    return ModelCardData(
        language="en",
        license=_license(recipe["base"], origin, published.base_is_folder),
        library_name="transformers",
        pipeline_tag="text-generation",
        base_model=PACKAGED_BASE_ID if origin else hub_base,
        datasets=[_slug(persona.archive)],
        tags=["parody", "tweets", "text-generation", recipe["method"]],
        model_name=_slug(persona.title),
        eval_results=_results(metrics.get("evaluation", {}), persona) or None,
        widget=[{"text": example} for example in persona.examples],
    )


def _license(base: str, origin: BaseFile | None, is_folder: bool) -> str:
    """The weights': their base's, and ours of those that were trained from nothing; "other" is what
    the Hub calls one that is not known."""
    if origin is not None:
        return origin.license.lower()
    if is_folder:
        return "other"
    return LICENSES.get(base, "other") if base else "mit"


def _results(evaluation: dict[str, Any], persona: Persona) -> list[EvalResult]:
    return [
        EvalResult(
            task_type="text-generation",
            dataset_type=_slug(persona.archive),
            dataset_name=f"{persona.archive.removeprefix('the ')}, {name}",
            dataset_split=name,
            metric_type=metric,
            metric_name=metric.replace("_", " "),
            metric_value=by_model["checkpoint"][metric],
        )
        for name, by_model in evaluation.items()
        for metric in ("bits_per_byte", "perplexity")
    ]


def _slug(words: str) -> str:
    """Words as an identifier of the Hub's."""
    return "-".join(re.findall(r"[a-z0-9]+", words.lower().removeprefix("the ")))


if __name__ == "__main__":
    write_card(EMBEDDED)
