"""Draws the picture that a shared link shows: `python -m tests.preview`.

A browser renders demo/ui/static/preview.svg; the picture names nobody, so it fits every persona.
"""

from playwright.sync_api import sync_playwright

from demo.ui.embed import PREVIEW
from demo.ui.theme import LIGHT, custom_properties
from tests.browser.conftest import executable

WIDTH, HEIGHT = 1200, 630


def main() -> None:
    """Writes demo/ui/static/preview.png."""
    drawing = PREVIEW.with_suffix(".svg").read_text(encoding="utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        colours = custom_properties(LIGHT)
        style = f"body {{ margin: 0; {colours} }} svg {{ display: block }}"
        page.set_content(f"<style>{style}</style>{drawing}")
        page.screenshot(path=PREVIEW)
        browser.close()


if __name__ == "__main__":
    main()
