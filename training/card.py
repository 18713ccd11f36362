"""The model card: rendered from `card.md` and a checkpoint's own `metrics.json`.

`python -m training.card` renders the embedded checkpoint's card to `model_card.md`.
"""

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from demo.checkpoints.embedded import EMBEDDED, SMOLLM2_135M_INSTRUCT, BaseFile
from demo.checkpoints.files import BASE, DIFFERENCE, GENERATION_CONFIG, METRICS, PLOT
from demo.checkpoints.persona import Persona, persona_of
from demo.generation.profile import MOODS
from demo.generation.request import FIELDS
from training.files import read_json
from training.recipe import PACKAGED_BASE
from training.working_tree import ROOT

EMBEDDED_CARD = ROOT / "model_card.md"
TEMPLATE = Path(__file__).parent / "card.md"
# The Hub's name of the model inside the pinned base file.
PACKAGED_BASE_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
# Of the Hub's models that recipes name; a base that is not here may have any license.
LICENSES = {
    "openai-community/gpt2": "mit",
    "openai-community/gpt2-medium": "mit",
    "gpt2": "mit",
    "gpt2-medium": "mit",
}
# Scripts, as Unicode names their letters, in which one language is written.
SCRIPTS = {
    "HIRAGANA": "ja", "KATAKANA": "ja", "HANGUL": "ko", "THAI": "th", "HEBREW": "he", "GREEK": "el",
}  # fmt: skip
METHODS = {
    "full": "all weights fine-tuned",
    "lora": "LoRA on all linear layers",
    "scratch": "trained from scratch, with its own byte-level BPE",
}
ROWS = {
    "packed": "whole tweets packed, none attending to another",
    "blocks": "running text with `<|endoftext|>` between tweets, cut where a row is full; "
    "tokens attend to the tweets before theirs in the row",
    "notebook": "the CSV file of the 2023 notebook as running text, with its faults (every "
    '"amp" deleted, only line breaks between tweets), cut where a row is full; tokens attend to '
    "the tweets before theirs in the row",
}


# Below so many optimizer steps, the run and its card say that little was learnt.
FEW_STEPS = 50
METRIC = "bits_per_byte"
# Said by the run and its card: the texts, and the tokens of a row.
IN_PIECES = (
    "{:,} tweets of train are longer than the {:,} tokens of a row: they are learnt in pieces, the "
    "last of which is closed."
)


@dataclass(frozen=True)
class Publication:
    """What the card of a checkpoint on the Hub says beside the folder's own facts.

    base: the file that its weights were made from, if they were kept as a difference.
    remarks: warnings that the owner overrode with a flag.
    base_is_folder: whether the recipe's base is the name of a folder rather than a Hub id.
    """

    repo_id: str
    base: BaseFile | None = None
    remarks: tuple[str, ...] = ()
    base_is_folder: bool = False


def render_card(
    folder: Path, publication: Publication | None = None, is_embedded: bool | None = None
) -> str:
    """The card of a checkpoint folder with the Hub's metadata as front matter.

    Args:
        publication: if given, the card is the one for the Hub.
        is_embedded: whether the card lies beside `embedded/`, not in the folder; told by the folder
            if it is not given.
    """
    if is_embedded is None:
        is_embedded = folder.resolve() == EMBEDDED
    published = publication or Publication("FOLDER")
    metrics = read_json(folder / METRICS)
    recipe = metrics["recipe"]
    base = BaseFile.read(folder / BASE) if (folder / BASE).is_file() else None
    # The pinned file that the weights come from, whether they are kept whole or as a difference.
    origin = base or published.base
    if recipe["base"] == PACKAGED_BASE and not published.base_is_folder:
        origin = origin or SMOLLM2_135M_INSTRUCT
    plot = ""
    if (folder / PLOT).is_file():
        plot = f"{EMBEDDED.name}/{PLOT}" if is_embedded else PLOT
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
        method=_method(metrics),
        warm_up=_warm_up(metrics),
        cautions=cautions(metrics),
        compared_epochs=_compared_epochs(metrics),
        rows=ROWS[recipe["rows"]],
        plot=plot,
        generation=read_json(folder / GENERATION_CONFIG),
        moods=MOODS,
        labels={name: field.label.lower() for name, field in FIELDS.items()},
        cell=_cell,
        interval=_interval,
        rate=_rate,
        on_one_line=_on_one_line,
        **{"evaluation": {}, **metrics},
    )
    return f"{str(card).rstrip()}\n"


def _method(metrics: dict[str, Any]) -> str:
    method = metrics["recipe"]["method"]
    tensors, changed = (metrics["training"][name] for name in ("tensors", "tensors_changed"))
    if method == "full" and changed < tensors:
        return f"{changed:,} of {tensors:,} tensors of weights fine-tuned; the rest did not change"
    return METHODS[method]


