"""What the page says, but for the persona's words and those that always stand in static/*.html.

Scripts in the browser get their words from here. What stands in braces is filled in where the
sentence is said.

How a request is refused is said where its limit is: request.py, the engines, limits.py, demo/game.
"""

from collections.abc import Mapping

from demo.checkpoints.persona import Persona
from demo.judging.judges import Trust

# --- the page -------------------------------------------------------------------------------

PARODY = "Parody, written by a computer."
DISCLAIMER = (
    "Nobody said any of this; it is not news, advice or an endorsement. Real tweets appear only "
    "in the Guess game, which tells you which is which."
)
TABS = {"write": "Write", "guess": "Guess", "detect": "Detect", "about": "About"}
STATUS: Mapping[str, str] = {
    "loading": "The model is still loading. Go ahead: your tweet starts as soon as it's ready.",
    "recovering": "The model is restarting. One moment.",
    "failed": "The model failed to load, so nothing can be written right now.",
    "stopping": "The demo is restarting. One moment.",
    "unreachable": "Can't reach the server. Retrying…",
    # In the card of a call.
    "unanswered": "Can't reach the server. Your words are still here; try again in a moment.",
}
PREVIEW_PICTURE = "A robot prints a tweet that nobody wrote, marked as parody"
MORE_ON_THE_PAGE = "Can you tell these from the real ones? Play the game"
TAGLINE = "Start a tweet. An AI trained on {persona.tweets} finishes it."
# Under the title of a shared link.
PREVIEW = TAGLINE + " Then guess which ones are real. {persona.badge}."

# --- write ----------------------------------------------------------------------------------

PROMPT_LABEL = "Start a tweet"
PROMPT_PLACEHOLDER = "A few words, or none"
GENERATE = "Finish it"
STOP = "Stop"
STOPPING = "Stopping…"
CLEAR = "Clear"
PRESET_LABEL = "Mood"
PRESET_HELP = "Sets the sliders below."
PRESETS: Mapping[str, str] = {
    "trained": "Default",
    "cautious": "On script",
    "bold": "Off script",
    "unhinged": "3 a.m.",
    "short": "One-liner",
}
ADVANCED = "Advanced"
SEED_PLACEHOLDER = "Random"
KEEP_SEED = "Reuse last seed"
DRAW_SEED = "Random seed"
RESET = "Reset to defaults"
# Said from four fifths of a limit on.
COUNTER: Mapping[str, str] = {
    "characters": "{0} / {1}",
    "tokens": "{0} / {1} tokens",
    "over": "too long for this model",
    "too_long": "too long",
}
LOADING = STATUS["loading"]
NO_ANSWER = "Nothing came back. Your words are still here; try again in a moment."
CUT = "The connection was lost here. Continue picks up from the end of this text."
INTERNAL_ERROR = "Something went wrong while writing. Try again in a moment."
# What the card's scripts say.
CARD: Mapping[str, str] = {
    "empty": "Your tweet prints here.",
    "specimen": "A sample: this model finished the marked words when the demo started. Your turn.",
    "waiting": "Warming up the printer…",
    "nothing": "The computer had nothing to add. Try again, or add a word.",
    "copied": "Copied",
    "refused": "Blocked",
    "linked": "Copied",
    "repeated": "Also in a real tweet, word for word",
    "history": "Your tweets so far ({0})",
    "history_show": "Show",
    "history_kept": "Kept only in this tab. A reload keeps the list; closing the tab clears it.",
    "history_not_kept": "Kept only on this page. Leaving or reloading it clears the list.",
    "differs": "This link was made with another version of the model, so the text may differ.",
    "made_by": "Written by a computer. {0}.",
}
FINISH: Mapping[str, str] = {
    "length": "Reached the length limit.",
    "deadline": "Stopped: this was taking too long.",
    "stopped": "Stopped.",
}
QUEUE_NOTE = "You are number {0} in the queue."
LENGTH_NOTE = "Shortened to {applied} tokens: your opening takes up the rest."


def repeats_note(share: float) -> str:
    """Said of a text with words of a real tweet in it; `share` of its characters, in 0 to 1."""
    return f"{max(share, 0.01):.0%} of this is copied word for word from a real tweet."


# --- guess ----------------------------------------------------------------------------------


def guess_words(persona: Persona) -> Mapping[str, str]:
    """What the game's script says."""
    real, _, computer = persona.title.rstrip("?").rpartition(" or ")
    return {
        **_GUESS,
        "real": real or persona.name,
        "computer": computer or "Computer",
        "was_real": f"It is real: {persona.name}, {{0}}.",
    }


_GUESS: Mapping[str, str] = {
    "begin": "One tweet at a time, ten to a round. Some are real. Some a computer made up.",
    "start": "Start",
    "waiting": "The computer is still writing its share…",
    "progress": "{0} of {1}",
    "right": "Right.",
    "wrong": "Fooled.",
    "was_computer": "A computer made it up.",
    "link": "See the original",
    "machine_right": "Our detector got it, too: it said {0}% computer.",
    "machine_wrong": "Our detector fell for it: it said {0}% computer.",
    "next": "Next",
    "again": "Try again",
    "new_round": "Another round",
    "unreachable": "The server does not answer. Try again in a moment.",
    "kept": "All visitors' answers are counted, nothing else is kept.",
    "not_kept": "All visitors since this server started: counted, nothing else is kept.",
    "share_text": "{2} I got {0} of {1}.",
    "share_copied": "Copied",
    "refused": "Copying was refused",
}

