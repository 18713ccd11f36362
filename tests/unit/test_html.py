"""What is put into a template is text, also in the next component that somebody builds."""

import re

import pytest

from demo.ui.components import (
    STATIC,
    UnsafeTemplate,
    build_fixed_html,
    read_component,
    with_values_as_text,
)

ATTACK = "<img src=x onerror=\"alert('1')\">&${alert(1)}"


COMPONENTS = {path.stem for path in STATIC.glob("*.html")} - {"embed"}
WITHOUT_PLACES = {"page", "write"}


@pytest.mark.parametrize("name", sorted(COMPONENTS))
def test_every_value_of_every_template_is_escaped(name: str) -> None:
    markup, _ = read_component(name)
    places = re.findall(r"\$\{([\w.]+)\}", markup)
    safe = with_values_as_text(markup)
    assert bool(places) == (name not in WITHOUT_PLACES)
    assert re.findall(r"\$\{String\(([\w.]+)\)\.replace\(", safe) == places
    assert safe.count("${") == len(places)


@pytest.mark.parametrize(
    "template", ["${a + b}", "${f(a)}", "${ a }", "${}", "{{a}}", "{{{a}}}", "a`b", "${a"]
)
def test_a_place_with_more_than_a_name_is_refused(template: str) -> None:
    with pytest.raises(UnsafeTemplate, match="only"):
        with_values_as_text(template)


def test_what_is_filled_in_on_the_server_is_escaped_once() -> None:
    built = build_fixed_html("<p>${words}</p>", elem_id="x", words=ATTACK)
    assert built.value == (
        "<p>&lt;img src=x onerror=&quot;alert(&#x27;1&#x27;)&quot;&gt;&amp;${alert(1)}</p>"
    )


def test_nothing_else_builds_html() -> None:
    sources = [path for path in STATIC.parent.glob("*.py") if path.name != "components.py"]
    assert [path.name for path in sources if "gr.HTML(" in path.read_text("utf-8")] == []
    scripts = "\n".join(
        path.read_text("utf-8") for path in STATIC.iterdir() if path.suffix in (".js", ".html")
    )
    assert re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write", scripts) == []
