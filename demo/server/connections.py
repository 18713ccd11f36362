"""Connections below HTTP: bounded headers, a deadline for them, and what every answer carries."""

import asyncio
import logging
from functools import partial
from types import SimpleNamespace
from typing import Any

import h11
import uvicorn
from gradio import http_server
from uvicorn.protocols.http.h11_impl import H11Protocol

log = logging.getLogger(__name__)

HEADER_SECONDS = 10.0
MAX_HEADER_BYTES = 65_536
# No browser may take an answer for another kind of file than it says it is, and no other site is
# told the query of a link, in which a prompt may stand. Neither hinders an embed.
HEADERS = [("x-content-type-options", "nosniff"), ("referrer-policy", "strict-origin")]


class Connection(H11Protocol):
    """uvicorn's connection, closed if a request's headers have not come HEADER_SECONDS after it
    was opened, or after their first byte. uvicorn itself has a limit between requests alone."""

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
        """As uvicorn's own, which fails if an answer was begun, and carries no default headers."""
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


def bound_connections() -> None:
    """Has Gradio start uvicorn with these connections; it passes no such options itself.

    uvicorn would choose httptools where that is installed, which reads a header line of any length.
    """
    options: dict[str, Any] = {
        "http": Connection,
        "h11_max_incomplete_event_size": MAX_HEADER_BYTES,
        "headers": HEADERS,
        # Nothing here speaks it.
        "ws": "none",
        # uvicorn would believe whatever a process on this machine says of whom it forwards.
        "proxy_headers": False,
        # uvicorn would set up handlers that demo/log.py does not filter.
        "log_config": None,
        "access_log": False,
    }
    gradio: Any = http_server
    if getattr(gradio, "uvicorn", None) is uvicorn:
        gradio.uvicorn = SimpleNamespace(Config=partial(uvicorn.Config, **options))
    elif not isinstance(getattr(gradio, "uvicorn", None), SimpleNamespace):
        log.warning("This Gradio starts its server otherwise: its connections are not bounded.")
