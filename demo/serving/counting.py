"""`/count`: how many tokens a text is, for the counter under the prompt.

Knows a service and how a page asks; must not know components. Nothing that is sent is kept.
"""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from demo.generation.request import MAX_PROMPT_CHARACTERS, MIN_ROOM_TOKENS
from demo.serving.service import Service


def count_routes(service: Service) -> Sequence[Route]:
    """POST `{"text": …}`; answers `{"tokens", "limit"}`, null while the model loads."""

    async def count(request: Request) -> JSONResponse:
        try:
            text = (await request.json())["text"]
        except (ValueError, KeyError, TypeError):
            return _refused("Send an object with a text.")
        if not isinstance(text, str) or len(text) > MAX_PROMPT_CHARACTERS:
            return _refused(f"text must be at most {MAX_PROMPT_CHARACTERS:,} characters.")
        engine = service.engine()
        if engine is None:
            return JSONResponse({"tokens": None, "limit": None})
        tokens = engine.count_tokens(text.rstrip())
        return JSONResponse({"tokens": tokens, "limit": engine.context_tokens - MIN_ROOM_TOKENS})

    return (Route("/count", count, methods=["POST"]),)


def _refused(sentence: str) -> JSONResponse:
    return JSONResponse({"detail": sentence}, status_code=400)
