"""The page's colours and fonts, and the Gradio theme made of them. Every colour is defined here.

style.css and preview.svg read the palette as custom properties (`--cd-ink`), picture.js as a prop.
"""

from collections.abc import Mapping

import gradio as gr

from demo.ui.components import STATIC

CSS_FILE = STATIC / "style.css"
LIGHT: Mapping[str, str] = {
    "ground": "#f7f5ef",
    "ink": "#1f1b16",
    "quiet": "#5f584e",
    "paper": "#fffefb",
    "bar": "#e9f5ec",
    "edge": "#d9d3c7",
    "hole": "#efebe1",
    "green": "#046c4e",
    "red": "#a61b12",
    "red-ground": "#fdecea",
    "marker": "#ffe9a8",
    "focus": "#0b5cad",
    "on-green": "#ffffff",
    "computer": "#f3b5ae",
    "person": "#a9dcc0",
    "person-edge": "#1d8a5f",
    # The robot, by day and by night.
    "robot": "#d8d4ca",
    "robot-face": "#1f1b16",
    "robot-eye": "#7cf0c0",
    "robot-lamp": "#ffb4a8",
    "robot-slot": "#5f584e",
    "robot-paper": "#fffefb",
    "robot-print": "#8f887c",
}
DARK: Mapping[str, str] = {
    "ground": "#141310",
    "ink": "#f2eee6",
    "quiet": "#b9b1a4",
    "paper": "#1e1c19",
    "bar": "#1b2c24",
    "edge": "#46413a",
    "hole": "#100f0d",
    "green": "#58d3a3",
    "red": "#ff9c92",
    "red-ground": "#3c1916",
    "marker": "#5c4a12",
    "focus": "#8ec5ff",
    "on-green": "#0c1f18",
    "computer": "#8d3b33",
    "person": "#1f6a4b",
    "person-edge": "#58d3a3",
}
_SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
_MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")


def custom_properties(palette: Mapping[str, str]) -> str:
    return " ".join(f"--cd-{name}: {colour};" for name, colour in palette.items())


def palette_css() -> str:
    """The custom properties that style.css reads, scoped like everything in it."""
    return f"""\
gradio-app #computer-dump {{ {custom_properties(LIGHT)} }}
gradio-app.dark #computer-dump,
body.dark > gradio-app:not([src]) #computer-dump {{ {custom_properties(DARK)} }}
"""


def build_theme() -> gr.themes.Base:
    """The theme; its fonts are the visitor's own, so none is fetched."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.emerald,
        neutral_hue=gr.themes.colors.stone,
        radius_size=gr.themes.sizes.radius_lg,
        font=_SANS,
        font_mono=_MONO,
    ).set(
        body_background_fill=LIGHT["ground"],
        body_background_fill_dark=DARK["ground"],
        body_text_color_subdued="*neutral_600",
        block_radius="12px",
        container_radius="12px",
        block_background_fill=LIGHT["paper"],
        block_background_fill_dark=DARK["paper"],
        block_border_color_dark=DARK["edge"],
        block_title_text_color="*neutral_800",
        block_title_text_color_dark="*neutral_100",
        block_title_text_weight="600",
        input_background_fill_dark=DARK["ground"],
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
        input_border_color="*neutral_300",
        input_border_color_dark="*neutral_600",
        input_border_width="1px",
        # Gradio takes the outline away from what is typed into.
        input_border_color_focus=LIGHT["focus"],
        input_border_color_focus_dark=DARK["focus"],
        input_shadow_focus=f"0 0 0 2px {LIGHT['focus']}",
        input_shadow_focus_dark=f"0 0 0 2px {DARK['focus']}",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_800",
        slider_color="*primary_600",
    )
