"""What the endpoints return: one frozen type each, sent as JSON with the same keys in every state.

What is not known yet is None (null): who writes while the model loads, the costs until the end.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from demo.checkpoints.persona import Persona
from demo.generation.engine import Chunk, Ending, EngineIdentity, FinishReason, source_line
from demo.generation.request import GenerationRequest
from demo.judging.judges import Judges, share_of
from demo.judging.masking import mask_slurs
from demo.judging.originals import Passage

LOADING = "The model is still loading. Go ahead: your tweet starts as soon as it's ready."


@dataclass(frozen=True)
class TextResult:
    """One text so far, as `/generate` sends it.

    `text` is `prompt` and `generated`; `shareable` is the text with its label. In all but `prompt`
    slurs are masked. `finish_reason` is None until the text is finished; it is "error" if `error`
    says why it failed (the page puts "stopped" there itself). `settings` is None if the request was
    refused. `repeats` are offsets in `text`, in characters; `repeated_share` is their part of it,
    in 0 to 1.
    """

    text: str
    label: str
    shareable: str
    prompt: str
    generated: str
    finish_reason: FinishReason | Literal["error"] | None
    error: str | None
    characters: int
    source: str | None
    settings: dict[str, Any] | None
    checkpoint: str | None
    revision: str | None
    engine: str | None
    precision: str | None
    repeats: list[list[int]]
    repeated_share: float
    note: str
    prompt_tokens: int | None
    new_tokens: int | None
    first_token_seconds: float | None
    seconds: float | None


@dataclass(frozen=True)
class TextsResult:
    """Several texts, as `/generate_many` sends them; finished once each of them is."""

    texts: list[TextResult]
    label: str
    finished: bool


@dataclass(frozen=True)
class PassageResult:
    """Neighbouring words that speak for the same side, at these offsets (in characters).

    `weight` is their part of the logit, positive for a computer; `strength` is relative to the
    strongest passage, in 0 to 1.
    """

    start: int
    end: int
    text: str
    speaks_for: Literal["computer", "person"]
    weight: float
    strength: float


@dataclass(frozen=True)
class DetectorFigures:
    """What was measured on held-back texts of a length: `[minimum, maximum]` in characters,
    figures as `[value, low, high]` of a 95 % interval."""

    characters: list[int | None]
    real_texts: int
    generated_texts: int
    accuracy: list[float]
    roc_auc: list[float]


@dataclass(frozen=True)
class DetectResult:
    """What `/detect` says of a text; `probability`, of a computer, is None where nothing can be
    said."""

    text: str
    probability: float | None
    verdict: str
    trust: str
    figures: DetectorFigures | None
    passages: list[PassageResult]
    repeats: list[list[int]]
    repeated_share: float
    note: str


@dataclass(frozen=True)
class CheckpointResult:
    """What `/checkpoint` tells. `limits` are `[minimum, maximum]` by field; `figures` are those of
    `metrics.json`, None where nothing was measured; `plot` is a path on this server."""

    checkpoint: str
    revision: str
    engine: str
    precision: str
    label: str
    context_tokens: int
    limits: dict[str, list[float]]
    defaults: dict[str, float]
    figures: dict[str, float | None]
    plot: str | None


@dataclass(frozen=True)
class Draft:
    """A text while it is written: no `request` if that was refused, no `identity` while the
    engine loads, `ahead` while others are served before it; `repeats` is known once there is an
    `ending`."""

    persona: Persona
    request: GenerationRequest | None = None
    identity: EngineIdentity | None = None
    generated: str = ""
    ending: Ending | None = None
    repeats: tuple[Passage, ...] = ()
    error: str | None = None
    ahead: int = 0
    mask: Callable[[str], str] = mask_slurs

    @property
    def opening(self) -> str:
        return self.request.opening if self.request else ""

    @property
    def text(self) -> str:
        return self.opening + self.generated

    @property
    def shown(self) -> str:
        """The text as it leaves, masked as a whole: a word may begin in the opening, or end in a
        later chunk."""
        return self.mask(self.text)

    def extend(self, chunk: Chunk, judges: Judges) -> "Draft":
        """The text one chunk longer; judged, if it is the last one."""
        longer = replace(self, generated=self.generated + chunk.text, ending=chunk.ending)
        return replace(longer, repeats=judges.repeats(longer.text)) if chunk.ending else longer

    def result(self) -> TextResult:
        request, identity, ending = self.request, self.identity, self.ending
        share = share_of(self.repeats, self.text)
        return TextResult(
            text=self.shown,
            label=self.persona.label,
            shareable=self._shareable(),
            prompt=self.opening,
            generated=self.shown[len(self.opening) :],
            finish_reason="error" if self.error else ending.reason if ending else None,
            error=self.error,
            characters=len(self.text),
            source=source_line(identity, request) if identity and request else None,
            settings=request.settings() if request else None,
            checkpoint=identity.checkpoint if identity else None,
            revision=identity.revision if identity else None,
            engine=identity.engine if identity else None,
            precision=identity.precision if identity else None,
            repeats=[list(passage) for passage in self.repeats],
            repeated_share=round(share, 3),
            note=" ".join(self._notes()),
            prompt_tokens=ending.prompt_tokens if ending else None,
            new_tokens=ending.new_tokens if ending else None,
            first_token_seconds=round(ending.first_token_seconds, 3) if ending else None,
            seconds=round(ending.seconds, 3) if ending else None,
        )

    def _shareable(self) -> str:
        """The text with its label, as it may be pasted elsewhere."""
        labelled = f"{self.shown.strip()}\n\n— {self.persona.label}, {self.persona.title}"
        if self.identity is None or self.request is None:
            return labelled
        source = f"{self.identity.checkpoint}@{self.identity.revision[:12]}"
        repeated = f" {self._repeats_note()}" if self.repeats else ""
        return f"{labelled} (seed {self.request.seed}, {source}){repeated}"

    def _repeats_note(self) -> str:
        return repeats_note(share_of(self.repeats, self.text))

    def _notes(self) -> Iterator[str]:
        if self.error or self.request is None:
            return
        if self.identity is None:
            yield LOADING
        if self.ahead:
            yield f"You are number {self.ahead} in the queue."
        if self.ending and self.ending.max_new_tokens < self.request.max_new_tokens:
            tokens = self.ending.max_new_tokens
            yield f"Shortened to {tokens} tokens: your opening takes up the rest."
        if self.repeats:
            yield self._repeats_note()


def repeats_note(share: float) -> str:
    """Said of a text with words of a real tweet in it; `share` of its characters, in 0 to 1."""
    return f"{max(share, 0.01):.0%} of this is copied word for word from a real tweet."
