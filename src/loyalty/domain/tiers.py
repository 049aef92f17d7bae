"""Tiers: one ladder by net spend in the calendar year; up at once, kept to the end of the next year."""

from datetime import date, datetime
from typing import NamedTuple

from loyalty.domain.calendar import first_of_month
from loyalty.domain.events import Event, EventType
from loyalty.domain.ids import EntryId, MemberId
from loyalty.domain.members import MEMBERS, Member, existing, watch
from loyalty.domain.programme import Programme, Rung
from loyalty.domain.state import Draft, Shelf, State

NET_SPEND: Shelf[tuple[MemberId, date], int] = Shelf("net spend")
"""Net spend in minor units by member and first day of the month."""

YEAR_SPEND: Shelf[tuple[MemberId, int], int] = Shelf("net spend of the year")
"""The sum of a calendar year's months. Kept beside NET_SPEND while a batch lasts; not a table."""
HAS_BOUGHT: Shelf[MemberId, bool] = Shelf("whether a member ever bought")
"""Whether any net spend of the member was ever counted; not a table."""


class TierStep(NamedTuple):
    """A member moved from one tier to another; caused by an entry, or by the end of a tier's term."""

    id: str
    member_id: MemberId
    from_tier: str
    to_tier: str
    occurred_at: datetime
    recorded_at: datetime
    entry_id: EntryId | None


def net_spend(state: State, member_id: MemberId, year: int) -> int:
    """Minor units the member spent in a calendar year of business days, as far as the state knows it."""
    return state.get(YEAR_SPEND, (member_id, year)) or 0


def add_net_spend(state: State, member_id: MemberId, day: date, amount: int) -> None:
    """Count net spend in the month and in the year it happened in."""
    month, year = (member_id, first_of_month(day)), (member_id, day.year)
    state.put(NET_SPEND, month, (state.get(NET_SPEND, month) or 0) + amount)
    state.put(YEAR_SPEND, year, (state.get(YEAR_SPEND, year) or 0) + amount)
    state.put(HAS_BOUGHT, member_id, True)


def reached(ladder: tuple[Rung, ...], spent: int) -> int:
    """The place on the ladder that a year's net spend reaches."""
    return max(place for place, rung in enumerate(ladder) if place == 0 or spent >= rung.net_spend)


def place_of(ladder: tuple[Rung, ...], tier: str) -> int:
    return next((place for place, rung in enumerate(ladder) if rung.tier == tier), 0)


def kept_until(programme: Programme, year: int) -> datetime:
    """When a tier reached in `year` lapses: the first instant after the end of the next year."""
    return programme.calendar.day_start(date(year + 2, 1, 1))


def rise(draft: Draft, member_id: MemberId, *, year: int, entry_id: EntryId) -> None:
    """Lift the member to the tier that its spend in `year` reaches, or prolong the tier it has."""
    member, ladder = existing(draft, member_id), draft.programme.ladder
    place = reached(ladder, net_spend(draft, member_id, year))
    if place == 0:
        return
    until = kept_until(draft.programme, year)
    if until <= member.effective_at:
        return
    current = place_of(ladder, member.tier)
    if place > current:
        _step(draft, member, place, until, at=member.effective_at, entry_id=entry_id)
    elif place == current and member.tier_until is not None and until > member.tier_until:
        draft.put(MEMBERS, member_id, member._replace(tier_until=until))
    watch(draft, member_id, until)


def lapse(draft: Draft, member_id: MemberId) -> None:
    """End the term of the member's tier: it falls to the tier that the last full year's spend reaches."""
    member = existing(draft, member_id)
    assert member.tier_until is not None, "the lowest tier has no term"
    last_year = draft.programme.calendar.business_date(member.tier_until).year - 1
    place = reached(draft.programme.ladder, net_spend(draft, member_id, last_year))
    until = kept_until(draft.programme, last_year) if place else None
    _step(draft, member, place, until, at=member.tier_until, entry_id=None)


def _step(
    draft: Draft, member: Member, place: int, until: datetime | None, *, at: datetime, entry_id: EntryId | None
) -> None:
    """Move the member to a place on the ladder and leave a step in its history."""
    tier = draft.programme.ladder[place].tier
    if tier == member.tier:
        draft.put(MEMBERS, member.id, member._replace(tier_until=until))
        return
    moved = member._replace(tier=tier, tier_since=at, tier_until=until)
    recorded_at = max(draft.moment.recorded_at, member.recorded_at)
    draft.put(MEMBERS, member.id, moved)
    step = TierStep(draft.mint.next(member.id), member.id, member.tier, tier, at, recorded_at, entry_id)
    draft.record(step, Event(step.id, member.id, member.sequence, EventType.TIER_CHANGED.value, recorded_at))
