"""When points can be spent: from maturing until expiring, by rule, by the settings of their wallet or by name."""

from datetime import date, datetime, timedelta
from typing import NamedTuple

from loyalty.domain.calendar import Calendar
from loyalty.domain.programme import Wallet
from loyalty.domain.refusals import DatesContradict
from loyalty.domain.rules import Base

_NEXT_DAY = timedelta(days=1)


class Term(NamedTuple):
    """When points can be spent: from maturing until (excluding) expiring."""

    matures_at: datetime | None
    expires_at: datetime | None
    """None: they never expire."""


def earned_term(calendar: Calendar, wallet: Wallet, base: Base, occurred_at: datetime) -> Term:
    """The term of points that a purchase earns: pending for a time, then the expiry policy, as its base rule has them.

    What the rule leaves open the wallet says. A policy that would end while they are still pending ends with the day on
    which they mature.
    """
    pending = wallet.pending if base.pending is None else timedelta(seconds=base.pending)
    matures_at = occurred_at + pending if pending else None
    valid_through = (base.expiry or wallet.expiry).valid_through(calendar.business_date(occurred_at))
    return Term(matures_at, None if valid_through is None else _end(calendar, valid_through, matures_at))


def explicit_term(
    calendar: Calendar,
    wallet: Wallet,
    occurred_at: datetime,
    *,
    pending_until: datetime | None,
    expires_at: datetime | None,
) -> Term:
    """The term of points granted by name: at once unless `pending_until`. Raises DatesContradict."""
    expires_at = expires_at or usual_end(calendar, wallet, occurred_at)
    begins_at = max(occurred_at, pending_until or occurred_at)
    if expires_at is not None and expires_at <= begins_at:
        raise DatesContradict(
            "The points would expire before they could be spent.", begins_at=begins_at, expires_at=expires_at
        )
    return Term(pending_until if begins_at > occurred_at else None, expires_at)


def usual_end(calendar: Calendar, wallet: Wallet, earned_at: datetime) -> datetime | None:
    """The end of the last day on which points earned at a moment can be spent; None: for ever, or while they slide."""
    valid_through = wallet.expiry.valid_through(calendar.business_date(earned_at))
    return None if valid_through is None else _end(calendar, valid_through)


def renewed_end(
    calendar: Calendar, wallet: Wallet, active_at: datetime, *, no_earlier_than: datetime | None = None
) -> datetime | None:
    """The end of the last day of points that slide, after an activity at a moment; None: they do not slide."""
    valid_through = wallet.expiry.slides_through(calendar.business_date(active_at))
    return None if valid_through is None else _end(calendar, valid_through, no_earlier_than)


def _end(calendar: Calendar, valid_through: date, no_earlier_than: datetime | None = None) -> datetime:
    """The end of a last day, or of the day of a moment that is later."""
    if no_earlier_than is not None:
        valid_through = max(valid_through, calendar.business_date(no_earlier_than))
    return calendar.day_start(valid_through + _NEXT_DAY)
