"""Our own routes: `/healthz`, `/readyz` and `/metrics` for owners, `/count` for the page."""

from collections.abc import Sequence
from secrets import compare_digest

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from demo.generation.request import MIN_ROOM_TOKENS, GenerationRequest, InvalidRequest
from demo.server.service import Service


def service_routes(service: Service, metrics_token: str = "") -> Sequence[Route]:
    """Those of `probe_routes`; POST `/count` with `{"text": …}`, which answers `{"tokens",
    "limit"}`, both null while the model loads. Nothing that is sent is kept."""

    async def count(request: Request) -> JSONResponse:
        try:
            opening = GenerationRequest(request.state.body.get("text")).opening
        except InvalidRequest as error:
            return JSONResponse({"detail": str(error)}, status_code=400)
        engine = service.engine()
        if engine is None:
            return JSONResponse({"tokens": None, "limit": None})
        tokens = engine.count_tokens(opening)
        return JSONResponse({"tokens": tokens, "limit": engine.context_tokens - MIN_ROOM_TOKENS})

    return (*probe_routes(service, metrics_token), Route("/count", count, methods=["POST"]))


def probe_routes(service: Service, metrics_token: str = "") -> Sequence[Route]:
    """GET `/healthz` and `/readyz` (503 unless a text could be written now); GET `/metrics` with
    the token (404 if none is set)."""

    async def healthz(_: Request) -> JSONResponse:
        return JSONResponse({"status": "alive"})

    # Not async: an engine may have to try before it knows.
    def readyz(_: Request) -> JSONResponse:
        state = service.state()
        body = {"status": state, "notice": service.notice()}
        return JSONResponse(body, status_code=200 if state == "ready" else 503)

    # Not async: it reads files of two processes.
    def metrics(request: Request) -> Response:
        if not metrics_token:
            return JSONResponse({"detail": "Not Found"}, status_code=404)
        if not has_secret(request, metrics_token):
            headers = {"www-authenticate": "Bearer"}
            return JSONResponse({"detail": "The token is missing or wrong."}, 401, headers)
        return Response(generate_latest(service.counts.registry), media_type=CONTENT_TYPE_LATEST)

    return (Route("/metrics", metrics), Route("/healthz", healthz), Route("/readyz", readyz))


def has_secret(request: Request, secret: str) -> bool:
    """Whether a request has `Authorization: Bearer` and the secret."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and compare_digest(given.strip().encode(), secret.encode())
