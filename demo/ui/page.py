"""The page: header, status line, tabs, footer. The guessing tab is guess.html, played with the
routes of demo/game."""

from html import escape

import gradio as gr

from demo.checkpoints.persona import Persona
from demo.generation.introduction import Introduction
from demo.server.service import Service
from demo.ui import copy
from demo.ui.about import Owner, build_about_tab, make_checkpoint
from demo.ui.api import make_generate, make_generate_many, publish
from demo.ui.components import build_component
from demo.ui.detect import build_detect_tab, make_detect
from demo.ui.write import build_write_tab

# What fits into a line of the narrowest page.
UNBROKEN_CHARACTERS = 16
# Tweets in a round of the guessing game.
ROUNDS = 10


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
        gr.HTML(_header(persona), elem_id="cd-header", apply_default_css=False)
        build_component("page", "cd-notice", words=dict(copy.STATUS))
        with gr.Tabs(elem_id="cd-tabs"):
            with gr.Tab(copy.TABS["write"], id="write"):
                build_write_tab(generate_many, introduction)
            with gr.Tab(copy.TABS["guess"], id="guess"):
                build_component(
                    "guess",
                    "cd-guess",
                    title=persona.title,
                    rounds=ROUNDS,
                    off=why_no_game,
                    words=copy.guess_words(persona),
                )
            with gr.Tab(copy.TABS["detect"], id="detect"):
                build_detect_tab(detect)
            with gr.Tab(copy.TABS["about"], id="about") as about:
                build_about_tab(about, checkpoint, persona, owner)
        gr.HTML(_footer(), elem_id="cd-footer", apply_default_css=False)
    return page


def _header(persona: Persona) -> str:
    """A title of two sides, "this or that", has the second one in colour, on one line if short."""
    one, between, other = persona.title.rpartition(" or ")
    title = f"{escape(one)} <span>or</span> " if between else ""
    kept = escape(other).replace(" ", "&nbsp;" if len(other) <= UNBROKEN_CHARACTERS else " ")
    return f"""
<h1>{title}<b>{kept}</b></h1>
<p>{escape(copy.tagline(persona))}</p>
<p class="cd-disclaimer">{escape(copy.DISCLAIMER)}</p>
"""


def _footer() -> str:
    """Shown where the header is not: in an embed. Where the whole page is, page.html says."""
    more = f'<a target="_blank" rel="noopener">{escape(copy.MORE_ON_THE_PAGE)}</a>'
    return f"<p>{escape(copy.DISCLAIMER)} {more}</p>"
