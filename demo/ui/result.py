"""What the endpoints return: generated texts, their label and where they came from.

Knows requests, chunks and the words around a text; must not know Gradio or HTML.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from demo.checkpoints.persona import Persona
from demo.generation.engine import Chunk, Ending, EngineIdentity, source_line
from demo.generation.request import GenerationRequest
from demo.judging.judges import Judges, share_of
from demo.judging.originals import Passage
from demo.ui import copy

# JSON as the API sends it: what these keys mean is said once, in the README's API section.
Record = dict[str, Any]


@dataclass(frozen=True)
class Result:
    """One text, finished once it has an `ending`; `repeats` is known from then on."""

    request: GenerationRequest
    identity: EngineIdentity
    persona: Persona
    generated: str = ""
    ending: Ending | None = None
    repeats: tuple[Passage, ...] = ()

    def followed_by(self, chunk: Chunk) -> "Result":
        """The same text, one chunk longer."""
        return replace(self, generated=self.generated + chunk.text, ending=chunk.ending)

    def judged(self, judges: Judges) -> "Result":
        """The same text with what it repeats of real tweets."""
        return replace(self, repeats=judges.repeats(self.text))

    @property
    def text(self) -> str:
        """The opening and what was added, as one text."""
        return self.request.opening + self.generated

    @property
    def repeated_share(self) -> float:
        """How much of the text stands word for word in real tweets, in 0 to 1."""
        return share_of(self.repeats, self.text)

    def source(self) -> str:
        """Checkpoint, engine, seed and settings in one line: what it takes to repeat the text."""
        return source_line(self.identity, self.request)

    def shareable(self) -> str:
        """The text with its label, as it may be pasted elsewhere."""
        revision = self.identity.revision[:12]
        repeated = f" {copy.repeats_note(self.repeated_share)}" if self.repeats else ""
        return (
            f"{self.text.strip()}\n\n— {self.persona.label}, {self.persona.title} "
            f"(seed {self.request.seed}, {self.identity.checkpoint}@{revision}){repeated}"
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
            "repeats": [list(passage) for passage in self.repeats],
            "repeated_share": round(self.repeated_share, 3),
            "note": " ".join(self._notes()),
            **_costs(self.ending),
        }

    def _notes(self) -> Iterator[str]:
        if self.ending and self.ending.max_new_tokens < self.request.max_new_tokens:
            yield copy.length_note(self.ending.max_new_tokens, self.request.max_new_tokens)
        if self.repeats:
            yield copy.repeats_note(self.repeated_share)


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


def together(records: Sequence[Record], persona: Persona) -> Record:
    """Several texts as the API returns them; finished once each of them is."""
    return {
        "texts": list(records),
        "label": persona.label,
        "finished": all(record["finish_reason"] is not None for record in records),
    }


def _costs(ending: Ending | None) -> Record:
    """Counts in tokens and times in seconds, null until the text is finished."""
    if ending is None:
        return dict.fromkeys(("prompt_tokens", "new_tokens", "first_token_seconds", "seconds"))
    return {
        "prompt_tokens": ending.prompt_tokens,
        "new_tokens": ending.new_tokens,
        "first_token_seconds": round(ending.first_token_seconds, 3),
        "seconds": round(ending.seconds, 3),
    }
