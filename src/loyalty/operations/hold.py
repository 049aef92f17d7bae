"""Two-step spending at the till: set points aside, then capture them, in whole or in part, or release them."""

from datetime import date, datetime, timedelta
from typing import NamedTuple

from loyalty.domain.books import book_of
from loyalty.domain.calculations import Captured, Held
from loyalty.domain.claims import REFERENCES, ReferenceKey, take_reference
from loyalty.domain.credit import credited, release, repayment
from loyalty.domain.entries import NO_CAUSE, Because, Draw, Entry, Kind, Posting, posting
from loyalty.domain.holds import HOLDS, OPEN_HOLDS, Hold, HoldStatus, check_may_open, give_back, open_hold, parted
from loyalty.domain.ids import EntryId, LotId, MemberId
from loyalty.domain.journal import write_entry
from loyalty.domain.lots import LOTS, OPEN_LOTS, in_draw_order, take
from loyalty.domain.members import MEMBERS, who_may_spend
from loyalty.domain.refusals import ExceedsHold, HoldExpired, HoldNotFound, HoldResolved
from loyalty.domain.spending import check_covered
from loyalty.domain.state import Draft, Need
from loyalty.operations.command import Receipt


class OpenHold(NamedTuple):
    """Set points of one wallet aside until they are captured or released, or for as long as `lasts`."""

    member_id: MemberId
    points: int
    wallet: str
    lasts: timedelta
    because: Because
    reference: ReferenceKey
    business_date: date

    def needs(self) -> tuple[Need, ...]:
        return (
            Need(MEMBERS, self.member_id),
            Need(OPEN_LOTS, (self.member_id, self.wallet), self.points),
            Need(OPEN_HOLDS, self.member_id),
            Need(REFERENCES, self.reference),
        )

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """The points are held, drawn earliest expiry first. Raises InsufficientPoints, TooManyHolds ..."""
        who_may_spend(draft, self.member_id)
        draft.programme.wallet(self.wallet)
        id_ = EntryId(draft.mint.next(self.member_id))
        take_reference(draft, self.reference, id_)
        check_may_open(draft, self.member_id)
        check_covered(draft, self.member_id, self.wallet, self.points)
        draws = take(draft, in_draw_order(draft, self.member_id, self.wallet), self.points)
        expires_at = at + self.lasts
        entry = write_entry(
            draft,
            self.member_id,
            Kind.HOLD,
            id_=id_,
            occurred_at=draft.moment.occurred_at,
            accounting_date=self.business_date,
            because=self.because,
            postings=[posting(self.wallet, debit="available", credit="held", points=self.points)],
            draws=draws,
            calculation=Held(expires_at=expires_at.isoformat()),
        )
        hold = Hold(
            id=id_,
            member_id=self.member_id,
            wallet=self.wallet,
            points=self.points,
            status=HoldStatus.OPEN.value,
            captured=0,
            opened_at=at,
            expires_at=expires_at,
            reserved=None,
            draws=tuple(draws),
        )
        open_hold(draft, hold)
        return Receipt(self.member_id, (entry,), hold)


