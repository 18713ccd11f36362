"""Detect and About, and what every tab owes to everyone: axe, the keyboard, a picture."""

import re
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.actions import expect_plot, finished
from tests.browser.conftest import open_page, pictured
from tests.browser.steady import assert_steady
from tests.processes import AppProcess
from tests.scripted import REAL_TWEET

EVIL = "<img src=x onerror=window.hacked=1> ${window.hacked=1} {{value}} and some more zebras"
ZEBRA = "The zebra and the zoo were fuzzy and dizzy, and the jazz was all buzz"
TABS = ("Write", "Guess", "Detect", "About")


def open_tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name).click()
    expect(page.get_by_role("tab", name=name)).to_have_attribute("aria-selected", "true")


def judge(page: Page, text: str) -> None:
    page.get_by_label("Paste a tweet").fill(text)
    page.get_by_role("button", name="Who wrote this?").click()


def violations(page: Page) -> list[object]:
    """What axe finds serious."""
    return [
        (violation["impact"], violation["id"], [node["target"] for node in violation["nodes"]])
        for violation in Axe().run(page).response["violations"]
        if violation["impact"] in ("serious", "critical")
    ]


def test_a_verdict_shows_its_lean_its_words_and_how_far_to_trust_it(page: Page) -> None:
    open_tab(page, "Detect")
    judge(page, f"🫖 {ZEBRA}")
    words, judged = page.locator(".cd-verdict-words"), page.locator(".cd-judged")
    expect(words).to_contain_text("Probably the computer.")
    expect(judged).to_have_text(f"🫖 {ZEBRA}")
    expect(judged.locator(".cd-for-computer").first).to_contain_text("z")
    expect(page.locator(".cd-trust")).to_contain_text("a coin flip gets 50%")
    expect(page.locator(".cd-probability")).to_contain_text("% computer (starting from 50:50)")
    # Too short a text cannot be judged.
    judge(page, "Sad!")
    expect(words).to_contain_text("Too short to judge")
    expect(page.locator(".cd-gauge")).to_be_hidden()
    # Pasted markup is only text.
    judge(page, EVIL)
    expect(judged).to_have_text(EVIL)
    assert page.evaluate("window.hacked") is None
    # Nothing beside a tweet that is called real says otherwise.
    judge(page, REAL_TWEET)
    expect(words).to_have_text("This is a real tweet, word for word.")
    for name in (".cd-gauge", ".cd-probability", "#cd-verdict .cd-note", ".cd-trust"):
        expect(page.locator(name)).to_be_hidden()


def test_about_shows_the_checkpoint_and_snippets_that_name_this_demo_and_can_be_copied(
    page: Page, scripted_app: AppProcess
) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    open_tab(page, "About")
    expect(page.locator(".cd-checkpoint-name")).to_contain_text("scripted@0123456789ab")
    expect(page.locator(".cd-figures tr")).not_to_have_count(0)
    expect(page.get_by_role("row", name="bits per byte")).to_contain_text(re.compile(r"1\.\d{3}"))
    expect_plot(page)
    expect(page.locator("#cd-about")).to_contain_text("did not write, say or approve")
    assert_steady(page)
    boxes = page.locator(".cd-snippet")
    expect(boxes).to_have_count(8)
    for i in range(8):
        expect(boxes.nth(i).locator("pre")).to_contain_text(scripted_app.url)
    boxes.first.get_by_role("button", name="Copy").click()
    expect(boxes.first.locator("button")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == boxes.first.locator("pre").evaluate(
        "pre => pre.textContent"
    )
    assert_steady(page, even_after_input=True)


def test_each_tab_has_an_address_keys_and_a_way_back_that_writes_nothing_again(
    visitor: Page, scripted_app: AppProcess
) -> None:
    page = open_page(visitor, f"{scripted_app.url}/#prompt=Hello&seed=5")
    chosen, prompt = page.get_by_role("tab", selected=True), page.locator(".cd-card .cd-prompt")
    expect(prompt).to_have_text("Hello")
    expect(page.locator(".cd-card")).to_have_attribute("data-state", "finished")
    finished(page, "Today")
    expect(prompt).to_have_text("Today")
    open_tab(page, "About")
    page.go_back()
    expect(chosen).to_have_text("Write")
    page.wait_for_timeout(500)
    expect(prompt).to_have_text("Today")

    open_page(page, f"{scripted_app.url}/")
    for name in ("Detect", "About", "Write"):
        open_tab(page, name)
    expect(page).to_have_url(f"{scripted_app.url}/")
    page.go_back()
    expect(page).to_have_url(f"{scripted_app.url}/#about")
    expect(chosen).to_have_text("About")
    page.go_back()
    expect(chosen).to_have_text("Detect")
    page.go_back()
    expect(chosen).to_have_text("Write")
    page.go_forward()
    expect(chosen).to_have_text("Detect")

    page.go_back()
    expect(chosen).to_have_text("Write")
    page.get_by_role("tab", name="Write").focus()
    for key, name in (
        ("ArrowRight", "Guess"), ("End", "About"), ("ArrowRight", "Write"), ("ArrowLeft", "About"),
        ("Home", "Write"),
    ):  # fmt: skip
        page.keyboard.press(key)
        expect(chosen).to_have_text(name)
        expect(chosen).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("tab", name="Guess")).not_to_be_focused()


