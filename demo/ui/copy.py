"""What is said in more than one place. Everything else stands where it is said."""

from collections.abc import Mapping

PARODY = "Parody, written by a computer."
DISCLAIMER = (
    "Nobody said any of this; it is not news, advice or an endorsement. Real tweets appear only "
    "in the two games, which tell you which is which."
)
TAGLINE = "Start a tweet. An AI trained on {persona.tweets} finishes it."
STATUS: Mapping[str, str] = {
    "loading": "The model is still loading. Go ahead: your tweet starts as soon as it's ready.",
    "recovering": "The model is restarting. One moment.",
    "failed": "The model failed to load, so nothing can be written right now.",
    "stopping": "The demo is restarting. One moment.",
    "unreachable": "Can't reach the server. Retrying…",
    # In the card of a call.
    "unanswered": "Can't reach the server. Your words are still here; try again in a moment.",
}
NO_ANSWER = "Nothing came back. Your words are still here; try again in a moment."


def repeats_note(share: float) -> str:
    """Said of a text with words of a real tweet in it; `share` of its characters, in 0 to 1."""
    return f"{max(share, 0.01):.0%} of this is copied word for word from a real tweet."
