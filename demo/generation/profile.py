"""What the page is built from before a checkpoint's weights are there: two of its small files."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from demo.checkpoints.files import GENERATION_CONFIG, CheckpointError, read_object
from demo.checkpoints.persona import NOBODY, Persona, persona_of
from demo.generation.request import FIELDS, GenerationRequest, InvalidRequest, NumberField

# What a checkpoint may choose of its own sampling; the length of a text is the demo's to choose.
SAMPLING = ("temperature", "top_p", "top_k", "repetition_penalty")

SEED_ELSEWHERE = "Leave blank for a random one. The same seed may give another text next time."


@dataclass(frozen=True)
class Profile:
    """Whose tweets a checkpoint imitates, the settings of a request that names none, and whether
    the same seed gives the same text: another server may do as it likes."""

    persona: Persona = NOBODY
    defaults: GenerationRequest = GenerationRequest(seed=0)
    repeats_seeds: bool = True

    def help_of(self, field: NumberField) -> str:
        """What is said of a field of a request."""
        is_promised = field.name != "seed" or self.repeats_seeds
        return field.help if is_promised else SEED_ELSEWHERE


def read_profile(folder: Path) -> Profile:
    """The profile of a checkpoint's folder, which may say nothing. Raises InvalidPersona."""
    values: dict[str, Any] = {}
    # A damaged file is found when the checkpoint is verified.
    with suppress(CheckpointError):
        values = read_object(folder, GENERATION_CONFIG)
    defaults: dict[str, Any] = {}
    for name in SAMPLING:
        # A checkpoint from elsewhere may ask for what is beyond the limits here, or for null.
        with suppress(InvalidRequest):
            defaults[name] = FIELDS[name].validate(values.get(name))
    return Profile(persona_of(folder), replace(Profile().defaults, **defaults))


# What each mood of the page changes of the checkpoint's own defaults.
MOODS: Mapping[str, Mapping[str, Any]] = {
    "Default": {},
    "On script": {"temperature": 0.5, "top_p": 0.9},
    "Off script": {"temperature": 1.15},
    "3 a.m.": {"temperature": 1.5, "top_p": 1.0},
    "One-liner": {"max_new_tokens": 20},
}


def moods(defaults: GenerationRequest) -> Mapping[str, GenerationRequest]:
    """Each mood as the request it makes of these defaults."""
    return {name: replace(defaults, **changes) for name, changes in MOODS.items()}
