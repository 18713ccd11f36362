"""How a visitor sets what is asked: moods, numbers, seeds, and the counter under the prompt."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.actions import choose, finished, prompt_box


def checked(page: Page) -> list[str]:
    return page.locator("#cd-preset label:has(:checked)").all_inner_texts()


def test_a_mood_sets_the_numbers_and_is_seen(page: Page) -> None:
    assert checked(page) == ["As trained"]
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
    expect(page.get_by_label("number input for Length")).to_have_value("60")
    expect(page.get_by_label("Seed")).to_have_value("")
    expect(page.locator("#cd-count label:has(:checked)")).to_have_text("1")
    assert checked(page) == ["As trained"]


def test_a_seed_is_kept_and_drawn_anew(page: Page) -> None:
    page.get_by_role("button", name="Advanced").click()
    source = finished(page, "Today").locator(".cd-source")
    seed = re.search(r"seed (\d+)", source.inner_text())
    assert seed
    page.get_by_role("button", name="Keep last seed").click()
    expect(page.get_by_label("Seed")).to_have_value(seed[1])
    expect(finished(page, "Today").locator(".cd-source")).to_contain_text(seed[0])
    page.get_by_role("button", name="Draw a new one").click()
    expect(page.get_by_label("Seed")).to_have_value("")


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("one two three", "13 of 1,000 characters · 3 of 1008 tokens"),
        ("🫖🇩🇰", "3 of 1,000 characters · 1 of 1008 tokens"),
    ],
)
def test_characters_and_this_checkpoints_tokens_are_counted(
    page: Page, prompt: str, said: str
) -> None:
    prompt_box(page).fill(prompt)
    expect(page.locator(".cd-counter")).to_have_text(said)


def test_an_example_is_counted_too_and_an_empty_prompt_is_not(page: Page) -> None:
    page.get_by_role("button", name="Today I'll be").click()
    expect(page.locator(".cd-counter")).to_contain_text("13 of 1,000 characters · 3 of")
    page.locator("#cd-clear").click()
    expect(page.locator(".cd-counter")).to_be_hidden()
