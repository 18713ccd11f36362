"""The guessing tab: "Trump or computer dump?", which the browser plays with the game's routes.

Knows how the game looks (guess.html, guess.js); must not know how items are chosen or answers
checked: that is demo/game.
"""

from demo.checkpoints.persona import Persona
from demo.ui import copy
from demo.ui.html import build_html
from demo.ui.static_files import markup

ROUNDS = 10


def build_guess_tab(persona: Persona, why_off: str) -> None:
    """Lays the tab out inside the current Blocks; `why_off` says why there is no game, if so."""
    build_html(
        markup("guess.html"),
        "guess.js",
        elem_id="cd-guess",
        title=persona.title,
        rounds=ROUNDS,
        off=why_off,
        words=copy.guess_words(persona),
    )
