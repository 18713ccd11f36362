"""How uvicorn treats a connection: bounds and a deadline for headers, headers of every answer."""

import asyncio
import logging
from collections.abc import Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

log = logging.getLogger(__name__)

HEADER_SECONDS = 10.0
MAX_HEADER_BYTES = 65_536
# Browsers must not guess an answer's type, nor tell another site the query of a link, which may
# hold a prompt. An embed works with both.
HEADERS = [("x-content-type-options", "nosniff"), ("referrer-policy", "strict-origin")]


class Connection(H11Protocol):
    """uvicorn's connection, closed if a request's headers have not come HEADER_SECONDS after it
    was opened, or after their first byte. uvicorn itself limits only the time between requests."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self._watch_headers()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_deadline()
        super().connection_lost(exc)

    def _watch_headers(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._forget_deadline()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(HEADER_SECONDS, self.transport.close)

    def _forget_deadline(self) -> None:
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None

    def send_400_response(self, msg: str) -> None:
        """Like uvicorn's own, which fails if an answer has begun, and sends no default headers."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            headers = [
                *self.server_state.default_headers,
                (b"content-type", b"text/plain; charset=utf-8"),
                (b"connection", b"close"),
            ]
            events = (
                h11.Response(status_code=400, headers=headers),
                h11.Data(data=msg.encode()),
                h11.EndOfMessage(),
            )
            for event in events:
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


# What uvicorn is started with.
OPTIONS: Mapping[str, Any] = {
    "http": Connection,
    "h11_max_incomplete_event_size": MAX_HEADER_BYTES,
    "headers": HEADERS,
    # No route uses WebSockets.
    "ws": "none",
    # uvicorn would believe whatever a process on this machine says of whom it forwards.
    "proxy_headers": False,
    # uvicorn would set up handlers that demo/log.py does not filter.
    "log_config": None,
    "access_log": False,
}


def bound_connections() -> None:
    """Has Gradio start uvicorn with these connections; it passes no such options itself. uvicorn
    would choose httptools where that is installed, which reads a header line of any length."""
    # The completions server does without it.
    from gradio import http_server  # noqa: PLC0415

    gradio: Any = http_server
    if getattr(gradio, "uvicorn", None) is uvicorn:
        gradio.uvicorn = SimpleNamespace(Config=partial(uvicorn.Config, **OPTIONS))
    elif not isinstance(getattr(gradio, "uvicorn", None), SimpleNamespace):
        log.warning("This Gradio starts its server in another way: connections are not bounded.")
