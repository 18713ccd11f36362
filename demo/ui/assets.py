"""Files that are served beside the page: for embeds, for shared links, for the About tab.

Knows where they lie and under which addresses; must not know what is in them.
"""

import re
from collections.abc import Sequence

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route

from demo.server.service import Service
from demo.ui import snippets
from demo.ui.embed import lazy_script
from demo.ui.static_files import STATIC

PREVIEW = STATIC / "preview.png"
# A new version of the server must be seen by the next reader of a post.
_FRESH = {"cache-control": "public, max-age=300"}
_DAY = {"cache-control": "public, max-age=86400"}


def asset_routes(service: Service) -> Sequence[Route]:
    """`/gradio.js`, `/preview.png`, `/plot.png` and the post at `/embed.html`."""

    bundle = lazy_script()

    def script(_: Request) -> Response:
        return Response(bundle, media_type="text/javascript", headers=_FRESH)

    def preview(_: Request) -> Response:
        return FileResponse(PREVIEW, headers=_DAY)

    def plot(_: Request) -> Response:
        path = service.plot()
        if path is None:
            raise HTTPException(404)
        return FileResponse(path, headers=_FRESH)

    def post(request: Request) -> Response:
        text = snippets.POST.read_text(encoding="utf-8")
        return HTMLResponse(snippets.addressed(text, address_of(request)))

    return (
        Route("/gradio.js", script),
        Route("/preview.png", preview),
        Route("/plot.png", plot),
        Route("/embed.html", post),
    )


def address_of(request: Request) -> str:
    """The demo's address as the one who asks sees it, without a slash at its end.

    A proxy that speaks https to the browser says so in a header. What a visitor could put there
    reaches that visitor alone.
    """
    scheme = request.headers.get("x-forwarded-proto", request.url.scheme).split(",")[0].strip()
    host = request.headers.get("x-forwarded-host", request.url.netloc).split(",")[0].strip()
    safe = re.fullmatch(r"[\w.\-:\[\]]+", host)
    return f"{'https' if scheme == 'https' else 'http'}://{host if safe else 'localhost'}"
