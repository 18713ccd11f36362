"""How often one visitor, and all of them together, may ask for each kind of thing."""

import asyncio
import math
import time
from bisect import bisect
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from limits import RateLimitItem, parse_many

# The router's own function: a guard and the router must never see different routes.
from starlette._utils import get_route_path
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from demo.server.visitors import visitor_of

Kind = Literal["texts", "calls", "rounds", "parts"]

TOO_OFTEN: Mapping[Kind, str] = {
    "texts": "Your network asked for many texts in a short time.",
    "calls": "Your network asked very often in a short time.",
    "rounds": "Your network has played very fast.",
    "parts": "Your network has loaded this page very often in a short time.",
}
# A page's scripts, styles and fonts, which are answered from memory.
PARTS = ("/assets/", "/static/")
# What shows a real tweet.
ROUNDS = ("/guess/next", "/guess/daily", "/guess/twin")
# A refusal is sent after this delay, so that a client that retries in a loop does not keep the
# server busy.
REFUSAL_SECONDS = 0.25


def parse_rate(value: str) -> Sequence[RateLimitItem]:
    """One or more limits as the library `limits` writes them: "120/minute", "5/second; 60/hour".

    Raises:
        ValueError: with the end of a sentence that begins with the setting's name.
    """
    try:
        return parse_many(value)
    except ValueError:
        raise ValueError(
            f'is {value!r}; it must be a rate such as 120/minute or "5/second; 60/minute".'
        ) from None


@dataclass(frozen=True)
class Refusal:
    """Why a request is refused, and in how many seconds it may come again."""

    sentence: str
    retry_seconds: int
    status: int = 429

    def response(self) -> JSONResponse:
        """In the shape that Gradio's own errors have."""
        detail = f"{self.sentence} Try again in {self.retry_seconds} s."
        headers = {"retry-after": str(self.retry_seconds)}
        return JSONResponse({"detail": detail}, self.status, headers=headers)


class MovingWindow:
    """How much each key has used in the last so many seconds.

    Those of `limits` look through all keys after each request, with a hop to a thread for each of
    them: 20 ms of CPU a request with a hundred visitors (benchmarks/LOG.md).
    """

    def __init__(self, most: int, seconds: float) -> None:
        self._most, self._seconds = most, seconds
        # When each use was, the oldest first. The key that was used last stands last.
        self._uses: OrderedDict[str, list[float]] = OrderedDict()

    def __len__(self) -> int:
        """How many keys are remembered."""
        return len(self._uses)

    def wait(self, key: str, cost: int, now: float) -> float:
        """In how many seconds the key may use so much more, at most all that there is; 0: now."""
        self._forget(now)
        uses = self._uses.get(key, [])
        del uses[: bisect(uses, now - self._seconds)]
        over = len(uses) + min(cost, self._most) - self._most
        return uses[over - 1] + self._seconds - now if over > 0 else 0.0

    def use(self, key: str, cost: int, now: float) -> None:
        self._uses.setdefault(key, []).extend([now] * min(cost, self._most))
        self._uses.move_to_end(key)

    def _forget(self, now: float) -> None:
        """Forgets who has used nothing in all that time."""
        while self._uses:
            key, uses = next(iter(self._uses.items()))
            if uses and uses[-1] > now - self._seconds:
                break
            del self._uses[key]


class Rates:
    """Counts requests in moving windows, in this process's memory.

    rates: what one visitor may ask for, by kind.
    all_visitors: how many times that all of them together may.
    """

    def __init__(
        self,
        rates: Mapping[Kind, Sequence[RateLimitItem]],
        all_visitors: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        # By kind, one for each of its rates: each visitor's, and that of all visitors together.
        self._each = {kind: _windows(items, 1) for kind, items in rates.items()}
        self._all = {kind: _windows(items, all_visitors) for kind, items in rates.items()}

    def refusal(self, kind: Kind, visitor: str, cost: int = 1) -> Refusal | None:
        """Counts a request and returns None, or says why it is refused, which does not count."""
        now = self._clock()
        used = [(window, visitor) for window in self._each[kind]]
        used += [(window, "all") for window in self._all[kind]]
        seconds = max(window.wait(key, cost, now) for window, key in used)
        if seconds:
            return Refusal(TOO_OFTEN[kind], math.ceil(seconds))
        for window, key in used:
            window.use(key, cost, now)
        return None


def _windows(items: Sequence[RateLimitItem], times: int) -> list[MovingWindow]:
    return [MovingWindow(times * item.amount, item.get_expiry()) for item in items]


class RateLimits:
    """Answers 429 to a visitor who calls, plays or loads too often, and notes for whatever comes
    behind it who the visitor is. Texts are counted on admission: their number is in the body."""

    def __init__(self, app: ASGIApp, rates: Rates, trusted_proxies: int) -> None:
        self.app = app
        self.rates = rates
        self.trusted_proxies = trusted_proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            kind = kind_of(scope["method"], get_route_path(scope))
            visitor = visitor_of(scope, self.trusted_proxies)
            scope.setdefault("state", {})["visitor"] = visitor
            refusal = self.rates.refusal(kind, visitor)
            if refusal:
                await asyncio.sleep(REFUSAL_SECONDS)
                await refusal.response()(scope, receive, send)
                return
        await self.app(scope, receive, send)


def kind_of(method: str, path: str) -> Kind:
    """What a request asks for; texts are among the calls, and so is the page itself."""
    if path in ROUNDS:
        return "rounds"
    if method == "GET" and path.startswith(PARTS):
        return "parts"
    return "calls"
