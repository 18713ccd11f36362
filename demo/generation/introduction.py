"""What a page must know of a checkpoint before its weights are here.

Knows the small files that say so; must not know where they are fetched from, nor models.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from demo.checkpoints.persona import NOBODY, PERSONA, Persona, persona_of
from demo.generation.request import FIELDS, GenerationRequest, InvalidRequest

GENERATION_CONFIG = "generation_config.json"
FILES = (PERSONA, GENERATION_CONFIG)
# What a checkpoint may say of its own sampling; how long a text may be is the demo's to say.
SAMPLING = ("temperature", "top_p", "top_k", "repetition_penalty")


@dataclass(frozen=True)
class Introduction:
    """Whose tweets it imitates, and what is asked of it where a visitor asks for nothing else."""

    persona: Persona = NOBODY
    defaults: GenerationRequest = GenerationRequest(seed=0)


def introduce(folder: Path) -> Introduction:
    """Of a checkpoint's folder, as far as it says anything.

    Raises:
        InvalidPersona: its persona cannot be used.
    """
    return Introduction(persona_of(folder), _defaults(folder / GENERATION_CONFIG))


def _defaults(path: Path) -> GenerationRequest:
    stated = _read(path)
    usable: dict[str, Any] = {}
    for name in SAMPLING:
        # One that was made elsewhere may say what is over the limits here, or null.
        with suppress(InvalidRequest):
            usable[name] = FIELDS[name].validate(stated.get(name))
    return replace(Introduction().defaults, **usable)


def _read(path: Path) -> Mapping[str, Any]:
    """Nothing where there is no such file; that one is damaged is found when it is verified."""
    with suppress(OSError, ValueError, RecursionError):
        values = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(values, Mapping):
            return values
    return {}
