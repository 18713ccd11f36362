"""Draws the pictures that a shared link shows: `python -m tests.preview`.

A browser renders demo/ui/static/preview.svg twice: with the embedded persona's title and a text of
its model, and without either for all other personas.
"""

from playwright.sync_api import sync_playwright

from demo.ui.embed import PREVIEW, PREVIEW_ANY
from demo.ui.theme import LIGHT, custom_properties
from tests.browser.conftest import executable

WIDTH, HEIGHT = 1200, 630


def main() -> None:
    """Writes demo/ui/static/preview.png and preview-any.png."""
    drawing = PREVIEW.with_suffix(".svg").read_text(encoding="utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        colours = custom_properties(LIGHT)
        style = f"body {{ margin: 0; {colours} }} svg {{ display: block }}"
        for path, hidden in ((PREVIEW, ".any"), (PREVIEW_ANY, ".embedded")):
            hide = f"{hidden} {{ display: none }}"
            page.set_content(f"<style>{style} {hide}</style>{drawing}")
            page.screenshot(path=path)
        browser.close()


if __name__ == "__main__":
    main()
