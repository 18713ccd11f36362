"""Recipes: the settings of a fine-tuning run, read from `recipes/*.toml`."""

import json
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from training import TrainingError

RECIPES = Path(__file__).parent / "recipes"
# The base of a recipe that trains on the embedded checkpoint's pinned base file.
PACKAGED_BASE = "packaged"
# Tokens in a row: attention takes memory that grows with the square of it.
MAX_BLOCK_SIZE = 4_096
MAX_RANK = 1_024
# transformers' names; its others need numbers that a recipe does not have.
Scheduler = Literal[
    "linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup"
]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]


class _Settings(BaseModel):
    """Frozen; wrong types and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Lora(_Settings):
    """Low-rank adapters (Hu et al. 2021) on all linear layers; the scale is alpha / rank."""

    rank: Annotated[int, Field(ge=1, le=MAX_RANK)]
    alpha: Count


class Difference(_Settings):
    """Trains all weights, and stores their difference to the packaged base in one bit a weight, or
    in two if the matrix's name contains one of `two_bits`; of the `whole_tokens` most frequent
    tokens, the embeddings are stored in bfloat16. After the share `start` of the run, steps see the
    weights as they will be stored. With another base, weights are stored as they are."""

    start: Annotated[float, Field(ge=0, le=1)]
    two_bits: list[str] = []
    whole_tokens: Annotated[int, Field(ge=0, le=100_000)] = 0


class Scratch(_Settings):
    """The shape of a GPT-2 trained from random weights, and of its byte-level BPE vocabulary: at
    least the 256 bytes and the end-of-text token."""

    vocab_size: Annotated[int, Field(ge=257, le=1_000_000)]
    n_positions: Annotated[int, Field(ge=16, le=MAX_BLOCK_SIZE)]
    n_embd: Count
    n_layer: Count
    n_head: Count

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> Self:
        if self.n_embd % self.n_head:
            raise ValueError(f"n_embd ({self.n_embd}) must be a multiple of n_head ({self.n_head})")
        return self


class Recipe(_Settings):
    """One run.

    `rows` says how texts become rows: whole tweets "packed", none attending to another; running
    text cut every block ("blocks"); or the 2023 notebook's own file cut every block ("notebook").
    `block_size` is in tokens. `batch_size` is in rows, of all processes in a step, processed in
    `gradient_accumulation` portions. `*_every` and `warmup_steps` are in optimizer steps;
    `warmup_steps` below 1 is a share of the run. `epochs` are passes over the train split.
    `retweets` adds others' tweets that were repeated by hand, marked as such, to packed rows.
    `calibrate` scales the differences of a recipe with [difference], and its logits, at the end, so
    that dev is predicted best.
    `patience` is how many evaluations may bring nothing better (0: any number). `compile_layers` is
    for a CPU, and pays if a step takes seconds. `fsdp` divides weights, gradients and the
    optimizer's state among the GPUs of a run, for a model that one of them does not hold.
    """

    method: Literal["full", "lora", "scratch"]
    learning_rate: Annotated[Positive, Field(le=1)]
    epochs: Annotated[int | float, Field(gt=0, le=10_000, allow_inf_nan=False)]
    base: str = ""
    rows: Literal["packed", "blocks", "notebook"] = "packed"
    retweets: bool = False
    block_size: Annotated[int, Field(ge=16, le=MAX_BLOCK_SIZE)] = 128
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 8
    gradient_accumulation: Annotated[int, Field(ge=1, le=65_536)] = 1
    activation_checkpointing: bool = False
    fsdp: bool = False
    compile_layers: bool = False
    scheduler: Scheduler = "linear"
    warmup_steps: Annotated[int | float, Field(ge=0, le=1_000_000, allow_inf_nan=False)] = 100
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0
    log_every: Count = 10
    evaluate_every: Count = 100
    sample_every: Count = 100
    patience: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    calibrate: bool = False
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    lora: Lora | None = None
    difference: Difference | None = None
    scratch: Scratch | None = None

    @model_validator(mode="after")
    def _tables_fit_the_method(self) -> Self:
        for part in ("lora", "scratch"):
            if (self.method == part) != (getattr(self, part) is not None):
                raise ValueError(f"[{part}] belongs to method = {part!r}, and only to it")
        if self.method != "scratch" and not self.base:
            raise ValueError(f"method = {self.method!r} needs a base")
        if self.scratch is not None and self.block_size > self.scratch.n_positions:
            raise ValueError(
                f"block_size ({self.block_size}) is over n_positions ({self.scratch.n_positions})"
            )
        if self.retweets and self.rows != "packed":
            raise ValueError("retweets = true goes with rows = 'packed' alone")
        if self.fsdp and (self.lora or self.difference):
            raise ValueError("fsdp does not go with [lora] or [difference]")
        if self.calibrate and self.difference is None:
            raise ValueError("calibrate = true goes with [difference] alone")
        if self.difference is not None and (self.method, self.base) != ("full", PACKAGED_BASE):
            raise ValueError(
                f"[difference] belongs to method = 'full' and base = {PACKAGED_BASE!r}"
            )
        return self

    def changed(self, **values: Any) -> "Recipe":
        """The same with other values. Raises TrainingError if one of them cannot be."""
        try:
            return Recipe.model_validate({**dict(self), **values})
        except ValidationError as error:
            raise TrainingError(f"The recipe: {_first_fault(error)}") from None


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
        # As JSON, in which a whole number may stand for a float though types are strict.
        return Recipe.model_validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        raise TrainingError(f"{path.name}: {_first_fault(error)}") from None


def _first_fault(error: ValidationError) -> str:
    fault = error.errors()[0]
    key = ".".join(map(str, fault["loc"]))
    if fault["type"] == "extra_forbidden":
        return f"there is no setting {key}."
    message = fault["msg"].removeprefix("Value error, ")
    return f"{key}: {message}." if key else f"{message}."
