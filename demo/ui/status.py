"""The line under the header: that the model is loading, or why this one runs.

Knows the words and the probe it asks (status.js); must not know engines.
"""

import gradio as gr

from demo.ui import copy
from demo.ui.html import build_html


def build_status() -> gr.HTML:
    """An empty line that the browser fills in."""
    return build_html(
        '<p class="cd-notice" role="status" hidden></p>',
        "status.js",
        elem_id="cd-notice",
        words=dict(copy.STATUS),
    )
