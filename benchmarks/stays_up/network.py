"""A reader's page, and a blog post with an embed, whose network goes away for a while."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Error, Page

from benchmarks.stays_up.app import SCRIPTED, App, Row
from benchmarks.stays_up.browser import chromium
from demo.ui import copy, snippets
from tests.browser.actions import write
from tests.browser.blog import Blog
from tests.browser.conftest import INSECURE_HOST, new_context, open_page
from tests.browser.network import Line

SECONDS = (3.0, 60.0)
QUICK_SECONDS = (3.0, 5.0)
# Until the card says that its text was cut.
SAID_SECONDS = 10.0
MENDED_SECONDS = 30.0
TYPED = "what the reader of the post has typed"


@dataclass(frozen=True)
class Reader:
    """A reader's page over a line that can be cut."""

    page: Page
    line: Line
    address: str

    def has_lost_nothing(self) -> bool:
        """Nothing was loaded again, and what was typed beside the embed is there."""
        own = self.page.locator("textarea.own")
        kept = not own.count() or own.input_value() == TYPED
        return kept and self.page.evaluate("window.seen") is True and self.page.url == self.address

    def goes_on(self) -> bool:
        """The card's Continue writes on from the text that was cut."""
        self.page.locator(".cd-carry").click()
        return _appears(self.page, '.cd-card[data-state="finished"]', MENDED_SECONDS) is not None


def network(app: App) -> Iterator[Row]:
    """Cut, so that connections are reset, and silent, so that nothing comes any more."""
    with app.started(SCRIPTED) as server, chromium() as browser:
        port = urlsplit(server.url).port
        assert port
        for where in ("the page", "an embed in a post"):
            for seconds in QUICK_SECONDS if app.quick else SECONDS:
                with _reading(browser, port, where) as reader:
                    yield _cut(reader, where, seconds)
        with _reading(browser, port, "the page") as reader:
            yield _cut(reader, "the page", 15.0 if app.quick else SECONDS[-1], is_silent=True)


@contextmanager
def _reading(browser: Browser, port: int, where: str) -> Iterator[Reader]:
    with tempfile.TemporaryDirectory() as folder, new_context(browser) as context:
        line, blog = Line(port), Blog(Path(folder))
        try:
            address = f"http://{INSECURE_HOST}:{line.port}"
            if where != "the page":
                blog.app = address
                address = blog.post(f"<textarea class=own></textarea>{snippets.EMBED}")
            page = open_page(context.new_page(), address)
            if where != "the page":
                page.locator("textarea.own").fill(TYPED)
            page.evaluate("window.seen = true")
            yield Reader(page, line, page.url)
        finally:
            line.close()
            blog.close()


def _cut(reader: Reader, where: str, seconds: float, is_silent: bool = False) -> Row:
    card = write(reader.page, "endless")
    card.locator(".cd-generated", has_text="word word").wait_for()
    begun = time.monotonic()
    if is_silent:
        reader.line.stall()
    else:
        reader.line.cut()
    said = _appears(reader.page, f".cd-error:text-is({copy.CUT!r})", SAID_SECONDS + 5)
    reader.page.wait_for_timeout(max(0.0, seconds - (time.monotonic() - begun)) * 1_000)
    reader.line.mend()
    # The page may notice a moment later.
    reader.page.wait_for_timeout(2_000)
    kept = reader.has_lost_nothing()
    goes_on = kept and reader.goes_on() and reader.has_lost_nothing()
    how = "silent" if is_silent else "cut"
    return Row(
        f"the network {how} for {seconds:g} s while a text is written: {where}",
        f"{'the card never said so' if said is None else f'the card said so after {said:.1f} s'}; "
        f"{'nothing' if kept else 'something'} was loaded again or lost; Continue "
        f"{'went on' if goes_on else 'did not go on'}",
        f"said within {SAID_SECONDS:g} s, nothing loaded again or lost, Continue goes on",
        said is not None and said <= SAID_SECONDS and goes_on,
    )


def _appears(page: Page, selector: str, seconds: float) -> float | None:
    """After how many seconds it can be seen; None if not within so many."""
    begun = time.monotonic()
    try:
        page.locator(selector).first.wait_for(timeout=seconds * 1_000)
    except Error:
        return None
    return time.monotonic() - begun