def _warm_up(metrics: dict[str, Any]) -> str:
    """As long as it was in this run, which may be shorter than its recipe thinks."""
    steps = metrics["training"]["warmup_steps"]
    return (
        f"warm-up over {100 * steps:g} % of the run" if 0 < steps < 1 else f"{steps} warm-up steps"
    )


def cautions(metrics: dict[str, Any]) -> list[str]:
    """What a reader must know of a run that learnt little."""
    training, curve = metrics["training"], metrics["curve"]
    found = []
    if training["steps"] < FEW_STEPS:
        found.append(f"Optimizer steps: {training['steps']:,}. In so few, little is learnt.")
    if in_pieces := training.get("in_pieces"):
        found.append(IN_PIECES.format(in_pieces, metrics["recipe"]["block_size"]))
    best = training["best_dev_bits_per_byte"]
    if best is not None and curve[0]["tokens"] == 0 and best >= curve[0][METRIC]:
        found.append(
            f"Training did not help: {best:.4f} bits per byte on dev at best, and "
            f"{curve[0][METRIC]:.4f} before it."
        )
    return found


def _compared_epochs(metrics: dict[str, Any]) -> float:
    """How many epochs of this run the recipes of the comparison were given; 0 without one."""
    if "comparison" not in metrics:
        return 0.0
    tokens = max(run["curve"][-1]["tokens"] for run in metrics["comparison"]["runs"].values())
    training = metrics["training"]
    return float(tokens * training["epochs"] / training["tokens"])


def _cell(value: float | list[float] | None) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(f"{one:.0f}" for one in value)
    return f"{value:.4f}"


def _interval(figure: dict[str, float]) -> str:
    return f"{figure['low']:.4f} to {figure['high']:.4f}"


def _rate(found: int, asked: int) -> str:
    """A rate's exact 95 % interval (Clopper and Pearson 1934)."""
    # A second to import, which not every run that renders a card should wait for.
    from scipy.stats import binomtest  # noqa: PLC0415

    interval = binomtest(found, asked).proportion_ci(method="exact")
    return f"{interval.low:.1e} to {interval.high:.1e}"


def _on_one_line(text: str) -> str:
    """The text as a line of a fenced block, which it must not end."""
    return " ".join(text.split()).replace("```", "` ` `")


def _metadata(
    metrics: dict[str, Any], origin: BaseFile | None, persona: Persona, published: Publication
) -> ModelCardData:
    recipe = metrics["recipe"]
    base = "" if published.base_is_folder else recipe["base"]
    if origin is not None:
        license_id = origin.license.lower()
    elif published.base_is_folder:
        license_id = "other"
    else:
        # Weights that were trained from nothing are ours.
        license_id = LICENSES.get(base, "other") if base else "mit"
    return ModelCardData(
        language=persona.language or _language_of(persona),
        license=license_id,
        library_name="transformers",
        pipeline_tag="text-generation",
        base_model=PACKAGED_BASE_ID if origin else base or None,
        datasets=[archive] if (archive := _slug(persona.archive)) else None,
        tags=["parody", "tweets", "text-generation", recipe["method"]],
        # A card with figures needs a name, which may be in any script.
        model_name=_slug(persona.title) or persona.title,
        eval_results=_results(metrics, persona) or None,
        widget=[{"text": example} for example in persona.examples],
    )


def _results(metrics: dict[str, Any], persona: Persona) -> list[EvalResult]:
    """Every set's figures. A set is a split of the archive, or a file that `evaluate` was given."""
    results = []
    for name, by_model in metrics.get("evaluation", {}).items():
        is_split = name in metrics["data"]["splits"]
        archive = persona.archive.removeprefix("the ")
        results += [
            EvalResult(
                task_type="text-generation",
                dataset_type=_slug(persona.archive if is_split else name) or "tweets",
                dataset_name=f"{archive}, {name}" if is_split else name,
                dataset_split=name if is_split else None,
                metric_type=metric,
                metric_name=metric.replace("_", " "),
                metric_value=by_model["checkpoint"][metric],
            )
            for metric in ("bits_per_byte", "perplexity")
        ]
    return results


def _slug(words: str) -> str:
    """Words as an identifier of the Hub's, which has no letters but a to z: accents are dropped,
    and of words in another script nothing is left."""
    plain = unicodedata.normalize("NFKD", words).encode("ascii", "ignore").decode()
    return "-".join(re.findall(r"[a-z0-9]+", plain.lower().removeprefix("the ")))


def _language_of(persona: Persona) -> str | None:
    """The language of a persona that does not name it, if its script is that of one only."""
    words = "".join((persona.name, persona.tweets, *persona.examples))
    scripts = {unicodedata.name(character, "").split(" ")[0] for character in words}
    return next((code for script, code in SCRIPTS.items() if script in scripts), None)


if __name__ == "__main__":
    EMBEDDED_CARD.write_text(render_card(EMBEDDED), encoding="utf-8")
