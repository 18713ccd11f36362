"""The page: header, status, tabs. Assembles what its neighbours build.

Knows the order of things; must not know what is inside a tab.
"""

from html import escape

import gradio as gr

from demo.serving.service import Service
from demo.ui import copy
from demo.ui.endpoint import make_generate
from demo.ui.status import build_status
from demo.ui.write import build_write_tab

_HEADER = f"""
<h1>Trump <span>or</span> <b>Computer&nbsp;Dump?</b></h1>
<p>{escape(copy.TAGLINE)}</p>
<p class="cd-disclaimer">{escape(copy.DISCLAIMER)}</p>
"""


def build_page(service: Service) -> gr.Blocks:
    """The page, whether its engine is there yet or not."""
    page = gr.Blocks(title=copy.TITLE, analytics_enabled=False)
    with page, gr.Column(elem_id="computer-dump"):
        gr.HTML(_HEADER, elem_id="cd-header", apply_default_css=False)
        build_status()
        build_write_tab(make_generate(service))
    return page
