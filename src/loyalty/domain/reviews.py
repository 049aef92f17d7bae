"""Review items: what the ledger took as it came, and somebody has to look at. Each is resolved once, with a reason."""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from loyalty.domain.entries import Because
from loyalty.domain.ids import MemberId, ReviewId
from loyalty.domain.state import Draft, Shelf


class ReviewKind(StrEnum):
    NOT_COVERED = "redemption.not_covered"
    """A forced redemption of more than there was: the rest is owed."""
    REFUSED = "parked.refused"
    """A parked event was refused for good when what it waited for had come."""
    LAPSED = "parked.lapsed"
    """What a parked event waited for never came."""


class ReviewStatus(StrEnum):
    OPEN = "open"
    RESOLVED = "resolved"


class Review(NamedTuple):
    """Its id is that of what it is about: the entry of a redemption, or a parked event, which belongs to no member."""

    id: ReviewId
    kind: str
    member_id: MemberId | None
    wallet: str | None
    points: int | None
    """What was not covered."""
    source: str
    reference: str
    opened_at: datetime
    status: str
    resolved_by: str | None
    """The API client, as in the claim of a key."""
    reason: str | None
    resolved_at: datetime | None


REVIEWS: Shelf[ReviewId, Review] = Shelf("review")


def open_review(
    draft: Draft,
    kind: ReviewKind,
    about: str,
    because: Because,
    *,
    opened_at: datetime,
    member_id: MemberId | None = None,
    wallet: str | None = None,
    points: int | None = None,
) -> None:
    """Somebody has to look at what `about` is the id of."""
    review = Review(
        id=ReviewId(about),
        kind=kind.value,
        member_id=member_id,
        wallet=wallet,
        points=points,
        source=because.source or "",
        reference=because.reference or "",
        opened_at=opened_at,
        status=ReviewStatus.OPEN.value,
        resolved_by=None,
        reason=None,
        resolved_at=None,
    )
    draft.put(REVIEWS, review.id, review)
