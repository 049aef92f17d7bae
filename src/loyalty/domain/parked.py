"""Returns that came before their sale: kept until the sale comes, or until their time is over."""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from loyalty.domain.claims import ReferenceKey
from loyalty.domain.entries import Because
from loyalty.domain.ids import FactId
from loyalty.domain.returns import ReturnedLine
from loyalty.domain.state import Shelf


class ParkedStatus(StrEnum):
    WAITING = "waiting"
    CURED = "cured"
    REFUSED = "refused"
    LAPSED = "lapsed"


class ParkedReturn(NamedTuple):
    """A return as it was asked for. `lines` is None when all of the purchase comes back."""

    id: FactId
    awaits: ReferenceKey
    """The reference that the sale will take."""
    lines: tuple[ReturnedLine, ...] | None
    because: Because
    occurred_at: datetime
    parked_at: datetime
    until: datetime
    status: str
    outcome: str | None
    """The entry of the return once it is cured; the code of its refusal."""


PARKED: Shelf[FactId, ParkedReturn] = Shelf("parked return")
