"""Colours and type: fanfold computer paper, green bars, a red lamp.

Knows Gradio's theme variables; what they cannot say is in style.css.
"""

import gradio as gr

from demo.ui.static_files import STATIC

CSS_FILE = STATIC / "style.css"

_SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
_MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")

# As --cd-focus in style.css.
_FOCUS, _FOCUS_DARK = "#0b5cad", "#8ec5ff"


def build_theme() -> gr.themes.Base:
    """The theme; its fonts are the visitor's own, so none is fetched."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.emerald,
        neutral_hue=gr.themes.colors.stone,
        radius_size=gr.themes.sizes.radius_lg,
        font=_SANS,
        font_mono=_MONO,
    ).set(
        body_background_fill="#f7f5ef",
        body_background_fill_dark="#141310",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        block_radius="12px",
        container_radius="12px",
        block_background_fill="#fffefb",
        block_background_fill_dark="#1e1c19",
        block_border_color_dark="#46413a",
        block_title_text_color="*neutral_800",
        block_title_text_color_dark="*neutral_100",
        block_title_text_weight="600",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_400",
        input_background_fill_dark="#141310",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
        input_border_color="*neutral_300",
        input_border_color_dark="*neutral_600",
        input_border_width="1px",
        # Gradio takes the outline away from what is typed into.
        input_border_color_focus=_FOCUS,
        input_border_color_focus_dark=_FOCUS_DARK,
        input_shadow_focus=f"0 0 0 2px {_FOCUS}",
        input_shadow_focus_dark=f"0 0 0 2px {_FOCUS_DARK}",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_800",
        button_primary_text_color="white",
        slider_color="*primary_600",
    )
