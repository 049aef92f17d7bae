"""Holds: points set aside at a till, captured or released exactly once, and released by themselves in the end."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from loyalty.domain.entries import Draw
from loyalty.domain.ids import EntryId, MemberId
from loyalty.domain.lots import put_back
from loyalty.domain.state import Draft, Shelf, State

LONGEST: Final = timedelta(days=30)
MOST_OPEN: Final = 64
"""Holds that a member may have open at a time."""


class HoldStatus(StrEnum):
    OPEN = "open"
    CAPTURED = "captured"
    RELEASED = "released"
    EXPIRED = "expired"


class Hold(NamedTuple):
    """Points of one wallet, out of the lots in `draws`. Its id is that of the entry that opened it."""

    id: EntryId
    member_id: MemberId
    wallet: str
    points: int
    status: str
    captured: int
    opened_at: datetime
    expires_at: datetime
    """When it is released by itself."""
    draws: tuple[Draw, ...]


HOLDS: Shelf[EntryId, Hold] = Shelf("hold")
OPEN_HOLDS: Shelf[MemberId, tuple[EntryId, ...]] = Shelf("open holds")
"""The open holds of a member that a batch knows of: all of them, whenever something is due. Not a table."""


def open_holds(state: State, member_id: MemberId) -> list[Hold]:
    """The open holds that the batch knows of, the first to end first."""
    known = (state.get(HOLDS, id_) for id_ in state.get(OPEN_HOLDS, member_id) or ())
    open_ = [hold for hold in known if hold is not None and hold.status == HoldStatus.OPEN]
    return sorted(open_, key=lambda hold: (hold.expires_at, hold.id))


def give_back(draft: Draft, draws: Iterable[Draw], points: int) -> list[Draw]:
    """Put points back where they were drawn from, what was drawn last first: the last to expire."""
    given = []
    for draw in reversed(tuple(draws)):
        part = min(points, draw.points)
        if part:
            given.append(put_back(draft, draw.lot_id, part))
            points -= part
    assert not points, "no more is given back than was drawn"
    return given


def parted(draws: Iterable[Draw], points: int) -> list[Draw]:
    """The part of the draws that covers `points`, what was drawn first first."""
    taken = []
    for draw in draws:
        part = min(points, draw.points)
        if part:
            taken.append(draw._replace(points=part))
            points -= part
    return taken
