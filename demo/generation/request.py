"""What may be asked of an engine: each field with its label, default, limits and validation.

The page, the API, the docs and the tests read `FIELDS`. What depends on a checkpoint (its context)
is checked by the engine.
"""

import math
import secrets
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

MAX_PROMPT_CHARACTERS = 1_000
MAX_SEED = 2**31 - 1
# Added to a seed for each time that a part of its text is drawn anew; large, so that it is not the
# seed of one of several texts.
REDRAW_SEED_STRIDE = 1_000_003
# A prompt must leave room for at least this many new tokens in the context.
MIN_ROOM_TOKENS = 16


class InvalidRequest(ValueError):
    """A value that cannot be accepted; the message names the field, the value and the limit."""


@dataclass(frozen=True)
class NumberField:
    """One number of a request. `whole` numbers are given and kept as `int`."""

    name: str
    label: str
    default: float | None
    minimum: float
    maximum: float
    step: float
    whole: bool
    help: str

    def validate(self, value: object) -> float:
        """The value as `int` (whole fields) or `float`. Raises InvalidRequest if it is neither."""
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            # A huge int overflows float(), and math.isfinite with it.
            or (isinstance(value, float) and not math.isfinite(value))
        ):
            number = "whole number" if self.whole else "number"
            # Text is not repeated: whoever typed it still sees it in the field.
            instead = "" if isinstance(value, str) else f", not {_shown(value)}"
            raise InvalidRequest(
                f"{self.name} must be a {number} from {self.minimum:g} to {self.maximum:,.10g}"
                f"{instead}."
            )
        if not self.minimum <= value <= self.maximum:
            raise InvalidRequest(
                f"{self.name} is {_shown(value)}; it must be from "
                f"{self.minimum:g} to {self.maximum:,.10g}."
            )
        if not self.whole:
            return float(value)
        if value != int(value):
            raise InvalidRequest(f"{self.name} is {value}; it must be a whole number.")
        return int(value)


FIELDS: Mapping[str, NumberField] = {
    field.name: field
    for field in (
        NumberField("max_new_tokens", "Length", 80, 1, 200, 1, True,
                    "Maximum length in tokens (roughly ¾ of a word). Tweets often end sooner."),
        NumberField("temperature", "Temperature", 0.9, 0.1, 1.5, 0.05, False,
                    "Low is predictable, high is unhinged."),
        NumberField("top_p", "Top-p", 0.95, 0.05, 1.0, 0.05, False,
                    "Choose only among the likeliest tokens that add up to this share."),
        NumberField("top_k", "Top-k", 0, 0, 200, 1, True,
                    "Choose only among this many likeliest tokens (0 = no limit)."),
        NumberField("repetition_penalty", "Repetition penalty", 1.0, 1.0, 2.0, 0.05, False,
                    "Above 1 discourages repetition."),
        NumberField("seed", "Seed", None, 0, MAX_SEED, 1, True,
                    "Same seed and settings, same tweet. Leave blank for a random one."),
    )
}  # fmt: skip

# How many texts one call may ask for; each text has a request of its own.
COUNT = NumberField("count", "How many", 1, 1, 4, 1, True, "How many texts to write.")


def draw_seed() -> int:
    return secrets.randbelow(MAX_SEED + 1)


def _default(name: str) -> Any:
    return FIELDS[name].default


@dataclass(frozen=True)
class GenerationRequest:
    """One text to be generated. Raises InvalidRequest for the first field that breaks its limit."""

    prompt: str = ""
    max_new_tokens: int = _default("max_new_tokens")
    temperature: float = _default("temperature")
    top_p: float = _default("top_p")
    top_k: int = _default("top_k")
    repetition_penalty: float = _default("repetition_penalty")
    seed: int | None = _default("seed")

    def __post_init__(self) -> None:
        _validate_prompt(self.prompt)
        if self.seed is None:
            object.__setattr__(self, "seed", draw_seed())
        for name, field in FIELDS.items():
            object.__setattr__(self, name, field.validate(getattr(self, name)))

    @property
    def opening(self) -> str:
        """The prompt as the model reads it: without trailing space, which begins a token."""
        return self.prompt.rstrip()

    def another(self, index: int) -> Self:
        """The same request with the seed `index` further on, for one of several texts."""
        return replace(self, seed=(int(self.seed or 0) + index) % (MAX_SEED + 1))

    def settings(self) -> dict[str, Any]:
        """Everything but the prompt, in the table's order."""
        return {name: getattr(self, name) for name in FIELDS}


def _validate_prompt(prompt: object) -> None:
    if not isinstance(prompt, str):
        raise InvalidRequest(f"prompt must be a text, not {_shown(prompt)}.")
    if len(prompt) > MAX_PROMPT_CHARACTERS:
        raise InvalidRequest(
            f"prompt is {len(prompt):,} characters; at most {MAX_PROMPT_CHARACTERS:,} are "
            "accepted. Shorten it."
        )
    for character in prompt:
        # Cc: control characters. Cs: half of a surrogate pair, which no tokenizer can encode.
        if unicodedata.category(character) in ("Cc", "Cs") and character not in "\t\n\r":
            raise InvalidRequest(
                f"prompt contains the control character U+{ord(character):04X}. Remove it."
            )


def _shown(value: object) -> str:
    """A value as an error message may repeat it: short, whatever was sent."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and value.bit_length() > 64:
        return "an integer beyond 64 bits"
    if isinstance(value, int | float):
        return str(value)
    return "a list" if isinstance(value, list) else "an object"
