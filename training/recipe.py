"""Recipes: what a fine-tuning run is made of, read from `recipes/*.toml`.

Knows names, defaults and types; must not know how a run is carried out.
"""

import dataclasses
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from training.errors import TrainingError

RECIPES = Path(__file__).parent / "recipes"
Method = Literal["full", "lora", "scratch"]
# How texts become rows: whole tweets packed, none attending to another; running text with a mark
# between tweets, cut every block; or the notebook's own file, cut every block (`original.py`).
Rows = Literal["packed", "blocks", "notebook"]
# The base of a recipe that trains on the embedded checkpoint's pinned base file.
PACKAGED_BASE = "packaged"


@dataclass(frozen=True)
class Lora:
    """Low-rank adapters (Hu et al. 2021) on all linear layers; the scale is alpha / rank."""

    rank: int
    alpha: int
    dropout: float = 0.0


@dataclass(frozen=True)
class Difference:
    """All weights, kept as their difference to the packaged base in one bit a weight, or two where
    the matrix's name contains one of `two_bits`; trained for that after the share `start` of the
    run. Over another base, weights are kept whole."""

    start: float
    two_bits: Sequence[str] = ()


@dataclass(frozen=True)
class Scratch:
    """The shape of a GPT-2 trained from nothing, and of its byte-level BPE vocabulary."""

    vocab_size: int
    n_positions: int
    n_embd: int
    n_layer: int
    n_head: int


@dataclass(frozen=True)
class Recipe:
    """One run. Sizes are in tokens (`block_size`), rows of a block in a step of all processes
    (`batch_size`, of which `gradient_accumulation` is the number of portions), optimizer steps
    (`*_every`; `warmup_steps`, which below 1 is a share of the run) and passes over the training
    split (`epochs`). `dev_texts` bounds how many dev tweets the best state is chosen by, and
    `patience` how many evaluations in sequence may bring nothing better (0: any number);
    `compile_layers` is for a CPU, and pays where steps take seconds."""

    method: Method
    learning_rate: float
    epochs: float
    base: str = ""
    rows: Rows = "packed"
    block_size: int = 128
    batch_size: int = 8
    gradient_accumulation: int = 1
    activation_checkpointing: bool = False
    compile_layers: bool = False
    scheduler: str = "linear"
    warmup_steps: float = 100
    weight_decay: float = 0.0
    adam_epsilon: float = 1e-8
    max_gradient_norm: float = 1.0
    log_every: int = 10
    evaluate_every: int = 100
    sample_every: int = 100
    dev_texts: int = 400
    patience: int = 0
    seed: int = 1
    lora: Lora | None = None
    difference: Difference | None = None
    scratch: Scratch | None = None


def recipe_names() -> list[str]:
    """Every recipe there is."""
    return sorted(path.stem for path in RECIPES.glob("*.toml"))


def read_recipe(name: str) -> Recipe:
    """The recipe of that name, or of that `.toml` file.

    Raises:
        TrainingError: it does not exist, is not TOML, or has a wrong key or value.
    """
    path = Path(name) if name.endswith(".toml") else RECIPES / f"{name}.toml"
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = ", ".join(recipe_names())
        raise TrainingError(f"There is no recipe {name!r}; there are {known}.") from None
    except tomllib.TOMLDecodeError as error:
        raise TrainingError(f"{path} is not TOML: {error}.") from None
    return _build(values, path)


def _build(values: dict[str, Any], path: Path) -> Recipe:
    try:
        for key, part in (("lora", Lora), ("difference", Difference), ("scratch", Scratch)):
            if key in values:
                values[key] = part(**values[key])
        recipe = Recipe(**values)
    except TypeError as error:
        raise TrainingError(f"{path.name}: {str(error).split('__init__() ')[-1]}.") from None
    _check(recipe, path)
    return recipe


def _check(recipe: Recipe, path: Path) -> None:
    for name, choices in (("method", get_args(Method)), ("rows", get_args(Rows))):
        if getattr(recipe, name) not in choices:
            raise TrainingError(f"{path.name}: {name} must be one of {', '.join(choices)}.")
    for part in ("lora", "scratch"):
        if (recipe.method == part) != (getattr(recipe, part) is not None):
            raise TrainingError(
                f"{path.name}: [{part}] belongs to method = {part!r}, and only to it."
            )
    if recipe.difference is not None and (recipe.method, recipe.base) != ("full", PACKAGED_BASE):
        raise TrainingError(
            f"{path.name}: [difference] belongs to method = 'full' and base = {PACKAGED_BASE!r}."
        )
    if recipe.difference is not None:
        _check_difference(recipe.difference, path)
    for field in dataclasses.fields(recipe):
        value = getattr(recipe, field.name)
        if field.type in (int, float) and (
            isinstance(value, bool) or not isinstance(value, int | float)
        ):
            raise TrainingError(f"{path.name}: {field.name} must be a number, not {value!r}.")


def _check_difference(difference: Difference, path: Path) -> None:
    start, parts = difference.start, difference.two_bits
    if isinstance(start, bool) or not isinstance(start, int | float) or not 0 <= start <= 1:
        raise TrainingError(f"{path.name}: start in [difference] is a share, 0 to 1.")
    # Of a text, each letter would be a part of most names.
    if isinstance(parts, str) or not all(isinstance(part, str) for part in parts):
        raise TrainingError(f"{path.name}: two_bits in [difference] is a list of parts of names.")
