"""Returns: a purchase comes back, whole or in part, and takes back what it earned."""

from datetime import date, datetime
from typing import NamedTuple

from loyalty.domain.books import BOOKS
from loyalty.domain.claims import REFERENCES, ReferenceKey, take_reference
from loyalty.domain.credit import of
from loyalty.domain.entries import Because, Birth, Draw, Entry, Kind, Posting, posting
from loyalty.domain.ids import EntryId, MemberId
from loyalty.domain.journal import write_entry
from loyalty.domain.lots import LOTS, OPEN_LOTS, Lot, in_draw_order, take
from loyalty.domain.members import MEMBERS, Status, existing
from loyalty.domain.programme import Shortfall
from loyalty.domain.returns import Bought, ReturnedLine, bought, checked, due_back, whatever_is_left
from loyalty.domain.reversals import REVERSALS, reverse, reversed_of
from loyalty.domain.state import Draft, Need
from loyalty.domain.tiers import NET_SPEND, add_net_spend
from loyalty.operations.command import Receipt


class Returned(NamedTuple):
    """What a return tells the till, by wallet."""

    points: dict[str, int]
    """Taken back, what the member now owes included."""
    owed: dict[str, int]
    withheld: dict[str, int]
    """Not taken: their worth is to be kept from the refund."""


class _Taken(NamedTuple):
    """What one wallet gives back."""

    postings: list[Posting]
    draws: list[Draw]
    short: int


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
        return (
            Need(MEMBERS, self.member_id),
            Need(BOOKS, self.member_id),
            Need(REVERSALS, self.purchase.id),
            Need(NET_SPEND, (self.member_id, self.bought_on.year)),
            Need(REFERENCES, self.reference),
            *(Need(LOTS, birth.lot_id) for birth in self.purchase.births),
            *(Need(OPEN_LOTS, (self.member_id, birth.wallet), birth.points) for birth in self.purchase.births),
        )

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """The points are taken back. Raises NotAPurchase, LineUnknown, ExceedsPurchase, ReferenceTaken."""
        member = existing(draft, self.member_id)
        purchase = bought(self.purchase)
        id_ = EntryId(draft.mint.next(self.member_id))
        take_reference(draft, self.reference, id_)
        total, done = reversed_of(draft, self.purchase.id)
        lines = whatever_is_left(purchase, done) if self.lines is None else self.lines
        come_back = checked(purchase, lines, done)
        to_take = self._to_take(draft, purchase, come_back["amount"], done.get("points", {}))

        policy = Shortfall.WAIVED if member.status == Status.CLOSED else draft.programme.return_shortfall
        postings: list[Posting] = []
        draws: list[Draw] = []
        said = Returned({}, {}, {})
        for wallet, points in to_take.items():
            taken = self._take(draft, wallet, points)
            postings += taken.postings
            draws += taken.draws
            owed = taken.short if policy == Shortfall.OWED else 0
            if owed:
                postings.append(posting(wallet, debit="owed", credit="issued", points=owed))
            said.points[wallet] = points - taken.short + owed
            said.owed[wallet] = owed
            said.withheld[wallet] = taken.short if policy == Shortfall.WITHHELD else 0
        entry = write_entry(
            draft,
            self.member_id,
            Kind.RETURN,
            id_=id_,
            occurred_at=draft.moment.occurred_at,
            accounting_date=self.business_date,
            because=self.because,
            postings=postings,
            draws=draws,
            calculation=of(
                self.purchase.id,
                lines=[line._asdict() for line in lines],
                points=to_take,
                net_spend=sum(line.amount for line in lines),
                bought_on=self.bought_on,
            ),
        )
        back = {wallet: done.get("points", {}).get(wallet, 0) + points for wallet, points in to_take.items()}
        reverse(draft, self.purchase.id, self.member_id, total + sum(to_take.values()), {**come_back, "points": back})
        add_net_spend(draft, self.member_id, self.bought_on, -sum(line.amount for line in lines))
        return Receipt(self.member_id, (entry,), said)

    def _to_take(
        self, draft: Draft, purchase: Bought, amount: dict[str, int], before: dict[str, int]
    ) -> dict[str, int]:
        """Points by wallet: what is due back in all, less what was taken before and what has lapsed by itself."""
        lapsed: dict[str, int] = {}
        for lot in self._own_lots(draft):
            lapsed[lot.wallet] = lapsed.get(lot.wallet, 0) + lot.lapsed
        return {
            wallet: max(0, points - before.get(wallet, 0) - lapsed.get(wallet, 0))
            for wallet, points in due_back(purchase, amount).items()
        }

    def _take(self, draft: Draft, wallet: str, points: int) -> _Taken:
        """First what remains of the purchase's own lots, then other available lots in draw order."""
        postings: list[Posting] = []
        draws: list[Draw] = []
        own = [lot for lot in self._own_lots(draft) if lot.wallet == wallet]
        for lot in own:
            part = min(points, lot.remaining)
            if part:
                postings.append(posting(wallet, debit=lot.state, credit="issued", points=part, funder=lot.funder))
                draws += take(draft, [lot], part)
                points -= part
        others = in_draw_order(draft, self.member_id, wallet)
        part = min(points, sum(lot.remaining for lot in others))
        if part:
            postings.append(posting(wallet, debit="available", credit="issued", points=part))
            draws += take(draft, others, part)
        return _Taken(postings, draws, points - part)

    def _own_lots(self, draft: Draft) -> list[Lot]:
        births: tuple[Birth, ...] = self.purchase.births
        return [lot for birth in births if (lot := draft.get(LOTS, birth.lot_id)) is not None]
