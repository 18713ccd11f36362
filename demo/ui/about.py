"""The About tab: what this is and is not, the checkpoint's figures, how to embed and call it.

Knows words, snippets and how they are laid out (about.html, about.js); must not know engines.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from demo.checkpoints.persona import Persona
from demo.ui import copy, snippets
from demo.ui.html import build_html
from demo.ui.static_files import markup


@dataclass(frozen=True)
class Owner:
    """Who runs this demo: `contact` is an address for reports (https:// or an e-mail address),
    `space_id` the Space it runs on; both may be empty."""

    contact: str = ""
    space_id: str = ""

    def report_link(self) -> str:
        """Where to report something; empty if nobody said."""
        if self.contact:
            is_page = self.contact.startswith("https://")
            return self.contact if is_page else f"mailto:{self.contact}"
        return f"{self._space}/discussions" if self.space_id else ""

    def duplicate_link(self) -> str:
        """Where a copy of the Space is made; empty off Spaces."""
        return f"{self._space}?duplicate=true" if self.space_id else ""

    @property
    def _space(self) -> str:
        return f"https://huggingface.co/spaces/{self.space_id}"


def build_about_tab(
    tab: gr.Tab, checkpoint: Callable[[], Any], persona: Persona, owner: Owner
) -> None:
    """Lays the tab out inside the current Blocks; `checkpoint`, the endpoint, is asked once the
    tab is opened."""
    about = build_html(
        markup("about.html"),
        "about.js",
        elem_id="cd-about",
        words={**copy.ABOUT, "figures": dict(copy.FIGURES), "percent": list(copy.PERCENTAGES)},
        what=list(copy.what_it_is(persona)),
        links=_links(owner),
        snippets=dict(snippets.SNIPPETS),
        url=snippets.URL,
    )
    tab.select(checkpoint, outputs=about, api_visibility="private", show_progress="hidden")


def _links(owner: Owner) -> list[tuple[str, str]]:
    """For whoever wants a demo of their own, or has something to report: addresses and words."""
    links = [
        (owner.duplicate_link(), copy.ABOUT["duplicate"]),
        (owner.report_link(), copy.ABOUT["report"]),
    ]
    return [(address, words) for address, words in links if address]
