"""What a shared link shows: the page's own title, sentence and picture in place of Gradio's.

Knows the meta tags of a page and ASGI; must not know what the page does. Gradio's own way, `head=`,
would put them into the page of everyone who embeds the demo.
"""

import re
from html import escape

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demo.generation.persona import Persona
from demo.ui import copy
from demo.ui.assets import address_of

_THEIRS = re.compile(r"<meta\s+(?:property=\"og:|name=\"(?:twitter:|description))[^>]*>", re.DOTALL)


class Preview:
    """Replaces the preview tags of the one HTML page, `/`."""

    def __init__(self, app: ASGIApp, persona: Persona) -> None:
        self.app = app
        self.persona = persona

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/":
            await self.app(scope, receive, send)
            return
        start: Message = {}
        body = b""

        async def rewritten(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                start = message
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                page = self._tagged(body, Request(scope))
                await send(_with_length(start, len(page)))
                await send({"type": "http.response.body", "body": page})

        await self.app(scope, receive, rewritten)

    def _tagged(self, body: bytes, request: Request) -> bytes:
        try:
            page = body.decode()
        except UnicodeDecodeError:
            return body
        tags = preview_tags(self.persona, address_of(request))
        return _THEIRS.sub("", page).replace("</head>", f"{tags}</head>", 1).encode()


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


def _with_length(start: Message, length: int) -> Message:
    kept = [(name, value) for name, value in start["headers"] if name != b"content-length"]
    return {**start, "headers": [*kept, (b"content-length", str(length).encode())]}
