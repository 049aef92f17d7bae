"""Lots: points earned together, expiring together. One function decides the order in which they are drawn."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from loyalty.domain.calendar import FOREVER
from loyalty.domain.entries import Birth, Draw, Posting, posting
from loyalty.domain.ids import EntryId, LotId, MemberId
from loyalty.domain.state import Draft, Shelf, State


class LotState(StrEnum):
    PENDING = "pending"
    AVAILABLE = "available"


class Lot(NamedTuple):
    """Points that one entry credited. `remaining` = points - drawn + restored (invariant 5).

    `lapsed` is the part of `drawn` that expired or was forfeited.
    """

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
    lapsed: int = 0

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
as many, in draw order, as cover the points that the batch may spend. An index into LOTS, not a table."""

EVERYTHING: Final = 2**62
"""As many points as a need for open lots can name: all lots of the book, pending ones too."""

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


def all_open(state: State, member_id: MemberId, wallet: str) -> list[Lot]:
    """Every open lot of a book, in draw order; the need for them was `EVERYTHING`."""
    return sorted(known_lots(state, member_id, wallet), key=draw_order)


def let_lapse(draft: Draft, lot: Lot) -> Draw:
    """Draw what remains of a lot that expires or is forfeited."""
    gone = lot.remaining
    draft.put(LOTS, lot.id, lot._replace(drawn=lot.drawn + gone, lapsed=lot.lapsed + gone))
    return Draw(lot.id, lot.wallet, gone)


def put_back(draft: Draft, lot_id: LotId, points: int) -> Draw:
    """Return points to the lot that they were drawn from; it is open again, whatever its expiry."""
    lot = draft.get(LOTS, lot_id)
    assert lot is not None, "a lot that is given back to is loaded"
    draft.put(LOTS, lot_id, lot._replace(restored=lot.restored + points))
    book = (lot.member_id, lot.wallet)
    known = draft.get(OPEN_LOTS, book) or ()
    if lot_id not in known:
        draft.put(OPEN_LOTS, book, (*known, lot_id))
    return Draw(lot_id, lot.wallet, -points)


def moved(lots: Iterable[Lot], *, debit: str, credit: str) -> list[Posting]:
    """What remains of the lots, as one posting for each wallet and funder."""
    points: dict[tuple[str, str | None], int] = {}
    for lot in lots:
        points[lot.wallet, lot.funder] = points.get((lot.wallet, lot.funder), 0) + lot.remaining
    return [
        posting(wallet, debit=debit, credit=credit, points=total, funder=funder)
        for (wallet, funder), total in points.items()
    ]
