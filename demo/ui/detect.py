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
from demo.ui import copy
from demo.ui.api import Record, document
from demo.ui.components import browser_function, build_component
from demo.ui.results import DetectorFigures, DetectResult, PassageResult

MAX_CHARACTERS = 1_000
# What is within it of even odds leans to neither side.
UNDECIDED = 0.05
# Of a text that stands in real tweets: from the first, most of it does; from the second, all of it.
MOSTLY, WHOLLY = 0.5, 0.95
# Of the strongest passage: weaker ones are left unmarked, or nearly every word would be marked.
WEAKEST_SHOWN = 0.15


def build_detect_tab(detect: Callable[[str], Any]) -> None:
    """Lays the tab out inside the current Blocks and wires it; `detect` is the endpoint."""
    with gr.Column(elem_id="cd-detect"):
        with gr.Column(elem_id="cd-detect-form"):
            text = gr.Textbox(
                label=copy.DETECT_LABEL,
                placeholder=copy.DETECT_PLACEHOLDER,
                info=copy.DETECT_INTRO,
                max_length=MAX_CHARACTERS,
                lines=5,
                max_lines=12,
                elem_id="cd-detect-text",
            )
            button = gr.Button(copy.DETECT_BUTTON, variant="primary", elem_id="cd-detect-button")
        verdict = build_component("detect", "cd-verdict", words=dict(copy.DETECT))
    judging = gr.on(
        [button.click, text.submit],
        detect,
        inputs=text,
        outputs=verdict,
        api_visibility="private",
        preprocess=False,
        show_progress="hidden",
    )
    judging.failure(None, js=browser_function("noVerdict", error=copy.NO_ANSWER), outputs=verdict)


def make_detect(service: Service, persona: Persona) -> Callable[[str], Record]:
    """The endpoint's function; its signature and docstring are the API's docs."""

    def detect(text: str) -> dict[str, Any]:
        # Whatever was sent, not only what the annotation asks for.
        if not isinstance(text, str):
            raise gr.Error(copy.DETECT_NO_TEXT, print_exception=False)
        if len(text) > MAX_CHARACTERS:
            sentence = copy.DETECT_TOO_LONG.format(characters=len(text), limit=MAX_CHARACTERS)
            raise gr.Error(sentence, print_exception=False)
        if service.state() == "loading":
            raise gr.Error(copy.STATUS["loading"], print_exception=False)
        return asdict(judge(service.judges_for_visitors(), text))

    argument = f"text: The text to be judged, at most {MAX_CHARACTERS:,} characters."
    description = copy.DETECT_DESCRIPTION.format(persona=persona)
    detect.__doc__ = document(description, [argument])
    return detect


def judge(judges: Judges, text: str) -> DetectResult:
    """What can be said of a text."""
    bare = " ".join(canonical.strip_links(text).split())
    trust = judges.trust_in(len(bare))
    repeats = judges.repeats(text)
    verdict: Verdict | None = None
    # Links are in no passage.
    copied = share_of(repeats, text) * len(text) / len(bare) if bare else 0.0
    if copied >= MOSTLY:
        why, trust = copy.DETECT_IS_REAL if copied >= WHOLLY else copy.DETECT_MOSTLY_REAL, None
    elif judges.detector is None:
        why, trust = copy.DETECT_NO_JUDGE, None
    elif canonical.is_too_short(bare):
        least = {"characters": canonical.MIN_CHARACTERS, "words": canonical.MIN_WORDS}
        why, trust = copy.DETECT_TOO_SHORT.format(**least), None
    elif trust is not None and not trust.tells_apart():
        why = copy.detect_untrusted(trust)
    else:
        verdict = judges.detector.judge(text)
        why = copy.leaning(verdict.probability, UNDECIDED)
    share = share_of(repeats, text)
    return DetectResult(
        text=text,
        probability=round(verdict.probability, 3) if verdict else None,
        verdict=why,
        trust=copy.trust_sentence(trust) if trust else "",
        figures=_figures(trust) if trust else None,
        passages=list(_passages(text, verdict)) if verdict else [],
        repeats=[list(passage) for passage in repeats],
        repeated_share=round(share, 3),
        note=copy.repeats_note(share) if repeats and copied < WHOLLY else "",
    )


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
