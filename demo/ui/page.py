"""The page: header, status, tabs. Assembles what its neighbours build.

Knows the order of things; must not know what is inside a tab.
"""

import gradio as gr

from demo.checkpoints.persona import Persona
from demo.generation.introduction import Introduction
from demo.server.service import Service
from demo.ui import copy
from demo.ui.about import Owner, build_about_tab
from demo.ui.api import publish
from demo.ui.detect import build_detect_tab
from demo.ui.endpoint import make_generate, make_generate_many
from demo.ui.facts import make_checkpoint
from demo.ui.guess import build_guess_tab
from demo.ui.html import build_fixed_html, build_html
from demo.ui.status import build_status
from demo.ui.verdict import make_detect
from demo.ui.write import build_write_tab

# What fits into a line of the narrowest page.
UNBROKEN_CHARACTERS = 16
_UNBROKEN_SPACE = "\N{NO-BREAK SPACE}"
_HEADER = """
<h1><b>${other}</b></h1>
<p>${tagline}</p>
<p class="cd-disclaimer">${disclaimer}</p>
"""
_HEADER_OF_TWO_SIDES = _HEADER.replace("<b>", "${one} <span>or</span> <b>", 1)
# Shown where the header is not: in an embed.
_FOOTER = """<p>${words.disclaimer} <a target="_blank" rel="noopener">${words.more}</a></p>"""


def build_page(
    service: Service, introduction: Introduction, owner: Owner, why_no_game: str = ""
) -> gr.Blocks:
    """The page, whether its engine is there yet or not. `why_no_game` is a sentence for visitors if
    it is known already that there is no guessing game."""
    persona = introduction.persona
    page = gr.Blocks(title=persona.title, analytics_enabled=False)
    with page, gr.Column(elem_id="computer-dump"):
        detect = make_detect(service, persona)
        generate_many = make_generate_many(service, introduction)
        checkpoint = make_checkpoint(service, introduction)
        # Before the page's own events, which would take the names.
        with gr.Column(visible=False):
            publish(make_generate(service, introduction), uses_engine=True)
            publish(generate_many, uses_engine=True)
            publish(detect)
            publish(checkpoint)
        _build_header(persona)
        build_status()
        with gr.Tabs(elem_id="cd-tabs"):
            with gr.Tab(copy.TABS["write"], id="write"):
                build_write_tab(generate_many, introduction)
            with gr.Tab(copy.TABS["guess"], id="guess"):
                build_guess_tab(persona, why_no_game)
            with gr.Tab(copy.TABS["detect"], id="detect"):
                build_detect_tab(detect)
            with gr.Tab(copy.TABS["about"], id="about") as about:
                build_about_tab(about, checkpoint, persona, owner)
        build_html(
            _FOOTER,
            "page.js",
            elem_id="cd-footer",
            words={"disclaimer": copy.DISCLAIMER, "more": copy.MORE_ON_THE_PAGE},
        )
    return page


def _build_header(persona: Persona) -> None:
    """A title of two sides, "this or that", has the second one in colour, on one line if short."""
    one, between, other = persona.title.rpartition(" or ")
    build_fixed_html(
        _HEADER_OF_TWO_SIDES if between else _HEADER,
        elem_id="cd-header",
        one=one,
        other=other if len(other) > UNBROKEN_CHARACTERS else other.replace(" ", _UNBROKEN_SPACE),
        tagline=copy.tagline(persona),
        disclaimer=copy.DISCLAIMER,
    )