class Capture(NamedTuple):
    """Redeem held points, all of them unless `points` says how many; the rest is released."""

    hold: Hold
    """As it was found: only what never changes of it is relied on."""
    points: int | None
    business_date: date

    @property
    def member_id(self) -> MemberId:
        return self.hold.member_id

    @property
    def wallet(self) -> str:
        assert self.hold.wallet is not None, "what is held to be spent is of one wallet"
        return self.hold.wallet

    def needs(self) -> tuple[Need, ...]:
        return (
            *needs_of_hold(self.hold),
            Need(OPEN_LOTS, (self.hold.member_id, self.wallet), self.points or self.hold.points),
        )

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """The points are redeemed. Raises ExceedsHold, HoldResolved, HoldExpired.

        A hold that has ended can be captured within the programme's grace, if the points suffice.
        """
        hold = _found(draft, self.hold)
        points = hold.points if self.points is None else self.points
        if points > hold.points:
            raise ExceedsHold(f"The hold is of {hold.points} points.", held=hold.points, required=points)
        if hold.status == HoldStatus.OPEN:
            entry = self._capture(draft, hold, points)
        else:
            _check_in_grace(draft, hold, at)
            entry = self._capture_late(draft, hold, points)
        captured = hold._replace(status=HoldStatus.CAPTURED.value, captured=points)
        draft.put(HOLDS, hold.id, captured)
        return Receipt(hold.member_id, (entry,), captured)

    def _capture(self, draft: Draft, hold: Hold, points: int) -> Entry:
        postings = [posting(self.wallet, debit="held", credit="redeemed", points=points)]
        draws: list[Draw] = []
        rest = hold.points - points
        if rest:
            back = give_back(draft, hold.draws, rest)
            repaid, paying = repayment(draft, hold.member_id, credited(draft, back))
            postings += [posting(self.wallet, debit="held", credit="available", points=rest), *repaid]
            draws = [*back, *paying]
        return self._entry(draft, hold, postings, draws, spent=parted(hold.draws, points))

    def _capture_late(self, draft: Draft, hold: Hold, points: int) -> Entry:
        who_may_spend(draft, hold.member_id)
        if book_of(draft, hold.member_id, self.wallet).available < points:
            raise _ended(hold)
        draws = take(draft, in_draw_order(draft, hold.member_id, self.wallet), points)
        postings = [posting(self.wallet, debit="available", credit="redeemed", points=points)]
        return self._entry(draft, hold, postings, draws, spent=draws)

    def _entry(
        self, draft: Draft, hold: Hold, postings: list[Posting], draws: list[Draw], *, spent: list[Draw]
    ) -> Entry:
        return write_entry(
            draft,
            hold.member_id,
            Kind.CAPTURE,
            occurred_at=draft.moment.occurred_at,
            accounting_date=self.business_date,
            because=NO_CAUSE,
            postings=postings,
            draws=draws,
            calculation=Captured(of=hold.id, spent=[list(draw) for draw in spent]),
        )


class Release(NamedTuple):
    """Give held points back."""

    hold: Hold
    """As it was found: only what never changes of it is relied on."""
    business_date: date

    @property
    def member_id(self) -> MemberId:
        return self.hold.member_id

    def needs(self) -> tuple[Need, ...]:
        return needs_of_hold(self.hold)

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """The points are available again, in the lots they came from. Raises HoldResolved, HoldExpired."""
        hold = _found(draft, self.hold)
        if hold.status != HoldStatus.OPEN:
            raise _ended(hold)
        entry = release(
            draft,
            hold,
            HoldStatus.RELEASED,
            occurred_at=draft.moment.occurred_at,
            accounting_date=self.business_date,
        )
        return Receipt(hold.member_id, (entry,), draft.get(HOLDS, hold.id))


def needs_of_hold(hold: Hold) -> tuple[Need, ...]:
    """What resolving a hold needs."""
    return (
        Need(MEMBERS, hold.member_id),
        Need(HOLDS, hold.id),
        *(Need(LOTS, LotId(draw.lot_id)) for draw in hold.draws),
    )


def _found(draft: Draft, asked: Hold) -> Hold:
    """The hold as it is now, not resolved by anybody. Raises HoldNotFound, HoldResolved."""
    hold = draft.get(HOLDS, asked.id)
    if hold is None or hold.reserved is not None:
        raise HoldNotFound("There is no such hold in this programme.")
    if hold.status in (HoldStatus.CAPTURED, HoldStatus.RELEASED):
        raise HoldResolved(f"The hold was {hold.status} before.", hold_status=hold.status)
    return hold


def _check_in_grace(draft: Draft, hold: Hold, at: datetime) -> None:
    """Raises HoldExpired."""
    if at >= hold.expires_at + draft.programme.hold_grace:
        raise _ended(hold)


def _ended(hold: Hold) -> HoldExpired:
    return HoldExpired("The hold has ended and its points were released.", expires_at=hold.expires_at)
