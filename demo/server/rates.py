"""Who a visitor is, and how often one, and all of them together, may ask for each kind of thing."""

import asyncio
import ipaddress
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from limits import RateLimitItem
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter
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


class Rates:
    """Counts requests in moving windows, in memory: `rates` are what one visitor may ask for, by
    kind, and all of them together `all_visitors` times as much."""

    def __init__(self, rates: Mapping[Kind, Sequence[RateLimitItem]], all_visitors: int) -> None:
        self._rates = rates
        self._all = {
            kind: [type(item)(item.amount * all_visitors, item.multiples) for item in items]
            for kind, items in rates.items()
        }
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    async def refusal(self, kind: Kind, visitor: str, cost: int = 1) -> Refusal | None:
        """Counts a request and returns None, or says why it is refused, which does not count."""
        # The visitor's own limit first: beyond it, nothing of everybody's limit is used up.
        for items, who in ((self._rates[kind], (kind, visitor)), (self._all[kind], (kind,))):
            for item in items:
                if not await self._limiter.hit(item, *who, cost=min(cost, item.amount)):
                    reset, _ = await self._limiter.get_window_stats(item, *who)
                    return Refusal(TOO_OFTEN[kind], max(1, math.ceil(reset - time.time())))
        return None


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
