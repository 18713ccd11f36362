"""All that is changed of what Gradio serves, each with a fallback, and what is served beside it.

An embed loads once it is near the viewport, and changes nothing of the page around it.
A shared link shows the page's own title and picture: Gradio's way, `head=`, would put them into the
page of everyone who embeds the demo. Where Gradio writes something else than was expected, the
change is left out and logged; the start never fails. What Gradio's client does when the network is
lost is changed by static/network.js, which holds for a bundle from elsewhere too.
"""

import json
import logging
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
from gradio.state_holder import SessionState

# The router's own function: a guard and the router must never see different routes.
from starlette._utils import get_route_path
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from demo.checkpoints.embedded import EMBEDDED
from demo.checkpoints.persona import Persona, persona_of
from demo.server.calls import Calls
from demo.server.service import Service
from demo.ui import snippets
from demo.ui.components import STATIC, read_static
from demo.ui.openapi import complete_openapi
from demo.ui.page import TAGLINE

log = logging.getLogger(__name__)

FRONTEND = Path(gr.__file__).parent / "templates" / "frontend"
# What a shared link shows: the embedded persona's title and a text of its model, or for any other
# persona neither.
PREVIEW_WORDS = TAGLINE + " Then guess which ones are real. {persona.badge}."
PREVIEW_ALT = "A robot and a tweet that it made up, labelled as AI-generated parody"
PREVIEW = STATIC / "preview.png"
PREVIEW_ANY = STATIC / "preview-any.png"
# A new version of the server must be seen by the next reader of a post.
_FRESH = {"cache-control": "public, max-age=300"}
# How long a stopping server waits for those who still read.
CLOSE_SECONDS = 0.5
_DAY = {"cache-control": "public, max-age=86400"}

# Rules of Gradio's base sheet for a page of its own; in an embed they would be the host's.
_BASE_SHEET = (
    ("body{line-height:inherit;margin:0}", ""),
    (":root{--scale-0", "gradio-app{--scale-0"),
)
# The theme's. By night Gradio marks body on its own page, and gradio-app alone in an embed.
_THEME_SHEET = (
    (":root.dark, :root .dark {", "gradio-app.dark, body.dark > gradio-app:not([src]) {"),
    (":root {", "gradio-app {"),
)
_GRADIOS_TAGS = re.compile(r"<meta\s+(?:property=\"og:|name=\"(?:twitter:|description))[^>]*>")


# What becomes of an answer's text; raises ValueError if it is not what the change was made for.
Change = Callable[[str, Request], str]


def lazy_script(frontend: Path = FRONTEND) -> str:
    """`/gradio.js`, which loads Gradio's bundle once an embed is near. Gradio has such a file in
    its wheel, which it does not serve and which loads at once: that is what an embed gets if it
    cannot be read."""
    path = frontend / "gradio.js"
    own = path.read_text(encoding="utf-8") if path.is_file() else ""
    bundle = re.fullmatch(r'import\("(\./assets/[\w.-]+\.js)"\);?\s*', own)
    if bundle is None:
        _warn("gradio.js")
        return own
    return read_static("gradio.js").replace("{bundle}", bundle[1])


def changes(persona: Persona, calls: Calls, frontend: Path = FRONTEND) -> Mapping[str, Change]:
    """By path: of the page, the OpenAPI file and Gradio's two style sheets."""
    sheets = {
        f"/assets/{sheet.name}": _replacing(_BASE_SHEET)
        for sheet in (frontend / "assets").glob("index-*.css")
        if all(old in sheet.read_text(encoding="utf-8") for old, _ in _BASE_SHEET)
    }
    if not sheets:
        _warn("base style sheet")
    return {
        "/": lambda text, request: _with_tags(text, persona, request),
        "/gradio_api/openapi.json": lambda text, _: complete_openapi(text, calls),
        "/theme.css": _replacing(_THEME_SHEET),
        **sheets,
    }


def _warn(what: str) -> None:
    log.warning(
        "Gradio %s has another %s than expected: it is left as it is.", gr.__version__, what
    )


def _replacing(pairs: Sequence[tuple[str, str]]) -> Change:
    def change(text: str, _: Request) -> str:
        for old, new in pairs:
            if old not in text:
                raise ValueError(old)
            text = text.replace(old, new)
        return text

    return change


def _with_tags(page: str, persona: Persona, request: Request) -> str:
    if "</head>" not in page:
        raise ValueError("</head>")
    tags = preview_tags(persona, address_of(request))
    return _GRADIOS_TAGS.sub("", page).replace("</head>", f"{tags}</head>", 1)


def preview_tags(persona: Persona, address: str) -> str:
    """Open Graph's tags and Twitter's, which most readers of links understand."""
    said = {
        "og:type": "website",
        "og:url": f"{address}/",
        "og:title": persona.title,
        "og:description": PREVIEW_WORDS.format(persona=persona),
        "og:image": f"{address}/preview.png",
        "og:image:width": "1200",
        "og:image:height": "630",
        "og:image:alt": PREVIEW_ALT,
    }
    lines = [f'<meta property="{name}" content="{escape(text)}">' for name, text in said.items()]
    lines.append('<meta name="twitter:card" content="summary_large_image">')
    lines.append(f'<meta name="description" content="{escape(said["og:description"])}">')
    return "\n".join((*lines, ""))


