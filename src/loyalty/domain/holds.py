"""Holds: points set aside, to be spent or to be taken back by a return; resolved once, or ended by themselves."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from loyalty.domain.entries import Draw
from loyalty.domain.ids import EntryId, MemberId
from loyalty.domain.lots import put_back
from loyalty.domain.members import watch
from loyalty.domain.refusals import TooManyHolds
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
    """Points out of the lots in `draws`. Its id is that of the entry that opened it."""

    id: EntryId
    member_id: MemberId
    wallet: str | None
    """What it holds to be spent is of one wallet; what it holds for a return can be of several: None."""
    points: int
    status: str
    captured: int
    opened_at: datetime
    expires_at: datetime
    """When it is released by itself."""
    reserved: str | None
    """The return it is held for (`domain/reservations.py`), as JSON text; None: to be spent."""
    draws: tuple[Draw, ...]

    def by(self, at: datetime) -> "Hold":
        """The hold as a reader at that moment sees it: it ends by itself, even before that has been settled."""
        over = self.status == HoldStatus.OPEN and self.expires_at <= at
        return self._replace(status=HoldStatus.EXPIRED.value) if over else self


HOLDS: Shelf[EntryId, Hold] = Shelf("hold")
OPEN_HOLDS: Shelf[MemberId, tuple[EntryId, ...]] = Shelf("open holds")
"""The open holds of a member that a batch knows of: all of them, whenever something is due. Not a table."""


def check_may_open(state: State, member_id: MemberId) -> None:
    """Raises TooManyHolds. The member's open holds are known."""
    if len(open_holds(state, member_id)) >= MOST_OPEN:
        raise TooManyHolds(f"A member has at most {MOST_OPEN} open holds.", maximum=MOST_OPEN)


def open_hold(draft: Draft, hold: Hold) -> None:
    """Put a new hold on the draft; its member is watched for its end."""
    draft.put(HOLDS, hold.id, hold)
    draft.put(OPEN_HOLDS, hold.member_id, (*(draft.get(OPEN_HOLDS, hold.member_id) or ()), hold.id))
    watch(draft, hold.member_id, hold.expires_at)


def open_holds(state: State, member_id: MemberId) -> list[Hold]:
    """The open holds that the batch knows of, the first to end first."""
    known = (state.get(HOLDS, id_) for id_ in state.get(OPEN_HOLDS, member_id) or ())
    open_ = [hold for hold in known if hold is not None and hold.status == HoldStatus.OPEN]
    return sorted(open_, key=lambda hold: (hold.expires_at, hold.id))


def give_back(draft: Draft, draws: Iterable[Draw], points: int) -> list[Draw]:
    """Put points back where they were drawn from, what was drawn last first."""
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
