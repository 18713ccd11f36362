"""`/visitor`: as whom this server sees whoever asks, so that its owner can count the proxies.

Knows one request's own address and header; must not keep them, nor tell them to anybody else.
"""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


def visitor_routes() -> Sequence[Route]:
    """GET; answers `{"peer", "peer_is_forwarded", "forwarded_for"}` of this very request.

    `peer` is the other end of the connection. Only where that is this machine, Uvicorn itself puts
    the last address of X-Forwarded-For in its place; then `peer_is_forwarded` is true.
    """

    async def visitor(request: Request) -> JSONResponse:
        peer = request.client
        sent = request.headers.getlist("x-forwarded-for")
        answer = {
            "peer": peer.host if peer else None,
            # A connection has a port; an address out of a header has none.
            "peer_is_forwarded": bool(peer and sent and peer.port == 0),
            "forwarded_for": ", ".join(sent) if sent else None,
        }
        return JSONResponse(answer, headers={"Cache-Control": "no-store"})

    return (Route("/visitor", visitor),)
