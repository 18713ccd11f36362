"""Tickets: what a visitor holds of a round until it is answered, and how a request is refused."""

import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable

from demo.game.pairing import Shown

TICKET_BYTES = 24
TICKET = re.compile(r"[A-Za-z0-9_-]{32}")
MAX_TICKETS = 20_000
MAX_AGE_SECONDS = 3_600.0


class Refused(ValueError):
    """A request that cannot be served; the message is fit for a visitor, `status` is HTTP's."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Tickets:
    """Rounds that wait for their answer; each is answered once, within the hour. A ticket is random
    and says nothing of its round."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, max_tickets: int = MAX_TICKETS
    ) -> None:
        self._clock, self._max_tickets = clock, max_tickets
        # When each was issued, and for what. Answered ones stay, without their text, so that a
        # second answer is told why it is refused.
        self._issued: OrderedDict[str, tuple[float, Shown | None]] = OrderedDict()

    def issue(self, shown: Shown) -> str:
        """A new ticket: 32 characters that a URL may contain."""
        ticket = secrets.token_urlsafe(TICKET_BYTES)
        self._issued[ticket] = (self._clock(), shown)
        if len(self._issued) > self._max_tickets:
            self._issued.popitem(last=False)
        return ticket

    def redeem(self, ticket: str) -> Shown:
        """Uses the ticket up and returns what was shown. Raises Refused if it is not a ticket,
        unknown, too old or used up."""
        if not TICKET.fullmatch(ticket):
            raise Refused(400, "That is not a ticket of this game.")
        issued = self._issued.get(ticket)
        if issued is None or self._clock() - issued[0] > MAX_AGE_SECONDS:
            raise Refused(410, "That round is over: it was dealt too long ago.")
        issued_at, shown = issued
        if shown is None:
            raise Refused(409, "That one has been answered already.")
        self._issued[ticket] = (issued_at, None)
        return shown
