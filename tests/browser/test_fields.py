"""How a visitor sets what is asked: moods, numbers, seeds, and the counter under the prompt."""

import re

from playwright.sync_api import Page, Route, expect

from tests.browser.actions import choose, finished, prompt_box
from tests.browser.conftest import open_page
from tests.processes import AppProcess


def expect_mood(page: Page, name: str) -> None:
    expect(page.locator("#cd-preset label:has(:checked)")).to_have_text([name])


def test_a_mood_sets_the_numbers_until_one_is_moved_and_reset_brings_all_back(page: Page) -> None:
    length = page.get_by_label("number input for Length")
    expect_mood(page, "Default")
    choose(page, "3 a.m.")
    expect(page.get_by_label("number input for Temperature")).to_have_value("1.5")
    expect_mood(page, "3 a.m.")
    source = finished(page, "Today").locator(".cd-source")
    expect(source).to_contain_text("temperature 1.5 · top_p 1")
    length.fill("33")
    length.press("Tab")
    expect(page.locator("#cd-preset label:has(:checked)")).to_have_count(0)
    choose(page, "One-liner")
    expect_mood(page, "One-liner")
    page.locator("#cd-count label").filter(has_text="3").click()
    page.get_by_role("button", name="Advanced").click()
    page.get_by_label("Seed").fill("9")
    page.get_by_role("button", name="Reset to defaults").click()
    expect(length).to_have_value("80")
    expect(page.get_by_label("Seed")).to_have_value("")
    expect(page.locator("#cd-count label:has(:checked)")).to_have_text("1")
    expect_mood(page, "Default")


def test_length_and_seed_reach_the_engine_and_a_seed_is_drawn_kept_and_drawn_anew(
    page: Page,
) -> None:
    seed_box = page.get_by_label("Seed")
    page.get_by_role("button", name="Advanced").click()
    expect(seed_box).to_have_value("")
    card = finished(page, "Today")
    source = card.locator(".cd-source")
    expect(source).to_contain_text(re.compile("seed [1-9]"))
    drawn = re.search(r"seed (\d+)", source.text_content() or "")
    assert drawn
    page.get_by_role("button", name="Reuse last seed").click()
    expect(seed_box).to_have_value(drawn[1])
    finished(page, "Tomorrow")
    expect(card.locator(".cd-prompt")).to_have_text("Tomorrow")
    expect(source).to_contain_text(drawn[0])
    page.get_by_role("button", name="Random seed").click()
    expect(seed_box).to_have_value("")
    page.get_by_label("number input for Length").fill("2")
    seed_box.fill("77")
    finished(page, "Today")
    expect(card.locator(".cd-finish")).to_have_text("Reached the length limit.")
    expect(source).to_contain_text("seed 77 · max_new_tokens 2")


def test_the_counter_speaks_up_near_a_limit_alone(visitor: Page, scripted_app: AppProcess) -> None:
    many: dict[str, int] = {}

    def count(route: Route) -> None:
        route.fulfill(json=many) if many else route.continue_()

    visitor.route("**/count", count)
    page = open_page(visitor, scripted_app.url)
    counter = page.locator(".cd-counter")
    with page.expect_response("**/count"):
        prompt_box(page).fill("x" * 799)
    expect(counter).to_be_hidden()
    prompt_box(page).fill("x" * 812)
    expect(counter).to_have_text("812 / 1,000")
    page.locator("#cd-clear").click()
    expect(counter).to_be_hidden()
    # The server counts tokens as the model does.
    many.update(tokens=9, limit=8)
    prompt_box(page).fill("one two three")
    expect(counter).to_have_text("9 / 8 tokens · too long for this model")
