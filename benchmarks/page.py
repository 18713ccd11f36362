"""`page`: how soon a visitor sees something, and how much of it moves afterwards.

Knows a browser's own measures of a page (first contentful paint, largest contentful paint,
layout shift); must not know what the page shows. Every visit is a fresh browser context, with
nothing in its cache.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import httpx
from playwright.sync_api import Browser, sync_playwright

from benchmarks.errors import BenchmarkError
from benchmarks.machine import OutsideLoad, describe_machine
from benchmarks.report import RESULTS
from benchmarks.servers import Server, free_address, running
from demo.ui import snippets
from tests.browser.blog import Blog
from tests.browser.conftest import browser_arguments, executable

# Largest and shifts are told as they happen, also those before anybody listened.
OBSERVE = """
window.measured = {largest: 0, shift: 0};
new PerformanceObserver((list) => list.getEntries().forEach((entry) => {
  measured.largest = Math.max(measured.largest, entry.startTime); })).observe(
    {type: "largest-contentful-paint", buffered: true});
new PerformanceObserver((list) => list.getEntries().forEach((entry) => {
  if (!entry.hadRecentInput) measured.shift += entry.value; })).observe(
    {type: "layout-shift", buffered: true});
"""
READ = """() => ({...measured,
  first: performance.getEntriesByName("first-contentful-paint")[0].startTime,
  requests: performance.getEntriesByType("resource").length + 1,
  bytes: [...performance.getEntriesByType("resource"), performance.getEntriesByType("navigation")[0]]
    .reduce((sum, entry) => sum + entry.transferSize, 0)})"""  # noqa: E501
PATIENCE_SECONDS = 300.0
PATIENCE_SECONDS = 300.0
SETTLE_MILLISECONDS = 1_500
WINDOWS = ((390, 844), (1280, 900))


@dataclass(frozen=True)
class Visit:
    """One visit: milliseconds since it began, layout shift (no unit), requests, bytes."""

    first: float
    largest: float
    usable: float
    shift: float
    requests: int
    bytes: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verb's command line."""
    parser.add_argument("--visits", type=int, default=7, help="of each kind")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the table is written")


def run(arguments: argparse.Namespace) -> int:
    """Starts the app, visits it, prints and writes the table."""
    load, url = OutsideLoad(), free_address()
    rows = []
    with running(("app.py",), url, {}) as server, _post(server.url) as post, _browser() as browser:
        _await(server)
        pages = {"the page": server.url, "an embed in a post": post}
        for name, address in pages.items():
            for size in WINDOWS:
                visits = [_visit(browser, address, size) for _ in range(arguments.visits + 1)]
                # The first one finds a server that has not read its own files yet.
                rows.append(_row(f"{name}, {size[0]} px", visits[1:]))
    page = markdown(rows, arguments.visits, load.cores())
    arguments.results.mkdir(parents=True, exist_ok=True)
    (arguments.results / "page.md").write_text(page, encoding="utf-8")
    print(page)
    return 0


@contextmanager
def _browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable(), args=list(browser_arguments())
        )
        yield browser
        browser.close()


@contextmanager
def _post(app: str) -> Iterator[str]:
    """The ready post, on a server and under a host name of its own."""
    with tempfile.TemporaryDirectory() as folder:
        blog = Blog(Path(folder), app)
        text = snippets.addressed(snippets.POST.read_text(encoding="utf-8"), blog.app)
        (Path(folder) / "post.html").write_text(text, encoding="utf-8")
        yield f"{blog.url}/post.html"
        blog.close()


def _await(server: Server) -> None:
    """Until it could write a text: what is measured is the page, not a start.

    Raises:
        BenchmarkError: it does not come.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        server.require_alive()
        with suppress(httpx.TransportError):
            if httpx.get(f"{server.url}/readyz").is_success:
                return
        time.sleep(0.2)
    raise BenchmarkError(f"The app was not ready within {PATIENCE_SECONDS:g} s.")


def _visit(browser: Browser, address: str, size: tuple[int, int]) -> Visit:
    context = browser.new_context(viewport={"width": size[0], "height": size[1]})
    context.add_init_script(OBSERVE)
    page = context.new_page()
    page.goto(address)
    page.get_by_label("Your opening words").wait_for()
    usable = float(page.evaluate("performance.now()"))
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(SETTLE_MILLISECONDS)
    measured = page.evaluate(READ)
    context.close()
    return Visit(usable=usable, **measured)


def _row(name: str, visits: Sequence[Visit]) -> str:
    def middle(field: str) -> float:
        return float(median(getattr(visit, field) for visit in visits))

    worst = max(visit.shift for visit in visits)
    return (
        f"| {name} | {middle('first'):.0f} | {middle('largest'):.0f} | {middle('usable'):.0f} "
        f"| {middle('shift'):.3f} (at most {worst:.3f}) | {middle('requests'):.0f} "
        f"| {middle('bytes') / 1e6:.2f} |"
    )


def markdown(rows: Sequence[str], visits: int, outside: float) -> str:
    """The table, with machine and date."""
    return "\n".join(
        (
            "# What a visitor waits for",
            "",
            f"Written by `python -m benchmarks page` on {datetime.now(UTC):%Y-%m-%d}. "
            f"{describe_machine()} Others kept {outside:.2f} cores busy; browser and server share "
            "them, and there is no network between them.",
            "",
            f"Chromium with an empty cache, the median of {visits} visits. Layout shift adds up "
            "all of a visit; under 0.1 is called good (web.dev). An embed's bytes are told for its "
            "own origin alone.",
            "",
            "| what | first paint, ms | largest paint, ms | usable, ms | layout shift | requests "
            "| MB |",
            "|---|---:|---:|---:|---:|---:|---:|",
            *rows,
            "",
        )
    )
