"""What comes is where the eyes are, and what is there already stays where it is."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.browser.actions import choose, prompt_box
from tests.browser.conftest import cut_off, open_page
from tests.processes import AppProcess

# What is called good is 0.1 (web.dev).
MOST_SHIFT = 0.05
PHONE = {"has_touch": True, "is_mobile": True, "viewport": {"width": 360, "height": 740}}
DESKTOP = {"viewport": {"width": 1280, "height": 800}}
# A window of 1280 by 800 at 200 %.
ZOOMED = {"viewport": {"width": 640, "height": 400}, "device_scale_factor": 2}


# Keeps layout shifts and what moved, as browsers count them: not within half a second after a key
# or a click.
OBSERVE_SHIFTS = """
window.shifts = [];
new PerformanceObserver((list) => {
  for (const { value, hadRecentInput, sources } of list.getEntries()) {
    const name = ({ node }) => node && (node.id || node.getAttribute?.("class") || node.nodeName);
    if (!hadRecentInput) window.shifts.push([value, ...sources.map(name)]);
  }
}).observe({type: "layout-shift", buffered: true});
"""


@contextmanager
def window(browser: Browser, settings: dict[str, Any]) -> Iterator[Page]:
    context = browser.new_context(**settings)
    context.add_init_script(OBSERVE_SHIFTS)
    yield context.new_page()
    context.close()


def expect_seen(text: Locator) -> None:
    """Waits until a card's text begins in the window, with room for a few lines."""
    page = text.page
    page.wait_for_function(
        """text => { const { top } = text.getBoundingClientRect();
            return top >= 0 && top + 100 <= window.innerHeight; }""",
        arg=text.element_handle(),
    )
    # A page that scrolls smoothly does so for a while.
    page.wait_for_timeout(700)


def assert_steady(page: Page) -> None:
    """Nothing that was in the window moved far."""
    shifts = page.evaluate("window.shifts")
    assert sum(value for value, *_ in shifts) <= MOST_SHIFT, shifts


@pytest.mark.parametrize("settings", [PHONE, ZOOMED, DESKTOP], ids=["phone", "zoomed", "desktop"])
def test_what_is_written_comes_into_view_and_moves_nothing(
    browser: Browser, scripted_app: AppProcess, settings: dict[str, Any]
) -> None:
    with window(browser, settings) as page:
        open_page(page, scripted_app.url)
        card = page.locator(".cd-card")
        expect(card).to_have_attribute("data-state", "specimen")
        prompt_box(page).tap() if settings is PHONE else prompt_box(page).focus()
        page.keyboard.type("Today I'll be")
        page.keyboard.press("Enter")
        expect(card).to_have_attribute("data-state", "finished")
        expect(card.locator(".cd-generated")).to_contain_text("computers")
        expect_seen(card.locator(".cd-text"))
        # A phone's keyboard leaves with the focus.
        focused = page.evaluate("document.activeElement.tagName")
        assert (focused == "TEXTAREA") == (settings is not PHONE)
        assert_steady(page)
        assert cut_off(page) == []


def test_who_opens_a_link_on_a_phone_sees_its_text(
    browser: Browser, scripted_app: AppProcess
) -> None:
    link = f"{scripted_app.url}/#prompt=long&seed=7&max_new_tokens=200"
    with window(browser, PHONE) as page:
        open_page(page, link)
        expect(page.locator(".cd-card")).to_have_attribute("data-state", "finished")
        expect_seen(page.locator(".cd-text"))
        assert_steady(page)


def test_four_texts_leave_the_settings_where_they_are(
    browser: Browser, scripted_app: AppProcess
) -> None:
    with window(browser, DESKTOP) as page:
        open_page(page, scripted_app.url)
        expect(page.locator(".cd-card")).to_have_attribute("data-state", "specimen")
        choose(page, "4")
        settings = page.locator("#cd-settings").bounding_box()
        page.locator("#cd-generate").click()
        expect(page.locator('.cd-card[data-state="finished"]')).to_have_count(4)
        assert page.locator("#cd-settings").bounding_box() == settings
        for i in range(2):
            expect_seen(page.locator(".cd-text").nth(i))
        assert_steady(page)


def test_a_message_about_the_model_comes_and_goes_over_the_page(
    browser: Browser, scripted_app: AppProcess
) -> None:
    told = {"status": "loading", "notice": ""}

    def tell(route: Route) -> None:
        route.fulfill(json=told)

    with window(browser, PHONE) as page:
        page.route("**/readyz", tell)
        open_page(page, scripted_app.url)
        notice = page.locator(".cd-notice")
        expect(notice).to_contain_text("still loading")
        box = page.locator("#cd-prompt").bounding_box()
        told["status"] = "ready"
        expect(notice).to_be_hidden()
        assert page.locator("#cd-prompt").bounding_box() == box
        assert_steady(page)


def test_what_a_fresh_page_shows_was_written_by_this_model_and_says_so(page: Page) -> None:
    card = page.locator(".cd-card")
    expect(card).to_have_attribute("data-state", "specimen")
    expect(card.locator(".cd-quiet")).to_contain_text("this model finished the marked words")
    expect(card.locator(".cd-badge")).to_be_visible()
    expect(card.locator(".cd-source")).to_contain_text("scripted@0123456789ab")
    expect(page.locator(".cd-history")).to_be_hidden()
    card.get_by_role("button", name="Continue").click()
    expect(card).to_have_attribute("data-state", "finished")
    page.locator("#cd-clear").click()
    expect(card).to_have_attribute("data-state", "empty")
