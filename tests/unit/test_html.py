"""What is put into a template is text, also in the next component that somebody builds."""

import html
import re

import pytest

from demo.ui.components import STATIC, UnsafeTemplate, build_fixed_html, filled, read_component

ATTACK = "<img src=x onerror=\"alert('1')\">&${alert(1)}{{alert}}`\\x3c"


COMPONENTS = {path.stem for path in STATIC.glob("*.html")} - {"embed"}
WITHOUT_PLACES = {"detect", "page", "write"}


@pytest.mark.parametrize("name", sorted(COMPONENTS))
def test_every_value_of_every_template_is_text(name: str) -> None:
    markup, _ = read_component(name)
    places = re.findall(r"\$\{(\w+)\}", markup)
    safe = filled(markup, dict.fromkeys(places, ATTACK))
    assert bool(places) == (name not in WITHOUT_PLACES)
    assert html.unescape(safe).count(ATTACK) == len(places)
    for sign in ("<img src=x", "${", "{{", "`", "\\"):
        assert sign not in safe


@pytest.mark.parametrize(
    "template", ["${a + b}", "${a.b}", "${f(a)}", "${ a }", "${}", "{{a}}", "{{{a}}}", "a`b", "${a"]
)
def test_a_place_with_more_than_a_name_is_refused(template: str) -> None:
    with pytest.raises(UnsafeTemplate, match="only"):
        filled(template, {"a": "", "b": ""})


def test_what_is_fixed_is_text_too() -> None:
    built = build_fixed_html("<p>${words}</p>", elem_id="x", words=ATTACK)
    assert html.unescape(str(built.value)) == f"<p>{ATTACK}</p>"
    assert str(built.value).count("<") == 2


def test_nothing_else_builds_html() -> None:
    sources = [path for path in STATIC.parent.glob("*.py") if path.name != "components.py"]
    assert [path.name for path in sources if "gr.HTML(" in path.read_text("utf-8")] == []
    scripts = "\n".join(
        path.read_text("utf-8") for path in STATIC.iterdir() if path.suffix in (".js", ".html")
    )
    assert re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write", scripts) == []
