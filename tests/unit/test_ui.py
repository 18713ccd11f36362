"""The endpoint's function, its results and the style sheet, without a server."""

import re

import gradio as gr
import pytest

from demo.generation.engine import Ending
from demo.generation.introduction import introduce
from demo.generation.request import FIELDS, GenerationRequest
from demo.serving.service import ready
from demo.ui.endpoint import make_generate
from demo.ui.result import Record, Result
from demo.ui.theme import CSS_FILE
from tests.scripted import ScriptedEngine
from training.card import EMBEDDED

INTRODUCTION = introduce(EMBEDDED)
SCOPES = ("#computer-dump", ".dark #computer-dump", ".gradio-container:has(#computer-dump)")


def test_closing_the_endpoint_closes_the_engines_stream(engine: ScriptedEngine) -> None:
    updates = make_generate(ready(engine), INTRODUCTION)("slow")
    while not next(updates)["generated"]:
        pass
    assert engine.active == 1
    updates.close()  # type: ignore[attr-defined]
    assert (engine.active, engine.closed) == (0, 1)


def test_a_failure_closes_the_engines_stream_and_keeps_what_was_asked(
    engine: ScriptedEngine,
) -> None:
    records: list[Record] = []
    with pytest.raises(gr.Error, match="Something went wrong"):
        records.extend(make_generate(ready(engine), INTRODUCTION)("crash"))
    assert records[-1]["prompt"] == "crash"
    assert records[-1]["finish_reason"] == "error"
    assert (engine.active, engine.closed) == (0, 1)


def test_what_is_asked_reaches_the_engine_unchanged(engine: ScriptedEngine) -> None:
    list(make_generate(ready(engine), INTRODUCTION)("Today", 5, 0.5, 0.6, 7, 1.2, 42))
    assert engine.requests == [GenerationRequest("Today", 5, 0.5, 0.6, 7, 1.2, 42)]


def test_the_docs_name_every_field_with_its_limits(engine: ScriptedEngine) -> None:
    docs = make_generate(ready(engine), INTRODUCTION).__doc__ or ""
    for field in FIELDS.values():
        assert f"{field.name}: From {field.minimum:g} to {field.maximum:.10g}." in docs


def test_a_length_that_the_context_cut_is_said(engine: ScriptedEngine) -> None:
    ending = Ending("length", 900, 40, 40, 0.1, 1.0)
    result = Result(
        GenerationRequest("x", 60, seed=1), engine.identity, INTRODUCTION.persona, " y", ending
    )
    assert "from 60 to 40 tokens" in result.record()["note"]


def test_a_trailing_space_is_not_shown_twice(engine: ScriptedEngine) -> None:
    result = Result(
        GenerationRequest("Today ", seed=1), engine.identity, INTRODUCTION.persona, " we win"
    )
    assert result.text == "Today we win"


def test_no_style_reaches_a_page_that_embeds_ours() -> None:
    css = re.sub(r"/\*.*?\*/", "", CSS_FILE.read_text(encoding="utf-8"), flags=re.DOTALL)
    css = re.sub(r"@keyframes cd-\w+ \{.*\}", "", css)
    preludes = re.findall(r"([^{}]+)\{", css)
    selectors = [part.strip() for prelude in preludes for part in prelude.split(",")]
    scoped = [selector for selector in selectors if not selector.startswith("@media")]
    assert len(scoped) > 50
    assert [selector for selector in scoped if not selector.startswith(SCOPES)] == []
