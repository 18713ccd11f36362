"""How a visitor sets what is asked: moods, numbers, seeds, and the counter under the prompt."""

import re

from playwright.sync_api import Page, expect

from tests.browser.actions import choose, finished, prompt_box
from tests.browser.conftest import open_page
from tests.processes import AppProcess


def checked(page: Page) -> list[str]:
    return page.locator("#cd-preset label:has(:checked)").all_inner_texts()


def test_a_mood_sets_the_numbers_and_is_seen(page: Page) -> None:
    assert checked(page) == ["Default"]
    choose(page, "3 a.m.")
    expect(page.get_by_label("number input for Temperature")).to_have_value("1.5")
    assert checked(page) == ["3 a.m."]
    source = finished(page, "Today").locator(".cd-source")
    expect(source).to_contain_text("temperature 1.5 · top_p 1")


def test_a_number_that_is_moved_is_no_mood_any_more(page: Page) -> None:
    page.get_by_label("number input for Length").fill("33")
    page.get_by_label("number input for Length").press("Tab")
    expect(page.locator("#cd-preset label:has(:checked)")).to_have_count(0)


def test_reset_brings_everything_back(page: Page) -> None:
    choose(page, "One-liner")
    page.locator("#cd-count label").filter(has_text="3").click()
    page.get_by_role("button", name="Advanced").click()
    page.get_by_label("Seed").fill("9")
    page.get_by_role("button", name="Reset to defaults").click()
    expect(page.get_by_label("number input for Length")).to_have_value("80")
    expect(page.get_by_label("Seed")).to_have_value("")
    expect(page.locator("#cd-count label:has(:checked)")).to_have_text("1")
    assert checked(page) == ["Default"]


def test_a_seed_is_kept_and_drawn_anew(page: Page) -> None:
    page.get_by_role("button", name="Advanced").click()
    source = finished(page, "Today").locator(".cd-source")
    seed = re.search(r"seed (\d+)", source.text_content() or "")
    assert seed
    page.get_by_role("button", name="Reuse last seed").click()
    expect(page.get_by_label("Seed")).to_have_value(seed[1])
    expect(finished(page, "Today").locator(".cd-source")).to_contain_text(seed[0])
    page.get_by_role("button", name="Random seed").click()
    expect(page.get_by_label("Seed")).to_have_value("")


def test_the_counter_speaks_up_near_a_limit_alone(page: Page) -> None:
    counter = page.locator(".cd-counter")
    with page.expect_response("**/count"):
        prompt_box(page).fill("x" * 799)
    expect(counter).to_be_hidden()
    prompt_box(page).fill("x" * 812)
    expect(counter).to_have_text("812 / 1,000")
    page.locator("#cd-clear").click()
    expect(counter).to_be_hidden()


def test_a_prompt_that_is_too_long_for_the_model_says_so(
    visitor: Page, scripted_app: AppProcess
) -> None:
    """The server counts tokens as the model does."""
    visitor.route("**/count", lambda route: route.fulfill(json={"tokens": 9, "limit": 8}))
    page = open_page(visitor, scripted_app.url)
    prompt_box(page).fill("one two three")
    expect(page.locator(".cd-counter")).to_have_text("9 / 8 tokens · too long for this model")
