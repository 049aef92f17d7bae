"""Caps: the most that a member earns in a wallet over a day, a month or for ever, and how much of it is used."""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import NamedTuple

from loyalty.domain.calendar import add_months, first_of_month
from loyalty.domain.ids import MemberId
from loyalty.domain.rules import Cap, CapPer
from loyalty.domain.state import Shelf, State


class CapKey(NamedTuple):
    """One member's use of one cap, over one time. A cap of the same id in a later rule set goes on counting."""

    member_id: MemberId
    cap: str
    over: str
    """The business day `2026-12-31`, the month `2026-12`, or nothing: for ever."""


CAP_USE: Shelf[CapKey, int] = Shelf("use of a cap")
"""Points that were earned under it. What comes back is not taken off: it is not earned again."""
USED_CAPS: Shelf[MemberId, tuple[CapKey, ...]] = Shelf("caps that a member used")
"""Where there is use of a member's; not a table."""


class CapUse(NamedTuple):
    """What was used of a cap over a time, whoever it was."""

    cap: str
    over: str
    points: int


def key_of(cap: Cap, member_id: MemberId, day: date) -> CapKey | None:
    """Where the use of a cap is counted; None for one of an order, which needs no memory."""
    match cap.per:
        case CapPer.DAY:
            return CapKey(member_id, cap.id, day.isoformat())
        case CapPer.MONTH:
            return CapKey(member_id, cap.id, day.isoformat()[:7])
        case CapPer.MEMBER:
            return CapKey(member_id, cap.id, "")
        case CapPer.ORDER:
            return None


def room(state: State, caps: Iterable[Cap], member_id: MemberId, day: date) -> dict[str, int]:
    """Points that are left under each cap, by its id."""
    found = {}
    for cap in caps:
        key = key_of(cap, member_id, day)
        if key is not None:
            found[cap.id] = max(0, cap.points - (state.get(CAP_USE, key) or 0))
    return found


def use(state: State, caps: Iterable[Cap], member_id: MemberId, day: date, points: Mapping[str, int]) -> None:
    """Count the points by wallet that were earned under the caps."""
    for cap in caps:
        key = key_of(cap, member_id, day)
        if key is not None and points.get(cap.wallet):
            _count(state, key, points[cap.wallet])


def used(state: State, member_id: MemberId, day: date) -> list[CapUse]:
    """What the member has used of caps that go on counting: for ever, and over times that are not long past."""
    keys = state.get(USED_CAPS, member_id) or ()
    return still_counting((CapUse(*key[1:], state.get(CAP_USE, key) or 0) for key in keys), day)


def still_counting(uses: Iterable[CapUse], day: date) -> list[CapUse]:
    """Those for ever, and from the month before that of `day` on: later than that hardly a purchase is reported."""
    since = add_months(first_of_month(day), -1).isoformat()[:7]
    return sorted(use for use in uses if not use.over or use.over >= since)


def count(state: State, member_id: MemberId, uses: Iterable[CapUse], sign: int = 1) -> None:
    """Let what somebody else has used count for the member; or, with `sign` -1, count no more."""
    for one in uses:
        _count(state, CapKey(member_id, one.cap, one.over), sign * one.points)


def _count(state: State, key: CapKey, points: int) -> None:
    known = state.get(CAP_USE, key)
    state.put(CAP_USE, key, (known or 0) + points)
    if known is None:
        state.put(USED_CAPS, key.member_id, (*(state.get(USED_CAPS, key.member_id) or ()), key))
