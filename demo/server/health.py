"""`/healthz` and `/readyz`: whether the server lives, and whether it could write a text now.

Knows a service's state and how a probe asks; must not know engines or pages.
"""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from demo.server.service import Service


def health_routes(service: Service) -> Sequence[Route]:
    """Routes for probes and for the page, which asks until the engine is there."""

    async def healthz(_: Request) -> JSONResponse:
        return JSONResponse({"status": "alive"})

    # Not async: an engine may have to try before it knows.
    def readyz(_: Request) -> JSONResponse:
        state = service.state()
        body = {"status": state, "notice": service.notice()}
        return JSONResponse(body, status_code=200 if state == "ready" else 503)

    return (Route("/healthz", healthz), Route("/readyz", readyz))
