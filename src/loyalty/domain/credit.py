"""Crediting `available`: whatever comes, from outside or back from a hold, first repays what the member owes."""

from collections.abc import Iterable
from datetime import date, datetime

from loyalty.domain.books import book_of
from loyalty.domain.calculations import Concerning
from loyalty.domain.entries import NO_CAUSE, Because, Draw, Entry, Kind, Posting, posting
from loyalty.domain.holds import HOLDS, Hold, HoldStatus, give_back
from loyalty.domain.ids import EntryId, LotId, MemberId
from loyalty.domain.journal import write_entry
from loyalty.domain.lots import LOTS, Lot, LotState, draw_order, take
from loyalty.domain.members import watch
from loyalty.domain.sliding import due_of
from loyalty.domain.state import Draft


def repayment(
    draft: Draft, member_id: MemberId, lots: Iterable[Lot], *, forgiven: int = 0
) -> tuple[list[Posting], list[Draw]]:
    """What a credit to `available` must first pay back: postings available → owed, as draws on its lots in draw order.

    The postings that credit `available` are written before these; the lots are of one wallet each. `forgiven` is what
    the same entry takes off the debt otherwise; where it adds to it, less than nothing.
    """
    postings: list[Posting] = []
    draws: list[Draw] = []
    owed: dict[str, int] = {}
    for lot in sorted(lots, key=draw_order):
        debt = owed.setdefault(lot.wallet, book_of(draft, member_id, lot.wallet).owed - forgiven)
        paid = min(debt, lot.remaining)
        if paid:
            owed[lot.wallet] = debt - paid
            postings.append(posting(lot.wallet, debit="available", credit="owed", points=paid, funder=lot.funder))
            draws.extend(take(draft, [lot], paid))
    return postings, draws


def new_lot(
    draft: Draft,
    member_id: MemberId,
    entry_id: EntryId,
    *,
    wallet: str,
    points: int,
    because: Because,
    earned_at: datetime,
    expires_at: datetime | None,
    matures_at: datetime | None = None,
    funder: str | None = None,
) -> Lot:
    """A lot nobody has drawn on, pending where it has to mature; its id is the next of the draft."""
    return Lot(
        id=LotId(draft.mint.next(member_id)),
        member_id=member_id,
        wallet=wallet,
        state=(LotState.AVAILABLE if matures_at is None else LotState.PENDING).value,
        points=points,
        drawn=0,
        restored=0,
        earned_at=earned_at,
        matures_at=matures_at,
        expires_at=expires_at,
        entry_id=entry_id,
        source=because.source,
        store=because.store,
        funder=funder,
    )


def credited(draft: Draft, back: Iterable[Draw]) -> list[Lot]:
    """The lots that points were given back to, as they are now; the member is watched for their end."""
    lots = [lot for draw in back if (lot := draft.get(LOTS, draw.lot_id)) is not None]
    for lot in lots:
        watch(draft, lot.member_id, due_of(draft, lot))
    return lots


def release(
    draft: Draft,
    hold: Hold,
    status: HoldStatus,
    *,
    occurred_at: datetime,
    accounting_date: date,
    because: Because = NO_CAUSE,
) -> Entry:
    """Resolve an open hold (invariant 8): its points go back to the lots they came from, as these are by now."""
    back = give_back(draft, hold.draws, hold.points)
    lots = credited(draft, back)
    repaid, draws = repayment(draft, hold.member_id, (lot for lot in lots if lot.state == LotState.AVAILABLE))
    draft.put(HOLDS, hold.id, hold._replace(status=status.value))
    return write_entry(
        draft,
        hold.member_id,
        Kind.RELEASE,
        occurred_at=occurred_at,
        accounting_date=accounting_date,
        because=because,
        postings=[*freed(draft, back), *repaid],
        draws=[*back, *draws],
        calculation=Concerning(of=hold.id),
    )


def freed(draft: Draft, back: Iterable[Draw]) -> list[Posting]:
    """Points out of `held`, to the account of the lots that have them back: a posting for each wallet and account."""
    points: dict[tuple[str, str], int] = {}
    for draw in back:
        lot = draft.get(LOTS, draw.lot_id)
        assert lot is not None, "a lot that was given back to is there"
        points[lot.wallet, lot.state] = points.get((lot.wallet, lot.state), 0) - draw.points
    return [posting(wallet, debit="held", credit=account, points=total) for (wallet, account), total in points.items()]
