"""What a visitor does on the page, in a real browser over a slowed, scripted engine."""

import re
import time
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Request, Route, expect

from demo.checkpoints.persona import NOBODY
from demo.ui.components import browser_function
from demo.ui.results import Draft
from tests.app.calls import generate
from tests.browser.actions import finished, prompt_box, write
from tests.browser.conftest import INSECURE_HOST, cut_off, open_page
from tests.processes import AppProcess

LABEL = "— AI-generated parody (not a real tweet), Trump or Computer Dump?"


def test_enter_starts_and_the_text_grows_before_it_ends(page: Page) -> None:
    generated = write(page, "endless").locator(".cd-generated")
    lengths: set[int] = set()
    while len(lengths) < 4:
        lengths.add(len(generated.inner_text()))
        page.wait_for_timeout(50)
    expect(page.locator(".cd-card")).to_have_attribute("data-state", "writing")
    page.locator("#cd-stop").click()


def test_the_button_starts_it_too_and_a_finished_text_is_told_apart(page: Page) -> None:
    prompt_box(page).fill("Today I'll be")
    page.locator("#cd-generate").click()
    expect(page.locator(".cd-prompt")).to_have_text("Today I'll be")
    expect(page.locator(".cd-generated")).to_contain_text("make computers great again")
    expect(page.locator(".cd-finish")).to_be_hidden()
    expect(page.locator(".cd-count")).to_have_text("91 / 280")
    expect(page.locator(".cd-source")).to_contain_text("scripted@0123456789ab · script exact")
    expect(page.locator(".cd-badge")).to_be_visible()


def test_stop_keeps_the_text_says_so_and_frees_the_engine(
    page: Page, scripted_app: AppProcess
) -> None:
    expect(page.locator("#cd-stop")).to_be_disabled()
    card = write(page, "endless")
    expect(card.locator(".cd-generated")).to_contain_text("word word word")
    expect(page.locator("#cd-generate")).to_be_disabled()
    page.locator("#cd-stop").click()
    expect(card.locator(".cd-finish")).to_have_text("Stopped.")
    expect(card.locator(".cd-generated")).to_contain_text("word word word")
    start = time.monotonic()
    generate(scripted_app.url, prompt="next")
    assert time.monotonic() - start < 5
    expect(page.locator("#cd-generate")).to_be_enabled()
    expect(page.locator("#cd-stop")).to_be_disabled()


def test_cards_keep_the_keys_of_a_result_when_stopped_or_left_without_an_answer(
    page: Page,
) -> None:
    blank = asdict(Draft(NOBODY).result())
    start, end = browser_function("start", text=blank), browser_function("end", error="No answer.")
    cards, stopped = page.evaluate(f"({start})('Hi', 2, 60, null)")
    assert (len(cards["texts"]), cards["finished"], stopped) == (2, False, "")
    for pressed, reason, error in (("stopped", "stopped", None), ("", "error", "No answer.")):
        (ended,) = page.evaluate(f"([cards, how]) => ({end})(cards, how)", [cards, pressed])
        assert ended.keys() == {"texts", "label", "finished", "carried", "tokens"}
        for text in (*cards["texts"], *ended["texts"]):
            assert text.keys() == blank.keys()
        told = {(text["finish_reason"], text["error"]) for text in ended["texts"]}
        assert (told, ended["finished"]) == ({(reason, error)}, True)


def test_words_that_come_while_it_stops_do_not_undo_the_stop(
    visitor: Page, scripted_app: AppProcess
) -> None:
    def late(route: Route) -> None:
        page.wait_for_timeout(1_000)
        route.continue_()

    visitor.route(re.compile("/gradio_api/cancel"), late)
    page = open_page(visitor, scripted_app.url)
    card = write(page, "endless")
    expect(card.locator(".cd-generated")).to_contain_text("word word")
    page.locator("#cd-stop").click()
    expect(card.locator(".cd-finish")).to_have_text("Stopped.")
    expect(card.locator(".cd-error")).to_be_hidden()
    expect(page.locator("#cd-stop")).to_have_text("Stop")
    expect(page.locator("#cd-clear")).to_be_enabled()


def test_a_second_enter_does_not_disturb_the_text(page: Page) -> None:
    card = write(page, "endless")
    expect(card.locator(".cd-generated")).to_contain_text("word word")
    prompt_box(page).press("Enter")
    page.wait_for_timeout(300)
    expect(card).to_have_attribute("data-state", "writing")
    expect(card.locator(".cd-generated")).to_contain_text("word word")
    page.locator("#cd-stop").click()


def test_who_waits_for_another_visitor_is_told_and_may_leave(
    page: Page, browser: Browser, scripted_app: AppProcess
) -> None:
    other = browser.new_context()
    first = open_page(other.new_page(), scripted_app.url)
    expect(write(first, "endless")).to_have_attribute("data-state", "writing")
    card = write(page, "Today")
    expect(card.locator(".cd-quiet")).to_have_text("Warming up the printer…")
    page.locator("#cd-stop").click()
    expect(card.locator(".cd-finish")).to_have_text("Stopped.")
    other.close()
    expect(finished(page, "Today").locator(".cd-generated")).to_contain_text("computers")


def test_a_closed_page_frees_the_engine(browser: Browser, scripted_app: AppProcess) -> None:
    context = browser.new_context()
    leaving = open_page(context.new_page(), scripted_app.url)
    expect(write(leaving, "endless")).to_have_attribute("data-state", "writing")
    context.close()
    start = time.monotonic()
    generate(scripted_app.url, prompt="next")
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    "example", ["Why does the lying news media", "The democrats have", "Today I'll be"]
)
def test_an_example_fills_the_prompt_and_runs(page: Page, example: str) -> None:
    page.get_by_role("button", name=example).click()
    expect(prompt_box(page)).to_have_value(example)
    expect(page.locator(".cd-card")).to_have_attribute("data-state", "finished")
    expect(page.locator(".cd-card .cd-prompt")).to_have_text(example)


