"""Events: what followers are told of, in the transaction in which it happened."""

from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from loyalty.domain.ids import MemberId
from loyalty.domain.members import existing
from loyalty.domain.state import Draft

OF_ENTRIES: Final = "entry."
"""The type of an entry's own event is this and the entry's kind."""


class EventType(StrEnum):
    """What is not an entry itself."""

    ENROLLED = "member.enrolled"
    STATUS_CHANGED = "member.status_changed"
    CLOSED = "member.closed"
    IDENTITY_BOUND = "member.identity_bound"
    IDENTITY_UNBOUND = "member.identity_unbound"
    TIER_CHANGED = "member.tier_changed"
    TAGS_CHANGED = "member.tags_changed"
    AWAITING_APPROVAL = "adjustment.awaiting_approval"
    NOT_COVERED = "redemption.not_covered"
    BALANCE_DIFFERS = "channel.balance_differs"


class Event(NamedTuple):
    """Something that happened to a member. Entries, tier steps, enrolments, changes of tags and
    differences give their own id to it.
    """

    id: str
    member_id: MemberId
    sequence: int
    """Of the member's newest entry at that moment."""
    type: str
    recorded_at: datetime


def tell(draft: Draft, member_id: MemberId, type_: EventType, *, recorded_at: datetime | None = None) -> None:
    """Something happened to the member that is no entry; recorded with one, or else now. Raises MemberNotFound."""
    member = existing(draft, member_id)
    id_ = draft.mint.next(member_id)
    draft.record(Event(id_, member_id, member.sequence, type_.value, recorded_at or draft.moment.recorded_at))
