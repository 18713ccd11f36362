"""Changes some of what Gradio serves on its way out: whole text answers of 200.

Knows ASGI; must not know what is changed. Everything else passes untouched, streams above all.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_CONDITIONS = (b"accept-encoding", b"if-none-match", b"if-modified-since", b"range")
# What depends on the length or the bytes of the original.
_STALE = (b"content-length", b"etag", b"last-modified")


@dataclass(frozen=True)
class Rule:
    """What becomes of the answers whose whole path matches."""

    path: re.Pattern[str]
    change: Callable[[str, Request], str]


class Rewriting:
    """Applies the first rule whose path matches."""

    def __init__(self, app: ASGIApp, rules: Sequence[Rule]) -> None:
        self.app = app
        self.rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        rule = self._rule(scope)
        if rule is None:
            await self.app(scope, receive, send)
            return
        # Compressed, or "not changed since", there would be nothing to read.
        scope = {**scope, "headers": [h for h in scope["headers"] if h[0] not in _CONDITIONS]}
        start: Message = {}
        body = b""

        async def changed(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                start = message
                return
            body += message.get("body", b"")
            if message.get("more_body"):
                return
            if start["status"] == 200:
                body = rule.change(body.decode(), Request(scope)).encode()
                start = _with_length(start, len(body))
            await send(start)
            await send({"type": "http.response.body", "body": body})

        await self.app(scope, receive, changed)

    def _rule(self, scope: Scope) -> Rule | None:
        if scope["type"] != "http" or scope["method"] != "GET":
            return None
        return next((rule for rule in self.rules if rule.path.fullmatch(scope["path"])), None)


def _with_length(start: Message, length: int) -> Message:
    kept = [(name, value) for name, value in start["headers"] if name not in _STALE]
    return {**start, "headers": [*kept, (b"content-length", str(length).encode())]}
