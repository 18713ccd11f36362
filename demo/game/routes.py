"""The game over HTTP: `POST /guess/next`, `/guess/answer` and `/guess/twin`, JSON both ways.

Their bodies were checked to be objects by `demo.server.limits`. Nothing that is sent is logged.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from demo.game.game import Game, RealTwin, Refused, Revealed, Round

# A round belongs to one moment and one visitor: no cache may serve it again.
HEADERS = {"Cache-Control": "no-store"}

Body = Mapping[str, Any]


def guess_routes(game: Game) -> Sequence[Route]:

    def deal(body: Body) -> Round:
        return game.next(None if body.get("visit") is None else _text(body, "visit"))

    def answer(body: Body) -> Revealed:
        return game.answer(_text(body, "ticket"), _text(body, "guess"))

    def twin(body: Body) -> RealTwin:
        seed = body.get("seed")
        if not isinstance(seed, int) or isinstance(seed, bool):
            raise Refused(400, "seed must be a whole number.")
        return game.twin(_text(body, "text"), seed)

    return (
        _route("/guess/next", deal),
        _route("/guess/answer", answer),
        _route("/guess/twin", twin),
    )


def _route(path: str, handle: Callable[[Body], Round | Revealed | RealTwin]) -> Route:
    async def endpoint(request: Request) -> JSONResponse:
        try:
            # In a thread: the game may have to wait for its locks.
            result = await run_in_threadpool(handle, request.state.body)
            return JSONResponse(asdict(result), headers=HEADERS)
        except Refused as error:
            return JSONResponse({"detail": str(error)}, error.status, headers=HEADERS)

    return Route(path, endpoint, methods=["POST"])


def _text(body: Body, name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        raise Refused(400, f"{name} must be a text.")
    return value
