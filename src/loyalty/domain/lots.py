"""Lots: points earned together, expiring together. One function decides the order in which they are drawn."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from loyalty.domain.calendar import FOREVER
from loyalty.domain.entries import Birth, Draw
from loyalty.domain.ids import EntryId, LotId, MemberId
from loyalty.domain.state import Draft, Shelf, State


class LotState(StrEnum):
    PENDING = "pending"
    AVAILABLE = "available"


class Lot(NamedTuple):
    """Points that one entry credited. `remaining` = points - drawn + restored (invariant 5)."""

    id: LotId
    member_id: MemberId
    wallet: str
    state: str
    points: int
    drawn: int
    restored: int
    earned_at: datetime
    matures_at: datetime | None
    expires_at: datetime | None
    entry_id: EntryId
    source: str | None
    store: str | None
    funder: str | None

    @property
    def remaining(self) -> int:
        return self.points - self.drawn + self.restored

    @property
    def due_at(self) -> datetime | None:
        """When something next happens to the lot by itself: it matures or it expires. None: never."""
        return self.matures_at if self.state == LotState.PENDING else self.expires_at


LOTS: Shelf[LotId, Lot] = Shelf("lot")
OPEN_LOTS: Shelf[tuple[MemberId, str], tuple[LotId, ...]] = Shelf("open lots")
"""The lots of a book that a batch knows of. Loaded by need: all that are due, and of the available ones
as many, in draw order, as the batch can spend. An index into LOTS, not a table."""

UNSEEN_DUE: Shelf[MemberId, datetime] = Shelf("unseen due")
"""No later than the earliest moment at which a lot that the batch has not loaded falls due. Not a table."""


def draw_order(lot: Lot) -> tuple[datetime, datetime, LotId]:
    """Earliest expiry first, then earliest earned, then id: for spending, expiring and display alike."""
    return (lot.expires_at or FOREVER, lot.earned_at, lot.id)


def known_lots(state: State, member_id: MemberId, wallet: str) -> Iterator[Lot]:
    """The open lots of a book that the batch knows of, in no order."""
    for lot_id in state.get(OPEN_LOTS, (member_id, wallet)) or ():
        lot = state.get(LOTS, lot_id)
        assert lot is not None, "a lot that is listed is loaded"
        if lot.remaining:
            yield lot


def in_draw_order(state: State, member_id: MemberId, wallet: str) -> list[Lot]:
    """The available lots of a book that the batch knows of, in draw order."""
    lots = known_lots(state, member_id, wallet)
    return sorted((lot for lot in lots if lot.state == LotState.AVAILABLE), key=draw_order)


def open_lot(draft: Draft, lot: Lot) -> Birth:
    """Put a new lot on the draft and return what its entry says of it."""
    book = (lot.member_id, lot.wallet)
    draft.put(LOTS, lot.id, lot)
    draft.put(OPEN_LOTS, book, (*(draft.get(OPEN_LOTS, book) or ()), lot.id))
    return Birth(lot.id, lot.wallet, lot.points, lot.earned_at, lot.matures_at, lot.expires_at, lot.funder)


def take(draft: Draft, lots: Iterable[Lot], points: int) -> list[Draw]:
    """Draw `points` from the lots in the order given. The caller has made sure that they suffice."""
    draws = []
    for lot in lots:
        if not points:
            break
        taken = min(points, lot.remaining)
        draft.put(LOTS, lot.id, lot._replace(drawn=lot.drawn + taken))
        draws.append(Draw(lot.id, lot.wallet, taken))
        points -= taken
    assert not points, "invariant 3: the lots do not cover the balance"
    return draws
