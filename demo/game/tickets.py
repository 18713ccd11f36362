"""Tickets: what a visitor holds of a round, which says nothing of its truth.

Knows secrets and clocks; must not know what is guessed. Safe to use from many threads.
"""

import base64
import binascii
import hmac
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from demo.game.pairing import Deal, Shown

ID_BYTES = 16
SIGNATURE_BYTES = 32
MAX_PENDING = 20_000
MAX_AGE_SECONDS = 3_600.0


class Refused(ValueError):
    """An answer that cannot be taken; the message is fit for a visitor, `status` for HTTP."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


FORGED = "That is not a ticket of this game."
EXPIRED = "That round is over: it was dealt too long ago."
ANSWERED = "That one has been answered already."


@dataclass(frozen=True)
class _Pending:
    visit: str
    dealt_at: float
    shown: Shown | None


class Tickets:
    """Rounds that wait for their answer: each is answered once, within the hour."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, max_pending: int = MAX_PENDING
    ) -> None:
        self._clock, self._max_pending = clock, max_pending
        self._secret = secrets.token_bytes(SIGNATURE_BYTES)
        # An answered one stays, without its text, so that a second answer is told why.
        self._pending: OrderedDict[bytes, _Pending] = OrderedDict()
        self._lock = threading.Lock()

    def issue(self, deal: Deal) -> str:
        """A ticket, always as long: 64 characters that a URL may hold."""
        number = secrets.token_bytes(ID_BYTES)
        with self._lock:
            self._pending[number] = _Pending(deal.visit, self._clock(), deal.shown)
            while len(self._pending) > self._max_pending:
                self._pending.popitem(last=False)
        return base64.urlsafe_b64encode(number + self._signature(number, deal.visit)).decode()

    def redeem(self, ticket: str) -> Shown:
        """What was shown; the ticket is used up.

        Raises:
            Refused: it is forged, too old, or used up.
        """
        number, signature = _parts(ticket)
        with self._lock:
            pending = self._pending.get(number)
            if pending is None:
                raise Refused(410, EXPIRED)
            if not hmac.compare_digest(signature, self._signature(number, pending.visit)):
                raise Refused(400, FORGED)
            if self._clock() - pending.dealt_at > MAX_AGE_SECONDS:
                raise Refused(410, EXPIRED)
            if pending.shown is None:
                raise Refused(409, ANSWERED)
            self._pending[number] = _Pending(pending.visit, pending.dealt_at, None)
            return pending.shown

    def _signature(self, number: bytes, visit: str) -> bytes:
        return hmac.digest(self._secret, number + visit.encode(), "sha256")


def _parts(ticket: str) -> tuple[bytes, bytes]:
    try:
        content = base64.b64decode(ticket.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise Refused(400, FORGED) from None
    if len(content) != ID_BYTES + SIGNATURE_BYTES:
        raise Refused(400, FORGED)
    return content[:ID_BYTES], content[ID_BYTES:]