def test_clear_empties_prompt_and_card(page: Page) -> None:
    card = finished(page, "Today")
    page.locator("#cd-clear").click()
    expect(prompt_box(page)).to_have_value("")
    expect(card).to_have_attribute("data-state", "empty")
    expect(card.locator(".cd-generated")).to_be_hidden()


@pytest.mark.parametrize("host", ["127.0.0.1", INSECURE_HOST])
def test_copy_takes_the_label_along(visitor: Page, scripted_app: AppProcess, host: str) -> None:
    page = open_page(visitor, scripted_app.url.replace("127.0.0.1", host))
    card = finished(page, "Today I'll be")
    card.get_by_role("button", name="Copy").click()
    expect(card.locator(".cd-copy")).to_have_text("Copied")
    prompt_box(page).fill("")
    prompt_box(page).press("Control+V")
    expect(prompt_box(page)).to_have_value(re.compile("^Today I'll be going to make"))
    last_line = prompt_box(page).input_value().splitlines()[-1]
    assert last_line.startswith(LABEL)
    assert "seed " in last_line
    assert "scripted@0123456789ab" in last_line


def test_markup_from_the_model_and_the_visitor_is_only_text(page: Page) -> None:
    card = finished(page, "markup")
    expect(card.locator(".cd-generated")).to_contain_text("<script>window.hacked=1</script>")
    expect(card.locator(".cd-generated")).to_contain_text("${1+1}")
    typed = "<img src=x onerror=window.hacked=1> {{value}} ${window.hacked=1}"
    expect(finished(page, typed).locator(".cd-prompt")).to_have_text(typed)
    page.wait_for_timeout(200)
    assert page.evaluate("window.hacked") is None
    assert page.locator(".cd-card img").count() == 0


def test_an_error_is_readable_and_keeps_what_was_typed(page: Page) -> None:
    card = write(page, "refuse")
    sentence = "The engine is tired. Try again in a minute."
    expect(card.locator(".cd-error")).to_have_text(sentence)
    expect(page.locator(".toast-body")).to_have_count(0)
    expect(prompt_box(page)).to_have_value("refuse")
    expect(page.locator("#cd-generate")).to_be_enabled()


def test_settings_reach_the_engine(page: Page) -> None:
    page.get_by_label("number input for Length").fill("2")
    page.get_by_role("button", name="Advanced").click()
    page.get_by_label("Seed").fill("77")
    card = finished(page, "Today")
    expect(card.locator(".cd-finish")).to_have_text("Reached the length limit.")
    expect(card.locator(".cd-source")).to_contain_text("seed 77 · max_new_tokens 2")


def test_a_seed_is_drawn_even_after_its_box_was_seen(page: Page) -> None:
    page.get_by_role("button", name="Advanced").click()
    expect(page.get_by_label("Seed")).to_have_value("")
    source = finished(page, "Today").locator(".cd-source")
    expect(source).to_contain_text(re.compile("seed [1-9]"))


def test_a_screen_reader_hears_the_text_once_it_is_whole(page: Page) -> None:
    live = page.locator(".cd-live")
    write(page, "endless")
    expect(live).to_have_attribute("aria-live", "polite")
    expect(live).to_have_attribute("aria-busy", "true")
    page.locator("#cd-stop").click()
    expect(live).to_have_attribute("aria-busy", "false")


def test_an_enter_that_ends_a_composed_word_starts_nothing(page: Page) -> None:
    prompt_box(page).fill("日本")
    composed = "new KeyboardEvent(name, {key: 'Enter', bubbles: true, isComposing: true})"
    prompt_box(page).evaluate(
        f"box => ['keydown', 'keypress'].forEach((name) => box.dispatchEvent({composed}))"
    )
    page.wait_for_timeout(300)
    expect(page.locator(".cd-card")).to_have_attribute("data-state", "specimen")
    prompt_box(page).press("Enter")
    expect(page.locator(".cd-card")).to_have_attribute("data-state", "finished")


def test_the_prompt_runs_the_way_of_its_script(page: Page) -> None:
    prompt_box(page).fill("שלום")
    assert prompt_box(page).evaluate("box => box.matches(':dir(rtl)')")


def test_the_keyboard_alone_is_enough_and_is_seen(page: Page) -> None:
    prompt_box(page).focus()
    page.keyboard.press("Tab")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert page.evaluate("document.activeElement.textContent.trim()").startswith("Why does")
    assert outline == "solid"


def test_the_page_asks_no_outside_host(visitor: Page, scripted_app: AppProcess) -> None:
    hosts = set()

    def note(request: Request) -> None:
        hosts.add(urlsplit(request.url).hostname)

    visitor.on("request", note)
    page = open_page(visitor, scripted_app.url)
    finished(page, "Today")
    assert hosts - {None} == {"127.0.0.1"}


@pytest.mark.parametrize(("width", "theme"), [(390, "dark"), (1280, "light")])
def test_the_page_fits_and_has_its_picture_taken(
    visitor: Page, scripted_app: AppProcess, screenshots: Path, width: int, theme: str
) -> None:
    page = open_page(visitor, f"{scripted_app.url}/?__theme={theme}")
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(reduced_motion="reduce")
    page.screenshot(path=screenshots / f"idle-{width}-{theme}.png", full_page=True)
    finished(page, "Why does the lying news media")
    page.screenshot(path=screenshots / f"result-{width}-{theme}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert cut_off(page) == []
