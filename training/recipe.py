"""Recipes: the settings of a fine-tuning run, read from `recipes/*.toml`."""

import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from training import TrainingError

RECIPES = Path(__file__).parent / "recipes"
# The base of a recipe that trains on the embedded checkpoint's pinned base file.
PACKAGED_BASE = "packaged"
_STRICT = ConfigDict(strict=True, extra="forbid")


@dataclass(frozen=True)
class Lora:
    """Low-rank adapters (Hu et al. 2021) on all linear layers; the scale is alpha / rank."""

    __pydantic_config__ = _STRICT

    rank: int
    alpha: int


@dataclass(frozen=True)
class Difference:
    """Trains all weights, and stores their difference to the packaged base in one bit a weight, or
    in two if the matrix's name contains one of `two_bits`. After the share `start` of the run,
    steps see the weights as they will be stored. With another base, weights are stored whole."""

    __pydantic_config__ = _STRICT

    start: Annotated[float, Field(ge=0, le=1)]
    two_bits: Sequence[str] = ()


@dataclass(frozen=True)
class Scratch:
    """The shape of a GPT-2 trained from random weights, and of its byte-level BPE vocabulary."""

    __pydantic_config__ = _STRICT

    vocab_size: int
    n_positions: int
    n_embd: int
    n_layer: int
    n_head: int


@dataclass(frozen=True)
class Recipe:
    """One run.

    `rows` says how texts become rows: whole tweets "packed", none attending to another; running
    text cut every block ("blocks"); or the 2023 notebook's own file cut every block ("notebook").
    `block_size` is in tokens. `batch_size` is in rows, of all processes in a step, processed in
    `gradient_accumulation` portions. `*_every` and `warmup_steps` are in optimizer steps;
    `warmup_steps` below 1 is a share of the run. `epochs` are passes over the train split.
    `patience` is how many evaluations may bring nothing better (0: any number). `compile_layers` is
    for a CPU, and pays if a step takes seconds.
    """

    __pydantic_config__ = _STRICT

    method: Literal["full", "lora", "scratch"]
    learning_rate: float
    epochs: int | float
    base: str = ""
    rows: Literal["packed", "blocks", "notebook"] = "packed"
    block_size: int = 128
    batch_size: int = 8
    gradient_accumulation: int = 1
    activation_checkpointing: bool = False
    compile_layers: bool = False
    scheduler: str = "linear"
    warmup_steps: int | float = 100
    weight_decay: float = 0.0
    log_every: int = 10
    evaluate_every: int = 100
    sample_every: int = 100
    patience: int = 0
    seed: int = 1
    lora: Lora | None = None
    difference: Difference | None = None
    scratch: Scratch | None = None


def recipe_names() -> list[str]:
    return sorted(path.stem for path in RECIPES.glob("*.toml"))


def read_recipe(name: str) -> Recipe:
    """The recipe of that name, or of that `.toml` file. Raises TrainingError if it does not exist,
    is not TOML, or has a wrong key or value."""
    path = Path(name) if name.endswith(".toml") else RECIPES / f"{name}.toml"
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = ", ".join(recipe_names())
        raise TrainingError(f"There is no recipe {name!r}; there are {known}.") from None
    except tomllib.TOMLDecodeError as error:
        raise TrainingError(f"{path} is not TOML: {error}.") from None
    try:
        # As JSON, so that a table may stand for a dataclass though types are strict.
        recipe = TypeAdapter(Recipe).validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise TrainingError(f"{path.name}: {key}: {first['msg']}.") from None
    for part in ("lora", "scratch"):
        if (recipe.method == part) != (getattr(recipe, part) is not None):
            raise TrainingError(
                f"{path.name}: [{part}] belongs to method = {part!r}, and only to it."
            )
    if recipe.difference is not None and (recipe.method, recipe.base) != ("full", PACKAGED_BASE):
        raise TrainingError(
            f"{path.name}: [difference] belongs to method = 'full' and base = {PACKAGED_BASE!r}."
        )
    return recipe
