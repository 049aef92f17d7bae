"""Returns in two steps: hold what a return takes back while the money is refunded, then confirm or cancel it."""

from datetime import date, datetime, timedelta
from typing import NamedTuple

import orjson

from loyalty.domain.calculations import Held
from loyalty.domain.claims import REFERENCES, ReferenceKey, take_reference
from loyalty.domain.credit import release
from loyalty.domain.entries import NO_CAUSE, Because, Entry, Kind
from loyalty.domain.holds import HOLDS, Hold, HoldStatus, check_may_open, open_hold
from loyalty.domain.ids import EntryId, MemberId
from loyalty.domain.journal import write_entry
from loyalty.domain.refusals import ReservationExpired, ReservationNotFound, ReservationResolved
from loyalty.domain.reservations import Reservation, as_text, open_plans, reservation_of
from loyalty.domain.returns import ReturnedLine, planned, take_back, take_held
from loyalty.domain.state import Draft, Need
from loyalty.operations.command import Receipt
from loyalty.operations.hold import needs_of_hold
from loyalty.operations.returns import (
    Returned,
    come_back,
    counts_of,
    foretold,
    needs_of_return,
    shortfall_of,
    taken_back,
    told,
)


class Reserved(NamedTuple):
    """What a return in two steps tells the till."""

    hold: Hold
    returned: Returned
    """What it takes, or will take once it is confirmed."""


class Reserve(NamedTuple):
    """Hold what the returned part of a purchase earned until it is confirmed, or for as long as it `lasts`."""

    purchase: Entry
    lines: tuple[ReturnedLine, ...] | None
    lasts: timedelta
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
        """The points are held, pending ones too. Raises as a return, and TooManyHolds."""
        shortfall = shortfall_of(draft, self.member_id)
        id_ = EntryId(draft.mint.next(self.member_id))
        take_reference(draft, self.reference, id_)
        check_may_open(draft, self.member_id)
        others = open_plans(draft, self.purchase)
        plan = planned(draft, self.purchase, self.lines, reserved=others, after=others)
        taken = take_back(draft, self.purchase, plan.points, to="held")
        reserved = as_text(Reservation(self.purchase.id, plan, shortfall))
        expires_at = at + self.lasts
        entry = write_entry(
            draft,
            self.member_id,
            Kind.RESERVE,
            id_=id_,
            occurred_at=draft.moment.occurred_at,
            accounting_date=self.business_date,
            because=self.because,
            postings=taken.postings,
            draws=taken.draws,
            calculation=Held(expires_at=expires_at.isoformat(), reserved=orjson.Fragment(reserved)),
        )
        hold = Hold(
            id=id_,
            member_id=self.member_id,
            wallet=None,
            points=sum(draw.points for draw in taken.draws),
            status=HoldStatus.OPEN.value,
            captured=0,
            opened_at=at,
            expires_at=expires_at,
            reserved=reserved,
            draws=tuple(taken.draws),
        )
        open_hold(draft, hold)
        return Receipt(self.member_id, (entry,), Reserved(hold, foretold(taken, shortfall)))


class Confirm(NamedTuple):
    """The money was refunded: take what is due for it by now out of what was held; the rest goes back."""

    hold: Hold
    """As it was found: only what never changes of it is relied on."""
    purchase: Entry
    business_date: date
    bought_on: date

    @property
    def member_id(self) -> MemberId:
        return self.hold.member_id

    def needs(self) -> tuple[Need, ...]:
        return (*needs_of_return(self.purchase, self.bought_on), *needs_of_hold(self.hold))

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """The points are taken back. Raises ReservationNotFound, ReservationResolved, ReservationExpired."""
        hold, reservation = _open(draft, self.hold)
        plan = planned(draft, self.purchase, reservation.plan.lines)
        taken = take_held(
            draft,
            self.purchase,
            plan.points,
            held=hold.draws,
            foretold=_short(hold, reservation),
            shortfall=reservation.shortfall,
        )
        counts = counts_of(draft, self.purchase, plan, self.bought_on, taken_at=hold.opened_at)
        confirmed = hold._replace(status=HoldStatus.CAPTURED.value)
        draft.put(HOLDS, hold.id, confirmed)
        entry = write_entry(
            draft,
            self.member_id,
            Kind.RETURN,
            occurred_at=draft.moment.occurred_at,
            accounting_date=self.business_date,
            because=NO_CAUSE,
            postings=taken.postings,
            draws=taken.draws,
            calculation={**taken_back(self.purchase, plan, self.bought_on, counts), "reservation": hold.id},
        )
        come_back(draft, self.purchase, plan, counts, entry_id=entry.id)
        return Receipt(self.member_id, (entry,), Reserved(confirmed, told(taken, reservation.shortfall)))


class Cancel(NamedTuple):
    """Nothing came back after all: give up what was held for it."""

    hold: Hold
    """As it was found: only what never changes of it is relied on."""
    business_date: date

    @property
    def member_id(self) -> MemberId:
        return self.hold.member_id

    def needs(self) -> tuple[Need, ...]:
        return needs_of_hold(self.hold)

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """The points are where they were. Raises as `Confirm`."""
        hold, _ = _open(draft, self.hold)
        entry = release(
            draft,
            hold,
            HoldStatus.RELEASED,
            occurred_at=draft.moment.occurred_at,
            accounting_date=self.business_date,
        )
        cancelled = hold._replace(status=HoldStatus.RELEASED.value)
        return Receipt(self.member_id, (entry,), cancelled)


def _short(hold: Hold, reservation: Reservation) -> dict[str, int]:
    """What the points did not cover when they were reserved, by wallet."""
    covered: dict[str, int] = {}
    for draw in hold.draws:
        covered[draw.wallet] = covered.get(draw.wallet, 0) + draw.points
    return {wallet: points - covered.get(wallet, 0) for wallet, points in reservation.plan.points.items()}


def _open(draft: Draft, asked: Hold) -> tuple[Hold, Reservation]:
    """The reservation as it is now. Raises ReservationNotFound, ReservationResolved, ReservationExpired."""
    hold = draft.get(HOLDS, asked.id)
    reservation = None if hold is None else reservation_of(hold)
    if hold is None or reservation is None:
        raise ReservationNotFound("There is no such reserved return in this programme.")
    if hold.status == HoldStatus.EXPIRED:
        raise ReservationExpired("The reserved return has ended; nothing was taken back.", expires_at=hold.expires_at)
    if hold.status != HoldStatus.OPEN:
        status = "confirmed" if hold.status == HoldStatus.CAPTURED else "cancelled"
        raise ReservationResolved(f"The reserved return was {status} before.", reservation_status=status)
    return hold, reservation
