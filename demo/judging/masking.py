"""Masks slurs in what leaves the server: their inner letters become asterisks.

A short list of words without another common meaning, not a judgement of a text. They are found as
whole words, whatever their case, in singular and plural, also with a digit or sign for a vowel. A
masked text is as long as it was, so that offsets in it stay right.
"""

import re

SLURS = (
    "beaner", "faggot", "gook", "jigaboo", "kike", "nigga", "nigger", "raghead", "retard",
    "sandnigger", "shemale", "towelhead", "tranny", "wetback",
)  # fmt: skip
# Signs that stand for a vowel. Consonants must be there: no number or address reads as a slur.
_VOWELS = {"a": "[a4@]", "e": "[e3]", "i": "[i1!]", "o": "[o0]"}
_LETTER_OR_DIGIT = r"[^\W_]"


def _pattern(word: str) -> str:
    stem, plural = (word[:-1], "(?:y|ies)") if word.endswith("y") else (word, "[sz]?")
    return "".join(_VOWELS.get(letter, letter) for letter in stem) + plural


_SLUR = re.compile(
    f"(?<!{_LETTER_OR_DIGIT})(?:{'|'.join(map(_pattern, SLURS))})(?!{_LETTER_OR_DIGIT})",
    re.IGNORECASE,
)


def mask_slurs(text: str) -> str:
    """The text with every slur masked, as long as before."""
    return _SLUR.sub(lambda word: masked(word[0]), text)


def masked(word: str) -> str:
    """A word as it is shown: its first and last letter, asterisks between."""
    return f"{word[0]}{'*' * (len(word) - 2)}{word[-1]}"


def unmasked(text: str) -> str:
    """The text as it is, for an owner who wants no masks."""
    return text
