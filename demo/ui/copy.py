"""Every sentence a visitor reads, in one place, but for those of the persona.

Knows words only; must not know how they are laid out, nor whose tweets are imitated.
"""

from collections.abc import Mapping

from demo.generation.persona import Persona

DISCLAIMER = (
    "Parody. Every text here is made up by a computer; nobody said it, "
    "and none of it is news, advice or an endorsement."
)

PROMPT_LABEL = "Your opening words"
PROMPT_PLACEHOLDER = "Leave it empty, or begin"

STOP = "Stop"
STOPPING = "Stopping…"

EMPTY_CARD = "The tweet appears here, word by word, with your own words marked."
WAITING = "Waiting for the computer…"
LOADING = "The model is still loading. Your text starts as soon as it can."
STATUS: Mapping[str, str] = {
    "loading": "The model is loading. You can ask already: the answer comes as soon as it can.",
    "recovering": "The model is being restarted; that takes a moment.",
    "failed": "The model could not be loaded.",
    "unreachable": "The server does not answer.",
}
NO_ANSWER = (
    "No text came back. If a message popped up, it says why; "
    "what you typed is still there, so you can try again."
)
FINISH: Mapping[str, str] = {
    "end_of_tweet": "The tweet ended by itself.",
    "length": "Cut off at the length you set.",
    "deadline": "Cut off: it took longer than one text may take.",
    "stopped": "You stopped it.",
}
INTERNAL_ERROR = "Something went wrong while writing. Try again in a moment."


def length_note(applied: int, asked: int) -> str:
    """Said when the context left less room than was asked for (both in tokens)."""
    return (
        f"The length was cut from {asked} to {applied} tokens: "
        "a long opening leaves less room for more."
    )


def tagline(persona: Persona) -> str:
    """What the page is, in a sentence."""
    return f"Begin a tweet, and a language model fine-tuned on {persona.tweets} finishes it."


def api_description(persona: Persona) -> str:
    """The endpoint's, for people and for other programs."""
    return f"Continues an opening in the style of {persona.tweets}: {persona.badge}.\n\n{_API}"


_API = """\
Each update is one object with the whole text so far. Show its `shareable`, not its bare `text`,
to people: that is the text with its label and where it came from. `finish_reason` is null until
the text is finished. The same seed and settings give the same text."""
RESULT_DESCRIPTION = (
    "an object: text, label, shareable, prompt, generated, finish_reason (end_of_tweet, length, "
    "deadline or null), characters, settings with the seed, checkpoint, revision, engine, "
    "precision, tokens and seconds"
)
