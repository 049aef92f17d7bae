"""A member: the lane, the lock and the head of a chain. No personal data lives here."""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from loyalty.domain.ids import MemberId
from loyalty.domain.refusals import MemberClosed, MemberEarnsOnly, MemberFrozen, MemberNotFound
from loyalty.domain.state import Shelf, State

GENESIS = bytes(32)
"""The head of a chain without entries."""


class Status(StrEnum):
    ACTIVE = "active"
    EARN_ONLY = "earn_only"
    FROZEN = "frozen"
    CLOSED = "closed"
    MERGED = "merged"
    """Into another, who has what it had."""


class Member(NamedTuple):
    """One row per member in a programme; its lock orders everything that happens to the member."""

    id: MemberId
    number: str
    status: str
    store: str | None
    enrolled_at: datetime
    sequence: int
    head: bytes
    effective_at: datetime
    """The place of the member's newest fact in its history: it never runs backwards."""
    recorded_at: datetime
    due_at: datetime | None
    """No later than the next moment at which a lot matures or expires, or the tier is reviewed; None: never."""
    tier: str
    tier_since: datetime
    tier_until: datetime | None
    """When the tier is reviewed next; None: never, unless something is counted."""
    tier_granted: bool = False
    """Whether it was given by hand: a grant says more."""


MEMBERS: Shelf[MemberId, Member] = Shelf("member")


def existing(state: State, id_: MemberId) -> Member:
    """The member. Raises MemberNotFound."""
    member = state.get(MEMBERS, id_)
    if member is None:
        raise MemberNotFound("There is no such member in this programme.")
    return member


def who_may_earn(state: State, id_: MemberId) -> Member:
    """The member, if it may receive points. Raises MemberNotFound, MemberFrozen, MemberClosed."""
    member = existing(state, id_)
    if member.status == Status.CLOSED:
        raise MemberClosed("The member has closed its account.")
    if member.status == Status.FROZEN:
        raise MemberFrozen("The member is frozen: nothing may be earned or spent.")
    return member


def who_may_spend(state: State, id_: MemberId) -> Member:
    """The member, if it may part with points. Raises as `who_may_earn`, and MemberEarnsOnly."""
    member = who_may_earn(state, id_)
    if member.status == Status.EARN_ONLY:
        raise MemberEarnsOnly("The member may earn points but not spend them.")
    return member


def watch(state: State, member_id: MemberId, *moments: datetime | None) -> None:
    """Make sure the member is looked at again no later than the earliest of `moments`."""
    member = existing(state, member_id)
    known = [moment for moment in (member.due_at, *moments) if moment is not None]
    earliest = min(known, default=None)
    if earliest != member.due_at:
        state.put(MEMBERS, member_id, member._replace(due_at=earliest))
