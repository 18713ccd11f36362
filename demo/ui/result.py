"""What the endpoint returns: one generated text, its label and where it came from.

Knows requests, chunks and the words around a text; must not know Gradio or HTML.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from demo.generation.engine import Chunk, Ending, EngineIdentity
from demo.generation.persona import Persona
from demo.generation.provenance import source_line
from demo.generation.request import GenerationRequest
from demo.ui import copy

# JSON as the API sends it: what these keys mean is said once, in the README's API section.
Record = dict[str, Any]


@dataclass(frozen=True)
class Result:
    """One text, finished once it has an `ending`."""

    request: GenerationRequest
    identity: EngineIdentity
    persona: Persona
    generated: str = ""
    ending: Ending | None = None

    def followed_by(self, chunk: Chunk) -> "Result":
        """The same text, one chunk longer."""
        return replace(self, generated=self.generated + chunk.text, ending=chunk.ending)

    @property
    def text(self) -> str:
        """The opening and what was added, as one text."""
        return self.request.opening + self.generated

    def source(self) -> str:
        """Checkpoint, engine, seed and settings in one line: what it takes to repeat the text."""
        return source_line(self.identity, self.request)

    def shareable(self) -> str:
        """The text with its label, as it may be pasted elsewhere."""
        revision = self.identity.revision[:12]
        return (
            f"{self.text.strip()}\n\n— {self.persona.label}, {self.persona.title} "
            f"(seed {self.request.seed}, {self.identity.checkpoint}@{revision})"
        )

    def record(self) -> Record:
        """The text so far as the API returns it."""
        return {
            "text": self.text,
            "label": self.persona.label,
            "shareable": self.shareable(),
            "prompt": self.request.opening,
            "generated": self.generated,
            "finish_reason": self.ending.reason if self.ending else None,
            "characters": len(self.text),
            "source": self.source(),
            "settings": self.request.settings(),
            "checkpoint": self.identity.checkpoint,
            "revision": self.identity.revision,
            "engine": self.identity.engine,
            "precision": self.identity.precision,
            **_costs(self.ending, self.request.max_new_tokens),
        }


def waiting(request: GenerationRequest, persona: Persona) -> Record:
    """What is known of a text before there is an engine to write it."""
    return {
        "text": request.opening,
        "label": persona.label,
        "shareable": f"{request.opening.strip()}\n\n— {persona.label}, {persona.title}",
        "prompt": request.opening,
        "generated": "",
        "settings": request.settings(),
        "finish_reason": None,
        "note": copy.LOADING,
    }


def failure(last: Mapping[str, Any], message: str, persona: Persona) -> Record:
    """What is left of a text that failed: `last` is its last record, empty if there was none."""
    return {**last, "note": "", "label": persona.label, "finish_reason": "error", "error": message}


def _costs(ending: Ending | None, asked: int) -> Record:
    """Counts in tokens and times in seconds, null until the text is finished."""
    if ending is None:
        return dict.fromkeys(("prompt_tokens", "new_tokens", "first_token_seconds", "seconds"))
    costs: Record = {
        "prompt_tokens": ending.prompt_tokens,
        "new_tokens": ending.new_tokens,
        "first_token_seconds": round(ending.first_token_seconds, 3),
        "seconds": round(ending.seconds, 3),
    }
    if ending.max_new_tokens < asked:
        costs["note"] = copy.length_note(ending.max_new_tokens, asked)
    return costs
