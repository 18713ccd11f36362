"""What a visitor does on the page, in a real browser over a slowed, scripted engine."""

import re
import time
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Locator, Page, Request, Route, expect

from demo.checkpoints.persona import NOBODY
from demo.ui.components import browser_function
from demo.ui.results import Draft
from tests.app.calls import generate
from tests.browser.actions import finished, prompt_box, wait_in, write
from tests.browser.conftest import INSECURE_HOST, open_page, pictured
from tests.processes import AppProcess

LABEL = "— AI-generated parody (not a real tweet), Trump or Computer Dump?"
EXAMPLES = ("Why does the lying news media", "The democrats have", "Today I'll be")


def assert_the_engine_is_free(app: AppProcess) -> None:
    start = time.monotonic()
    generate(app.url, prompt="next")
    assert time.monotonic() - start < 20


def test_a_text_grows_is_heard_once_and_stop_keeps_it_and_frees_the_engine(
    page: Page, scripted_app: AppProcess
) -> None:
    stop, live = page.locator("#cd-stop"), page.locator(".cd-live")
    expect(stop).to_be_disabled()
    card = write(page, "growing")
    generated = card.locator(".cd-generated")
    # A screen reader is told the text once it is whole.
    expect(live).to_have_attribute("aria-live", "polite")
    expect(live).to_have_attribute("aria-busy", "true")
    lengths: set[int] = set()

    def has_grown() -> bool:
        lengths.add(len(generated.inner_text()))
        return len(lengths) >= 4

    wait_in(page, has_grown)
    expect(card).to_have_attribute("data-state", "writing")
    expect(page.locator("#cd-generate")).to_be_disabled()
    expect(generated).to_contain_text("word word word")
    # A second Enter disturbs nothing.
    prompt_box(page).press("Enter")
    page.wait_for_timeout(300)
    expect(card).to_have_attribute("data-state", "writing")
    expect(generated).to_contain_text("word word word")
    stop.click()
    expect(card.locator(".cd-finish")).to_have_text("Stopped.")
    expect(generated).to_contain_text("word word word")
    expect(live).to_have_attribute("aria-busy", "false")
    assert_the_engine_is_free(scripted_app)
    expect(page.locator("#cd-generate")).to_be_enabled()
    expect(stop).to_be_disabled()


def test_a_finished_text_is_told_apart_copied_with_its_label_and_cleared_and_asks_no_outside_host(
    visitor: Page, scripted_app: AppProcess
) -> None:
    hosts = set()

    def note(request: Request) -> None:
        hosts.add(urlsplit(request.url).hostname)

    visitor.on("request", note)
    page = open_page(visitor, scripted_app.url)
    prompt_box(page).fill("Today I'll be")
    page.locator("#cd-generate").click()
    card = page.locator(".cd-card")
    expect(card.locator(".cd-prompt")).to_have_text("Today I'll be")
    expect(card.locator(".cd-generated")).to_contain_text("make computers great again")
    expect(card.locator(".cd-finish")).to_be_hidden()
    expect(card.locator(".cd-count")).to_have_text("91 / 280")
    expect(card.locator(".cd-source")).to_contain_text("scripted@0123456789ab · script exact")
    expect(card.locator(".cd-badge")).to_be_visible()
    expect_a_labelled_copy(page, card)
    visitor.remove_listener("request", note)
    assert hosts - {None} == {"127.0.0.1"}
    page.locator("#cd-clear").click()
    expect(prompt_box(page)).to_have_value("")
    expect(card).to_have_attribute("data-state", "empty")
    expect(card.locator(".cd-generated")).to_be_hidden()


def test_copy_takes_the_label_along_where_the_browser_trusts_no_clipboard_to_the_page(
    visitor: Page, scripted_app: AppProcess
) -> None:
    page = open_page(visitor, scripted_app.url.replace("127.0.0.1", INSECURE_HOST))
    expect_a_labelled_copy(page, finished(page, "Today I'll be"))


def expect_a_labelled_copy(page: Page, card: Locator) -> None:
    card.get_by_role("button", name="Copy").click()
    expect(card.locator(".cd-copy")).to_have_text("Copied")
    prompt_box(page).fill("")
    prompt_box(page).press("Control+V")
    expect(prompt_box(page)).to_have_value(re.compile("^Today I'll be going to make"))
    last_line = prompt_box(page).input_value().splitlines()[-1]
    assert last_line.startswith(LABEL)
    assert "seed " in last_line
    assert "scripted@0123456789ab" in last_line


