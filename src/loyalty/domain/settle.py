"""Bringing a member up to date: what is due by now becomes entries, oldest first, maturing before expiring.

Every command settles before and after it decides, so an expired point can never be spent however late the
sweep is; the sweep is this same function in bulk, and a read is this same function on a draft it drops.
"""

from collections.abc import Iterable
from datetime import datetime
from heapq import heapify, heappop, heappush

from loyalty.domain.credit import release, repayment
from loyalty.domain.entries import Kind
from loyalty.domain.holds import HoldStatus, open_holds
from loyalty.domain.ids import LotId, MemberId
from loyalty.domain.journal import write_entry
from loyalty.domain.lots import LOTS, UNSEEN_DUE, Lot, LotState, draw_order, known_lots, let_lapse, moved
from loyalty.domain.members import MEMBERS, existing
from loyalty.domain.sliding import sliding_books, undated
from loyalty.domain.state import Draft
from loyalty.domain.tiers import counts_of_ripe, earn, review


def settle(draft: Draft, member_id: MemberId, until: datetime) -> None:
    """Write everything that is due for the member by `until`, inclusive. Costs nothing when nothing is due."""
    member = draft.get(MEMBERS, member_id)
    if member is None or member.due_at is None or member.due_at > until:
        return
    waiting = [(lot.due_at, lot.id) for lot in _lots(draft, member_id) if lot.due_at is not None]
    heapify(waiting)
    while (moment := _next_due(draft, member_id, waiting, until)) is not None and moment <= until:
        due = _taken(draft, waiting, moment)
        ripe = _mature(draft, member_id, moment, [lot for lot in due if lot.state == LotState.PENDING])
        freed = _release(draft, member_id, moment)
        stale = [lot for lot in due if lot.state == LotState.AVAILABLE]
        for lot in (*ripe, *freed):
            if lot.state == LotState.AVAILABLE and lot.expires_at == moment:
                stale.append(lot)
            elif lot.due_at is not None:  # what was held while it ripened is due before this moment
                heappush(waiting, (lot.due_at, lot.id))
        _expire(draft, member_id, moment, [*stale, *_ended(draft, member_id, moment)])
        is_last = not waiting or waiting[0][0] > moment
        if is_last and existing(draft, member_id).tier_until == moment:
            review(draft, member_id, moment)
    draft.put(MEMBERS, member_id, existing(draft, member_id)._replace(due_at=moment))


def _next_due(
    draft: Draft, member_id: MemberId, waiting: list[tuple[datetime, LotId]], until: datetime
) -> datetime | None:
    """No later than the earliest moment at which something of the member's falls due.

    What is not loaded is never due within the batch: the loader makes sure of it.
    """
    holds = open_holds(draft, member_id)
    moments = (
        *(end for name, end in sliding_books(draft, member_id) if end > until or undated(draft, member_id, name)),
        waiting[0][0] if waiting else None,
        holds[0].expires_at if holds else None,
        existing(draft, member_id).tier_until,
        draft.get(UNSEEN_DUE, member_id),
    )
    return min((moment for moment in moments if moment is not None), default=None)


def _taken(draft: Draft, waiting: list[tuple[datetime, LotId]], moment: datetime) -> list[Lot]:
    """The lots that wait for this very moment, in draw order; they wait no longer."""
    taken: dict[LotId, Lot] = {}  # one that a hold gave points back to waits twice
    while waiting and waiting[0][0] == moment:
        lot = draft.get(LOTS, heappop(waiting)[1])
        assert lot is not None, "a lot that waits is loaded"
        taken[lot.id] = lot
    return sorted(taken.values(), key=draw_order)


def _lots(draft: Draft, member_id: MemberId) -> list[Lot]:
    return [lot for wallet in draft.programme.wallets for lot in known_lots(draft, member_id, wallet)]


def _mature(draft: Draft, member_id: MemberId, moment: datetime, lots: list[Lot]) -> list[Lot]:
    """Make pending lots available: one entry for the moment. Returns them as they are now."""
    if not lots:
        return []
    ripe = [lot._replace(state=LotState.AVAILABLE.value) for lot in lots]
    for lot in ripe:
        draft.put(LOTS, lot.id, lot)
    repaid, draws = repayment(draft, member_id, ripe)
    postings, day = moved(ripe, debit="pending", credit="available"), draft.programme.calendar.business_date(moment)
    entry = write_entry(
        draft,
        member_id,
        Kind.MATURE,
        occurred_at=moment,
        accounting_date=day,
        postings=[*postings, *repaid],
        draws=draws,
    )
    earn(draft, member_id, counts_of_ripe(draft.programme.ladder, day=day, postings=postings), entry_id=entry.id)
    return _now(draft, (lot.id for lot in ripe))


def _release(draft: Draft, member_id: MemberId, moment: datetime) -> list[Lot]:
    """End the holds whose time is over: an entry for each. Returns the lots that have their points back."""
    freed: list[LotId] = []
    for hold in open_holds(draft, member_id):
        if hold.expires_at > moment:
            break
        date = draft.programme.calendar.business_date(moment)
        entry = release(draft, hold, HoldStatus.EXPIRED, occurred_at=moment, accounting_date=date)
        freed += (draw.lot_id for draw in entry.draws)
    return _now(draft, freed)


def _ended(draft: Draft, member_id: MemberId, moment: datetime) -> list[Lot]:
    """The available lots that end with their book at this very moment."""
    ended = (name for name, ends_at in sliding_books(draft, member_id) if ends_at == moment)
    return [lot for name in ended for lot in undated(draft, member_id, name)]


def _expire(draft: Draft, member_id: MemberId, moment: datetime, lots: list[Lot]) -> None:
    """Let available lots expire: one entry for the moment, dated its last valid day."""
    lots = sorted(_now(draft, (lot.id for lot in lots)), key=draw_order)  # a hold may have given points back
    if not lots:
        return
    postings = moved(lots, debit="available", credit="expired")
    draws = [let_lapse(draft, lot) for lot in lots]
    write_entry(
        draft,
        member_id,
        Kind.EXPIRE,
        occurred_at=moment,
        accounting_date=draft.programme.calendar.last_valid_date(moment),
        postings=postings,
        draws=draws,
    )


def _now(draft: Draft, ids: Iterable[LotId]) -> list[Lot]:
    """The lots as they are now, each once, without those that hold nothing."""
    found = (draft.get(LOTS, id_) for id_ in dict.fromkeys(ids))
    return [lot for lot in found if lot is not None and lot.remaining]
