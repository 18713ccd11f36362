"""What comes is where the eyes are, and what is there already stays where it is."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, ViewportSize, expect

from tests.browser.actions import SLIDERS, choose, prompt_box
from tests.browser.conftest import cut_off, leave, open_page
from tests.browser.steady import OBSERVE_SHIFTS, assert_steady
from tests.processes import AppProcess

DESKTOP: ViewportSize = {"width": 1280, "height": 800}
# The same window at 200 %.
ZOOMED: ViewportSize = {"width": 640, "height": 400}


def expect_seen(text: Locator) -> None:
    """Waits until a card's text begins in the window, with room for a few lines, and stays there: a
    page that scrolls smoothly does so for a while."""
    text.evaluate(
        """text => new Promise((resolve, reject) => {
            let [last, still] = [null, 0];
            const end = Date.now() + 20000;
            const look = () => {
                const { top } = text.getBoundingClientRect();
                const isSeen = top >= 0 && top + 100 <= window.innerHeight;
                still = isSeen && top === last ? still + 1 : 0;
                last = top;
                if (still === 12) resolve();
                else if (Date.now() > end) reject(new Error(`at ${top} of ${window.innerHeight}`));
                else requestAnimationFrame(look);
            };
            look();
        })"""
    )


def expect_written_in_view(page: Page, is_touched: bool = False) -> None:
    """Writes on a fresh page; the text comes into view and moves nothing."""
    card = page.locator(".cd-card")
    expect(card).to_have_attribute("data-state", "specimen")
    prompt_box(page).tap() if is_touched else prompt_box(page).focus()
    page.keyboard.type("Today I'll be")
    page.keyboard.press("Enter")
    expect(card).to_have_attribute("data-state", "finished")
    expect(card.locator(".cd-generated")).to_contain_text("computers")
    expect_seen(card.locator(".cd-text"))
    # A phone's keyboard leaves with the focus.
    focused = page.evaluate("document.activeElement.tagName")
    assert (focused == "TEXTAREA") == (not is_touched)
    assert_steady(page)
    assert cut_off(page) == []


@pytest.mark.parametrize("size", [ZOOMED, DESKTOP], ids=["zoomed", "desktop"])
def test_what_is_written_comes_into_view_and_moves_nothing(
    visitor: Page, scripted_app: AppProcess, size: ViewportSize
) -> None:
    visitor.set_viewport_size(size)
    expect_written_in_view(open_page(visitor, scripted_app.url))


@pytest.fixture
def phone(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(
        has_touch=True, is_mobile=True, viewport={"width": 360, "height": 740}
    )
    context.add_init_script(OBSERVE_SHIFTS)
    yield context.new_page()
    context.close()


def test_on_a_phone_messages_texts_and_links_come_into_view_and_move_nothing(
    phone: Page, scripted_app: AppProcess
) -> None:
    told = {"status": "loading", "notice": ""}

    def tell(route: Route) -> None:
        route.fulfill(json=told)

    phone.route("**/readyz", tell)
    open_page(phone, scripted_app.url)
    notice = phone.locator(".cd-notice")
    expect(notice).to_contain_text("still loading")
    box = prompt_box(phone).bounding_box()
    told["status"] = "ready"
    expect(notice).to_be_hidden()
    assert prompt_box(phone).bounding_box() == box, "A message moved the prompt."
    assert_steady(phone)
    expect_written_in_view(phone, is_touched=True)
    leave(phone)
    open_page(phone, f"{scripted_app.url}/#prompt=long&seed=7&max_new_tokens=200")
    expect(phone.locator(".cd-card")).to_have_attribute("data-state", "finished")
    expect_seen(phone.locator(".cd-text"))
    assert_steady(phone)


def test_a_fresh_page_shows_a_specimen_and_four_texts_leave_the_settings_where_they_are(
    visitor: Page, scripted_app: AppProcess
) -> None:
    visitor.set_viewport_size(DESKTOP)
    page = open_page(visitor, scripted_app.url)
    card = page.locator(".cd-card")
    expect(card).to_have_attribute("data-state", "specimen")
    expect(card.locator(".cd-quiet")).to_contain_text("this model finished the marked words")
    expect(card.locator(".cd-badge")).to_be_visible()
    expect(card.locator(".cd-source")).to_contain_text("scripted@0123456789ab")
    expect(page.locator(".cd-history")).to_be_hidden()
    choose(page, "4")
    settings = page.locator("#cd-settings").bounding_box()
    page.locator("#cd-generate").click()
    expect(page.locator('.cd-card[data-state="finished"]')).to_have_count(4)
    assert page.locator("#cd-settings").bounding_box() == settings
    for i in range(2):
        expect_seen(page.locator(".cd-text").nth(i))
    assert_steady(page)


def test_a_specimen_can_be_continued_and_cleared_away(page: Page) -> None:
    card = page.locator(".cd-card")
    expect(card).to_have_attribute("data-state", "specimen")
    card.get_by_role("button", name="Continue").click()
    expect(card).to_have_attribute("data-state", "finished")
    page.locator("#cd-clear").click()
    expect(card).to_have_attribute("data-state", "empty")


def test_a_page_whose_sliders_never_come_is_shown_all_the_same(
    visitor: Page, scripted_app: AppProcess
) -> None:
    visitor.route(SLIDERS, lambda route: route.abort())
    visitor.goto(scripted_app.url)
    expect(visitor.locator("#cd-header h1")).to_be_visible(timeout=30_000)
    expect(prompt_box(visitor)).to_be_visible()
    expect(visitor.locator('input[type="range"]')).to_have_count(0)
