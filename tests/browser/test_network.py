"""A reader's page when the network or the server fails: nothing is loaded again, what was written
stays, and it goes on."""

import re
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from demo.server.rates import Refusal
from demo.ui import snippets
from demo.ui.api import NO_ANSWER
from demo.ui.page import STATUS
from demo.ui.write import CUT
from tests.app.calls import post
from tests.browser.actions import finished, prompt_box, write
from tests.browser.blog import Blog
from tests.browser.conftest import INSECURE_HOST, cut_off, open_page
from tests.browser.network import Line
from tests.processes import HTTP, AppProcess, running_app

TYPED = "what the reader of the post has typed"


def port_of(app: AppProcess) -> int:
    port = urlsplit(app.url).port
    assert port
    return port


@pytest.fixture(scope="module")
def laid(scripted_app: AppProcess) -> Iterator[Line]:
    """One line for all: a browser keeps what it compiled of a page by the page's address."""
    line = Line(port_of(scripted_app))
    yield line
    line.close()


@pytest.fixture
def line(laid: Line, scripted_app: AppProcess) -> Iterator[Line]:
    """It passes everything, to the scripted app."""
    yield laid
    laid.target = port_of(scripted_app)
    laid.cut()
    laid.mend()


@pytest.fixture(scope="module")
def served_blog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Blog]:
    blog = Blog(tmp_path_factory.mktemp("blog"))
    yield blog
    blog.close()


@dataclass
class Visit:
    """A page, or a post with an embed, that is reached over a line."""

    page: Page
    line: Line
    address: str
    # Notes a figure for `benchmarks stays_up`.
    record: Callable[[str, object], None]

    def is_whole(self) -> None:
        """Nothing was loaded again or left, and the host's reader has lost nothing."""
        assert self.page.evaluate("window.seen") is True
        # A tab's address is one of the same page.
        assert self.page.url.partition("#")[0] == self.address
        own = self.page.locator("textarea.own")
        if own.count():
            expect(own).to_have_value(TYPED)

    def cut_card(self) -> Locator:
        """The card, once it says that its text was cut."""
        card, begun = self.page.locator(".cd-card"), time.monotonic()
        expect(card.locator(".cd-error")).to_have_text(CUT, timeout=10_000)
        self.record("seconds until the card says so", time.monotonic() - begun)
        expect(card.locator(".cd-generated")).to_contain_text("word word")
        expect(self.page.locator("#cd-generate")).to_be_enabled()
        expect(self.page.locator("#cd-stop")).to_be_disabled()
        return card

    def goes_on(self) -> None:
        """Continue goes on from what was written."""
        self.page.locator(".cd-carry").click()
        card = self.page.locator(".cd-card")
        expect(card).to_have_attribute("data-state", "finished")
        expect(card.locator(".cd-prompt")).to_have_text("endless")
        expect(card.locator(".cd-generated")).to_contain_text(re.compile("word word.* computers"))
        self.is_whole()


@pytest.fixture
def answers(visitor: Page) -> Iterator[dict[str, tuple[int, str]]]:
    """What is answered in the server's stead, by the last part of the path: status and body. To be
    named before `visit`: a route that is put into a page that ran has once been passed by."""
    told: dict[str, tuple[int, str]] = {}

    def answer(route: Route) -> None:
        found = told.get(urlsplit(route.request.url).path.rpartition("/")[2])
        if found:
            headers = {"access-control-allow-origin": "*"}
            route.fulfill(status=found[0], body=found[1], headers=headers)
        else:
            route.continue_()

    visitor.route(re.compile("/gradio_api/queue/"), answer)
    yield told
    visitor.unroute_all()


@pytest.fixture(params=["page", "embed"])
def visit(
    request: pytest.FixtureRequest,
    visitor: Page,
    line: Line,
    served_blog: Blog,
    record_property: Callable[[str, object], None],
) -> Visit:
    if request.param == "page":
        page = open_page(visitor, f"http://{INSECURE_HOST}:{line.port}")
    else:
        served_blog.app = f"http://{INSECURE_HOST}:{line.port}"
        post = served_blog.post(f"<textarea class=own></textarea>{snippets.EMBED}")
        page = open_page(visitor, post)
        page.locator("textarea.own").fill(TYPED)
    # Gone once anything is loaded in its place.
    page.evaluate("window.seen = true")
    return Visit(page, line, page.url, record_property)


def writing(visit: Visit) -> Locator:
    card = write(visit.page, "endless")
    expect(card.locator(".cd-generated")).to_contain_text("word word")
    return card


only_page = pytest.mark.parametrize("visit", ["page"], indirect=True)
only_embed = pytest.mark.parametrize("visit", ["embed"], indirect=True)
# `benchmarks stays_up` waits as long as networks are lost.
how_long = pytest.mark.parametrize(
    "seconds", [0, *(pytest.param(seconds, marks=pytest.mark.slow) for seconds in (3, 60))]
)


@how_long
def test_a_text_that_a_lost_network_cuts_stays_and_goes_on(visit: Visit, seconds: float) -> None:
    writing(visit)
    visit.line.cut()
    visit.cut_card()
    visit.page.wait_for_timeout(1_000 * seconds)
    visit.line.mend()
    visit.goes_on()


