"""The tweet-like card: a component whose value is a result of `/generate`.

Knows how a result looks (card.html, card.js, style.css); must not know how it came about.
"""

from pathlib import Path
from typing import Any

import gradio as gr

from demo.generation.persona import Persona
from demo.ui import copy

_HERE = Path(__file__).parent


def build_card(persona: Persona) -> gr.HTML:
    """An empty card. Its value is the `Record` that programs get: one endpoint serves both."""
    card = gr.HTML(
        label="Result",
        html_template=(_HERE / "card.html").read_text(encoding="utf-8"),
        js_on_load=(_HERE / "card.js").read_text(encoding="utf-8"),
        apply_default_css=False,
        elem_id="cd-card",
        author=persona.author,
        handle=persona.handle,
        badge=persona.badge,
        empty=copy.EMPTY_CARD,
        waiting=copy.WAITING,
        finish=dict(copy.FINISH),
    )
    # For the API's docs. A subclass would be the usual way, but Gradio writes a .pyi file
    # next to the source of every component class.
    vars(card)["api_info"] = _api_info
    return card


def _api_info() -> dict[str, Any]:
    """Any JSON type, here always an object."""
    return {"type": {}, "description": copy.RESULT_DESCRIPTION}
