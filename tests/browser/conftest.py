"""A real browser: skipped with the reason where there is none, unless REQUIRE_BROWSER=1."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from urllib.parse import urljoin

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    ViewportSize,
    expect,
    sync_playwright,
)

from tests.browser.steady import OBSERVE_SHIFTS
from tests.processes import ROOT, AppProcess

# Machines that run tests are busy; how fast the page is, benchmarks/page.py measures.
expect.set_options(timeout=30_000)
SIZE: ViewportSize = {"width": 1280, "height": 900}
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# A second name of this machine: plain http there is no secure context, as on a home network.
INSECURE_HOST = "space.test"
# And a third, which is somebody else's.
BLOG_HOST = "blog.test"
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    f"--host-resolver-rules=MAP {INSECURE_HOST} 127.0.0.1, MAP {BLOG_HOST} 127.0.0.1",
)


def browser_arguments() -> tuple[str, ...]:
    """Quiet, in a container, and with host names of its own."""
    return _ARGUMENTS


def executable() -> str:
    """Where a browser is; the test is skipped, or fails, where there is none."""
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if found:
        return found
    reason = f"no browser: none of {', '.join(_NAMES)} is on the PATH"
    if os.environ.get("REQUIRE_BROWSER") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


# Not for the whole session: while Playwright runs, this thread has an event loop, and tests of
# other rings could not start one.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all tests of a module."""
    path = executable()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(browser_arguments()))
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser that has never been here: nothing cached, no clipboard of an earlier visitor."""
    with new_context(browser) as context:
        yield context


@contextmanager
def new_context(browser: Browser) -> Iterator[BrowserContext]:
    """A context of the size that tests expect, closed afterwards."""
    # A proxy of the tests signs its own certificate.
    context = browser.new_context(viewport=SIZE, ignore_https_errors=True)
    context.set_default_timeout(30_000)
    yield context
    context.close()


@pytest.fixture(scope="module")
def reused(browser: Browser) -> Iterator[Page]:
    """A page that all tests of a module navigate: Gradio's scripts stay compiled in its process, so
    the app opens in a third of the time that a new page takes."""
    with new_context(browser) as context:
        context.add_init_script(OBSERVE_SHIFTS)
        yield context.new_page()


def leave(page: Page) -> Page:
    """Goes from the app to a plain page of its site, and takes along nothing that it kept. The
    process stays, and a `goto` that follows always loads: one that changes nothing but the hash
    would not."""
    page.goto(urljoin(page.url, "/robots.txt"))
    page.evaluate("() => { localStorage.clear(); sessionStorage.clear(); }")
    return page


@pytest.fixture
def visitor(reused: Page) -> Page:
    """An empty page without anything that an earlier test has set."""
    context = reused.context
    for opened in context.pages:
        if opened is not reused:
            opened.close()
    if reused.url != "about:blank":
        reused.unroute_all()
        leave(reused)
    context.clear_cookies()
    context.clear_permissions()
    context.set_offline(False)
    reused.set_viewport_size(SIZE)
    reused.emulate_media(media="null", color_scheme="null", reduced_motion="null")
    return reused


@pytest.fixture
def page(visitor: Page, scripted_app: AppProcess) -> Page:
    """The page, ready to type into."""
    return open_page(visitor, scripted_app.url)


def open_page(page: Page, url: str, wait_for: str = "") -> Page:
    """Opens the app and waits until it is whole, and until something is there if it is named."""
    page.goto(url)
    whole = page.locator(wait_for or "#computer-dump.cd-drawn .cd-card")
    whole.wait_for(state="visible" if wait_for else "attached")
    # Gradio loads components one by one and draws again as they come, which takes the focus away.
    page.wait_for_load_state("networkidle")
    return page


def cut_off(page: Page) -> list[str]:
    """What reaches beyond the window's right edge, but for what scrolls in a box of its own. The
    page itself would not tell: Gradio cuts it off."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll("#computer-dump *")]
            .filter((e) => e.checkVisibility() && !e.closest("pre, .visually-hidden")
                && e.getBoundingClientRect().right > window.innerWidth + 1)
            .map((e) => e.outerHTML.slice(0, 80))"""
    )
    return found


@pytest.fixture(scope="session")
def screenshots() -> Path:
    """Where the pictures go that a person looks at."""
    folder = ROOT / "screenshots"
    folder.mkdir(exist_ok=True)
    return folder


# How wide the window is, and what the system says of colours.
LOOKS: tuple[tuple[int, Literal["dark", "light"]], ...] = ((390, "dark"), (1280, "light"))


def pictured(page: Page, screenshots: Path, name: str) -> None:
    """Takes the page's picture as a phone at night and a desktop by day show it; all of it fits."""
    for width, theme in LOOKS:
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        is_dark = "dark => Boolean(document.querySelector('body.dark, gradio-app.dark')) === dark"
        page.wait_for_function(is_dark, arg=theme == "dark")
        page.screenshot(path=screenshots / f"{name}-{width}-{theme}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert cut_off(page) == []
