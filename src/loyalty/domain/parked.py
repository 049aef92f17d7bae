"""Parked events: what came too early waits for what it needs, until that comes or its time is over.

A return waits for the reference of its sale; an accrual waits for somebody to be known by its identity.
"""

from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from loyalty.domain.claims import ReferenceKey, ReferenceKind
from loyalty.domain.earning import Order
from loyalty.domain.entries import Because
from loyalty.domain.identities import Identity
from loyalty.domain.ids import FactId
from loyalty.domain.returns import ReturnedLine
from loyalty.domain.state import Shelf

MOST_WAITING: Final = 100
"""Events that may wait for the same thing. More are no customer: a till sends one made-up identity for everybody."""


class ParkedStatus(StrEnum):
    WAITING = "waiting"
    CURED = "cured"
    REFUSED = "refused"
    LAPSED = "lapsed"


class AskedPoints(NamedTuple):
    """Explicit points, as they were asked for."""

    points: int
    wallet: str
    pending_until: datetime | None
    expires_at: datetime | None


class AskedReturn(NamedTuple):
    """What comes back of a purchase; all that is left of it when `lines` is None."""

    lines: tuple[ReturnedLine, ...] | None


Asked = Order | AskedPoints | AskedReturn
Awaited = ReferenceKey | Identity


class ParkedEvent(NamedTuple):
    """An event as it was asked for. It holds nothing personal: an identity is known by its keyed hash."""

    id: FactId
    awaits: Awaited
    """The reference that the sale will take, or the identity that somebody will be known by."""
    asked: Asked
    because: Because
    occurred_at: datetime
    parked_at: datetime
    until: datetime
    status: str
    outcome: str | None
    """Its entry once it is cured; the code of its refusal."""

    @property
    def kind(self) -> ReferenceKind:
        """What its own reference is of."""
        return ReferenceKind.RETURN if isinstance(self.asked, AskedReturn) else ReferenceKind.ACCRUAL


PARKED: Shelf[FactId, ParkedEvent] = Shelf("parked event")
WAITING_FOR: Shelf[Awaited, int] = Shelf("waiting for")
"""How many events wait for the same thing, as far as a batch knows. Not a table."""