@only_page
@how_long
def test_a_text_from_which_nothing_comes_any_more_is_cut_within_ten_seconds(
    visit: Visit, seconds: float
) -> None:
    writing(visit)
    visit.line.stall()
    visit.cut_card()
    visit.page.wait_for_timeout(1_000 * seconds)
    visit.line.mend()
    visit.goes_on()


@only_embed
def test_stop_works_while_nothing_comes(visit: Visit) -> None:
    card = writing(visit)
    visit.line.stall()
    visit.page.locator("#cd-stop").click()
    expect(card.locator(".cd-finish")).to_have_text("Stopped.", timeout=5_000)
    expect(card.locator(".cd-error")).to_be_hidden()
    visit.line.mend()
    visit.goes_on()


@only_embed
def test_an_embed_outlives_the_server_that_was_killed_and_started_again(
    visit: Visit, scripted_app: AppProcess, tmp_path: Path
) -> None:
    with running_app(["-m", "tests.scripted_app"], tmp_path) as app:
        visit.line.target = port_of(app)
        # What the browser keeps open leads to the other one.
        visit.line.cut()
        visit.line.mend()
        writing(visit)
        app.terminate(signal.SIGKILL)
        visit.cut_card()
    visit.line.target = port_of(scripted_app)
    visit.goes_on()


@only_page
def test_a_refused_call_says_why_in_its_card(
    answers: dict[str, tuple[int, str]], visit: Visit
) -> None:
    page = visit.page
    refusals = {429: Refusal("Your network asks a lot.", 7), 503: Refusal("80 wait.", 10, 503)}
    for status, refusal in refusals.items():
        answers["join"] = (status, bytes(refusal.response().body).decode())
        sentence = f"{refusal.sentence} Try again in {refusal.retry_seconds} s."
        expect(write(page, "Today").locator(".cd-error")).to_have_text(sentence)
        expect(page.locator("#cd-generate")).to_be_enabled()
    answers.clear()
    visit.line.cut()
    error = write(page, "Today").locator(".cd-error")
    expect(error).to_have_text(STATUS["unanswered"])
    expect(prompt_box(page)).to_have_value("Today")
    visit.line.mend()
    finished(page, "Today")
    visit.is_whole()


@only_embed
def test_a_stream_that_the_server_does_not_know_is_no_reason_to_load_the_page_again(
    answers: dict[str, tuple[int, str]], visit: Visit
) -> None:
    unknown = 'data: {"msg":"unexpected_error","message":"404","session_not_found":true}\n\n'
    for status, body in ((404, "{}"), (200, unknown)):
        answers["data"] = (status, body)
        error = write(visit.page, "Today").locator(".cd-error")
        expect(error).to_have_text(NO_ANSWER)
        answers.clear()
        finished(visit.page, "Today")
    visit.is_whole()


@only_page
def test_a_verdict_that_does_not_come_says_why(
    answers: dict[str, tuple[int, str]], visit: Visit
) -> None:
    page = visit.page
    error = page.locator("#cd-verdict .cd-error")

    def judge(text: str) -> None:
        page.get_by_label("Paste a tweet").fill(text)
        page.get_by_role("button", name="Who wrote this?").click()

    page.get_by_role("tab", name="Detect").click()
    answers["data"] = (404, "{}")
    judge("Sad!")
    expect(error).to_have_text(NO_ANSWER)
    answers.clear()
    judge("Sad!")
    expect(page.locator(".cd-verdict-words")).to_contain_text("Too short to judge")
    expect(error).to_be_hidden()
    # A sentence of the server's own is shown by Gradio.
    page.locator("#cd-detect-text textarea").evaluate("e => e.removeAttribute('maxlength')")
    judge("Sad! " * 300)
    expect(page.get_by_text("the limit is 1,000").first).to_be_visible()
    expect(error).to_be_hidden()
    answers["join"] = (429, bytes(Refusal("You ask a lot.", 7).response().body).decode())
    judge("Sad!")
    expect(error).to_have_text("You ask a lot. Try again in 7 s.")
    visit.is_whole()


def test_a_card_tells_its_place_in_the_queue_and_has_its_picture_taken(
    visitor: Page, scripted_app: AppProcess, screenshots: Path
) -> None:
    event = post(scripted_app.url, '{"prompt": "endless"}').json()["event_id"]
    address = f"{scripted_app.url}/gradio_api/call/generate/{event}"
    with HTTP.stream("GET", address) as other:
        updates = other.iter_bytes()
        next(updates)
        page = open_page(visitor, f"{scripted_app.url}/?__theme=dark")
        card = write(page, "Today I'll be")
        expect(card.locator(".cd-note")).to_have_text("You are number 1 in the queue.")
        for width in (390, 1280):
            page.set_viewport_size({"width": width, "height": 844})
            page.screenshot(path=screenshots / f"queue-{width}-dark.png", full_page=True)
            assert cut_off(page) == []
    expect(card).to_have_attribute("data-state", "finished")
