"""What can be done with what was written: several at once, history, picture, link, continuing."""

import re
import struct
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import BrowserContext, Page, Route, expect

from demo.ui.theme import LIGHT
from tests.browser.actions import SLIDERS, finished, prompt_box, several, wait_in, write
from tests.browser.conftest import open_page
from tests.processes import AppProcess
from tests.scripted import REAL_TWEET

LABEL = "AI-generated parody (not a real tweet)"
# Keeps what a picture is drawn with.
RECORD_DRAWING = """() => {
window.drawn = [];
window.shapes = 0;
window.Path2D = class extends Path2D { constructor(path) { super(path); window.shapes += 1; } };
const fill = CanvasRenderingContext2D.prototype.fillText;
CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
  window.drawn.push(text);
  return fill.call(this, text, x, y);
};
window.bars = [];
const bar = CanvasRenderingContext2D.prototype.fillRect;
CanvasRenderingContext2D.prototype.fillRect = function (...place) {
  window.bars.push(this.fillStyle);
  return bar.apply(this, place);
};
}"""


def copied_link(page: Page) -> str:
    page.locator(".cd-link").first.click()
    expect(page.locator(".cd-link").first).to_have_text("Copied")
    return str(page.evaluate("navigator.clipboard.readText()"))


def test_several_texts_grow_side_by_side_and_each_card_is_its_own(page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator("#cd-count label").filter(has_text="4").click()
    cards = write(page, "endless")
    expect(cards).to_have_count(4)
    for i in range(4):
        expect(cards.nth(i).locator(".cd-generated")).to_contain_text("word word")
    tops = cards.evaluate_all("cards => cards.map((card) => card.getBoundingClientRect().top)")
    assert tops[0] == tops[1] < tops[2] == tops[3]
    # Nothing is continued while another text is written.
    expect(cards.first.locator(".cd-carry")).to_be_hidden()
    page.locator("#cd-stop").click()
    for i in range(4):
        expect(cards.nth(i).locator(".cd-finish")).to_have_text("Stopped.")

    several(page, "Today", 3)
    cards.nth(1).get_by_role("button", name="Copy").click()
    expect(cards.nth(1).locator(".cd-copy")).to_have_text("Copied")
    source = cards.nth(1).locator(".cd-source").text_content() or ""
    seed = re.search(r"seed \d+", source)
    assert seed
    assert seed[0] in page.evaluate("navigator.clipboard.readText()")

    # Continue keeps the other cards and marks the computer's words as its own.
    others = [cards.nth(i).inner_text() for i in (0, 2)]
    first = cards.nth(1).locator(".cd-generated").inner_text()
    cards.nth(1).get_by_role("button", name="Continue").click()
    generated = cards.nth(1).locator(".cd-generated")
    expect(generated).to_have_text(re.compile(re.escape(first) + ".* computers"))
    expect(cards.nth(1).locator(".cd-prompt")).to_have_text("Today")
    expect(cards.nth(1)).to_have_attribute("data-state", "finished")
    assert [cards.nth(i).inner_text() for i in (0, 2)] == others
    expect(prompt_box(page)).to_have_value("Today")
    # And again, from the end of what was continued.
    cards.nth(1).get_by_role("button", name="Continue").click()
    expect(generated).to_have_text(re.compile("(.* computers){3}"))

    # Fewer texts leave no card behind.
    several(page, "Today", 1)


def test_what_real_tweets_have_too_is_underlined_and_nothing_to_add_is_said(page: Page) -> None:
    card = finished(page, "quote")
    expect(card.locator("u")).to_have_text(REAL_TWEET)
    expect(card.locator(".cd-note")).to_have_text(
        re.compile(r"^\d\d% of this is copied word for word from a real tweet\.$")
    )
    expect(finished(page, "Today").locator("u")).to_have_count(0)
    # Passages are counted in characters, even after emoji.
    finished(page, f"🫖🇩🇰 {REAL_TWEET}")
    expect(card.locator("u")).to_have_text(REAL_TWEET)
    finished(page, "wordless")
    expect(card.locator(".cd-finish")).to_contain_text("had nothing to add")
    expect(finished(page, "Today").locator(".cd-finish")).to_be_hidden()
    # A card that cannot go on keeps its text and says why.
    for end, said in (("wordless", ".cd-finish"), ("tired", ".cd-error")):
        finished(page, f"ends {end}")
        expect(card.locator(".cd-text")).to_have_text(f"ends {end} here")
        card.get_by_role("button", name="Continue").click()
        expect(card.locator(said)).to_contain_text(re.compile("nothing to add|is tired"))
        expect(card.locator(".cd-text")).to_have_text(f"ends {end} here")
        expect(card.get_by_role("button", name="Continue")).to_be_enabled()


def test_links_are_followed_in_an_open_page_and_do_no_harm_when_meddled_with(page: Page) -> None:
    card = page.locator(".cd-card")

    def follow(link: str) -> None:
        page.evaluate("link => { location.hash = link; }", link)

    follow("prompt=endless&seed=4")
    expect(card.locator(".cd-generated")).to_contain_text("word word")
    # One that is opened while a text is written is followed once it is done.
    prompt_box(page).press("Enter")
    follow("prompt=second&seed=5")
    page.locator("#cd-stop").click()
    expect(card.locator(".cd-prompt")).to_have_text("second")
    expect(card.locator(".cd-source")).to_contain_text("seed 5")
    expect(card).to_have_attribute("data-state", "finished")
    expect(prompt_box(page)).to_have_value("second")
    expect(card.locator(".cd-differs")).to_be_hidden()
    # Of another checkpoint.
    follow("prompt=Today&seed=7&by=old%40abc+torch+fp32")
    said = card.locator(".cd-differs")
    expect(said).to_contain_text("made with another version of the model")
    finished(page, "Something else")
    expect(said).to_be_hidden()
    evil = "%3Cimg%20src%3Dx%20onerror%3Dwindow.hacked%3D1%3E"
    follow(f"prompt={evil}&seed={evil}&temperature={evil}&by={evil}")
    expect(card.locator(".cd-error")).to_contain_text("seed must be a whole number")
    assert page.evaluate("window.hacked") is None
    expect(page.get_by_label("number input for Temperature")).to_have_value("0.9")


def test_a_visit_leaves_its_texts_in_this_tab_alone_until_they_are_cleared(
    page: Page, scripted_app: AppProcess
) -> None:
    finished(page, "First")
    finished(page, "Second @user")
    expect(page.locator(".cd-history-title")).to_have_text("Your tweets so far (2)")
    prompt_box(page).fill("half a thought")
    page.wait_for_function("window.history.state?.computerDump === 'half a thought'")
    page.reload()
    expect(prompt_box(page)).to_have_value("half a thought")
    page.locator("#cd-clear").click()
    page.wait_for_function("window.history.state.computerDump === ''")
    page.get_by_text("Your tweets so far (2)").click()
    entries = page.locator(".cd-history-list li")
    expect(entries.nth(0)).to_contain_text("Second @user")
    expect(entries.nth(0).locator(".cd-redacted")).to_have_text("user")
    entries.nth(1).get_by_role("button", name="Show").click()
    expect(page.locator(".cd-card .cd-prompt")).to_have_text("First")
    assert page.evaluate("({...localStorage})") == {}
    assert page.context.cookies() == []
    other = open_page(page.context.new_page(), scripted_app.url)
    expect(other.locator(".cd-history")).to_be_hidden()
    page.get_by_role("button", name="Clear list").click()
    expect(page.locator(".cd-history")).to_be_hidden()
    assert page.evaluate("({...sessionStorage})") == {}


def test_a_picture_holds_text_label_and_origin_and_goes_with_a_labelled_text_and_link(
    page: Page, scripted_app: AppProcess, tmp_path: Path
) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate(RECORD_DRAWING)
    card = finished(page, f"Today @user {'a' * 90} 🫖")
    with page.expect_download() as download:
        card.get_by_role("button", name="Share").click()
    robot = page.locator(".cd-avatar :is(circle, path, rect)")
    assert page.evaluate("window.shapes") == robot.count() > 0
    # The handle that nobody is to read.
    assert page.evaluate("window.bars").count(LIGHT["ink"]) == 1
    assert re.fullmatch(r"computer-dump-\d+\.png", download.value.suggested_filename)
    path = tmp_path / "card.png"
    download.value.save_as(path)
    width, height = struct.unpack(">II", path.read_bytes()[16:24])
    assert width == 1200
    assert height > 600
    drawn = " ".join(page.evaluate("window.drawn"))
    assert f"Written by a computer. {LABEL}." in re.sub(r"\s+", " ", drawn)
    assert "AI-generated parody" in page.evaluate("window.drawn")
    assert "scripted@0123456789ab" in drawn
    assert f"Trump or Computer Dump? {scripted_app.url.removeprefix('http://')}" in drawn
    assert "Believe me, nobody computes better" in re.sub(r"\s+", " ", drawn)
    # Where the device shares nothing, text and link are copied.
    finished(page, "Today")
    expect(card.locator(".cd-prompt")).to_have_text("Today")
    expect(card.locator(".cd-send")).to_have_text("Share")
    with page.expect_download():
        card.get_by_role("button", name="Share").click()
    expect(card.locator(".cd-send")).to_have_text("Copied; picture saved")
    *text, label, link = page.evaluate("navigator.clipboard.readText()").split("\n")
    assert "\n".join(text).endswith("Believe me, nobody computes better. SAD!")
    assert label == "— AI-generated parody"
    assert link.startswith(f"{scripted_app.url}/#prompt=Today&")


# A device with a share sheet, which keeps what it was given, and then does as the test says.
SHARE_SHEET = """() => {
navigator.canShare = () => true;
navigator.share = async (data) => {
  window.given = { ...data, files: data.files.map((file) => [file.name, file.type, file.size]) };
  if (window.sheet) throw new DOMException("", window.sheet);
};
}"""


def test_share_hands_words_link_and_picture_to_the_devices_sheet(page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate("navigator.clipboard.writeText('mine')")
    page.evaluate(SHARE_SHEET)
    card = finished(page, f"long {'🫖' * 80}")
    card.get_by_role("button", name="Share").click()
    given = page.wait_for_function("window.given").json_value()
    # Two for each emoji, and a link is 23.
    text = given["text"]
    assert 200 < len(text) + text.count("🫖") + 1 + 23 <= 280
    assert text.startswith("long 🫖")
    assert text.endswith("…\n— AI-generated parody")
    assert "#prompt=long" in given["url"]
    ((name, kind, size),) = given["files"]
    assert re.fullmatch(r"computer-dump-\d+\.png", name)
    assert kind == "image/png"
    assert size > 10_000
    # Whoever closes the sheet did not want to copy either.
    page.evaluate("window.given = null, window.sheet = 'AbortError'")
    card.get_by_role("button", name="Share").click()
    page.wait_for_function("window.given")
    assert page.evaluate("navigator.clipboard.readText()") == "mine"
    # A frame whose host does not allow it.
    page.evaluate("window.sheet = 'NotAllowedError'")
    card.get_by_role("button", name="Share").click()
    expect(card.locator(".cd-send")).to_have_text("Copied; picture saved")


def test_a_link_fills_the_fields_and_writes_the_same_again(page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_label("number input for Length").fill("7")
    finished(page, "Füße & 100% <b>")
    link = copied_link(page)
    # Nothing of it is sent to a server by a browser that opens it.
    assert urlsplit(link).query == ""
    assert "scripted@0123456789ab script exact" in parse_qs(urlsplit(link).fragment)["by"]
    again = open_page(page.context.new_page(), link)
    card = again.locator(".cd-card")
    expect(card).to_have_attribute("data-state", "finished")
    expect(prompt_box(again)).to_have_value("Füße & 100% <b>")
    expect(again.get_by_label("number input for Length")).to_have_value("7")
    source = page.locator(".cd-card .cd-source").text_content() or ""
    expect(card.locator(".cd-source")).to_have_text(source)
    expect(card.locator(".cd-differs")).to_be_hidden()


def test_a_link_is_followed_however_late_the_components_come(
    context: BrowserContext, scripted_app: AppProcess
) -> None:
    def late(route: Route) -> None:
        held.append(route)

    held: list[Route] = []
    # Sliders are among the fields that a link fills in.
    context.route(SLIDERS, late)
    page = context.new_page()
    page.goto(f"{scripted_app.url}/#prompt=Today&seed=7&max_new_tokens=3")
    page.locator("#cd-prompt textarea").wait_for(state="attached")
    wait_in(page, lambda: bool(held))
    page.wait_for_timeout(1_000)
    for route in held:
        route.continue_()
    expect(page.locator(".cd-card .cd-source")).to_contain_text("seed 7 · max_new_tokens 3")
    expect(page.get_by_label("number input for Length")).to_have_value("3")
    expect(prompt_box(page)).to_have_value("Today")
