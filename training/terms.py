"""What a run is made of, as each of its states records it: only the same run goes on from one."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from demo.checkpoints.persona import Persona
from training import TrainingError
from training.models import StartModel
from training.prepare import Prepared, texts_sha256
from training.recipe import Recipe

NAME = "terms.json"
# Of a recipe, what does not decide how a step learns. The base counts by its content, not its name.
FREE_SETTINGS = frozenset({
    "base", "epochs", "gradient_accumulation", "activation_checkpointing", "compile_layers",
    "fsdp", "calibrate", "log_every", "evaluate_every", "sample_every", "patience",
})  # fmt: skip
SETTING_DEFAULTS = {
    name: field.default for name, field in Recipe.model_fields.items() if not field.is_required()
}
MAY_CHANGE = (
    "the recipe's epochs, patience, *_every, gradient_accumulation, activation_checkpointing, "
    "compile_layers, fsdp and calibrate, --tokens, --max-steps, --minutes, --evaluations, and the "
    "number of processes"
)


class Terms(BaseModel):
    """The tweets, the base and the teachers by the sha256 of their content, the recipe's settings
    that decide what a step learns, and the persona that the checkpoint will carry."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tweets: dict[str, str]
    base: str
    recipe: dict[str, Any]
    persona: Persona
    teachers: list[str] = []

    @classmethod
    def read(cls, state: Path) -> Self:
        """Those of a state. Raises TrainingError if it does not say."""
        try:
            return cls.model_validate_json((state / NAME).read_bytes())
        except (OSError, ValidationError):
            raise TrainingError(
                f"{state} does not say what it was made of (an earlier version saved it), so it "
                "cannot be gone on from: give another --out."
            ) from None

    def write(self, folder: Path) -> None:
        (folder / NAME).write_text(f"{self.model_dump_json(indent=2)}\n", encoding="utf-8")

    def require_same(self, state: Path) -> None:
        """Raises TrainingError, which names what differs, if a state was made of anything else."""
        differing = list(self._differences(Terms.read(state)))
        if differing:
            raise TrainingError(
                f"{state} was made of something else: {'; '.join(differing)}. Give --resume what "
                f"the run began with, or another --out. Only these may change: {MAY_CHANGE}."
            )

    def _differences(self, other: "Terms") -> Sequence[str]:
        found = [
            f"the tweets of {name} are others"
            for name, sha256 in self.tweets.items()
            if other.tweets.get(name) != sha256
        ]
        if self.base != other.base:
            found.append("the base or its tokenizer is another")
        for name in sorted(self.recipe.keys() | other.recipe.keys()):
            # A state that is older than a setting was made with its default.
            ours, theirs = (
                one.recipe.get(name, SETTING_DEFAULTS.get(name)) for one in (self, other)
            )
            if ours != theirs:
                found.append(f"{name} was {json.dumps(theirs)} and is {json.dumps(ours)}")
        if self.teachers != other.teachers:
            found.append("the teachers are others")
        if self.persona != other.persona:
            found.append(f"the persona was {other.persona.name} ({other.persona.title})")
        return found


def terms_of(
    recipe: Recipe,
    start: StartModel,
    weights: dict[str, str],
    prepared: Prepared,
    teachers: Sequence[str],
) -> Terms:
    """The terms of a run that is about to begin, `weights` being `weights_sha256` of its model."""
    base = json.dumps([start.tokenizer.get_vocab(), weights], sort_keys=True)
    return Terms(
        tweets={name: texts_sha256(texts) for name, texts in prepared.texts.items()},
        # Random weights and their tokenizer follow from the recipe and the tweets.
        base="" if recipe.scratch is not None else hashlib.sha256(base.encode()).hexdigest(),
        recipe=recipe.model_dump(mode="json", exclude=set(FREE_SETTINGS)),
        persona=prepared.persona,
        teachers=list(teachers),
    )


def weights_sha256(model: Any) -> dict[str, str]:
    """Of each tensor of weights, by its name; of tied ones once."""
    return {
        name: hashlib.sha256(weight.detach().cpu().contiguous().view(-1).numpy().data).hexdigest()
        for name, weight in sorted(model.named_parameters())
    }
