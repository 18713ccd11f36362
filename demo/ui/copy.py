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
    "in the two games, which tell you which is which."
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
PREVIEW_PICTURE = "A robot and a tweet that it made up, labelled as AI-generated parody"
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
    "fool": "Fool a friend",
    "fool_help": "A link to this text beside a real tweet: can your friend tell which is real?",
}
# The Share button, of cards and of the game; "saved" is said where there is a picture.
SHARE: Mapping[str, str] = {
    "share": "Share",
    "share_help": "Shares picture, words and link; without a share menu, copies and saves them",
    "share_copied": "Copied",
    "share_saved": "Copied; picture saved",
    "share_refused": "Your browser blocked copying",
}
# "Fool a friend", to the friend and to who sends the link.
FOOL: Mapping[str, str] = {
    "fool_text": "One of these is a real tweet. A computer wrote the other. Can you tell?",
    "unreachable": "Can't reach the server. Try again in a moment.",
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
        "begin": f"Some tweets {persona.name} posted, some a computer made up. Can you tell?",
        "wrong_real": f"Nope: {persona.name} really posted that.",
        "was_real": f"Real. {persona.name}, {{0}}.",
        "was_real_once": f"Real. {persona.name}.",
    }


_GUESS: Mapping[str, str] = {
    "daily": "The Daily Ten",
    "daily_help": "The same ten tweets for everyone. New ones at midnight UTC.",
    "daily_go_on": "Go on with tweet {0} of {1}.",
    "daily_done": "Today you got {0} of {1}. New ones at midnight UTC.",
    "free": "Random round",
    "free_help": "Ten tweets drawn for you, as often as you like.",
    "streak": "Daily streak: day {0}.",
    "streak_kept": "Your streak is kept in this browser and nowhere else.",
    "waiting": "The computer is still writing…",
    "progress": "{0} of {1}",
    "duel": "You {0}, machine {1}",
    "handles": "@▇▇▇▇ stands for a name: the data come without most of them.",
    "right": "Correct!",
    "wrong_computer": "Fooled: a computer wrote that.",
    "was_computer": "Computer. {0}.",
    "you_said": "You said {0}.",
    "machine_right": "Our detector got it right ({0}% computer).",
    "machine_wrong": "Our detector got it wrong ({0}% computer).",
    "crowd": "{0}% of {1} players were fooled today.",
    "crowd_first": "You are the first to guess this one today.",
    "link": "See the original",
    "next": "Next",
    "see_score": "See your score",
    "again": "Try again",
    "score": "{0} of {1}",
    "beat": "You beat the machine: it got {0}.",
    "lost": "The machine beat you: it got {0}.",
    "drew": "A draw: the machine got {0}, too.",
    "next_day": "The next ten come at midnight UTC.",
    "recap_right": "You said {0}: correct.",
    "recap_wrong": "You said {0}: fooled.",
    "new_round": "Play again",
    "random_round": "Play a random round",
    "unreachable": "Can't reach the server. Try again in a moment.",
    "kept": "We count right and wrong answers, nothing else.",
    "not_kept": "Counts since the last restart. Nothing else is kept.",
    "tab_keeps": "Your round is kept in this tab until you close it, so a reload goes on with it.",
    "share_score": "Share score",
    "share_free": "{0} {1}/{2} (the machine: {3}/{2}). Can you beat me?",
    "share_free_alone": "{0} {1}/{2}. Can you beat me?",
    "share_daily": "{0} #{1} {2} you {3}, machine {4}",
    "share_daily_alone": "{0} #{1} {2} you {3}",
}


def fool_words(persona: Persona) -> Mapping[str, str]:
    """What the friend sees who opens a link of "Fool a friend"."""
    return {
        **_FOOLED,
        **SHARE,
        **FOOL,
        "title": f"Which one did {persona.name} really tweet?",
        "real": f"Real: {persona.name}, {{0}}.",
        "real_undated": f"Real: {persona.name}.",
        "differs": CARD["differs"],
    }


_FOOLED: Mapping[str, str] = {
    "intro": (
        "A friend sent you these. One is a real tweet. The other is AI-generated parody, perhaps "
        "begun with a few words your friend typed. Pick the real one."
    ),
    "writing": "The computer is writing its tweet again…",
    "broken": "This link is damaged. Ask your friend to send it again.",
    "unfit": (
        "This link can't be played: its text is not whole, mostly typed, or copied from a real "
        "tweet. The model may have changed since it was made."
    ),
    "right": "Correct! You can't be fooled.",
    "wrong": "Fooled: a computer wrote that.",
    "real_tag": "Real tweet",
    "typed": "Your friend typed, and the computer did not write:",
    "link": "See the original",
    "close": "Write one yourself",
}

# --- detect ---------------------------------------------------------------------------------

DETECT_LABEL = "Paste a tweet"
DETECT_PLACEHOLDER = "Any tweet, real or not"
DETECT_BUTTON = "Who wrote this?"
DETECT_INTRO = (
    "A small classifier compares letter patterns. It only knows this demo's tweets and real ones, "
    "so it can't spot ChatGPT. It is often wrong, and each result says how often."
)
DETECT: Mapping[str, str] = {
    "empty": "The verdict appears here, with the words behind it.",
    "probability": "{0}% computer (starting from 50:50)",
    "legend_computer": "sounds like the computer",
    "legend_person": "sounds like a person",
}
DETECT_NO_TEXT = "text must be text: paste some first."
DETECT_NO_JUDGE = "Can't tell: this model came without a detector."
DETECT_TOO_LONG = "text is too long: that's {characters:,} characters; the limit is {limit:,}."
DETECT_TOO_SHORT = "Too short to judge: at least {characters} characters and {words} words."
# Instead of a leaning, which could say the opposite.
DETECT_IS_REAL = "This is a real tweet, word for word."
DETECT_MOSTLY_REAL = "Most of this is from a real tweet, word for word."


def detect_untrusted(trust: Trust) -> str:
    """A length at which the detector did no better than a coin."""
    return f"Can't tell: at {_characters(trust)} it is no better than a coin flip."


def leaning(probability: float, undecided: float) -> str:
    """Which side a probability (of a computer) leans to, never that it is so."""
    distance = abs(probability - 0.5)
    if distance < undecided:
        return "Could be either."
    side = "the computer" if probability > 0.5 else "a person"
    return f"{'Possibly' if distance < 0.15 else 'Probably'} {side}."


def trust_sentence(trust: Trust) -> str:
    """How far it goes at that length."""
    return (
        f"At this length ({_characters(trust)}) it is right about {trust.accuracy.value:.0%} "
        f"of the time, measured on {trust.real + trust.generated:,} texts; a coin flip gets 50%."
    )


def _characters(trust: Trust) -> str:
    if trust.maximum is None:
        return f"{trust.minimum} characters or more"
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
    "detector_accuracy": "how often its detector is right (a coin: 50 %)",
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
    "real tweet has too."
)
# Added to it, unless the texts are written on another server.
SAME_TEXT = " The same seed and settings give the same text."
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
