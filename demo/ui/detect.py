"""The detecting tab: a text goes in, which way the detector leans comes out.

Knows components and how a verdict looks (detect.html, detect.js); must not know how it is reached.
"""

from collections.abc import Callable
from typing import Any

import gradio as gr

from demo.ui import copy
from demo.ui.html import build_html
from demo.ui.static_files import markup
from demo.ui.verdict import MAX_CHARACTERS


def build_detect_tab(detect: Callable[[str], Any]) -> None:
    """Lays the tab out inside the current Blocks and wires it; `detect` is the endpoint."""
    with gr.Column(elem_id="cd-detect"):
        with gr.Column(elem_id="cd-detect-form"):
            text = gr.Textbox(
                label=copy.DETECT_LABEL,
                placeholder=copy.DETECT_PLACEHOLDER,
                info=copy.DETECT_INTRO,
                max_length=MAX_CHARACTERS,
                lines=5,
                max_lines=12,
                elem_id="cd-detect-text",
            )
            button = gr.Button(copy.DETECT_BUTTON, variant="primary", elem_id="cd-detect-button")
        verdict = build_html(
            markup("detect.html"),
            "detect.js",
            elem_id="cd-verdict",
            words=dict(copy.DETECT),
        )
    gr.on(
        [button.click, text.submit],
        detect,
        inputs=text,
        outputs=verdict,
        api_visibility="private",
        preprocess=False,
        show_progress="hidden",
    )
