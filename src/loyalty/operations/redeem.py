"""Spending: points leave the member's lots, as a discount at the till or for nothing but a reference."""

from datetime import date, datetime
from typing import NamedTuple

from loyalty.domain.books import book_of
from loyalty.domain.calculations import Discounted, Money
from loyalty.domain.claims import REFERENCES, ReferenceKey, take_reference
from loyalty.domain.entries import Because, Kind, Posting, posting
from loyalty.domain.events import EventType, tell
from loyalty.domain.ids import EntryId, MemberId
from loyalty.domain.journal import write_entry
from loyalty.domain.lots import OPEN_LOTS, in_draw_order, take
from loyalty.domain.members import MEMBERS, who_may_spend
from loyalty.domain.programme import Programme
from loyalty.domain.refusals import CurrencyNotAccepted, SourceMayNotForce
from loyalty.domain.reviews import ReviewKind, open_review
from loyalty.domain.spending import check_covered
from loyalty.domain.state import Draft, Need
from loyalty.operations.command import Receipt


class Value(NamedTuple):
    """What spent points are worth at the till, in minor units."""

    currency: str
    amount: int


class Redeemed(NamedTuple):
    """What a redemption tells its sender."""

    points: int
    value: Value | None


class Redeem(NamedTuple):
    """Spend points of one wallet; as a discount when a currency is named."""

    member_id: MemberId
    points: int
    wallet: str
    because: Because
    reference: ReferenceKey
    business_date: date
    discount_currency: str | None = None
    forced: bool = False
    """It has happened already, offline: what the points do not cover is owed, and somebody has to look at it."""

    def needs(self) -> tuple[Need, ...]:
        return (
            Need(MEMBERS, self.member_id),
            Need(OPEN_LOTS, (self.member_id, self.wallet), self.points),
            Need(REFERENCES, self.reference),
        )

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """The points are redeemed, drawn earliest expiry first. Raises InsufficientPoints, ReferenceTaken ..."""
        who_may_spend(draft, self.member_id)
        draft.programme.wallet(self.wallet)
        value = self._value(draft.programme)
        entry_id = EntryId(draft.mint.next(self.member_id))
        take_reference(draft, self.reference, entry_id)
        available = book_of(draft, self.member_id, self.wallet).available
        if not self.forced:
            check_covered(draft, self.member_id, self.wallet, self.points)
        elif self.because.source not in draft.programme.forced_sources:
            raise SourceMayNotForce(f"The source {self.because.source!r} may not force a redemption.")
        covered = min(available, self.points)
        entry = write_entry(
            draft,
            self.member_id,
            Kind.SPEND,
            id_=entry_id,
            occurred_at=draft.moment.occurred_at,
            accounting_date=self.business_date,
            because=self.because,
            postings=self._postings(covered),
            draws=take(draft, in_draw_order(draft, self.member_id, self.wallet), covered),
            calculation=value and Discounted(value=Money(currency=value.currency, amount=value.amount)),
        )
        if covered < self.points:
            tell(draft, self.member_id, EventType.NOT_COVERED, recorded_at=entry.recorded_at)
            open_review(
                draft,
                ReviewKind.NOT_COVERED,
                entry.id,
                self.because,
                opened_at=entry.recorded_at,
                member_id=self.member_id,
                wallet=self.wallet,
                points=self.points - covered,
            )
        return Receipt(self.member_id, (entry,), Redeemed(self.points, value))

    def _postings(self, covered: int) -> list[Posting]:
        sides = (("available", covered), ("owed", self.points - covered))
        return [
            posting(self.wallet, debit=debit, credit="redeemed", points=points) for debit, points in sides if points
        ]

    def _value(self, programme: Programme) -> Value | None:
        """What the points are worth as a discount. Raises CurrencyNotAccepted."""
        if self.discount_currency is None:
            return None
        worth = programme.wallets[self.wallet].point_value
        if self.discount_currency != programme.currency or not worth:
            raise CurrencyNotAccepted(
                f"Points of the wallet {self.wallet!r} are no discount in {self.discount_currency}.",
                currency=self.discount_currency,
                accepted=programme.currency,
            )
        return Value(programme.currency, self.points * worth)
