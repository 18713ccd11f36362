"""Detect and About, and what every tab owes to everyone: axe, the keyboard, a picture."""

import re
from pathlib import Path

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
    assert controls >= 4
    reached = {}
    for _ in range(controls + 10):
        page.keyboard.press("Tab")
        number, tag, is_seen = page.evaluate(FOCUSED)
        reached[number] = (tag, is_seen)
    assert len(reached) >= controls
    assert [tag for tag, is_seen in reached.values() if not is_seen and tag != "BODY"] == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
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
