"""What visitors read: which texts are drawn, what is counted in them, and when a bar holds."""

from dataclasses import replace
from typing import Any

import pytest

from demo.checkpoints.persona import NOBODY
from demo.generation.profile import Profile
from demo.generation.request import GenerationRequest
from demo.judging.judges import Share
from tests.scripted import ScriptedEngine
from training.sampling import Sample
from training.visitors import (
    COMMON,
    CONTINUED,
    EXAMPLES,
    NO_PROMPT,
    Bar,
    Group,
    draw_groups,
    measure_visitors,
    render,
)

REAL = ["The teapot counts the cups!", "The teapot SINGS alone today", "@user The teapot", "A cup"]


def group(*texts: str, prompt: str = "", ended: bool = True) -> Group:
    return Group([prompt] * len(texts), [Sample(text, ended) for text in texts])


@pytest.fixture
def figures() -> dict[str, Any]:
    return measure_visitors(
        {
            NO_PROMPT: group("Thank you @user!", "half a \ufffd pair"),
            EXAMPLES: group("Today", "Today I sing!", prompt="Today"),
            COMMON: group("The teapot cries", prompt="The teapot", ended=False),
            CONTINUED: group("A cup", prompt="A cup"),
            "mood: Off script": group("WHAT @user"),
        },
        train=["The teapot was here and there", "Another one"],
        test=REAL[:2],
    )


def test_what_is_wrong_with_texts_is_counted(figures: dict[str, Any]) -> None:
    groups = figures["groups"]
    assert groups[NO_PROMPT]["user"] == groups[NO_PROMPT]["broken"] == 0.5
    assert (groups[NO_PROMPT]["empty"], groups[EXAMPLES]["empty"]) == (None, 0.5)
    assert groups[COMMON]["within_280"] == 0.0
    assert groups["mood: Off script"]["user"] == 1.0
    assert groups["real tweets of test"]["exclamations"] == 0.5
    # Of train and test together, those that begin as the texts after an opening do.
    same = groups[f"real tweets with the {COMMON}"]
    assert same["texts"] == 3
    # Tweets of train that "repeat train" would say nothing.
    assert same["repeats"] is None


def test_bars_are_for_the_texts_at_the_defaults(figures: dict[str, Any]) -> None:
    bars = {bar["name"]: bar for bar in figures["bars"]}
    assert figures["samples"] == 5
    assert bars["texts with `@user`"]["found"]["value"] == 1 / 5
    assert bars["ended by themselves within 280 characters"]["found"]["value"] == 4 / 5
    assert bars["texts with a control character or U+FFFD"]["holds"] == "no"
    # *Continue* counts here too: 2 of 4 prompts.
    assert bars["prompts after which nothing came"]["found"]["value"] == 0.5
    assert bars["texts with a !, by real tweets' share"]["found"]["value"] == pytest.approx(0.8)
    assert "no, not certain" in render(figures)


@pytest.mark.parametrize(
    ("found", "least", "most", "holds"),
    [
        (Share(0.01, 0.005, 0.015), None, 0.02, "yes"),
        (Share(0.01, 0.005, 0.025), None, 0.02, "yes, not certain"),
        (Share(0.03, 0.015, 0.04), None, 0.02, "no, not certain"),
        (Share(0.03, 0.025, 0.04), None, 0.02, "no"),
        (Share(1.0, 0.95, 1.05), 0.9, 1.1, "yes"),
        (Share(0.0, 0.0, 0.0), None, 0.0, "yes"),
    ],
)
def test_a_bar_is_certain_if_the_whole_interval_says_so(
    found: Share, least: float | None, most: float | None, holds: str
) -> None:
    assert Bar("", found, least, most).holds() == holds


def test_texts_are_drawn_as_visitors_ask_for_them() -> None:
    profile = Profile(
        NOBODY.model_copy(update={"examples": ("Today I'll be",)}),
        replace(GenerationRequest(seed=0), temperature=0.7),
    )
    engine = ScriptedEngine()
    groups = draw_groups(engine, profile, REAL, samples=16)
    assert {name: len(one.samples) for name, one in groups.items()} == {
        NO_PROMPT: 8, EXAMPLES: 4, COMMON: 4, CONTINUED: 2,
        "mood: On script": 2, "mood: Off script": 2, "mood: 3 a.m.": 2, "mood: One-liner": 2,
    }  # fmt: skip
    assert set(groups[EXAMPLES].prompts) == {"Today I'll be"}
    assert groups[CONTINUED].prompts[0] == groups[NO_PROMPT].samples[0].text
    seeds = [request.seed for request in engine.requests]
    assert len(set(seeds)) == len(seeds) == 26
    by_seed = sorted(engine.requests, key=lambda request: request.seed or 0)
    assert {request.temperature for request in by_seed[:18]} == {0.7}
    assert {request.max_new_tokens for request in by_seed[-2:]} == {20}
