"""Corrections with a reason: at once up to the programme's limit, above it once a second person has approved."""

from datetime import date, datetime
from typing import NamedTuple

from loyalty.domain.adjustments import ADJUSTMENTS, Adjustment, Decision
from loyalty.domain.claims import REFERENCES, ReferenceKey, take_reference
from loyalty.domain.credit import new_lot, repayment
from loyalty.domain.entries import Because, Entry, Kind, posting
from loyalty.domain.events import EventType, tell
from loyalty.domain.ids import EntryId, MemberId
from loyalty.domain.journal import write_entry
from loyalty.domain.lots import OPEN_LOTS, in_draw_order, open_lot, take
from loyalty.domain.members import MEMBERS, existing, watch, who_may_earn, who_may_spend
from loyalty.domain.refusals import AdjustmentDecided, AdjustmentNotFound, ApproverNotSecond
from loyalty.domain.spending import check_covered
from loyalty.domain.state import Draft, Need
from loyalty.domain.terms import usual_end
from loyalty.operations.command import Receipt


class Adjust(NamedTuple):
    """Give points to a member (positive) or take them (negative), asked for by `requested_by`."""

    member_id: MemberId
    points: int
    wallet: str
    because: Because
    reference: ReferenceKey
    business_date: date
    requested_by: str

    def needs(self) -> tuple[Need, ...]:
        return (*_needs(self.member_id, self.wallet, self.points), Need(REFERENCES, self.reference))

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """The points have moved, or wait for approval. Raises InsufficientPoints, ReferenceTaken ..."""
        existing(draft, self.member_id)
        draft.programme.wallet(self.wallet)
        id_ = EntryId(draft.mint.next(self.member_id))
        take_reference(draft, self.reference, id_)
        limit = draft.programme.adjustment_limit
        if limit is None or abs(self.points) <= limit:
            entry = _adjusted(
                draft, id_, self.member_id, self.wallet, self.points, self.because, business_date=self.business_date
            )
            return Receipt(self.member_id, (entry,), Decision.APPROVED)
        moment = draft.moment
        waiting = Adjustment(
            id=id_,
            member_id=self.member_id,
            wallet=self.wallet,
            points=self.points,
            reason=self.because.reason or "",
            source=self.because.source or "",
            reference=self.because.reference or "",
            status=Decision.AWAITING.value,
            requested_by=self.requested_by,
            decided_by=None,
            requested_at=moment.recorded_at,
        )
        draft.put(ADJUSTMENTS, id_, waiting)
        tell(draft, self.member_id, EventType.AWAITING_APPROVAL)
        return Receipt(self.member_id, (), waiting)


class Decide(NamedTuple):
    """Approve or reject an adjustment that waits; `decided_by` is not who asked for it."""

    adjustment: Adjustment
    """As it was found: only what never changes of it is relied on."""
    approve: bool
    decided_by: str
    business_date: date

    @property
    def member_id(self) -> MemberId:
        return self.adjustment.member_id

    def needs(self) -> tuple[Need, ...]:
        found = self.adjustment
        return (*_needs(found.member_id, found.wallet, found.points), Need(ADJUSTMENTS, found.id))

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """The points have moved, or never will. Raises AdjustmentDecided, ApproverNotSecond, InsufficientPoints."""
        waiting = draft.get(ADJUSTMENTS, self.adjustment.id)
        if waiting is None:
            raise AdjustmentNotFound("There is no such adjustment in this programme.")
        if waiting.status != Decision.AWAITING:
            raise AdjustmentDecided(f"The adjustment was {waiting.status} before.", decision=waiting.status)
        if waiting.requested_by == self.decided_by:
            raise ApproverNotSecond("Somebody else than who asked for the adjustment must decide on it.")
        status = Decision.APPROVED if self.approve else Decision.REJECTED
        draft.put(ADJUSTMENTS, waiting.id, waiting._replace(status=status.value, decided_by=self.decided_by))
        if not self.approve:
            return Receipt(self.member_id, (), status)
        because = Because(waiting.source, waiting.reference, None, waiting.reason)
        entry = _adjusted(
            draft,
            waiting.id,
            waiting.member_id,
            waiting.wallet,
            waiting.points,
            because,
            business_date=self.business_date,
        )
        return Receipt(self.member_id, (entry,), status)


def _needs(member_id: MemberId, wallet: str, points: int) -> tuple[Need, ...]:
    return (
        Need(MEMBERS, member_id),
        *((Need(OPEN_LOTS, (member_id, wallet), -points),) if points < 0 else ()),
    )


def _adjusted(
    draft: Draft,
    id_: EntryId,
    member_id: MemberId,
    wallet: str,
    points: int,
    because: Because,
    *,
    business_date: date,
) -> Entry:
    """The entry of an adjustment: a new lot, or draws on those there are."""
    if points < 0:
        who_may_spend(draft, member_id)
        check_covered(draft, member_id, wallet, -points)
        return write_entry(
            draft,
            member_id,
            Kind.ADJUST,
            id_=id_,
            occurred_at=draft.moment.occurred_at,
            accounting_date=business_date,
            because=because,
            postings=[posting(wallet, debit="available", credit="adjusted", points=-points)],
            draws=take(draft, in_draw_order(draft, member_id, wallet), -points),
        )
    who_may_earn(draft, member_id)
    occurred_at = draft.moment.occurred_at
    lot = new_lot(
        draft,
        member_id,
        id_,
        wallet=wallet,
        points=points,
        because=because,
        earned_at=occurred_at,
        expires_at=usual_end(draft.programme.calendar, draft.programme.wallet(wallet), occurred_at),
    )
    birth = open_lot(draft, lot)
    repaid, paying = repayment(draft, member_id, [lot])
    entry = write_entry(
        draft,
        member_id,
        Kind.ADJUST,
        id_=id_,
        occurred_at=occurred_at,
        accounting_date=business_date,
        because=because,
        postings=[posting(wallet, debit="adjusted", credit="available", points=points), *repaid],
        draws=paying,
        births=[birth],
    )
    watch(draft, member_id, lot.expires_at)
    return entry
