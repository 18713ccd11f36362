"""The page: header, notice, tabs. Assembles what its neighbours build.

Knows the order of things; must not know what is inside a tab.
"""

from html import escape

import gradio as gr

from demo.generation.engine import Engine
from demo.ui import copy
from demo.ui.endpoint import make_generate
from demo.ui.write import build_write_tab

_HEADER = f"""
<h1>Trump <span>or</span> <b>Computer&nbsp;Dump?</b></h1>
<p>{escape(copy.TAGLINE)}</p>
<p class="cd-disclaimer">{escape(copy.DISCLAIMER)}</p>
"""


def build_page(engine: Engine, notice: str) -> gr.Blocks:
    """The page over one engine; `notice` is said on top if it is not empty."""
    page = gr.Blocks(title=copy.TITLE, analytics_enabled=False)
    with page, gr.Column(elem_id="computer-dump"):
        gr.HTML(_HEADER, elem_id="cd-header", apply_default_css=False)
        if notice:
            gr.HTML(f"<p>{escape(notice)}</p>", elem_id="cd-notice", apply_default_css=False)
        build_write_tab(make_generate(engine))
    return page
