"""Layout shift: how much of what is in the window moves before a visitor's eyes."""

from typing import Any

from playwright.sync_api import Frame, Page

# What is called good is 0.1 (web.dev).
MOST_SHIFT = 0.05
# Keeps layout shifts, whether a key or a click came within the half second before, and what moved
# from where to where.
OBSERVE_SHIFTS = """
window.shifts = [];
new PerformanceObserver((list) => {
  for (const { value, hadRecentInput, sources } of list.getEntries()) {
    const place = (rect) => [rect.x, rect.y, rect.width, rect.height].map(Math.round).join(" ");
    const told = ({ node, previousRect, currentRect }) =>
      `${node?.id || node?.getAttribute?.("class") || node?.nodeName}: ` +
      `${place(previousRect)} -> ${place(currentRect)}`;
    window.shifts.push([value, hadRecentInput, ...sources.map(told)]);
  }
}).observe({type: "layout-shift", buffered: true});
"""


def take_shifts(page: Page | Frame) -> list[list[Any]]:
    """Returns the shifts since the page was opened or this was last called, and forgets them."""
    found: list[list[Any]] = page.evaluate(
        """async () => {
            // What was changed just now is laid out, and told to the observer.
            for (let i = 0; i < 2; i += 1) await new Promise(requestAnimationFrame);
            await new Promise((done) => setTimeout(done));
            return window.shifts.splice(0);
        }"""
    )
    return found


def assert_steady(page: Page | Frame, even_after_input: bool = False) -> None:
    """Nothing that was in the window moved far since the page was opened or this was last called,
    unless a visitor's key or click had it move, which browsers do not count either."""
    shifts = [shift for shift in take_shifts(page) if even_after_input or not shift[1]]
    assert sum(shift[0] for shift in shifts) <= MOST_SHIFT, shifts
