"""The endpoint's function, its results and the style sheet, without a server."""

import re
import threading
from dataclasses import fields, replace

import gradio as gr
import pytest

from demo.checkpoints.embedded import EMBEDDED
from demo.generation.engine import Ending, EngineError
from demo.generation.profile import moods, read_profile
from demo.generation.request import FIELDS, GenerationRequest
from demo.judging.judges import Judges, read_metrics
from demo.server.service import Loaded, Service, ready
from demo.ui.about import Owner, figures
from demo.ui.api import Record, make_generate, make_generate_many
from demo.ui.components import STATIC, browser_function, read_static
from demo.ui.detect import IS_REAL, MOSTLY_REAL, judge
from demo.ui.results import LOADING, Draft, TextResult
from demo.ui.theme import CSS_FILE, DARK, LIGHT, palette_css
from tests.scripted import REAL_TWEET, Reply, ScriptedEngine, scripted_judges

PROFILE = read_profile(EMBEDDED)
# What every rule of the sheet is inside of, or begins with.
SCOPES = (
    "gradio-app",
    "#computer-dump:not(.column)",
    "body.dark > gradio-app:not([src]) #computer-dump",
)


def test_closing_the_endpoint_closes_the_engines_stream(engine: ScriptedEngine) -> None:
    updates = make_generate(ready(engine), PROFILE)("slow")
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
        records.extend(make_generate(ready(engine), PROFILE)("crash"))
    assert records[-1]["prompt"] == "crash"
    assert records[-1]["finish_reason"] == "error"
    assert (engine.active, engine.closed) == (0, 1)


def test_what_is_asked_reaches_the_engine_unchanged(engine: ScriptedEngine) -> None:
    list(make_generate(ready(engine), PROFILE)("Today", 5, 0.5, 0.6, 7, 1.2, 42))
    assert engine.requests == [GenerationRequest("Today", 5, 0.5, 0.6, 7, 1.2, 42)]


def test_the_docs_name_every_field_with_its_limits(engine: ScriptedEngine) -> None:
    docs = make_generate(ready(engine), PROFILE).__doc__ or ""
    for field in FIELDS.values():
        assert f"{field.name}: From {field.minimum:g} to {field.maximum:.10g}." in docs


def test_a_length_that_the_context_cut_is_said(engine: ScriptedEngine) -> None:
    ending = Ending("length", 900, 40, 40, 0.1, 1.0)
    request = GenerationRequest("x", 60, seed=1)
    draft = Draft(PROFILE.persona, request, engine.identity, " y", ending)
    assert "Shortened to 40 tokens" in draft.result().note


def test_a_trailing_space_is_not_shown_twice(engine: ScriptedEngine) -> None:
    request = GenerationRequest("Today ", seed=1)
    draft = Draft(PROFILE.persona, request, engine.identity, " we win")
    assert draft.text == draft.result().text == "Today we win"


def test_no_style_reaches_a_page_that_embeds_ours() -> None:
    css = palette_css() + CSS_FILE.read_text(encoding="utf-8")
    css = re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL)
    css = re.sub(r"@keyframes cd-\w+ \{.*\}", "", css)
    while (inner := re.sub(r"\{[^{}]*\}", ";", css)) != css:
        css = inner
    preludes = (part.strip() for part in re.split(r";|,(?![^(]*\))", css))
    selectors = [prelude for prelude in preludes if prelude]
    assert len(selectors) > 5
    assert [selector for selector in selectors if not selector.startswith(SCOPES)] == []


