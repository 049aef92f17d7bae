"""Reservations: a return in two steps. What it will take back is held until it is confirmed, cancelled or has ended."""

from typing import NamedTuple

import orjson

from loyalty.domain.entries import Entry
from loyalty.domain.holds import Hold, open_holds
from loyalty.domain.ids import EntryId
from loyalty.domain.programme import Shortfall
from loyalty.domain.returns import Plan, ReturnedLine
from loyalty.domain.state import State


class Reservation(NamedTuple):
    """The return that a hold was opened for."""

    sale: EntryId
    plan: Plan
    shortfall: Shortfall
    """What the till was told becomes of the points that are missing: it refunded the money accordingly."""


def as_text(reservation: Reservation) -> str:
    """As its hold keeps it, JSON text."""
    lines = [list(line) for line in reservation.plan.lines]
    stored = {
        "sale": reservation.sale,
        "lines": lines,
        "points": reservation.plan.points,
        "shortfall": reservation.shortfall,
    }
    return orjson.dumps(stored).decode()


def reservation_of(hold: Hold) -> Reservation | None:
    """The return that the hold was opened for; None when it is to be spent."""
    if hold.reserved is None:
        return None
    stored = orjson.loads(hold.reserved)
    lines = [ReturnedLine(*line) for line in stored["lines"]]
    return Reservation(EntryId(stored["sale"]), Plan(lines, stored["points"]), Shortfall(stored["shortfall"]))


def open_plans(state: State, sale: Entry) -> list[Plan]:
    """The returns of a purchase that are reserved and have not ended. The member's open holds are known."""
    found = (reservation_of(hold) for hold in open_holds(state, sale.member_id))
    return [one.plan for one in found if one is not None and one.sale == sale.id]
