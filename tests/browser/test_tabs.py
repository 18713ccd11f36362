"""Detect and About, and what every tab owes to everyone: axe, the keyboard, a picture."""

import re
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.actions import finished
from tests.browser.conftest import cut_off, open_page
from tests.processes import AppProcess
from tests.scripted import REAL_TWEET

ZEBRA = "The zebra and the zoo were fuzzy and dizzy, and the jazz was all buzz"
TABS = ("Write", "Guess", "Detect", "About")


def open_tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name).click()
    expect(page.get_by_role("tab", name=name)).to_have_attribute("aria-selected", "true")


def judge(page: Page, text: str) -> None:
    page.get_by_label("Paste a tweet").fill(text)
    page.get_by_role("button", name="Who wrote this?").click()


def test_a_verdict_shows_its_lean_its_words_and_how_far_to_trust_it(page: Page) -> None:
    open_tab(page, "Detect")
    judge(page, f"🫖 {ZEBRA}")
    expect(page.locator(".cd-verdict-words")).to_contain_text("Probably the computer.")
    expect(page.locator(".cd-judged")).to_have_text(f"🫖 {ZEBRA}")
    expect(page.locator(".cd-judged .cd-for-computer").first).to_contain_text("z")
    expect(page.locator(".cd-trust")).to_contain_text("a coin flip gets 50%")
    expect(page.locator(".cd-probability")).to_contain_text("% computer (starting from 50:50)")


def test_too_short_a_text_cannot_be_judged(page: Page) -> None:
    open_tab(page, "Detect")
    judge(page, "Sad!")
    expect(page.locator(".cd-verdict-words")).to_contain_text("Too short to judge")
    expect(page.locator(".cd-gauge")).to_be_hidden()


def test_a_pasted_tweet_is_called_real_and_nothing_beside_it_says_otherwise(page: Page) -> None:
    open_tab(page, "Detect")
    judge(page, REAL_TWEET)
    expect(page.locator(".cd-verdict-words")).to_have_text("This is a real tweet, word for word.")
    for name in (".cd-gauge", ".cd-probability", "#cd-verdict .cd-note", ".cd-trust"):
        expect(page.locator(name)).to_be_hidden()


def test_pasted_markup_is_only_text(page: Page) -> None:
    open_tab(page, "Detect")
    evil = "<img src=x onerror=window.hacked=1> ${window.hacked=1} {{value}} and some more zebras"
    judge(page, evil)
    expect(page.locator(".cd-judged")).to_have_text(evil)
    assert page.evaluate("window.hacked") is None


def test_about_shows_the_checkpoint_its_figures_and_its_plot(page: Page) -> None:
    open_tab(page, "About")
    expect(page.locator(".cd-checkpoint-name")).to_contain_text("scripted@0123456789ab")
    expect(page.locator(".cd-figures tr")).not_to_have_count(0)
    expect(page.get_by_role("row", name="bits per byte")).to_contain_text(re.compile(r"1\.\d{3}"))
    expect(page.locator(".cd-plot img")).to_be_visible()
    expect(page.locator("#cd-about")).to_contain_text("did not write, say or approve")


def test_abouts_snippets_name_this_demo_and_can_be_copied(
    page: Page, scripted_app: AppProcess
) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    open_tab(page, "About")
    boxes = page.locator(".cd-snippet")
    expect(boxes).to_have_count(8)
    for i in range(8):
        expect(boxes.nth(i).locator("pre")).to_contain_text(scripted_app.url)
    boxes.first.get_by_role("button", name="Copy").click()
    assert page.evaluate("navigator.clipboard.readText()") == boxes.first.locator("pre").evaluate(
        "pre => pre.textContent"
    )


@pytest.mark.parametrize("name", ["guess", "detect", "about"])
def test_a_tab_can_be_linked_to(visitor: Page, scripted_app: AppProcess, name: str) -> None:
    page = open_page(visitor, f"{scripted_app.url}/#{name}", wait_for=f"#cd-{name}")
    expect(page.get_by_role("tab", name=name.title())).to_have_attribute("aria-selected", "true")


def test_each_tab_has_an_address_and_back_leads_to_the_last_one(
    page: Page, scripted_app: AppProcess
) -> None:
    chosen = page.get_by_role("tab", selected=True)
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


def test_coming_back_to_a_link_that_was_followed_writes_nothing_again(
    visitor: Page, scripted_app: AppProcess
) -> None:
    page = open_page(visitor, f"{scripted_app.url}/#prompt=Hello&seed=5")
    expect(page.locator(".cd-card")).to_have_attribute("data-state", "finished")
    finished(page, "Today")
    open_tab(page, "About")
    page.go_back()
    expect(page.get_by_role("tab", selected=True)).to_have_text("Write")
    page.wait_for_timeout(500)
    expect(page.locator(".cd-card .cd-prompt")).to_have_text("Today")