def test_every_class_that_is_styled_exists() -> None:
    css = CSS_FILE.read_text(encoding="utf-8")
    sources = [*STATIC.glob("*.js"), *STATIC.glob("*.html"), *STATIC.parent.glob("*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    # Put together by the scripts: "cd-for-" and a side, "." and a name.
    built = re.findall(r'(?:part|on)\("([\w-]+)"', text) + ["for-computer", "for-person"]
    names = {f"cd-{name}" for name in built}
    styled = set(re.findall(r"[.#](cd-[\w-]+)", css))
    assert len(styled) > 50
    assert sorted(name for name in styled if name not in text and name not in names) == []


def test_moods_differ_and_keep_to_the_limits() -> None:
    made = moods(PROFILE.defaults)
    assert made["Default"] == PROFILE.defaults
    assert len({tuple(request.settings().values()) for request in made.values()}) == len(made)


def test_several_texts_have_seeds_that_follow_each_other(engine: ScriptedEngine) -> None:
    last = list(make_generate_many(ready(engine), PROFILE)("Today", 3, seed=2**31 - 2))[-1]
    assert [text["settings"]["seed"] for text in last["texts"]] == [2**31 - 2, 2**31 - 1, 0]
    assert last["finished"]
    assert last["label"] == PROFILE.persona.label


def test_one_text_that_fails_is_said_in_its_place(engine: ScriptedEngine) -> None:
    engine.replies["odd"] = Reply(error=EngineError("Tired."))
    plain = engine.stream
    engine.stream = lambda request: plain(  # type: ignore[method-assign]
        request if request.seed == 5 else replace(request, prompt="odd")
    )
    last = list(make_generate_many(ready(engine), PROFILE)("Today", 2, seed=5))[-1]
    assert [text["finish_reason"] for text in last["texts"]] == ["end_of_tweet", "error"]
    assert last["texts"][1]["error"] == "Tired."
    assert last["finished"]


def test_a_call_fails_if_no_text_is_left(engine: ScriptedEngine) -> None:
    records: list[Record] = []
    with pytest.raises(gr.Error, match="tired"):
        records.extend(make_generate_many(ready(engine), PROFILE)("refuse", 2))
    assert records[-1]["finished"]


@pytest.mark.parametrize("count", [0, 5, 1.5, "2", None, True, float("nan")])
def test_a_count_that_is_none_is_refused_with_its_limits(
    engine: ScriptedEngine, count: object
) -> None:
    with pytest.raises(gr.Error, match="count"):
        list(make_generate_many(ready(engine), PROFILE)("Today", count))
    assert engine.requests == []


def test_a_text_with_a_real_tweet_in_it_says_so_wherever_it_goes(engine: ScriptedEngine) -> None:
    service = ready(engine, scripted_judges())
    last = list(make_generate(service, PROFILE)("quote"))[-1]
    (passage,) = last["repeats"]
    assert last["text"][slice(*passage)] == REAL_TWEET
    assert last["repeated_share"] == pytest.approx(len(REAL_TWEET) / len(last["text"]), abs=0.001)
    assert "copied word for word from a real tweet" in last["note"]
    assert last["note"] in last["shareable"]


def test_a_verdict_is_never_flat_and_sums_up_its_words() -> None:
    text = "The zebra and the zoo were fuzzy and dizzy, and the jazz was all buzz"
    said = judge(scripted_judges(), text)
    assert said.verdict == "Probably the computer."
    assert said.probability is not None
    assert 0.5 < said.probability < 1
    for passage in said.passages:
        assert text[passage.start : passage.end] == passage.text
    assert {p.speaks_for for p in said.passages} == {"computer", "person"}
    assert said.trust.startswith("At this length (40 characters or more) it is right about 70%")
    assert "measured on 900 texts; a coin flip gets 50%" in said.trust


@pytest.mark.parametrize(
    ("text", "verdict", "note"),
    [
        (REAL_TWEET, IS_REAL, ""),
        (f"  {REAL_TWEET} https://t.co/aaaaaaaaaa", IS_REAL, ""),
        (f"{REAL_TWEET} and the zoo was fuzzy", MOSTLY_REAL, "word for word"),
    ],
)
def test_what_is_known_to_be_real_is_not_judged_as_well(text: str, verdict: str, note: str) -> None:
    said = judge(scripted_judges(), text)
    assert (said.verdict, said.probability, said.passages, said.trust) == (verdict, None, [], "")
    assert said.repeats
    assert note in said.note


def test_a_text_with_a_little_of_a_real_one_is_judged() -> None:
    said = judge(scripted_judges(), f"{'The zebra and the zoo were fuzzy. ' * 4}{REAL_TWEET}")
    assert said.verdict == "Probably the computer."
    assert "word for word" in said.note


@pytest.mark.parametrize(
    ("judges", "text", "why"),
    [
        (scripted_judges(), "", "at least 20 characters and 3 words"),
        (scripted_judges(), "https://t.co/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "at least 20"),
        (scripted_judges(), "The zebra ate all the maize", "no better than a coin flip"),
        (Judges(), "The zebra and the zoo were fuzzy and dizzy", "without a detector"),
    ],
)
def test_what_cannot_be_said_is_not_said(judges: Judges, text: str, why: str) -> None:
    said = judge(judges, text)
    assert said.probability is None
    assert said.passages == []
    assert said.verdict.startswith(("Can't tell: ", "Too short to judge: "))
    assert why in said.verdict


def test_figures_are_numbers_or_nothing() -> None:
    known = figures(read_metrics(EMBEDDED))
    assert all(isinstance(value, int | float) for value in known.values())
    shown = re.findall(r"^  (\w+): \"", read_static("about.html"), re.MULTILINE)
    assert len(shown) > 5
    assert set(shown) <= set(known)
    odd = {"evaluation": {"test": {"checkpoint": {"bits_per_byte": "<b>"}}}, "data": []}
    assert set(figures(odd).values()) == {None}


SPACE = "https://huggingface.co/spaces/user/demo"


@pytest.mark.parametrize(
    ("owner", "duplicate", "report"),
    [
        (Owner(), None, None),
        (Owner("me@example.org"), None, "mailto:me@example.org"),
        (Owner("https://social.example/@me"), None, "https://social.example/@me"),
        (Owner("", "user/demo"), f"{SPACE}?duplicate=true", f"{SPACE}/discussions"),
        (Owner("me@example.org", "user/demo"), f"{SPACE}?duplicate=true", "mailto:me@example.org"),
    ],
)
def test_reports_go_to_the_owner_and_copies_are_made_of_the_space(
    owner: Owner, duplicate: str | None, report: str | None
) -> None:
    found = {words: address for address, words in owner.links()}
    assert found.get("Duplicate this Space") == duplicate
    assert found.get("Report a problem") == report


KEYS = {field.name for field in fields(TextResult)}


def test_a_text_has_the_same_keys_while_it_loads_grows_ends_and_fails(
    engine: ScriptedEngine,
) -> None:
    go = threading.Event()

    def load() -> Loaded:
        go.wait(10)
        return Loaded(engine)

    service = Service(load)
    service.begin()
    updates = make_generate(service, PROFILE)("Today")
    loading = next(updates)
    go.set()
    *growing, finished = list(updates)
    failing: list[Record] = []
    for values in (("crash",), ("Today", 9_999)):
        with pytest.raises(gr.Error):
            failing.extend(make_generate(ready(engine), PROFILE)(*values))
    many = list(make_generate_many(ready(engine), PROFILE)("Today", 2))
    assert growing
    assert all(set(update) == {"texts", "label", "finished"} for update in many)
    texts = [text for update in many for text in update["texts"]]
    for text in (loading, *growing, finished, *failing, *texts):
        assert set(text) == KEYS
    assert (loading["note"], loading["source"]) == (LOADING, None)
    assert (finished["error"], finished["finish_reason"]) == (None, "end_of_tweet")
    assert failing[-1]["error"].startswith("max_new_tokens is 9999")
    assert {text["finish_reason"] for text in failing} == {None, "error"}


def test_every_event_of_the_page_has_its_function() -> None:
    text = read_static("events.js")
    names = re.findall(r"^function (\w+)\(", text, re.MULTILINE)
    files = (STATIC.parent / name for name in ("write.py", "detect.py"))
    source = "".join(path.read_text(encoding="utf-8") for path in files)
    assert set(re.findall(r'browser_function\(\s*"(\w+)"', source)) == set(names)
    for name in names:
        assert browser_function(name).count(f"function {name}(") == 1


def test_every_colour_has_its_home_in_the_theme() -> None:
    sources = [path for path in STATIC.iterdir() if path.suffix in (".css", ".svg", ".js", ".html")]
    text = {path.name: path.read_text(encoding="utf-8") for path in sources}
    colour = re.compile(r"#(?:[0-9a-f]{6}|[0-9a-f]{3})\b")
    # A post of somebody else's is not the demo's.
    assert [name for name in text if colour.search(text[name]) and name != "embed.html"] == []
    used = {name for part in text.values() for name in re.findall(r"var\(--cd-([\w-]+)\)", part)}
    assert used - {"strength", "room"} == set(LIGHT)
    assert set(DARK) <= set(LIGHT)
