"""Adjustments above the programme's limit: kept until a second person has decided."""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from loyalty.domain.ids import EntryId, MemberId
from loyalty.domain.state import Shelf


class Decision(StrEnum):
    AWAITING = "awaiting_approval"
    APPROVED = "approved"
    REJECTED = "rejected"


class Adjustment(NamedTuple):
    """A correction that somebody asked for. Its id becomes that of its entry."""

    id: EntryId
    member_id: MemberId
    wallet: str
    points: int
    """Positive: given to the member; negative: taken."""
    reason: str
    source: str
    reference: str
    status: str
    requested_by: str
    """The API client, as in the claim of a key."""
    decided_by: str | None
    requested_at: datetime


ADJUSTMENTS: Shelf[EntryId, Adjustment] = Shelf("adjustment")
