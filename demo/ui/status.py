"""The line under the header: that the model is loading, or why this one runs.

Knows the words and the probe it asks (status.js); must not know engines.
"""

import gradio as gr

from demo.ui import copy
from demo.ui.static_files import script


def build_status() -> gr.HTML:
    """An empty line that the browser fills in."""
    return gr.HTML(
        html_template='<p class="cd-notice" role="status" hidden></p>',
        js_on_load=script("status.js"),
        apply_default_css=False,
        elem_id="cd-notice",
        words=dict(copy.STATUS),
    )
