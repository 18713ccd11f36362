"""Who a visitor is, and how often one, and all of them together, may ask for each kind of thing."""

import asyncio
import ipaddress
import math
import time
from bisect import bisect
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from limits import RateLimitItem
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

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
# Whoever has one IPv6 address usually has all of its network.
IPV6_PREFIX = 64
REFUSAL_SECONDS = 0.25


@dataclass(frozen=True)
class Refusal:
    """Why a request is refused, and in how many seconds it may come again."""

    sentence: str
    retry_seconds: int
    status: int = 429

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Says so after a while: a client that retries in a loop must not keep the server busy."""
        await asyncio.sleep(REFUSAL_SECONDS)
        await self.response()(scope, receive, send)

    def response(self) -> JSONResponse:
        """In the shape that Gradio's own errors have."""
        detail = f"{self.sentence} Try again in {self.retry_seconds} s."
        headers = {"retry-after": str(self.retry_seconds)}
        return JSONResponse({"detail": detail}, self.status, headers)


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
    """Counts requests in moving windows, in memory: `rates` are what one visitor may ask for, by
    kind, and all of them together `all_visitors` times as much."""

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
        seconds = max((window.wait(key, cost, now) for window, key in used), default=0.0)
        if seconds:
            return Refusal(TOO_OFTEN[kind], math.ceil(seconds))
        for window, key in used:
            window.use(key, cost, now)
        return None


def _windows(items: Sequence[RateLimitItem], times: int) -> list[MovingWindow]:
    return [MovingWindow(times * item.amount, item.get_expiry()) for item in items]


def kind_of(method: str, path: str) -> Kind:
    """What a request asks for; texts are among the calls, and so is the page itself."""
    if path in ROUNDS:
        return "rounds"
    if method == "GET" and path.startswith(PARTS):
        return "parts"
    return "calls"


def visitor_of(scope: Scope, trusted_proxies: int) -> str:
    """The visitor's IPv4 address, or the /64 network of an IPv6 one. Each proxy adds the address
    that it was called from at the end of X-Forwarded-For. Only the last `trusted_proxies` of them
    are believed: what stands before them, the sender may have written."""
    client = scope.get("client")
    address = str(client[0]) if client else ""
    if trusted_proxies:
        header = ",".join(Headers(scope=scope).getlist("x-forwarded-for"))
        entries = [entry.strip() for entry in header.split(",") if entry.strip()]
        if len(entries) >= trusted_proxies:
            address = entries[-trusted_proxies]
    return _network(address)


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        # Not an address, such as a test client's name. A forged one may be long.
        return address[:64]
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, IPV6_PREFIX), strict=False))
