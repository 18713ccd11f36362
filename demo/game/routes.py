"""The game over HTTP: `POST /guess/next`, `daily`, `answer` and `twin`, JSON both ways.

Their bodies were checked to be objects by `demo.server.limits`. Nothing that is sent is logged.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from demo.game.game import DailyRound, Game, RealTwin, Revealed, Round
from demo.game.tickets import Refused

# A round belongs to one moment and one visitor: no cache may serve it again.
HEADERS = {"Cache-Control": "no-store"}

Body = Mapping[str, Any]
Answer = Round | DailyRound | Revealed | RealTwin


def guess_routes(game: Game) -> Sequence[Route]:
    return (
        _route("next", lambda body: game.next(_text_or_none(body, "visit"))),
        _route("daily", lambda body: game.daily(_text_or_none(body, "day"), _int(body, "place"))),
        _route("answer", lambda body: game.answer(_text(body, "ticket"), _text(body, "guess"))),
        _route("twin", lambda body: game.twin(_text(body, "text"), _int(body, "seed"))),
    )


def _route(name: str, handle: Callable[[Body], Answer]) -> Route:
    async def endpoint(request: Request) -> JSONResponse:
        try:
            # In a thread: it may have to wait for the game's lock.
            result = await run_in_threadpool(handle, request.state.body)
            return JSONResponse(asdict(result), headers=HEADERS)
        except Refused as error:
            return JSONResponse({"detail": str(error)}, error.status, headers=HEADERS)

    return Route(f"/guess/{name}", endpoint, methods=["POST"])


def _text_or_none(body: Body, name: str) -> str | None:
    return None if body.get(name) is None else _text(body, name)


def _text(body: Body, name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        raise Refused(400, f"{name} must be a text.")
    return value


def _int(body: Body, name: str) -> int:
    value = body.get(name)
    # Not a bool, which is an int, too.
    if type(value) is not int:
        raise Refused(400, f"{name} must be a whole number.")
    return value
