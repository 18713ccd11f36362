"""What `/detect` says of a text: how likely a computer wrote it, by what, and how far to trust it.

Knows judges and the words around a verdict; must not know engines, components or HTML. It never
says that a text *is* by a computer: it does not know that.
"""

import math
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

import gradio as gr

from demo.checkpoints.persona import Persona
from demo.judging import canonical
from demo.judging.detector import JudgedWord, Verdict
from demo.judging.judges import Judges, Trust, share_of
from demo.server.service import Service
from demo.ui import copy
from demo.ui.result import Record

MAX_CHARACTERS = 1_000
# What is within it of even odds leans to neither side.
UNDECIDED = 0.05
# Of the strongest passage: weaker ones are left unmarked, or nearly every word would be marked.
WEAKEST_SHOWN = 0.15


def make_detect(service: Service, persona: Persona) -> Any:
    """The endpoint's function; its signature and docstring are the API's docs."""

    def detect(text: str) -> dict[str, Any]:
        return _detected(service, text)

    detect.__doc__ = "\n".join((
        copy.detect_description(persona),
        "",
        "Args:",
        f"    text: The text to be judged, at most {MAX_CHARACTERS:,} characters.",
    ))  # fmt: skip
    return detect


def _detected(service: Service, text: Any) -> Record:
    """The record of a text.

    Raises:
        gr.Error: it is no text or too long, or the model is still loading.
    """
    if not isinstance(text, str):
        raise gr.Error(copy.DETECT_NO_TEXT, print_exception=False)
    if len(text) > MAX_CHARACTERS:
        sentence = copy.detect_too_long(len(text), MAX_CHARACTERS)
        raise gr.Error(sentence, print_exception=False)
    if service.state() == "loading":
        raise gr.Error(copy.STATUS["loading"], print_exception=False)
    return record(service.judges_for_visitors(), text)


def record(judges: Judges, text: str) -> Record:
    """What can be said of a text; `probability` is null where nothing can."""
    bare = " ".join(canonical.strip_links(text).split())
    trust = judges.trust_in(len(bare))
    repeats = judges.repeats(text)
    if judges.detector is None:
        why, verdict, trust = copy.DETECT_NO_JUDGE, None, None
    elif canonical.is_too_short(bare):
        why = copy.detect_too_short(canonical.MIN_CHARACTERS, canonical.MIN_WORDS)
        verdict = trust = None
    elif trust is not None and not trust.tells_apart():
        why, verdict = copy.detect_untrusted(trust), None
    else:
        verdict = judges.detector.judge(text)
        why = copy.leaning(verdict.probability, UNDECIDED)
    return {
        "text": text,
        "probability": round(verdict.probability, 3) if verdict else None,
        "verdict": why,
        "trust": copy.trust_sentence(trust) if trust else "",
        "figures": _figures(trust) if trust else None,
        "passages": list(_passages(text, verdict)) if verdict else [],
        "repeats": [list(passage) for passage in repeats],
        "repeated_share": round(share_of(repeats, text), 3),
        "note": copy.repeats_note(share_of(repeats, text)) if repeats else "",
    }


def _figures(trust: Trust) -> Record:
    """What was measured on texts of that length, held back from the detector."""
    return {
        "characters": [trust.minimum, trust.maximum],
        "real_texts": trust.real,
        "generated_texts": trust.generated,
        "accuracy": [trust.accuracy.value, trust.accuracy.low, trust.accuracy.high],
        "roc_auc": [trust.roc_auc.value, trust.roc_auc.low, trust.roc_auc.high],
    }


def _passages(text: str, verdict: Verdict) -> Iterator[Record]:
    """Neighbouring words that speak for the same side, as one; `weight` is their part of the
    logit, positive for a computer."""
    runs = [_joined(words) for _, words in groupby(_centred(verdict), lambda w: w.contribution > 0)]
    strongest = max((abs(run.contribution) for run in runs), default=0.0)
    for start, end, weight in runs:
        if abs(weight) >= WEAKEST_SHOWN * strongest:
            yield {
                "start": start,
                "end": end,
                "text": text[start:end],
                "speaks_for": "computer" if weight > 0 else "person",
                "weight": round(weight, 3),
                "strength": round(abs(weight) / strongest, 2),
            }


def _centred(verdict: Verdict) -> Iterator[JudgedWord]:
    """The words, with what the detector says of no word shared out by their length: so that they
    sum to the whole logit, and one that speaks for a person is not lost in a common offset."""
    logit = math.log(verdict.probability / (1 - verdict.probability))
    offset = logit - math.fsum(word.contribution for word in verdict.passages)
    characters = sum(word.end - word.start for word in verdict.passages)
    for word in verdict.passages:
        share = offset * (word.end - word.start) / characters
        yield word._replace(contribution=word.contribution + share)


def _joined(words: Iterable[JudgedWord]) -> JudgedWord:
    run = list(words)
    return JudgedWord(run[0].start, run[-1].end, sum(word.contribution for word in run))