def test_arrow_keys_move_among_the_tabs(page: Page) -> None:
    page.get_by_role("tab", name="Write").focus()
    chosen = page.get_by_role("tab", selected=True)
    for key, name in (
        ("ArrowRight", "Guess"), ("End", "About"), ("ArrowRight", "Write"), ("ArrowLeft", "About"),
        ("Home", "Write"),
    ):  # fmt: skip
        page.keyboard.press(key)
        expect(chosen).to_have_text(name)
        expect(chosen).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("tab", name="Guess")).not_to_be_focused()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", TABS)
def test_axe_finds_nothing_serious(
    visitor: Page, scripted_app: AppProcess, name: str, theme: str
) -> None:
    page = open_page(visitor, f"{scripted_app.url}/?__theme={theme}")
    page.emulate_media(reduced_motion="reduce")
    if name == "Write":
        page.get_by_role("button", name="Advanced").click()
        finished(page, "quote")
    else:
        open_tab(page, name)
    if name == "Detect":
        judge(page, ZEBRA)
        expect(page.locator(".cd-verdict-words")).to_be_visible()
    page.wait_for_timeout(400)
    found = [
        (violation["impact"], violation["id"], [node["target"] for node in violation["nodes"]])
        for violation in Axe().run(page).response["violations"]
        if violation["impact"] in ("serious", "critical")
    ]
    assert found == []


# What can be pressed and is smaller than 24 pixels, unless it stands in a sentence (WCAG 2.5.8).
SMALL = """() => [...document.querySelectorAll(
        "#computer-dump :is(button, input, textarea, a[href], summary)")]
    .map((e) => (e.type === "radio" ? e.closest("label") : e))
    .filter((e) => e.checkVisibility({visibilityProperty: true}) && !(e.matches("p a")))
    .filter((e) => { const { width, height } = e.getBoundingClientRect();
        return width > 0 && (width < 24 || height < 24); })
    .map((e) => e.outerHTML.slice(0, 90))"""


@pytest.mark.parametrize("width", [360, 1280])
def test_everything_that_can_be_pressed_is_large_enough_for_a_finger(
    page: Page, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 740})
    finished(page, "Today")
    page.get_by_role("button", name="Advanced").click()
    page.locator(".cd-history-title").click()
    page.wait_for_timeout(300)
    assert page.evaluate(SMALL) == []
    sizes = page.locator("#computer-dump :is(input, textarea)").evaluate_all(
        "fields => fields.map((field) => parseFloat(getComputedStyle(field).fontSize))"
    )
    # A phone zooms in on a field with smaller letters.
    assert width > 360 or min(sizes) >= 16


# A property that must differ between the two.
TOLD_BY = (
    ("[role=tab][aria-selected=true]", "[role=tab][aria-selected=false]", "outlineStyle"),
    ("#cd-preset label:has(:checked)", "#cd-preset label:not(:has(:checked))", "backgroundColor"),
    (".cd-text .cd-prompt", ".cd-text", "backgroundColor"),
)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_what_colours_tell_is_told_in_forced_colours_too(
    page: Page, screenshots: Path, theme: Literal["light", "dark"]
) -> None:
    page.emulate_media(forced_colors="active", color_scheme=theme)
    finished(page, "Today")
    for chosen, other, name in TOLD_BY:
        styles = [
            page.locator(selector).first.evaluate(f"e => getComputedStyle(e).{name}")
            for selector in (chosen, other)
        ]
        assert styles[0] != styles[1], chosen
    page.screenshot(path=screenshots / f"forced-{theme}.png", full_page=True)
    page.emulate_media(forced_colors="null")


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
def test_every_control_can_be_reached_and_is_seen_when_it_is(page: Page, name: str) -> None:
    open_tab(page, name)
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


@pytest.mark.parametrize(("width", "theme"), [(390, "dark"), (1280, "light")])
def test_detect_and_about_fit_and_have_their_picture_taken(
    visitor: Page, scripted_app: AppProcess, screenshots: Path, width: int, theme: str
) -> None:
    page = open_page(visitor, f"{scripted_app.url}/?__theme={theme}")
    page.set_viewport_size({"width": width, "height": 900})
    open_tab(page, "Detect")
    judge(page, ZEBRA)
    expect(page.locator(".cd-verdict-words")).to_be_visible()
    page.screenshot(path=screenshots / f"detect-{width}-{theme}.png", full_page=True)
    open_tab(page, "About")
    expect(page.locator(".cd-plot img")).to_be_visible()
    page.screenshot(path=screenshots / f"about-{width}-{theme}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert cut_off(page) == []
