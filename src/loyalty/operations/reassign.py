"""Reassigning: a purchase that was credited to the wrong person goes to the right one, under the same receipt."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import NamedTuple

from loyalty.domain.calculations import Sold, read
from loyalty.domain.claims import REFERENCES, ReferenceKey, take_reference
from loyalty.domain.credit import new_lot, repayment
from loyalty.domain.entries import Because, Birth, Entry, Kind, posting
from loyalty.domain.ids import EntryId, MemberId
from loyalty.domain.journal import write_entry
from loyalty.domain.lots import Lot, LotState, open_lot
from loyalty.domain.members import MEMBERS, watch, who_may_earn
from loyalty.domain.programme import Shortfall
from loyalty.domain.refusals import ReassignedTooOften, ReturnReserved, SameMember
from loyalty.domain.reservations import open_plans
from loyalty.domain.returns import MOST_MOVES, bought, planned, take_back
from loyalty.domain.reversals import moved, reversed_of
from loyalty.domain.state import Draft, Need
from loyalty.domain.tiers import COUNTS, counts_of_purchase, earn
from loyalty.operations.command import Receipt
from loyalty.operations.returns import come_back, counts_of, needs_of_return, shortfall_of, taken_back, told


class Reassign(NamedTuple):
    """Take what is left of a purchase from who earned by it, and let the member `to` earn by that."""

    purchase: Entry
    to: MemberId
    because: Because
    reference: ReferenceKey
    business_date: date
    bought_on: date

    @property
    def member_id(self) -> MemberId:
        return self.purchase.member_id

    def needs(self) -> tuple[Need, ...]:
        return (
            *needs_of_return(self.purchase, self.bought_on),
            Need(MEMBERS, self.to),
            Need(COUNTS, (self.to, self.bought_on)),
            Need(REFERENCES, self.reference),
        )

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """The purchase is the other member's, and what comes back of it comes back from there.

        There is no refund to withhold points from: what cannot be taken back is owed, or else waived. Raises
        NotAPurchase, PurchaseReassigned, ExceedsPurchase when nothing is left of it, SameMember, MemberFrozen ...
        """
        shortfall = shortfall_of(draft, self.member_id)
        shortfall = Shortfall.WAIVED if shortfall == Shortfall.WITHHELD else shortfall
        taking, giving = EntryId(draft.mint.next(self.member_id)), EntryId(draft.mint.next(self.to))
        take_reference(draft, self.reference, taking)
        who_may_earn(draft, self.to)
        if self.to == self.member_id:
            raise SameMember("The purchase belongs to this member already.")
        if bought(draft.programme, self.purchase).moves >= MOST_MOVES:
            raise ReassignedTooOften(f"A purchase is reassigned at most {MOST_MOVES} times.", maximum=MOST_MOVES)
        if open_plans(draft, self.purchase):
            raise ReturnReserved("Confirm or cancel the reserved return of the purchase first.")
        plan = planned(draft, self.purchase, None)
        left = self._left(draft)
        counts = counts_of(draft, self.purchase, plan, self.bought_on, taken_at=at)
        taken = take_back(draft, self.purchase, plan.points, shortfall=shortfall)
        taken_from = write_entry(
            draft,
            self.member_id,
            Kind.REASSIGN,
            id_=taking,
            occurred_at=draft.moment.occurred_at,
            accounting_date=self.business_date,
            because=self.because,
            postings=taken.postings,
            draws=taken.draws,
            calculation={**taken_back(self.purchase, plan, self.bought_on, counts), "to": giving},
        )
        come_back(draft, self.purchase, plan, counts, entry_id=taking)
        moved(draft, self.purchase.id, to=giving)
        return Receipt(self.member_id, (taken_from, self._earn(draft, giving, left)), told(taken, shortfall))

    def _left(self, draft: Draft) -> Sold:
        """What is left of the purchase, as if nothing else had been bought."""
        purchase = bought(draft.programme, self.purchase)
        _, done = reversed_of(draft, self.purchase.id)
        lines = purchase.left(done)
        stored = read(self.purchase, Sold)
        left: Sold = {
            **stored,
            "of": self.purchase.id,
            "net_spend": sum(line["amount"] for line in lines),
            "lines": lines,
            "points": purchase.earned(lines).points,
            "bought_on": self.bought_on.isoformat(),
            "moves": purchase.moves + 1,
        }
        if "facts" in stored:
            left["facts"] = {"net_spend": purchase.order.net_spend, **stored["facts"]}
        return left

    def _earn(self, draft: Draft, id_: EntryId, left: Sold) -> Entry:
        """The purchase as it would have been earned by, with the dates that its points have."""
        lots = [lot for birth in self.purchase.births if (lot := self._lot(draft, id_, birth, left["points"]))]
        births = [open_lot(draft, lot) for lot in lots]
        postings = [posting(x.wallet, debit="issued", credit=x.state, points=x.points, funder=x.funder) for x in lots]
        repaid, draws = repayment(draft, self.to, (lot for lot in lots if lot.state == LotState.AVAILABLE))
        receipt = self.purchase.because
        entry = write_entry(
            draft,
            self.to,
            Kind.REASSIGN,
            id_=id_,
            occurred_at=draft.moment.occurred_at,
            accounting_date=self.business_date,
            because=receipt._replace(reason=self.because.reason),
            postings=[*postings, *repaid],
            draws=draws,
            births=births,
            calculation=left,
        )
        watch(draft, self.to, *(lot.due_at for lot in lots))
        counts = counts_of_purchase(
            draft.programme.ladder,
            day=self.bought_on,
            net_spend=left["net_spend"],
            points=left["points"],
            births=entry.births,
        )
        earn(draft, self.to, counts, entry_id=id_)
        return entry

    def _lot(self, draft: Draft, entry_id: EntryId, birth: Birth, points: Mapping[str, int]) -> Lot | None:
        """The points of one wallet, which are ripe if the others had ripened; None if there are none."""
        if not points[birth.wallet]:
            return None
        now = draft.programme.reached(draft.moment.occurred_at, draft.moment.recorded_at)
        ripe = birth.matures_at is None or birth.matures_at <= now
        return new_lot(
            draft,
            self.to,
            entry_id,
            wallet=birth.wallet,
            points=points[birth.wallet],
            because=self.purchase.because,
            earned_at=birth.earned_at,
            matures_at=None if ripe else birth.matures_at,
            expires_at=birth.expires_at,
            funder=birth.funder,
        )
