"""Components that the browser draws and functions that it runs, from the files in static/.

Gradio would put values into a template as markup. Here each one is put in as text, wherever it
comes from: nothing else in this package may build HTML.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr

STATIC = Path(__file__).with_name("static")
_PLACE = re.compile(r"\$\{(\w+)\}")
# What Gradio would run in a template: JavaScript's `${…}`, which a backtick ends, or Handlebars'.
_RUNS = re.compile(r"\$\{|\{\{|`")
# What means something in HTML, or in such a template.
_MARKUP = re.compile(r"""[&<>"'`${}\\]""")


class UnsafeTemplate(ValueError):
    """A template in which more than names stands in a place for a value."""


def read_static(name: str) -> str:
    return (STATIC / name).read_text(encoding="utf-8")


def read_component(name: str) -> tuple[str, str]:
    """Markup and script of static/NAME.html. Gradio runs each component's script as a function of
    its own, so what they share (common.js) and what `<script src=…>` names is put before it."""
    markup, _, script = read_static(f"{name}.html").partition("<script>\n")
    markup, *sources = re.split(r'<script src="(.*?)"></script>\n', markup)
    shared = [read_static(source) for source in ("common.js", *filter(None, sources))]
    return markup, "\n".join((*shared, script.removesuffix("</script>\n")))


def build_component(name: str, elem_id: str, **props: Any) -> gr.HTML:
    """A component of the current Blocks out of static/NAME.html. `props` fill the markup's places
    as text; the script sees them as they are. Raises UnsafeTemplate."""
    markup, script = read_component(name)
    return gr.HTML(
        html_template=filled(markup, props),
        js_on_load=script,
        apply_default_css=False,
        elem_id=elem_id,
        **props,
    )


def build_fixed_html(template: str, elem_id: str, **words: str) -> gr.HTML:
    """Markup without a script, which Gradio 4's bundle, in old posts, shows too: it knows no
    templates."""
    return gr.HTML(filled(template, words), elem_id=elem_id, apply_default_css=False)


def filled(template: str, values: Mapping[str, Any]) -> str:
    """The template with every value as text, in an element and in a quoted attribute. Raises
    UnsafeTemplate."""

    def text(place: re.Match[str]) -> str:
        return _MARKUP.sub(lambda found: f"&#{ord(found[0])};", values[place[1]])

    if found := _RUNS.search(_PLACE.sub("", template)):
        raise UnsafeTemplate(f"A template holds {found[0]!r}; only ${{name}} may stand there.")
    return _PLACE.sub(text, template)


def browser_function(name: str, **values: Any) -> str:
    """A function of events.js, for `js=` of an event: it gets `values`, then the event's inputs."""
    found = re.search(rf"^function {name}\(.*?^}}$", read_static("events.js"), re.M | re.S)
    assert found, name
    return f"(...inputs) => ({found[0]})({json.dumps(values)}, ...inputs)"
