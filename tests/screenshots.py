"""Takes the pictures of docs/owner.md: `python -m tests.screenshots`.

The real app over the scripted engine, in Chromium, at two widths, light and dark: the text in the
pictures was written beforehand, and by no model.
"""

import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from tests.browser.actions import finished
from tests.browser.conftest import browser_arguments, executable, open_page
from tests.processes import ROOT, running_app

FOLDER = ROOT / "docs"
SIZES = {1280: 900, 390: 844}
THEMES = ("light", "dark")
PROMPT = "Today I'll be"


def name(width: int, theme: str) -> str:
    """Of the picture's file."""
    return f"page-{width}-{theme}.png"


def main() -> None:
    """Writes one picture for every width and theme."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_app(["-m", "tests.scripted_app"], Path(folder)) as app,
        sync_playwright() as playwright,
    ):
        arguments = list(browser_arguments())
        browser = playwright.chromium.launch(executable_path=executable(), args=arguments)
        for width in SIZES:
            for theme in THEMES:
                take(browser, app.url, width, theme)
        browser.close()


def take(browser: Browser, url: str, width: int, theme: str) -> None:
    """One picture, of a text that has just been finished."""
    context = browser.new_context(viewport={"width": width, "height": SIZES[width]})
    page = open_page(context.new_page(), f"{url}/?__theme={theme}")
    finished(page, PROMPT)
    path = FOLDER / name(width, theme)
    # A button is else caught halfway between two colours.
    page.emulate_media(reduced_motion="reduce")
    page.screenshot(path=path, full_page=True)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")
    context.close()


if __name__ == "__main__":
    main()
