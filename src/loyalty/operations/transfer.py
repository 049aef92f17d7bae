"""Transfers: one member gives points to another; the lots keep their dates."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import NamedTuple

from loyalty.domain.calculations import Concerning
from loyalty.domain.claims import REFERENCES, ReferenceKey, take_reference
from loyalty.domain.credit import new_lot, repayment
from loyalty.domain.entries import Because, Draw, Entry, Kind, posting
from loyalty.domain.ids import EntryId, MemberId
from loyalty.domain.journal import write_entry
from loyalty.domain.lots import LOTS, OPEN_LOTS, Lot, in_draw_order, open_lot, take
from loyalty.domain.members import MEMBERS, watch, who_may_earn, who_may_spend
from loyalty.domain.refusals import SameMember, TransfersNotAllowed
from loyalty.domain.sliding import end_of
from loyalty.domain.spending import check_covered
from loyalty.domain.state import Draft, Need
from loyalty.operations.command import Receipt


class Transfer(NamedTuple):
    """Give points of one wallet to the member `to`: an entry for each, of one fact."""

    member_id: MemberId
    to: MemberId
    points: int
    wallet: str
    because: Because
    reference: ReferenceKey
    business_date: date

    def needs(self) -> tuple[Need, ...]:
        return (
            Need(MEMBERS, self.member_id),
            Need(MEMBERS, self.to),
            Need(OPEN_LOTS, (self.member_id, self.wallet), self.points),
            Need(REFERENCES, self.reference),
        )

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """The points are with the other member. Raises TransfersNotAllowed, SameMember, InsufficientPoints ..."""
        if not draft.programme.transfers:
            raise TransfersNotAllowed("This programme does not let members transfer points.")
        who_may_spend(draft, self.member_id)
        who_may_earn(draft, self.to)
        if self.to == self.member_id:
            raise SameMember("A member cannot give points to itself.")
        draft.programme.wallet(self.wallet)
        id_ = EntryId(draft.mint.next(self.member_id))
        take_reference(draft, self.reference, id_)
        check_covered(draft, self.member_id, self.wallet, self.points)
        draws = take(draft, in_draw_order(draft, self.member_id, self.wallet), self.points)
        given = write_entry(
            draft,
            self.member_id,
            Kind.TRANSFER,
            id_=id_,
            occurred_at=draft.moment.occurred_at,
            accounting_date=self.business_date,
            because=self.because,
            postings=[posting(self.wallet, debit="available", credit="transferred", points=self.points)],
            draws=draws,
        )
        return Receipt(self.member_id, (given, self._received(draft, given, draws)), self)

    def _received(self, draft: Draft, given: Entry, draws: Iterable[Draw]) -> Entry:
        """The other side: a lot for each that was drawn, with its dates."""
        id_ = EntryId(draft.mint.next(self.to))
        lots = [self._lot(draft, draw, id_) for draw in draws]
        births = [open_lot(draft, lot) for lot in lots]
        repaid, paying = repayment(draft, self.to, lots)
        received = write_entry(
            draft,
            self.to,
            Kind.TRANSFER,
            id_=id_,
            occurred_at=draft.moment.occurred_at,
            accounting_date=self.business_date,
            because=Because(None, None, self.because.store, self.because.reason),
            postings=[posting(self.wallet, debit="transferred", credit="available", points=self.points), *repaid],
            draws=paying,
            births=births,
            calculation=Concerning(of=given.id),
        )
        watch(draft, self.to, *(lot.expires_at for lot in lots))
        return received

    def _lot(self, draft: Draft, draw: Draw, entry_id: EntryId) -> Lot:
        drawn = draft.get(LOTS, draw.lot_id)
        assert drawn is not None, "a lot that was drawn is there"
        return new_lot(
            draft,
            self.to,
            entry_id,
            wallet=drawn.wallet,
            points=draw.points,
            because=Because(store=self.because.store),
            earned_at=drawn.earned_at,
            expires_at=end_of(draft, drawn),
            funder=drawn.funder,
        )
