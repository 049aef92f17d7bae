"""Drift: what a channel shows its members, held against what they have; a difference is explained or to be repaired."""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, NewType

from loyalty.domain.channels import Channel, PointsMaster
from loyalty.domain.events import Event, EventType
from loyalty.domain.ids import MemberId
from loyalty.domain.members import existing
from loyalty.domain.state import Draft, Shelf

DifferenceId = NewType("DifferenceId", str)


class Figures(NamedTuple):
    """Points that can be spent, and a tier."""

    points: int
    tier: str | None
    """None: a channel that shows no tier."""


class Verdict(StrEnum):
    """What comes of comparing a channel's copy with ours."""

    AGREES = "agrees"
    ROUNDED = "rounded"
    """Explained: the channel shows whole units of so many points, and the rest is less than one."""
    LATER_ENTRIES = "later_entries"
    """Explained: the copy was right when it was taken, and more has happened since."""
    DIFFERS = "differs"


class DifferenceStatus(StrEnum):
    OPEN = "open"
    SETTLED = "settled"
    """A later copy agreed, or what it showed is explained; or the member was merged into another."""
    REPLACED = "replaced"
    """A later copy differed as well: that one is open instead."""


class Difference(NamedTuple):
    """A channel showed a member something else than there was. Its event, if it was told, bears its id."""

    id: DifferenceId
    channel: str
    member_id: MemberId
    points_master: str
    """Whose figure stands: ours is told to the channel; a channel's own is listed for finance, and told to nobody."""
    shown: Figures
    """In the channel's units."""
    ours: Figures
    """As of the copy."""
    as_of: datetime
    found_at: datetime
    status: str
    ended_at: datetime | None


DIFFERENCES: Shelf[DifferenceId, Difference] = Shelf("difference")
LAST_DIFFERENCES: Shelf[tuple[str, MemberId], DifferenceId] = Shelf("last difference")
"""The last that was open, by channel and member, as far as a batch knows. The member's lock guards it. Not a table."""
OPEN_DIFFERENCES: Shelf[MemberId, tuple[DifferenceId, ...]] = Shelf("open differences of a member")
"""On all channels, with some that have ended since the batch began. Not a table."""


def shows(shown: Figures, ours: Figures, points_per_unit: int) -> bool:
    """Whether a channel that shows so many points as one unit shows just that."""
    return shown.points == ours.points // points_per_unit and shown.tier in (None, ours.tier)


def judge(shown: Figures, *, then: Figures, now: Figures, points_per_unit: int) -> Verdict:
    """Compare what a channel shows with what there was at the moment of its copy, and what there is now."""
    if shows(shown, now, points_per_unit):
        return Verdict.ROUNDED if now.points % points_per_unit else Verdict.AGREES
    return Verdict.LATER_ENTRIES if shows(shown, then, points_per_unit) else Verdict.DIFFERS


def find_difference(
    draft: Draft, channel: Channel, member_id: MemberId, *, shown: Figures, ours: Figures, as_of: datetime
) -> Difference:
    """The difference that is open now: this one, and the channel is told unless its own figure stands.

    Copies may come out of order: what a later one has found stays.
    """
    last = _last(draft, channel, member_id)
    if last is not None and last.as_of > as_of:
        return last
    if last is not None:
        _end(draft, last, DifferenceStatus.REPLACED)
    found = Difference(
        id=DifferenceId(draft.mint.next(member_id)),
        channel=channel.name,
        member_id=member_id,
        points_master=channel.settings.points_master,
        shown=shown,
        ours=ours,
        as_of=as_of,
        found_at=draft.moment.recorded_at,
        status=DifferenceStatus.OPEN.value,
        ended_at=None,
    )
    draft.put(DIFFERENCES, found.id, found)
    draft.put(LAST_DIFFERENCES, (channel.name, member_id), found.id)
    draft.put(OPEN_DIFFERENCES, member_id, (*(draft.get(OPEN_DIFFERENCES, member_id) or ()), found.id))
    if found.points_master == PointsMaster.OURS:
        sequence = existing(draft, member_id).sequence
        draft.record(Event(found.id, member_id, sequence, EventType.BALANCE_DIFFERS.value, found.found_at))
    return found


def settle_difference(draft: Draft, channel: Channel, member_id: MemberId, *, as_of: datetime) -> None:
    """Whatever an earlier copy differed in is settled."""
    last = _last(draft, channel, member_id)
    if last is not None and last.as_of <= as_of:
        _end(draft, last, DifferenceStatus.SETTLED)


def settle_differences(draft: Draft, member_id: MemberId) -> None:
    """Whatever channels show the member, they show another member from now on."""
    for id_ in draft.get(OPEN_DIFFERENCES, member_id) or ():
        found = draft.get(DIFFERENCES, id_)
        if found is not None and found.status == DifferenceStatus.OPEN:
            _end(draft, found, DifferenceStatus.SETTLED)


def _last(draft: Draft, channel: Channel, member_id: MemberId) -> Difference | None:
    """What is open."""
    last = draft.get(LAST_DIFFERENCES, (channel.name, member_id))
    found = None if last is None else draft.get(DIFFERENCES, last)
    return found if found is not None and found.status == DifferenceStatus.OPEN else None


def _end(draft: Draft, difference: Difference, status: DifferenceStatus) -> None:
    ended = difference._replace(status=status.value, ended_at=draft.moment.recorded_at)
    draft.put(DIFFERENCES, ended.id, ended)
