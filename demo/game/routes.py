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

    def deal(body: Body) -> Round:
        return game.next(_optional_text(body, "visit"))

    def daily(body: Body) -> DailyRound:
        place = body.get("place")
        if type(place) is not int:
            raise Refused(400, "place must be a whole number.")
        return game.daily(_optional_text(body, "day"), place)

    def answer(body: Body) -> Revealed:
        return game.answer(_text(body, "ticket"), _text(body, "guess"))

    def twin(body: Body) -> RealTwin:
        seed = body.get("seed")
        if type(seed) is not int:
            raise Refused(400, "seed must be a whole number.")
        return game.twin(_text(body, "text"), seed)

    return (
        _route("/guess/next", deal),
        _route("/guess/daily", daily),
        _route("/guess/answer", answer),
        _route("/guess/twin", twin),
    )


def _route(path: str, handle: Callable[[Body], Answer]) -> Route:
    async def endpoint(request: Request) -> JSONResponse:
        try:
            # In a thread: the game may have to wait for its locks.
            result = await run_in_threadpool(handle, request.state.body)
            return JSONResponse(asdict(result), headers=HEADERS)
        except Refused as error:
            return JSONResponse({"detail": str(error)}, error.status, headers=HEADERS)

    return Route(path, endpoint, methods=["POST"])


def _optional_text(body: Body, name: str) -> str | None:
    return None if body.get(name) is None else _text(body, name)


def _text(body: Body, name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        raise Refused(400, f"{name} must be a text.")
    return value
