"""The About tab and `/checkpoint`: what this is, how good it was measured to be, how to use it."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import gradio as gr

from demo.checkpoints.persona import Persona
from demo.generation.profile import SAMPLING, Profile
from demo.generation.request import MAX_PROMPT_CHARACTERS, MIN_ROOM_TOKENS
from demo.server.service import Service
from demo.ui import detect, snippets
from demo.ui.api import LIMITS, Record
from demo.ui.components import build_component
from demo.ui.results import LOADING, CheckpointResult

# How long `/checkpoint` waits for a model that is still loading.
PATIENCE_SECONDS = 60.0
# Where metrics.json has what a visitor can make something of.
FIGURES: Mapping[str, tuple[str, ...]] = {
    "tweets_learnt_from": ("data", "splits", "train", "tweets"),
    "tweets_held_back": ("data", "splits", "test", "tweets"),
    "bits_per_byte": ("evaluation", "test", "checkpoint", "bits_per_byte"),
    "bits_per_byte_low": ("evaluation", "test", "checkpoint", "low"),
    "bits_per_byte_high": ("evaluation", "test", "checkpoint", "high"),
    "perplexity": ("evaluation", "test", "checkpoint", "perplexity"),
    "repeats_of_generated": ("texts", "verbatim", "generated"),
    "repeats_of_real": ("texts", "verbatim", "real"),
    "detector_accuracy": ("judges", "detector", "overall", "accuracy", "value"),
}
DESCRIPTION = (
    "Tells which checkpoint answers, by which engine, what it takes and how good it was measured "
    "to be: bits per byte, perplexity, and how often its detector is right."
)


@dataclass(frozen=True)
class Owner:
    """Who runs this demo: `contact` is an address for reports (https:// or an e-mail address),
    `space_id` the Space it runs on; both may be empty."""

    contact: str = ""
    space_id: str = ""

    def links(self) -> list[tuple[str, str]]:
        """Addresses and words, for who wants a demo of their own or has something to report."""
        space = f"https://huggingface.co/spaces/{self.space_id}"
        links = []
        if self.space_id:
            links.append((f"{space}?duplicate=true", "Duplicate this Space"))
        if self.contact:
            is_page = self.contact.startswith("https://")
            report = self.contact if is_page else f"mailto:{self.contact}"
            links.append((report, "Report a problem"))
        elif self.space_id:
            links.append((f"{space}/discussions", "Report a problem"))
        return links


def build_about_tab(
    tab: gr.Tab, checkpoint: Callable[[], Any], persona: Persona, owner: Owner
) -> None:
    """Lays the tab out inside the current Blocks; `checkpoint`, the endpoint, is asked once the
    tab is opened."""
    about = build_component(
        "about",
        "cd-about",
        person=persona.name,
        tweets=persona.tweets,
        archive=persona.archive,
        links=owner.links(),
        snippets=dict(snippets.SNIPPETS),
        url=snippets.URL,
    )
    tab.select(checkpoint, outputs=about, api_visibility="private", show_progress="hidden")


def make_checkpoint(service: Service, profile: Profile) -> Callable[[], Record]:
    """The endpoint's function; its signature and docstring are the API's docs."""

    def checkpoint() -> dict[str, Any]:
        engine = service.wait(PATIENCE_SECONDS)
        if engine is None:
            raise gr.Error(LOADING, print_exception=False)
        result = CheckpointResult(
            checkpoint=engine.identity.checkpoint,
            revision=engine.identity.revision,
            engine=engine.identity.engine,
            precision=engine.identity.precision,
            label=profile.persona.label,
            context_tokens=engine.context_tokens,
            limits=_limits(engine.context_tokens),
            defaults={name: getattr(profile.defaults, name) for name in SAMPLING},
            figures=figures(service.metrics()),
            plot="/plot.png" if service.plot() else None,
        )
        return asdict(result)

    checkpoint.__doc__ = DESCRIPTION
    return checkpoint


def _limits(context_tokens: int) -> dict[str, list[float]]:
    return {
        "prompt_characters": [0, MAX_PROMPT_CHARACTERS],
        "prompt_tokens": [0, context_tokens - MIN_ROOM_TOKENS],
        **LIMITS,
        "detect_characters": [0, detect.MAX_CHARACTERS],
    }


def figures(metrics: Mapping[str, Any]) -> dict[str, float | None]:
    """The numbers of `metrics.json` at FIGURES; None where there is none."""
    found: dict[str, float | None] = {}
    for name, path in FIGURES.items():
        value: Any = metrics
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        # JavaScript knows larger numbers inexactly, and JSON's writer for the page not at all.
        found[name] = value if is_number and abs(value) <= 2**53 else None
    return found
