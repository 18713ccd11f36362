"""Words that try to run, in every place that words come from, are shown and do not run."""

import html
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Page, expect

from tests.browser import actions
from tests.browser.actions import finished, prompt_box
from tests.browser.conftest import leave, open_page
from tests.hostile_app import ATTACK, PERSONA, SHORT_ATTACK, hostile
from tests.processes import HTTP, AppProcess, running_app


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppProcess]:
    folder = tmp_path_factory.mktemp("hostile")
    with running_app(["-m", "tests.hostile_app"], folder, {"TWEETS": str(folder)}) as app:
        yield app


def test_nothing_of_a_hostile_checkpoint_dataset_link_or_visitor_runs(
    visitor: Page, app: AppProcess
) -> None:
    page = open_page(visitor, app.url)
    asked = asked_for(page)
    see_the_page(page)
    write(page)
    guess(page)
    detect(page)
    read_about(page)
    assert_nothing_ran(page)
    for address in (a_link(app.url), f"{app.url}/?view=api&layout={ATTACK}#guess"):
        assert_nothing_ran(open_page(leave(page), address))
    # The picture that the words would have fetched.
    assert [url for url in asked if url.endswith("/x")] == []


def test_the_page_as_it_is_served_holds_no_hostile_markup(app: AppProcess) -> None:
    served = HTTP.get(app.url).text
    assert SHORT_ATTACK not in served
    assert "<script>window.__pwned" not in served
    assert html.escape(PERSONA.title) in served


def asked_for(page: Page) -> list[str]:
    """The addresses that the page asks for from now on."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    return asked


def see_the_page(page: Page) -> None:
    expect(page).to_have_title(PERSONA.title)
    expect(page.locator("#cd-header h1")).to_have_text(PERSONA.title)
    expect(page.locator("#cd-header p").first).to_contain_text(PERSONA.tweets)
    expect(page.locator("#cd-notice")).to_have_text(hostile("notice"))
    card = page.locator(".cd-card")
    expect(card.locator(".cd-names strong")).to_have_text(PERSONA.author)
    expect(card.locator(".cd-names span")).to_have_text(PERSONA.handle)
    expect(card.locator(".cd-badge")).to_have_text(PERSONA.badge)


def write(page: Page) -> None:
    card = finished(page, "write")
    expect(card.locator(".cd-generated")).to_contain_text(hostile("text"))
    expect(card.locator(".cd-source")).to_contain_text(hostile("checkpoint"))
    card.get_by_role("button", name="Share").click()
    # It takes the focus once it has copied.
    expect(card.locator(".cd-send")).not_to_have_text("Share")
    card = finished(page, hostile("prompt"))
    expect(card.locator(".cd-prompt")).to_have_text(hostile("prompt"))
    page.locator(".cd-history-title").click()
    expect(page.locator(".cd-history-text").first).to_contain_text(hostile("prompt"))
    actions.write(page, "fail")
    expect(page.locator(".cd-card .cd-error")).to_contain_text("Something went wrong")
    for i, button in enumerate(page.locator("#cd-examples button").all()):
        expect(button).to_be_enabled()
        button.click()
        expect(prompt_box(page)).to_have_value(PERSONA.examples[i])
        expect(page.locator(".cd-card .cd-prompt")).to_have_text(PERSONA.examples[i])
        expect(page.locator(".cd-card")).to_have_attribute("data-state", "finished")
    page.get_by_text("Advanced").click()
    page.locator("#cd-seed textarea, #cd-seed input").fill(hostile("seed"))
    actions.write(page, "seed")
    expect(page.locator(".cd-card .cd-error")).to_contain_text("seed must be a whole number")


def guess(page: Page) -> None:
    """Until a tweet and a generated text were revealed."""
    page.get_by_role("tab", name="Guess").click()
    page.get_by_role("button", name="Random round").click()
    game, rounds = page.locator(".cd-game"), 0
    seen: set[str | None] = set()
    while rounds < 10 or (len(seen) < 2 and rounds < 40):
        rounds += 1
        expect(game).to_have_attribute("data-state", "asking", timeout=20_000)
        expect(page.locator(".cd-item-text")).to_contain_text(SHORT_ATTACK)
        expect(page.locator(".cd-answer").first).to_contain_text(hostile("one"))
        page.locator(".cd-answer").first.click()
        expect(game).to_have_attribute("data-state", "told")
        truth = game.get_attribute("data-truth")
        seen.add(truth)
        if truth == "real":
            expect(page.locator(".cd-truth")).to_contain_text(PERSONA.name)
            expect(page.locator(".cd-original")).to_be_hidden()
            assert page.locator(".cd-original").get_attribute("href") is None
        else:
            expect(page.locator(".cd-truth")).to_contain_text(PERSONA.label)
        page.keyboard.press("Enter")
        if rounds % 10 == 0:
            expect(page.locator(".cd-share")).to_contain_text(PERSONA.title)
            expect(page.locator(".cd-recap")).to_contain_text(SHORT_ATTACK)
            page.get_by_role("button", name="Play again").click()
    assert seen == {"real", "computer"}


def detect(page: Page) -> None:
    text = f"The zebra and the zoo were fuzzy and dizzy {hostile('text')}"
    page.get_by_role("tab", name="Detect").click()
    page.locator("#cd-detect-text textarea").fill(text)
    page.get_by_role("button", name="Who wrote this?").click()
    expect(page.locator(".cd-judged")).to_have_text(text)


def read_about(page: Page) -> None:
    page.get_by_role("tab", name="About").click()
    expect(page.locator("#cd-about")).to_contain_text(PERSONA.archive)
    expect(page.locator("#cd-about")).to_contain_text(f"{PERSONA.name} did not write")
    expect(page.locator(".cd-checkpoint-name")).to_contain_text(hostile("revision"))
    expect(page.get_by_role("row", name="bits per byte")).to_contain_text("1.2")


def a_link(url: str) -> str:
    """One that fills every field with the attack, and has the text written."""
    names = ("prompt", "count", "max_new_tokens", "temperature", "top_p", "top_k", "by")
    fields = {name: hostile(name) for name in names}
    return f"{url}/#{urlencode({**fields, 'seed': '7'})}"


def assert_nothing_ran(page: Page) -> None:
    assert page.evaluate("window.__pwned") is None
    assert page.locator("img[src=x]").count() == 0
