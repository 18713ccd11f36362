"""What makes an embed a good guest: it loads once it is near, and touches nothing of its host.

Knows the bundle and the style sheets that Gradio serves, and what of them reaches the page of
whoever embeds the demo; must not know what is in ours. Where Gradio writes something else one day,
`UnknownGradio` says so at the start rather than on somebody's blog.
"""

import re
from pathlib import Path

import gradio as gr
from starlette.requests import Request

from demo.ui.rewriting import Rule

_FRONTEND = Path(gr.__file__).parent / "templates" / "frontend"
# The base sheet has these for Gradio's own page; in an embed they are the host's.
_BODY = "body{line-height:inherit;margin:0}"
_VARIABLES = (":root{--scale-0", "gradio-app{--scale-0")
# The theme's. By night Gradio marks body on its own page, and gradio-app alone in an embed.
_NIGHT = (":root.dark, :root .dark {", "gradio-app.dark, body.dark > gradio-app:not([src]) {")
_DAY = (":root {", "gradio-app {")

_LAZY_SCRIPT = """\
// Loads the demo's bundle once one of the page's embeds comes near the reader's eyes.
const embeds = [...document.querySelectorAll("gradio-app")];
// What the host put inside makes room at once for what replaces it, and comes back if nothing does.
const own = embeds.flatMap((embed) => [...embed.children]);
const showOwn = (shown) => own.forEach((element) => { element.hidden = !shown; });
const load = () => {
  showOwn(false);
  import("{bundle}").catch(() => showOwn(true));
};
if (!embeds.length || embeds.some((embed) => embed.getAttribute("eager") === "true")) {
  load();
} else {
  const near = new IntersectionObserver((seen) => {
    if (!seen.some((entry) => entry.isIntersecting)) return;
    near.disconnect();
    load();
  }, { rootMargin: "600px" });
  embeds.forEach((embed) => near.observe(embed));
}
"""


class UnknownGradio(RuntimeError):
    """The installed Gradio does not write what this module was made for."""


def lazy_script() -> str:
    """`/gradio.js`: Gradio has one in its wheel, which it does not serve and which loads at once.

    Raises:
        UnknownGradio: it loads something else.
    """
    found = re.fullmatch(
        r'import\("(\./assets/index-[\w-]+\.js)"\);?\s*',
        (_FRONTEND / "gradio.js").read_text(encoding="utf-8"),
    )
    if found is None:
        raise UnknownGradio(f"gradio.js of Gradio {gr.__version__} is not one import.")
    return _LAZY_SCRIPT.replace("{bundle}", found[1])


def style_rules() -> list[Rule]:
    """Gradio's two sheets with what they say of a page's root and body said of the embed alone.

    Raises:
        UnknownGradio: the base sheet says it in other words.
    """
    sheets = [
        sheet
        for sheet in (_FRONTEND / "assets").glob("index-*.css")
        if _BODY in sheet.read_text(encoding="utf-8")
    ]
    if len(sheets) != 1 or _VARIABLES[0] not in sheets[0].read_text(encoding="utf-8"):
        raise UnknownGradio(f"Gradio {gr.__version__} has another base style sheet.")
    return [
        Rule(re.compile(re.escape(f"/assets/{sheets[0].name}")), _base),
        Rule(re.compile("/theme.css"), _theme),
    ]


def _base(sheet: str, _: Request) -> str:
    return sheet.replace(_BODY, "").replace(*_VARIABLES)


def _theme(sheet: str, _: Request) -> str:
    return sheet.replace(*_NIGHT).replace(*_DAY)
