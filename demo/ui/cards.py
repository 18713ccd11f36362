"""The tweet-like cards and the visit's history: a component whose value `/generate_many` returns.

Knows how results look (cards.html, cards.js, picture.js); must not know how they came about.
"""

import gradio as gr

from demo.checkpoints.persona import Persona
from demo.ui import copy
from demo.ui.html import build_html
from demo.ui.static_files import markup


def build_cards(persona: Persona) -> gr.HTML:
    """One empty card. Its value is the `Record` that programs get too."""
    return build_html(
        markup("cards.html"),
        "picture.js",
        "cards.js",
        elem_id="cd-cards",
        author=persona.author,
        handle=persona.handle,
        badge=persona.badge,
        words=dict(copy.CARD),
        finish=dict(copy.FINISH),
    )
