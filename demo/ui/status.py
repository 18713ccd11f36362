"""The line under the header: that the model is loading, or why this one runs.

Knows the words and the probe it asks (status.js); must not know engines.
"""

from pathlib import Path

import gradio as gr

from demo.ui import copy


def build_status() -> gr.HTML:
    """An empty line that the browser fills in."""
    return gr.HTML(
        html_template='<p class="cd-notice" role="status" hidden></p>',
        js_on_load=Path(__file__).with_name("status.js").read_text(encoding="utf-8"),
        apply_default_css=False,
        elem_id="cd-notice",
        words=dict(copy.STATUS),
    )
