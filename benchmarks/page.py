"""`page`: how soon a visitor sees something, and how much of it moves afterwards.

Reads a browser's own measures (first contentful paint, largest contentful paint, layout shift).
Every visit is a fresh browser context, with nothing in its cache.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from statistics import median
from typing import Annotated

import pytest
import typer
from playwright.sync_api import Browser, sync_playwright

from benchmarks import BenchmarkError
from benchmarks.measuring import (
    RESULTS,
    OutsideLoad,
    ResultsOption,
    describe_run,
    table,
    write_page,
)
from benchmarks.servers import started
from demo.ui import snippets
from tests.browser.blog import Blog
from tests.browser.conftest import browser_arguments, executable

# `buffered` brings the entries from before the observer was there, too.
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


def page(
    visits: Annotated[int, typer.Option(help="of each kind")] = 7,
    results: ResultsOption = RESULTS,
) -> None:
    load = OutsideLoad()
    found: dict[str, list[Visit]] = {}
    # What is measured is the page, not a start.
    with started() as server, _post(server.url) as post, browser() as opened:
        for name, address in {"the page": server.url, "an embed in a post": post}.items():
            for width, height in WINDOWS:
                # The first one finds a server that has not read its own files yet.
                _visit(opened, address, width, height)
                found[f"{name}, {width} px"] = [
                    _visit(opened, address, width, height) for _ in range(visits)
                ]
    write_page(results / "page.md", render(found, visits, load.cores()))


@contextmanager
def browser() -> Iterator[Browser]:
    """The browser of the tests. Raises BenchmarkError if there is none."""
    try:
        path = executable()
    except pytest.skip.Exception as reason:
        raise BenchmarkError(str(reason)) from None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(browser_arguments()))
        yield browser
        browser.close()


@contextmanager
def _post(app: str) -> Iterator[str]:
    """The example post of the docs, on a server and under a host name of its own."""
    with tempfile.TemporaryDirectory() as folder:
        blog = Blog(Path(folder), app)
        text = snippets.addressed(snippets.POST.read_text(encoding="utf-8"), blog.app)
        (Path(folder) / "post.html").write_text(text, encoding="utf-8")
        yield f"{blog.url}/post.html"
        blog.close()


def _visit(browser: Browser, address: str, width: int, height: int) -> Visit:
    context = browser.new_context(viewport={"width": width, "height": height})
    context.add_init_script(OBSERVE)
    page = context.new_page()
    page.goto(address)
    page.get_by_label("Start a tweet").wait_for()
    usable = float(page.evaluate("performance.now()"))
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(SETTLE_MILLISECONDS)
    measured = page.evaluate(READ)
    context.close()
    return Visit(usable=usable, **measured)


def render(found: Mapping[str, Sequence[Visit]], visits: int, outside_cores: float) -> list[str]:
    header = (
        "what", "first paint, ms", "largest paint, ms", "usable, ms", "layout shift", "requests",
        "MB",
    )  # fmt: skip
    rows = []
    for name, seen in found.items():
        first, largest, usable, shift, requests, size = map(
            median, zip(*map(astuple, seen), strict=True)
        )
        worst = max(visit.shift for visit in seen)
        rows.append(
            (
                name, f"{first:.0f}", f"{largest:.0f}", f"{usable:.0f}",
                f"{shift:.3f} (at most {worst:.3f})", f"{requests:.0f}", f"{size / 1e6:.2f}",
            )
        )  # fmt: skip
    return [
        "# What a visitor waits for",
        f"{describe_run('page', outside_cores)} Browser and server share the cores, and there is "
        "no network between them.",
        f"Chromium with an empty cache, the median of {visits} visits. Layout shift adds up all of "
        "a visit; under 0.1 is called good (web.dev). An embed's bytes are counted for its own "
        "origin alone.",
        table(header, rows),
    ]
