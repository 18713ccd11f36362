"""What a shared link shows: the page's own title, sentence and picture in place of Gradio's.

Knows the meta tags of a page; must not know what the page does. Gradio's own way, `head=`, would
put them into the page of everyone who embeds the demo.
"""

import re
from html import escape

from starlette.requests import Request

from demo.checkpoints.persona import Persona
from demo.ui import copy
from demo.ui.assets import address_of
from demo.ui.rewriting import Rule

_THEIRS = re.compile(r"<meta\s+(?:property=\"og:|name=\"(?:twitter:|description))[^>]*>")


def preview_rule(persona: Persona) -> Rule:
    """For the one HTML page."""

    def tagged(page: str, request: Request) -> str:
        tags = preview_tags(persona, address_of(request))
        return _THEIRS.sub("", page).replace("</head>", f"{tags}</head>", 1)

    return Rule(re.compile("/"), tagged)


def preview_tags(persona: Persona, address: str) -> str:
    """Open Graph's tags and Twitter's, which most readers of links understand."""
    said = {
        "og:type": "website",
        "og:url": f"{address}/",
        "og:title": persona.title,
        "og:description": copy.preview_description(persona),
        "og:image": f"{address}/preview.png",
        "og:image:width": "1200",
        "og:image:height": "630",
        "og:image:alt": copy.PREVIEW_PICTURE,
    }
    lines = [f'<meta property="{name}" content="{escape(text)}">' for name, text in said.items()]
    lines.append('<meta name="twitter:card" content="summary_large_image">')
    lines.append(f'<meta name="description" content="{escape(said["og:description"])}">')
    return "\n".join((*lines, ""))
