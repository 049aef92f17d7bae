"""What a return takes back: worked out from the stored calculation of the purchase, cumulatively.

Points to take = what the purchase earned - what the basket that remains would have earned - what was taken before.
So many small returns take exactly what one big one would, and a full return leaves exactly nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from loyalty.domain.earning import base_points
from loyalty.domain.entries import Entry, Kind
from loyalty.domain.refusals import ExceedsPurchase, LineUnknown, NotAPurchase


class ReturnedLine(NamedTuple):
    """A part of a line that comes back; quantity 0 when only money is refunded."""

    line_id: str
    quantity: int
    amount: int
    """Minor units of the purchase's currency."""


class Bought(NamedTuple):
    """What a purchase was, from its stored calculation."""

    currency: str
    net_spend: int
    lines: Mapping[str, Mapping[str, Any]]
    points: Mapping[str, int]
    rates: Mapping[str, Sequence[int]]

    def earned_by(self, net_spend: int) -> dict[str, int]:
        """Points by wallet that a basket of `net_spend` would have earned by the rule of that day."""
        return {wallet: base_points(net_spend, *rate) for wallet, rate in self.rates.items()}


def bought(entry: Entry) -> Bought:
    """The purchase that an entry is. Raises NotAPurchase."""
    stored = orjson.loads(entry.calculation) if entry.calculation and entry.kind == Kind.EARN else {}
    if "lines" not in stored:
        raise NotAPurchase("Only a purchase can be returned: this entry has no lines.", kind=entry.kind)
    lines = {line["line_id"]: line for line in stored["lines"]}
    return Bought(stored["currency"], stored["net_spend"], lines, stored["points"], stored["rates"])


def whatever_is_left(purchase: Bought, done: Mapping[str, Mapping[str, int]]) -> list[ReturnedLine]:
    """The lines of a full return: all that has not come back yet. Raises ExceedsPurchase when that is nothing."""
    left = [
        line
        for line_id, of in purchase.lines.items()
        if any((line := ReturnedLine(line_id, *_left(of, line_id, done)))[1:])
    ]
    if not left:
        raise ExceedsPurchase("Nothing of the purchase is left to come back.")
    return left


def checked(
    purchase: Bought, lines: Sequence[ReturnedLine], done: Mapping[str, Mapping[str, int]]
) -> dict[str, dict[str, int]]:
    """What has come back by line with these, in all. Raises LineUnknown, ExceedsPurchase."""
    quantity, amount = dict(done.get("quantity", {})), dict(done.get("amount", {}))
    for line in lines:
        of = purchase.lines.get(line.line_id)
        if of is None:
            raise LineUnknown(f"The purchase has no line {line.line_id!r}.", line_id=line.line_id)
        now = {"quantity": quantity, "amount": amount}
        left = _left(of, line.line_id, now)
        if line.quantity > left[0] or line.amount > left[1]:
            raise ExceedsPurchase(
                f"Of the line {line.line_id!r}, {left[0]} pieces and {left[1]} are left to come back.",
                line_id=line.line_id,
                quantity=left[0],
                amount=left[1],
            )
        quantity[line.line_id] = quantity.get(line.line_id, 0) + line.quantity
        amount[line.line_id] = amount.get(line.line_id, 0) + line.amount
    return {"quantity": quantity, "amount": amount}


def due_back(purchase: Bought, amount: Mapping[str, int]) -> dict[str, int]:
    """Points by wallet that have to come back in all once `amount` has been refunded by line."""
    remaining = purchase.earned_by(purchase.net_spend - sum(amount.values()))
    return {wallet: max(0, points - remaining.get(wallet, 0)) for wallet, points in purchase.points.items()}


def _left(of: Mapping[str, Any], line_id: str, done: Mapping[str, Mapping[str, int]]) -> tuple[int, int]:
    """Pieces and amount of a line that have not come back."""
    return (
        of["quantity"] - done.get("quantity", {}).get(line_id, 0),
        of["amount"] - done.get("amount", {}).get(line_id, 0),
    )
