"""The game over HTTP: `POST /guess/next` and `POST /guess/answer`, JSON both ways.

Knows bodies and status codes; must not know the game's rules. Nothing that is sent is logged.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from demo.game.game import Game, Record
from demo.game.tickets import Refused

# A round is of one moment and of one visitor: no cache may give it again.
HEADERS = {"Cache-Control": "no-store"}


def guess_routes(game: Game) -> Sequence[Route]:
    """Routes for the page."""

    def deal(body: Mapping[str, Any]) -> Record:
        return game.next(_text_or_none(body, "visit"))

    def answer(body: Mapping[str, Any]) -> Record:
        return game.answer(_text(body, "ticket"), _text(body, "guess"))

    return (_route("/guess/next", deal), _route("/guess/answer", answer))


def _route(path: str, handle: Callable[[Mapping[str, Any]], Record]) -> Route:
    """Only the body is awaited: the game may have to wait for its locks."""

    async def endpoint(request: Request) -> JSONResponse:
        try:
            body = _parsed(await request.body())
            return JSONResponse(await run_in_threadpool(handle, body), headers=HEADERS)
        except Refused as error:
            return JSONResponse({"detail": str(error)}, error.status, headers=HEADERS)

    return Route(path, endpoint, methods=["POST"])


def _parsed(content: bytes) -> Mapping[str, Any]:
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        raise Refused(400, "The request's body must be JSON.") from None
    if not isinstance(body, dict):
        raise Refused(400, "The request's body must be a JSON object.")
    return body


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        raise Refused(400, f"{name} must be a text.")
    return value


def _text_or_none(body: Mapping[str, Any], name: str) -> str | None:
    return None if body.get(name) is None else _text(body, name)
