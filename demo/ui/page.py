"""The page: header, status line, tabs, footer. The guessing tab is guess.html, played with the
routes of demo/game."""

from collections.abc import Mapping

import gradio as gr

from demo.checkpoints.persona import Persona
from demo.game.daily import PLACES
from demo.generation.profile import Profile
from demo.server.service import Service
from demo.ui.about import Owner, build_about_tab, make_checkpoint
from demo.ui.api import make_generate, make_generate_many, publish
from demo.ui.components import build_component, build_fixed_html
from demo.ui.detect import build_detect_tab, make_detect
from demo.ui.results import LOADING
from demo.ui.write import build_write_tab

TAGLINE = "Start a tweet. An AI trained on {persona.tweets} finishes it."
PARODY = "Parody, written by a computer."
DISCLAIMER = (
    "Nobody said any of this; it is not news, advice or an endorsement. Real tweets appear only "
    "in the two games, which tell you which is which."
)
# What the status line says in each state of the server, and a card if a call is not answered.
STATUS: Mapping[str, str] = {
    "loading": LOADING,
    "recovering": "The model is restarting. One moment.",
    "failed": "The model failed to load, so nothing can be written right now.",
    "stopping": "The demo is restarting. One moment.",
    "unreachable": "Can't reach the server. Retrying…",
    "unanswered": "Can't reach the server. Your words are still here; try again in a moment.",
}
# What fits into a line of the narrowest page.
UNBROKEN_CHARACTERS = 16
_UNBROKEN_SPACE = "\N{NO-BREAK SPACE}"
_HEADER = """
<h1><b>${other}</b></h1>
<p>${tagline}</p>
<p class="cd-disclaimer"><b>${parody}</b> <span>${disclaimer}</span></p>
"""
_HEADER_OF_TWO_SIDES = _HEADER.replace("<b>", "${one} <span>or</span> <b>", 1)
# Shown where the header is not, in an embed, or is short, on a phone. page.html has the link lead
# to the whole page.
_FOOTER = """
<p>${parody} ${disclaimer}
<a target="_blank" rel="noopener">Can you tell these from the real ones? Play the game</a></p>
"""


def build_page(
    service: Service, profile: Profile, owner: Owner, why_no_game: str = ""
) -> gr.Blocks:
    """The page, whether its engine is there yet or not. `why_no_game` is a sentence for visitors if
    it is known already that there is no guessing game."""
    persona = profile.persona
    page = gr.Blocks(title=persona.title, analytics_enabled=False)
    with page, gr.Column(elem_id="computer-dump"):
        detect = make_detect(service, persona)
        generate_many = make_generate_many(service, profile)
        checkpoint = make_checkpoint(service, profile)
        # Before the page's own events, which would take the names.
        with gr.Column(visible=False):
            publish(make_generate(service, profile), uses_engine=True)
            publish(generate_many, uses_engine=True)
            publish(detect)
            publish(checkpoint)
        _build_header(persona)
        build_component("page", "cd-notice", words=dict(STATUS))
        build_component("fool", "cd-fool", person=persona.name)
        with gr.Tabs(elem_id="cd-tabs"):
            with gr.Tab("Write", id="write"):
                build_write_tab(generate_many, profile, can_fool=not why_no_game)
            with gr.Tab("Guess", id="guess"):
                _build_guess_tab(persona, why_no_game)
            with gr.Tab("Detect", id="detect"):
                build_detect_tab(detect)
            with gr.Tab("About", id="about") as about:
                build_about_tab(about, checkpoint, persona, owner)
        build_fixed_html(_FOOTER, "cd-footer", parody=PARODY, disclaimer=DISCLAIMER)
    return page


def _build_guess_tab(persona: Persona, why_no_game: str) -> None:
    if why_no_game:
        build_fixed_html('<p class="cd-quiet cd-message">${why}</p>', "cd-guess", why=why_no_game)
        return
    real, _, computer = persona.title.rstrip("?").rpartition(" or ")
    build_component(
        "guess",
        "cd-guess",
        title=persona.title,
        person=persona.name,
        # A random round is as long as the Daily Ten.
        rounds=PLACES,
        # The two sides of its title, if it has two.
        real=real or persona.name,
        computer=computer or "Computer",
    )


def _build_header(persona: Persona) -> None:
    """A title of two sides, "this or that", has the second one in colour, on one line if short."""
    one, between, other = persona.title.rpartition(" or ")
    build_fixed_html(
        _HEADER_OF_TWO_SIDES if between else _HEADER,
        "cd-header",
        one=one,
        other=other if len(other) > UNBROKEN_CHARACTERS else other.replace(" ", _UNBROKEN_SPACE),
        tagline=TAGLINE.format(persona=persona),
        parody=PARODY,
        disclaimer=DISCLAIMER,
    )