def address_of(request: Request) -> str:
    """The demo's address as the one who asks sees it, with GRADIO_ROOT_PATH and without a slash at
    its end.

    A proxy that speaks https to the browser says so in a header. What a visitor could put there
    reaches that visitor alone.
    """
    root = request.scope.get("root_path", "").rstrip("/")
    if root.startswith(("http://", "https://")):
        return str(root)
    scheme = request.headers.get("x-forwarded-proto", request.url.scheme).split(",")[0].strip()
    host = request.headers.get("x-forwarded-host", request.url.netloc).split(",")[0].strip()
    safe = re.fullmatch(r"[\w.\-:\[\]]+", host)
    return f"{'https' if scheme == 'https' else 'http'}://{host if safe else 'localhost'}{root}"


def asset_routes(service: Service, persona: Persona) -> Sequence[Route]:
    """`/gradio.js`, `/preview.png`, `/plot.png` and the post at `/embed.html`."""
    bundle = lazy_script()
    preview = PREVIEW if persona.title == persona_of(EMBEDDED).title else PREVIEW_ANY

    def plot(_: Request) -> Response:
        path = service.plot()
        if path is None:
            raise HTTPException(404)
        return FileResponse(path, headers=_FRESH)

    def post(request: Request) -> Response:
        text = snippets.POST.read_text(encoding="utf-8")
        return HTMLResponse(snippets.addressed(text, address_of(request)))

    return (
        Route("/gradio.js", lambda _: Response(bundle, 200, _FRESH, "text/javascript")),
        Route("/preview.png", lambda _: FileResponse(preview, headers=_DAY)),
        Route("/plot.png", plot),
        Route("/embed.html", post),
    )


def answer_mcp_in_json(page: gr.Blocks) -> None:
    """Has a launched page's tools answer in JSON, as its endpoints do, and not in Python's repr."""
    server = getattr(page, "mcp_server_obj", None)
    if server is None:
        return
    # Without it Gradio starts no such server.
    from mcp.types import TextContent  # noqa: PLC0415

    def as_json(data: list[Any], _: str) -> list[Any]:
        texts = (json.dumps(result, ensure_ascii=False) for result in data)
        return [TextContent(type="text", text=text) for text in texts]

    server.postprocess_output_data = as_json


def save_no_states(page: gr.Blocks) -> None:
    """Keeps a launched page from making the configs of all its components anew for each session.

    Gradio saves and links states with them, which the demo does not offer; each program's call is a
    session, and would spend a third of its time on them (benchmarks/LOG.md).
    """
    try:
        without_configs: Any = SimpleNamespace(default_config=page.default_config, blocks={})
        SessionState(without_configs)
        page.state_holder.blocks = without_configs
    except Exception:
        _warn("session")


def keep_no_statistics() -> None:
    """Keeps pages that are queued from now on from counting how long their calls took.

    Gradio shows it to owners on a page that the demo does not have. For that it keeps the last
    10,000 calls, and makes a table of all of them with pandas after each call: up to 9 ms of CPU,
    and memory that grows all that while (benchmarks/LOG.md).
    """
    os.environ["GRADIO_ANALYTICS_MAX_EVENTS"] = "1"
    # How many calls later the table is made anew.
    os.environ["GRADIO_ANALYTICS_CACHE_FREQUENCY"] = str(sys.maxsize)


def close_server(page: gr.Blocks) -> None:
    """Closes a launched page. uvicorn would wait for a reader that never reads, and Gradio sets it
    no limit."""
    config = getattr(getattr(page, "server", None), "config", None)
    if config is not None:
        config.timeout_graceful_shutdown = CLOSE_SECONDS
    # It would tell of each request that is cut now, with a traceback.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    page.close(verbose=False)


class Rewriting:
    """Changes whole answers of 200 with text, by their path. Everything else passes untouched,
    streams above all; so does an answer that its change was not made for."""

    # Compressed, or "not changed since", there would be nothing to read.
    CONDITIONS = (b"accept-encoding", b"if-none-match", b"if-modified-since", b"range")
    # What depends on the length or the bytes of the original.
    STALE = ("content-length", "etag", "last-modified")

    def __init__(self, app: ASGIApp, changes: Mapping[str, Change]) -> None:
        self.app = app
        self.changes = changes
        self.warned: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_read = scope["type"] == "http" and scope["method"] == "GET"
        change = self.changes.get(get_route_path(scope)) if is_read else None
        if change is None:
            await self.app(scope, receive, send)
            return
        kept = [header for header in scope["headers"] if header[0] not in self.CONDITIONS]
        request = Request({**scope, "headers": kept})
        messages: list[Message] = []

        async def collect(message: Message) -> None:
            messages.append(message)

        await self.app(request.scope, receive, collect)
        start, body = messages[0], b"".join(part.get("body", b"") for part in messages[1:])
        headers = dict(Headers(raw=start["headers"]))
        if start["status"] == 200:
            body = self._change(change, body, request)
            headers = {name: text for name, text in headers.items() if name not in self.STALE}
        await Response(body, start["status"], headers)(scope, receive, send)

    def _change(self, change: Change, body: bytes, request: Request) -> bytes:
        try:
            return change(body.decode(), request).encode()
        except (ValueError, KeyError, TypeError, AttributeError):
            if request.url.path not in self.warned:
                self.warned.add(request.url.path)
                _warn(request.url.path)
            return body
