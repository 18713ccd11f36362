"""Named settings: what a visitor may choose instead of numbers.

Knows requests and which settings go together; their names are in copy.py.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from demo.generation.request import GenerationRequest

# What each changes of the checkpoint's own defaults.
CHANGES: Mapping[str, Mapping[str, Any]] = {
    "trained": {},
    "cautious": {"temperature": 0.5, "top_p": 0.9},
    "bold": {"temperature": 1.15},
    "unhinged": {"temperature": 1.5, "top_p": 1.0},
    "short": {"max_new_tokens": 20},
}


def presets(defaults: GenerationRequest) -> Mapping[str, GenerationRequest]:
    """Each preset as the request it makes of these defaults."""
    return {name: replace(defaults, **changes) for name, changes in CHANGES.items()}
