"""What a visitor does on the writing tab, for the tests of what comes of it."""

import re
import time
from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect

from demo.ui.embed import FRONTEND

# The addresses of the scripts that draw sliders.
SLIDERS = re.compile(
    "|".join(
        re.escape(path.name)
        for path in (FRONTEND / "assets").glob("*.js")
        if 'type="range"' in path.read_text(encoding="utf-8")
    )
)
# Notes that a card left the text that was finished before.
WATCH = """() => {
    window.begun = false;
    const watch = new MutationObserver(() => {
        if (!document.querySelector(".cd-card:not([data-state=finished])")) return;
        window.begun = true;
        watch.disconnect();
    });
    watch.observe(document.body, { subtree: true, childList: true, attributes: true });
}"""


def prompt_box(page: Page) -> Locator:
    return page.get_by_label("Start a tweet")


def write(page: Page, prompt: str) -> Locator:
    """Types a prompt, presses Enter and returns the card, or cards."""
    # Enter does nothing while a text is written.
    expect(page.locator("#cd-generate")).to_be_enabled()
    page.evaluate(WATCH)
    prompt_box(page).fill(prompt)
    prompt_box(page).press("Enter")
    return page.locator(".cd-card")


def finished(page: Page, prompt: str) -> Locator:
    """The card with a finished text."""
    card = write(page, prompt)
    page.wait_for_function("window.begun")
    expect(card).to_have_attribute("data-state", "finished")
    return card


def choose(page: Page, label: str) -> None:
    """Takes a choice of "How many" or "Mood"."""
    page.locator("#cd-settings label").filter(has_text=label).first.click()


def several(page: Page, prompt: str, count: int) -> Locator:
    """So many cards with finished texts."""
    page.locator("#cd-count label").filter(has_text=str(count)).click()
    cards = write(page, prompt)
    expect(cards).to_have_count(count)
    expect(page.locator('.cd-card[data-state="finished"]')).to_have_count(count)
    return cards


def wait_in(page: Page, holds: Callable[[], bool], seconds: float = 30) -> None:
    """Returns once it holds; the page and its routes go on meanwhile."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "It did not come about."
        page.wait_for_timeout(50)


def expect_plot(page: Page) -> None:
    """The picture of the training run on the About tab is there, and loaded."""
    plot = page.locator(".cd-plot img")
    expect(plot).to_be_visible()
    expect(plot).to_have_js_property("complete", True)
    expect(plot).not_to_have_js_property("naturalWidth", 0)
