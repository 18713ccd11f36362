"""`/count`: how many tokens a text is, for the counter under the prompt.

Knows a service and how a page asks; must not know components. Nothing that is sent is kept.
"""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from demo.generation.request import MIN_ROOM_TOKENS, GenerationRequest, InvalidRequest
from demo.server.service import Service


def count_routes(service: Service) -> Sequence[Route]:
    """POST `{"text": …}`; answers `{"tokens", "limit"}`, null while the model loads."""

    async def count(request: Request) -> JSONResponse:
        try:
            opening = GenerationRequest((await request.json())["text"]).opening
        except InvalidRequest as error:
            return _refused(str(error))
        except (ValueError, KeyError, TypeError, RecursionError):
            return _refused("Send an object with a text.")
        engine = service.engine()
        if engine is None:
            return JSONResponse({"tokens": None, "limit": None})
        tokens = engine.count_tokens(opening)
        return JSONResponse({"tokens": tokens, "limit": engine.context_tokens - MIN_ROOM_TOKENS})

    return (Route("/count", count, methods=["POST"]),)


def _refused(sentence: str) -> JSONResponse:
    return JSONResponse({"detail": sentence}, status_code=400)
