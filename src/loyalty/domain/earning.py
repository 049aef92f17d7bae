"""What a purchase earns: the base rule of each wallet over an order, rounded down once per purchase."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import orjson

from loyalty.domain.calendar import Calendar
from loyalty.domain.programme import Programme, Wallet
from loyalty.domain.refusals import CurrencyNotAccepted, DatesContradict

_NEXT_DAY = timedelta(days=1)


class Order(NamedTuple):
    """A till receipt as far as earning is concerned. Amounts are integer minor units of `currency`."""

    currency: str
    net_spend: int
    """The sum of the lines: what the order costs after discounts and before points."""
    lines: list[dict[str, Any]]
    """The lines as they were sent, kept with the calculation so that a return can be worked out later."""
    tenders: Sequence[dict[str, Any]] = ()


class Term(NamedTuple):
    """When points can be spent: from maturing until (excluding) expiring."""

    matures_at: datetime | None
    expires_at: datetime | None
    """None: they never expire."""


def earned(programme: Programme, order: Order) -> dict[str, int]:
    """Points by wallet that the order earns. Raises CurrencyNotAccepted."""
    if order.currency != programme.currency:
        raise CurrencyNotAccepted(
            f"This programme earns on {programme.currency}.",
            currency=order.currency,
            accepted=programme.currency,
        )
    return {
        name: base_points(order.net_spend, wallet.points_per_unit, wallet.unit)
        for name, wallet in programme.wallets.items()
    }


def base_points(net_spend: int, points_per_unit: int, unit: int) -> int:
    """The base rule: `points_per_unit` for each `unit` of minor currency units, rounded down once."""
    return net_spend * points_per_unit // unit


def usual_term(calendar: Calendar, wallet: Wallet, occurred_at: datetime) -> Term:
    """The term of points that a purchase earns: pending for the wallet's time, then its expiry policy.

    A policy that would end while they are still pending ends with the day on which they mature.
    """
    matures_at = occurred_at + wallet.pending if wallet.pending else None
    return Term(matures_at, usual_end(calendar, wallet, occurred_at, no_earlier_than=matures_at))


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


def calculation(programme: Programme, order: Order, points: dict[str, int]) -> str:
    """The stored calculation of a purchase, as JSON text: its inputs, the rule with its rates, and what it gave."""
    body: dict[str, Any] = {
        "rule": "base",
        "rates": {name: [wallet.points_per_unit, wallet.unit] for name, wallet in programme.wallets.items()},
        "currency": order.currency,
        "net_spend": order.net_spend,
        "lines": order.lines,
        "points": points,
    }
    if order.tenders:
        body["tenders"] = list(order.tenders)
    return orjson.dumps(body).decode()


def usual_end(
    calendar: Calendar, wallet: Wallet, earned_at: datetime, *, no_earlier_than: datetime | None = None
) -> datetime | None:
    """The end of the last day on which points earned at a moment can be spent; None for ever."""
    valid_through = wallet.expiry.valid_through(calendar.business_date(earned_at))
    if valid_through is None:
        return None
    if no_earlier_than is not None:
        valid_through = max(valid_through, calendar.business_date(no_earlier_than))
    return calendar.day_start(valid_through + _NEXT_DAY)