# What can be pressed and is smaller than 24 pixels, unless it stands in a sentence (WCAG 2.5.8).
SMALL = """() => [...document.querySelectorAll(
        "#computer-dump :is(button, input, textarea, a[href], summary)")]
    .map((e) => (e.type === "radio" ? e.closest("label") : e))
    .filter((e) => e.checkVisibility({visibilityProperty: true}) && !(e.matches("p a")))
    .filter((e) => { const { width, height } = e.getBoundingClientRect();
        return width > 0 && (width < 24 || height < 24); })
    .map((e) => e.outerHTML.slice(0, 90))"""


# What the keyboard must reach; of radio buttons, one of each group.
CONTROLS = """() => [...document.querySelectorAll(
        "#computer-dump :is(button, input, textarea, a[href], summary, pre)")]
    .filter((e) => e.checkVisibility({visibilityProperty: true}) && !e.disabled && e.tabIndex >= 0
        && !(e.type === "radio" && !e.checked)).length"""
# What has the focus, once, and whether that can be seen of it.
FOCUSED = """() => {
    const e = document.activeElement;
    const drawn = [e, e.closest("label") || e].map((x) => getComputedStyle(x));
    return [[...document.querySelectorAll("*")].indexOf(e), e.tagName,
        drawn.some((style) => style.outlineStyle !== "none" || style.boxShadow !== "none")];
}"""


@pytest.mark.parametrize("name", TABS)
def test_a_tab_can_be_linked_to_and_is_for_every_eye_hand_and_window(
    visitor: Page, scripted_app: AppProcess, screenshots: Path, name: str
) -> None:
    """What axe finds, fingers press and the keyboard reaches; and its picture."""
    address = "" if name == "Write" else f"#{name.lower()}"
    page = open_page(visitor, f"{scripted_app.url}/{address}", f"#cd-{name.lower()}")
    expect(page.get_by_role("tab", name=name)).to_have_attribute("aria-selected", "true")
    page.emulate_media(reduced_motion="reduce")
    if name == "About":
        expect_plot(page)
    assert_steady(page)
    assert_every_control_is_reached(page)
    if name == "Write":
        page.get_by_role("button", name="Advanced").click()
        finished(page, "quote")
        page.locator(".cd-history-title").click()
    if name == "Detect":
        judge(page, ZEBRA)
        expect(page.locator(".cd-verdict-words")).to_be_visible()
        assert_steady(page, even_after_input=True)
    for width in (360, 1280):
        page.set_viewport_size({"width": width, "height": 740})
        page.wait_for_timeout(100)
        assert page.evaluate(SMALL) == [], width
        sizes = page.locator("#computer-dump :is(input, textarea)").evaluate_all(
            "fields => fields.map((field) => parseFloat(getComputedStyle(field).fontSize))"
        )
        # A phone zooms in on a field with smaller letters.
        assert width > 360 or min(sizes, default=16) >= 16
    if name in ("Detect", "About"):
        pictured(page, screenshots, name.lower())
    assert violations(page) == [], "by day"
    page.emulate_media(color_scheme="dark")
    page.locator("body.dark").wait_for()
    page.wait_for_timeout(300)
    assert violations(page) == [], "at night"


def assert_every_control_is_reached(page: Page) -> None:
    """By the Tab key; and it is seen when it is."""
    page.wait_for_timeout(300)
    controls = page.evaluate(CONTROLS)
    assert controls
    reached = {}
    for _ in range(controls + 10):
        page.keyboard.press("Tab")
        number, tag, is_seen = page.evaluate(FOCUSED)
        reached[number] = (tag, is_seen)
    assert len(reached) >= controls
    assert [tag for tag, is_seen in reached.values() if not is_seen and tag != "BODY"] == []


THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
# A property that must differ between the two.
TOLD_BY = (
    ("[role=tab][aria-selected=true]", "[role=tab][aria-selected=false]", "outlineStyle"),
    ("#cd-preset label:has(:checked)", "#cd-preset label:not(:has(:checked))", "backgroundColor"),
    (".cd-text .cd-prompt", ".cd-text", "backgroundColor"),
)


def test_what_colours_tell_is_told_in_forced_colours_too(page: Page, screenshots: Path) -> None:
    finished(page, "Today")
    for theme in THEMES:
        page.emulate_media(forced_colors="active", color_scheme=theme)
        for chosen, other, name in TOLD_BY:
            styles = [
                page.locator(selector).first.evaluate(f"e => getComputedStyle(e).{name}")
                for selector in (chosen, other)
            ]
            assert styles[0] != styles[1], (theme, chosen)
        page.screenshot(path=screenshots / f"forced-{theme}.png", full_page=True)
    page.emulate_media(forced_colors="null")