# --- detect ---------------------------------------------------------------------------------

DETECT_LABEL = "A tweet, from anywhere"
DETECT_PLACEHOLDER = "Paste it here"
DETECT_BUTTON = "Who wrote this?"
DETECT_INTRO = (
    "A small classifier reads the letters and leans one way. It has learnt to tell this computer's "
    "texts from real tweets and knows no other computer. It is wrong often; it says how often."
)
DETECT: Mapping[str, str] = {
    "probability": "{0} in 100 that a computer wrote it, if beforehand either was as likely",
    "legend_computer": "speaks for a computer",
    "legend_person": "speaks for a person",
}
DETECT_NO_TEXT = "text must be a text. Paste one."
DETECT_NO_JUDGE = "Cannot say: this checkpoint came without a detector."
DETECT_TOO_LONG = "text is {characters:,} characters; at most {limit:,} are judged. Shorten it."
DETECT_TOO_SHORT = "Cannot say: it takes at least {characters} characters and {words} words."


def detect_untrusted(trust: Trust) -> str:
    """A length at which the detector did no better than a coin."""
    return f"Cannot say: on texts of {_characters(trust)} the detector did no better than a coin."


def leaning(probability: float, undecided: float) -> str:
    """Which side a probability (of a computer) leans to, never that it is so."""
    if abs(probability - 0.5) < undecided:
        return "Could be either."
    side = "computer" if probability > 0.5 else "person"
    return f"{_strength(abs(probability - 0.5))} a {side}."


def _strength(distance: float) -> str:
    if distance < 0.15:
        return "Leans slightly towards"
    return "Leans towards" if distance < 0.3 else "Leans strongly towards"


def trust_sentence(trust: Trust) -> str:
    """How far it goes at that length."""
    accuracy, auc = trust.accuracy, trust.roc_auc
    return (
        f"On {trust.real + trust.generated:,} held-back texts of {_characters(trust)} it was right "
        f"{accuracy.value:.0%} of the time ({accuracy.low:.0%} to {accuracy.high:.0%}); a coin is "
        f"right 50%. Its AUC there is {auc.value:.2f}."
    )


def _characters(trust: Trust) -> str:
    if trust.maximum is None:
        return f"{trust.minimum} characters and more"
    return f"{trust.minimum} to {trust.maximum} characters"


# --- about ----------------------------------------------------------------------------------

ABOUT: Mapping[str, str] = {
    "plot": "Training, ours and the original's: bits per byte of held-back tweets (lower: better)",
    "duplicate": "Duplicate this Space",
    "report": "Report a problem",
    "copy": "Copy",
    "copied": "Copied",
    "refused": "Blocked",
}
FIGURES: Mapping[str, str] = {
    "tweets_learnt_from": "tweets it was trained on",
    "tweets_held_back": "tweets held back to test it",
    "bits_per_byte": "bits per byte",
    "perplexity": "perplexity per token",
    "repeats_of_generated": "generated tweets that copy 8+ words of a real one",
    "repeats_of_real": "real tweets that copy another",
    "detector_accuracy": "accuracy of its detector",
    "detector_roc_auc": "AUC of its detector",
}
PERCENTAGES = ("repeats_of_generated", "repeats_of_real", "detector_accuracy")
# Paragraphs: what this is, and what it is not.
WHAT_IT_IS = (
    "A language model trained on {persona.tweets}, from {persona.archive}. It continues your words "
    "one likely fragment at a time. It knows no facts and has no opinions.",
    "This is parody of a style. {persona.name} did not write, say or approve any of it. Nothing "
    "here is news, advice or an endorsement, and every text that leaves this page carries a "
    "label that says so. Please leave it on.",
    "What you type is used to write your text and then forgotten: it is not logged, stored or "
    "learnt from.",
)

# --- the API --------------------------------------------------------------------------------

# Of the endpoints, for people and for other programs.
GENERATE_DESCRIPTION = (
    "Continues an opening in the style of {persona.tweets}: {persona.badge}.\n\n"
    "Each update is one object with the whole text so far. Show its `shareable`, not its bare "
    "`text`, to people: that is the text with its label and where it came from. "
    "`finish_reason` is null until the text is finished, `repeats` lists the passages that a "
    "real tweet has too. The same seed and settings give the same text."
)
GENERATE_MANY_DESCRIPTION = (
    "Continues an opening several times at once, in the style of {persona.tweets}: "
    "{persona.badge}.\n\n"
    "Each update is one object whose `texts` are objects like those of `/generate`, in order "
    "of their seeds, which follow each other; `finished` is true once all of them are. One "
    "that failed has an `error`."
)
DETECT_DESCRIPTION = (
    "Says how likely a computer wrote a text, by which of its words, and how far that can be "
    "trusted at its length. It tells this demo's texts from {persona.tweets}, and was not "
    "made for any others. `probability` is null where nothing can be said."
)
CHECKPOINT_DESCRIPTION = (
    "Tells which checkpoint answers, by which engine, what it takes and how good it was measured "
    "to be: bits per byte, perplexity, and how often its detector is right."
)
