"""Components that the browser draws and functions that it runs, from the files in static/."""

import json
import re
from pathlib import Path
from typing import Any

import gradio as gr

STATIC = Path(__file__).with_name("static")


def read_static(name: str) -> str:
    """A text file in static/."""
    return (STATIC / name).read_text(encoding="utf-8")


def build_component(name: str, elem_id: str, **props: Any) -> gr.HTML:
    """A component from static/NAME.html: its markup, and the script at its end.

    Gradio runs each component's script as a function of its own, so what they share (common.js),
    and what a `<script src=…>` names, is put before it. `props` reach markup and script.
    """
    markup, _, script = read_static(f"{name}.html").partition("<script>\n")
    markup, *sources = re.split(r'<script src="(.*?)"></script>\n', markup)
    scripts = [read_static(source) for source in ("common.js", *filter(None, sources))]
    return gr.HTML(
        html_template=markup,
        js_on_load="\n".join((*scripts, script.removesuffix("</script>\n"))),
        apply_default_css=False,
        elem_id=elem_id,
        **props,
    )


def browser_function(name: str, **values: Any) -> str:
    """A function of events.js, for `js=` of an event: it gets `values`, then the event's inputs."""
    found = re.search(rf"^function {name}\(.*?^}}$", read_static("events.js"), re.M | re.S)
    assert found, name
    return f"(...inputs) => ({found[0]})({json.dumps(values)}, ...inputs)"
