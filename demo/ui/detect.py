"""The detecting tab and `/detect`: which way the detector leans, by which words, how surely.

It never says that a text *is* by a computer: it does not know that.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from itertools import groupby
from typing import Any

import gradio as gr

from demo.checkpoints.persona import Persona
from demo.judging import canonical
from demo.judging.detector import JudgedWord, Verdict
from demo.judging.judges import Judges, Trust, share_of
from demo.server.service import Service
from demo.ui.api import NO_ANSWER, Record, document
from demo.ui.components import browser_function, build_component
from demo.ui.results import (
    LOADING,
    DetectorFigures,
    DetectResult,
    PassageResult,
    repeats_note,
)

MAX_CHARACTERS = 1_000
# What is within it of even odds leans to neither side.
UNDECIDED = 0.05
# Of a text that stands in real tweets: from the first, most of it does; from the second, all of it.
MOSTLY, WHOLLY = 0.5, 0.95
# Of the strongest passage: weaker ones are left unmarked, or nearly every word would be marked.
WEAKEST_SHOWN = 0.15
INTRO = (
    "A small classifier compares letter patterns. It only knows this demo's tweets and real ones, "
    "so it can't spot ChatGPT. It is often wrong, and each result says how often."
)
IS_REAL = "This is a real tweet, word for word."
MOSTLY_REAL = "Most of this is from a real tweet, word for word."
DESCRIPTION = (
    "Says how likely a computer wrote a text, by which of its words, and how far that can be "
    "trusted at its length. It tells this demo's texts from {persona.tweets}, and was not "
    "made for any others. `probability` is null where nothing can be said."
)


def build_detect_tab(detect: Callable[[str], Any]) -> None:
    """Lays the tab out inside the current Blocks and wires it; `detect` is the endpoint."""
    with gr.Column(elem_id="cd-detect"):
        with gr.Column(elem_id="cd-detect-form"):
            text = gr.Textbox(
                label="Paste a tweet",
                placeholder="Any tweet, real or not",
                info=INTRO,
                max_length=MAX_CHARACTERS,
                lines=5,
                max_lines=12,
                elem_id="cd-detect-text",
            )
            button = gr.Button("Who wrote this?", variant="primary", elem_id="cd-detect-button")
        verdict = build_component("detect", "cd-verdict")
    judging = gr.on(
        [button.click, text.submit],
        detect,
        inputs=text,
        outputs=verdict,
        api_visibility="private",
        preprocess=False,
        show_progress="hidden",
    )
    judging.failure(None, js=browser_function("noVerdict", error=NO_ANSWER), outputs=verdict)


def make_detect(service: Service, persona: Persona) -> Callable[[str], Record]:
    """The endpoint's function; its signature and docstring are the API's docs."""

    def detect(text: str) -> dict[str, Any]:
        # Whatever was sent, not only what the annotation asks for.
        if not isinstance(text, str):
            raise gr.Error("text must be text: paste some first.", print_exception=False)
        if len(text) > MAX_CHARACTERS:
            raise gr.Error(
                f"text is too long: that's {len(text):,} characters; the limit is "
                f"{MAX_CHARACTERS:,}.",
                print_exception=False,
            )
        if service.state() == "loading":
            raise gr.Error(LOADING, print_exception=False)
        return asdict(judge(service.judges_for_visitors(), text))

    argument = f"text: The text to be judged, at most {MAX_CHARACTERS:,} characters."
    description = DESCRIPTION.format(persona=persona)
    detect.__doc__ = document(description, [argument])
    return detect


def judge(judges: Judges, text: str) -> DetectResult:
    bare = " ".join(canonical.strip_links(text).split())
    trust = judges.trust_in(len(bare))
    repeats = judges.repeats(text)
    verdict: Verdict | None = None
    # Links are in no passage.
    copied = share_of(repeats, text) * len(text) / len(bare) if bare else 0.0
    if copied >= MOSTLY:
        # Instead of a leaning, which could say the opposite.
        why, trust = IS_REAL if copied >= WHOLLY else MOSTLY_REAL, None
    elif judges.detector is None:
        why, trust = "Can't tell: this model came without a detector.", None
    elif canonical.is_too_short(bare):
        least = f"{canonical.MIN_CHARACTERS} characters and {canonical.MIN_WORDS} words"
        why, trust = f"Too short to judge: at least {least}.", None
    elif trust is not None and not trust.tells_apart():
        why = f"Can't tell: at {_characters(trust)} it is no better than a coin flip."
    else:
        verdict = judges.detector.judge(text)
        why = _leaning(verdict.probability)
    share = share_of(repeats, text)
    return DetectResult(
        text=text,
        probability=round(verdict.probability, 3) if verdict else None,
        verdict=why,
        trust=_reliability(trust) if trust else "",
        figures=_figures(trust) if trust else None,
        passages=list(_passages(text, verdict)) if verdict else [],
        repeats=[list(passage) for passage in repeats],
        repeated_share=round(share, 3),
        note=repeats_note(share) if repeats and copied < WHOLLY else "",
    )


def _leaning(probability: float) -> str:
    """Which side a probability (of a computer) leans to, never that it is so."""
    distance = abs(probability - 0.5)
    if distance < UNDECIDED:
        return "Could be either."
    side = "the computer" if probability > 0.5 else "a person"
    return f"{'Possibly' if distance < 0.15 else 'Probably'} {side}."


def _reliability(trust: Trust) -> str:
    return (
        f"At this length ({_characters(trust)}) it is right about {trust.accuracy.value:.0%} "
        f"of the time, measured on {trust.real + trust.generated:,} texts; a coin flip gets 50%."
    )


def _characters(trust: Trust) -> str:
    if trust.maximum is None:
        return f"{trust.minimum} characters or more"
    return f"{trust.minimum} to {trust.maximum} characters"


def _figures(trust: Trust) -> DetectorFigures:
    return DetectorFigures(
        characters=[trust.minimum, trust.maximum],
        real_texts=trust.real,
        generated_texts=trust.generated,
        accuracy=[trust.accuracy.value, trust.accuracy.low, trust.accuracy.high],
        roc_auc=[trust.roc_auc.value, trust.roc_auc.low, trust.roc_auc.high],
    )


def _passages(text: str, verdict: Verdict) -> Iterator[PassageResult]:
    """Neighbouring words that speak for the same side, as one; the weak ones are left out."""
    runs = [_joined(words) for _, words in groupby(_centred(verdict), lambda w: w.contribution > 0)]
    strongest = max((abs(run.contribution) for run in runs), default=0.0)
    for start, end, weight in runs:
        if abs(weight) >= WEAKEST_SHOWN * strongest:
            yield PassageResult(
                start,
                end,
                text[start:end],
                "computer" if weight > 0 else "person",
                round(weight, 3),
                round(abs(weight) / strongest, 2),
            )


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
