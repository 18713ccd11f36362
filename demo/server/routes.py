"""Our own routes: `/healthz` and `/readyz` for probes, `/count` for the prompt's counter."""

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from demo.generation.request import MIN_ROOM_TOKENS, GenerationRequest, InvalidRequest
from demo.server.service import Service
from demo.server.strict_json import InvalidBody, read_object


def service_routes(service: Service) -> Sequence[Route]:
    """GET `/healthz` and `/readyz` (503 unless a text could be written now); POST `/count` with
    `{"text": …}`, which answers `{"tokens", "limit"}`, both null while the model loads. Nothing
    that is sent is kept."""

    async def healthz(_: Request) -> JSONResponse:
        return JSONResponse({"status": "alive"})

    # Not async: an engine may have to try before it knows.
    def readyz(_: Request) -> JSONResponse:
        state = service.state()
        body = {"status": state, "notice": service.notice()}
        return JSONResponse(body, status_code=200 if state == "ready" else 503)

    async def count(request: Request) -> JSONResponse:
        try:
            text: Any = read_object(await request.body()).get("text")
            opening = GenerationRequest(text).opening
        except (InvalidBody, InvalidRequest) as error:
            return JSONResponse({"detail": str(error)}, status_code=400)
        engine = service.engine()
        if engine is None:
            return JSONResponse({"tokens": None, "limit": None})
        tokens = engine.count_tokens(opening)
        return JSONResponse({"tokens": tokens, "limit": engine.context_tokens - MIN_ROOM_TOKENS})

    return (
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/count", count, methods=["POST"]),
    )