def test_cards_keep_the_keys_of_a_result_when_stopped_or_left_without_an_answer(
    visitor: Page,
) -> None:
    blank = asdict(Draft(NOBODY).result())
    start, end = browser_function("start", text=blank), browser_function("end", error="No answer.")
    cards, stopped = visitor.evaluate(f"({start})('Hi', 2, 60, null)")
    assert (len(cards["texts"]), cards["finished"], stopped) == (2, False, "")
    for pressed, reason, error in (("stopped", "stopped", None), ("", "error", "No answer.")):
        (ended,) = visitor.evaluate(f"([cards, how]) => ({end})(cards, how)", [cards, pressed])
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


def test_who_waits_for_another_visitor_is_told_and_may_leave_and_a_closed_page_frees_the_engine(
    page: Page, scripted_app: AppProcess
) -> None:
    other = open_page(page.context.new_page(), scripted_app.url)
    expect(write(other, "endless")).to_have_attribute("data-state", "writing")
    page.bring_to_front()
    card = write(page, "Today")
    expect(card.locator(".cd-quiet")).to_have_text("Warming up the printer…")
    page.locator("#cd-stop").click()
    expect(card.locator(".cd-finish")).to_have_text("Stopped.")
    other.close()
    assert_the_engine_is_free(scripted_app)
    expect(finished(page, "Today").locator(".cd-generated")).to_contain_text("computers")


# Presses Enter as soon as the cards say that the text is finished.
PRESS_WHEN_DONE = """() => {
    const box = document.querySelector("#cd-prompt textarea");
    const press = (name) => box.dispatchEvent(
        new KeyboardEvent(name, { key: "Enter", bubbles: true, cancelable: true }));
    document.querySelector("#computer-dump").addEventListener(
        "computer-dump-done", () => ["keydown", "keypress"].forEach(press), { once: true });
}"""


def test_an_enter_at_the_last_word_is_heard_and_two_quick_clicks_are_one(page: Page) -> None:
    calls: list[str] = []

    def note(request: Request) -> None:
        if "/queue/join" in request.url and "Today" in (request.post_data or ""):
            calls.append(request.url)

    page.on("request", note)
    page.evaluate(PRESS_WHEN_DONE)
    finished(page, "Today")
    wait_in(page, lambda: len(calls) == 2)
    expect(page.locator(".cd-card")).to_have_attribute("data-state", "finished")
    expect(page.locator("#cd-generate")).to_be_enabled()
    page.locator("#cd-generate").dblclick()
    expect(page.locator(".cd-card")).to_have_attribute("data-state", "finished")
    page.wait_for_timeout(300)
    assert len(calls) == 3


def test_the_prompt_is_for_every_script_and_for_the_keyboard_and_examples_run(page: Page) -> None:
    box, card = prompt_box(page), page.locator(".cd-card")
    box.focus()
    page.keyboard.press("Tab")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert page.evaluate("document.activeElement.textContent.trim()").startswith("Why does")
    assert outline == "solid"
    box.fill("שלום")
    assert box.evaluate("box => box.matches(':dir(rtl)')")
    # An Enter that ends a composed word starts nothing.
    box.fill("日本")
    composed = "new KeyboardEvent(name, {key: 'Enter', bubbles: true, isComposing: true})"
    box.evaluate(f"box => ['keydown', 'keypress'].forEach((name) => box.dispatchEvent({composed}))")
    page.wait_for_timeout(300)
    expect(card).to_have_attribute("data-state", "specimen")
    box.press("Enter")
    expect(card).to_have_attribute("data-state", "finished")
    for example in EXAMPLES:
        page.get_by_role("button", name=example).click()
        expect(box).to_have_value(example)
        expect(card.locator(".cd-prompt")).to_have_text(example)
        expect(card).to_have_attribute("data-state", "finished")


def test_markup_is_only_text_and_an_error_is_readable_and_keeps_what_was_typed(page: Page) -> None:
    card = finished(page, "markup")
    expect(card.locator(".cd-generated")).to_contain_text("<script>window.hacked=1</script>")
    expect(card.locator(".cd-generated")).to_contain_text("${1+1}")
    typed = "<img src=x onerror=window.hacked=1> {{value}} ${window.hacked=1}"
    expect(finished(page, typed).locator(".cd-prompt")).to_have_text(typed)
    page.wait_for_timeout(200)
    assert page.evaluate("window.hacked") is None
    assert page.locator(".cd-card img").count() == 0
    write(page, "refuse")
    sentence = "The engine is tired. Try again in a minute."
    expect(card.locator(".cd-error")).to_have_text(sentence)
    expect(page.locator(".toast-body")).to_have_count(0)
    expect(prompt_box(page)).to_have_value("refuse")
    expect(page.locator("#cd-generate")).to_be_enabled()


def test_the_page_fits_and_has_its_picture_taken(page: Page, screenshots: Path) -> None:
    pictured(page, screenshots, "idle")
    finished(page, "Why does the lying news media")
    pictured(page, screenshots, "result")
