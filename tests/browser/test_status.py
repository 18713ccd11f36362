"""What a visitor is told of the model: that it loads, why this one runs, that it is gone."""

from pathlib import Path

from playwright.sync_api import BrowserContext, Page, Route, expect

from tests.browser.actions import wait_in
from tests.browser.conftest import open_page, pictured
from tests.conftest import NOTICE
from tests.processes import AppProcess, running_app

LOADING = "The model is still loading. Go ahead: your tweet starts as soon as it's ready."


def test_a_visitor_of_a_loading_page_is_told_and_answered(
    visitor: Page, tmp_path: Path, screenshots: Path
) -> None:
    variables = {"CONTROL": str(tmp_path), "NOTICE": NOTICE}
    with running_app(["-m", "tests.scripted_app"], tmp_path, variables) as app:
        page = open_page(visitor, app.url)
        notice = page.locator(".cd-notice")
        expect(notice).to_have_text(LOADING)
        pictured(page, screenshots, "loading")
        page.get_by_label("Start a tweet").fill("Today I'll be")
        page.get_by_label("Start a tweet").press("Enter")
        expect(page.locator(".cd-note")).to_contain_text("still loading")
        (tmp_path / "load").touch()
        expect(page.locator(".cd-generated")).to_contain_text("computers", timeout=20_000)
        # A notice is shown as text.
        expect(notice).to_have_text(NOTICE)
        assert page.locator(".cd-notice embedded").count() == 0
        page.goto("about:blank")


def test_an_open_page_says_that_the_model_is_restarted_and_asks_only_while_it_is_seen(
    context: BrowserContext, scripted_app: AppProcess
) -> None:
    asked: list[str] = []
    status = "ready"

    def tell(route: Route) -> None:
        asked.append(status)
        route.fulfill(json={"status": status, "notice": ""})

    context.route("**/readyz", tell)
    page = context.new_page()
    page.clock.install()
    page.goto(scripted_app.url)
    page.locator(".cd-card").wait_for()
    wait_in(page, lambda: bool(asked))
    page.clock.run_for(5_000)
    expect(page.locator(".cd-notice")).to_be_hidden()
    assert asked == ["ready"]
    page.evaluate("Object.defineProperty(document, 'hidden', {configurable: true, value: true})")
    status = "recovering"
    page.clock.run_for(60_000)
    assert asked == ["ready"]
    page.evaluate("delete document.hidden")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator(".cd-notice")).to_have_text("The model is restarting. One moment.")
    status = "ready"
    page.clock.run_for(2_000)
    expect(page.locator(".cd-notice")).to_be_hidden()
    status = "recovering"
    page.clock.run_for(16_000)
    expect(page.locator(".cd-notice")).to_be_visible()
