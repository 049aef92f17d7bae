"""Returns: a purchase comes back, whole or in part, and takes back what it earned."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple

from loyalty.domain import tiers
from loyalty.domain.calculations import LineBack, TakenBack
from loyalty.domain.claims import REFERENCES, ReferenceKey, take_reference
from loyalty.domain.entries import Because, Entry, Kind
from loyalty.domain.holds import OPEN_HOLDS
from loyalty.domain.ids import EntryId, MemberId
from loyalty.domain.journal import write_entry
from loyalty.domain.lots import LOTS, OPEN_LOTS
from loyalty.domain.members import MEMBERS, Status, existing
from loyalty.domain.programme import Shortfall
from loyalty.domain.reservations import open_plans
from loyalty.domain.returns import Plan, ReturnedLine, Taken, count, is_all_back, planned, take_back
from loyalty.domain.reversals import REVERSALS
from loyalty.domain.state import Draft, Need
from loyalty.domain.tiers import COUNTS, Count, as_stored, counts_of_return
from loyalty.operations.command import Receipt


class Returned(NamedTuple):
    """What a return tells the till, by wallet."""

    points: dict[str, int]
    """Taken back, what the member now owes included."""
    owed: dict[str, int]
    withheld: dict[str, int]
    """Not taken: their worth is to be kept from the refund."""


class Return(NamedTuple):
    """Take back what the returned part of a purchase earned; all of it that is left when `lines` is None."""

    purchase: Entry
    lines: tuple[ReturnedLine, ...] | None
    because: Because
    reference: ReferenceKey
    business_date: date
    bought_on: date

    @property
    def member_id(self) -> MemberId:
        return self.purchase.member_id

    def needs(self) -> tuple[Need, ...]:
        return (*needs_of_return(self.purchase, self.bought_on), Need(REFERENCES, self.reference))

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """The points are taken back. Raises NotAPurchase, LineUnknown, ExceedsPurchase, ReferenceTaken ..."""
        shortfall = shortfall_of(draft, self.member_id)
        id_ = EntryId(draft.mint.next(self.member_id))
        take_reference(draft, self.reference, id_)
        plan = planned(draft, self.purchase, self.lines, reserved=open_plans(draft, self.purchase))
        taken = take_back(draft, self.purchase, plan.points, shortfall=shortfall)
        counts = counts_of(draft, self.purchase, plan, self.bought_on, taken_at=at)
        entry = write_entry(
            draft,
            self.member_id,
            Kind.RETURN,
            id_=id_,
            occurred_at=draft.moment.occurred_at,
            accounting_date=self.business_date,
            because=self.because,
            postings=taken.postings,
            draws=taken.draws,
            calculation=taken_back(self.purchase, plan, self.bought_on, counts),
        )
        come_back(draft, self.purchase, plan, counts, entry_id=entry.id)
        return Receipt(self.member_id, (entry,), told(taken, shortfall))


def needs_of_return(purchase: Entry, bought_on: date) -> tuple[Need, ...]:
    """What taking back a purchase needs."""
    member_id = purchase.member_id
    return (
        Need(MEMBERS, member_id),
        Need(REVERSALS, purchase.id),
        Need(COUNTS, (member_id, bought_on)),
        Need(OPEN_HOLDS, member_id),
        *(Need(LOTS, birth.lot_id) for birth in purchase.births),
        *(Need(OPEN_LOTS, (member_id, birth.wallet), birth.points) for birth in purchase.births),
    )


def shortfall_of(draft: Draft, member_id: MemberId) -> Shortfall:
    """What becomes of points that cannot be taken back: nobody owes anything who has left. Raises MemberNotFound."""
    closed = existing(draft, member_id).status == Status.CLOSED
    return Shortfall.WAIVED if closed else draft.programme.return_shortfall


def counts_of(draft: Draft, purchase: Entry, plan: Plan, bought_on: date, *, taken_at: datetime) -> list[Count]:
    """What the return counts against the member's tier, of points that were taken, or set aside, at `taken_at`."""
    calendar, ripe_on = draft.programme.calendar, dict[str, date | None]()
    for birth in purchase.births:
        if birth.matures_at is not None:
            ripe_on[birth.wallet] = calendar.business_date(birth.matures_at) if birth.matures_at <= taken_at else None
    return counts_of_return(
        draft.programme.ladder,
        day=bought_on,
        net_spend=plan.amount,
        points=plan.points,
        ripe_on=ripe_on,
        is_whole=is_all_back(draft, purchase, plan),
    )


def taken_back(purchase: Entry, plan: Plan, bought_on: date, counts: Sequence[Count]) -> TakenBack:
    """What the entry that takes a purchase back keeps."""
    kept = TakenBack(
        of=purchase.id,
        lines=[LineBack(line_id=id_, quantity=quantity, amount=amount) for id_, quantity, amount in plan.lines],
        points=plan.points,
        net_spend=plan.amount,
        bought_on=bought_on.isoformat(),
    )
    if len(counts) > 1:  # net spend stands there in any case
        kept["counts"] = as_stored(counts)
    return kept


def come_back(draft: Draft, purchase: Entry, plan: Plan, counts: Sequence[Count], *, entry_id: EntryId) -> None:
    """The return has been done: it counts against the purchase, and against the tier in the window of its day."""
    count(draft, purchase, plan)
    tiers.take_back(draft, purchase.member_id, counts, entry_id=entry_id)


def foretold(taken: Taken, shortfall: Shortfall) -> Returned:
    """What the till would hear if what was held were taken now."""
    owed = taken.short if shortfall == Shortfall.OWED else dict.fromkeys(taken.short, 0)
    points = {wallet: taken.points[wallet] + owed[wallet] for wallet in owed}
    return told(taken, shortfall)._replace(points=points, owed=owed)


def told(taken: Taken, shortfall: Shortfall) -> Returned:
    """What the till hears of it."""
    withheld = taken.short if shortfall == Shortfall.WITHHELD else dict.fromkeys(taken.short, 0)
    return Returned(taken.points, taken.owed, withheld)
