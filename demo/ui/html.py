"""The HTML of the page: templates with places for values, and the scripts that go with them.

Gradio puts values into a template as markup. Here each one is put in as text, wherever it comes
from. Knows Gradio's HTML component, which nothing else in this package may build; must not know
what is shown.
"""

import re
from html import escape
from string import Template
from typing import Any

import gradio as gr

from demo.ui.static_files import script

# `${name}` or `${words.name}`; Gradio would run any other expression, and Handlebars' `{{name}}`.
_PLACE = re.compile(r"\$\{([\w.]+)\}")
_OTHER_PLACE = re.compile(r"\$\{(?![\w.]+\})|\{\{|`")
_AS_TEXT = r"""${String(\1).replace(/[&<>"']/g, (c) => "&#" + c.charCodeAt(0) + ";")}"""


class UnsafeTemplate(ValueError):
    """A template in which more than names stands in a place for a value."""


def build_html(template: str, *scripts: str, elem_id: str, **values: Any) -> gr.HTML:
    """A component of the current Blocks. The values fill the template's places as text; scripts,
    which are files of static/, see them as they are, in `props`.

    Raises:
        UnsafeTemplate: a place holds more than a name.
    """
    return gr.HTML(
        html_template=with_values_as_text(template),
        js_on_load=script(*scripts) if scripts else None,
        apply_default_css=False,
        elem_id=elem_id,
        **values,
    )


def build_fixed_html(template: str, elem_id: str, **words: str) -> gr.HTML:
    """The same, filled in on the server: Gradio 4's bundle, in old posts, knows no templates."""
    filled = Template(template).substitute({name: escape(text) for name, text in words.items()})
    return gr.HTML(filled, elem_id=elem_id, apply_default_css=False)


def with_values_as_text(template: str) -> str:
    """The template with every value escaped for HTML, in an element and in a quoted attribute.

    Raises:
        UnsafeTemplate: a place holds more than a name.
    """
    if found := _OTHER_PLACE.search(template):
        raise UnsafeTemplate(f"A template holds {found[0]!r}; only ${{name}} may stand there.")
    return _PLACE.sub(_AS_TEXT, template)
