"""What a return takes back: worked out from the stored calculation of the purchase, cumulatively.

Points to take = what the purchase earned - what the basket that remains would have earned - what was taken before -
what lapsed by itself.
So many small returns take exactly what one big one would, and a full return leaves exactly nothing. The lines of a
return that is reserved are not left for others, for as long as it is held.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any, Final, NamedTuple

from loyalty.domain.calculations import Sold, is_purchase, read
from loyalty.domain.calendar import Calendar
from loyalty.domain.credit import credited, freed, repayment
from loyalty.domain.earning import Earned, Facts, Order, earned, facts_of, rules_of
from loyalty.domain.entries import Draw, Entry, Posting, posting
from loyalty.domain.holds import give_back, parted
from loyalty.domain.ids import LotId
from loyalty.domain.lots import LOTS, Lot, LotState, in_draw_order, take
from loyalty.domain.programme import Programme, Shortfall
from loyalty.domain.refusals import ExceedsPurchase, LineUnknown, NotAPurchase, PurchaseReassigned, ReturnReserved
from loyalty.domain.reversals import REVERSALS, Done, counted, reverse, reversed_of
from loyalty.domain.rules import RuleSet
from loyalty.domain.state import Draft, Shelf

MOST_MOVES: Final = 16
"""How often a purchase can be reassigned."""


class ReturnedLine(NamedTuple):
    """A part of a line that comes back; quantity 0 when only money is refunded."""

    line_id: str
    quantity: int
    amount: int
    """Minor units of the purchase's currency."""


class Bought(NamedTuple):
    """What a purchase was, from its stored calculation."""

    order: Order
    facts: Facts
    decided_by: RuleSet
    """Whatever rules hold today."""
    lines: Mapping[str, Mapping[str, Any]]
    points: Mapping[str, int]
    moves: int
    """How often it has been reassigned."""

    def earned(self, left: Sequence[Mapping[str, Any]] | None = None) -> Earned:
        """What it earns by its rules; or would, were only what is `left` of its lines all that was bought."""
        return earned(self.decided_by.at(self.facts.occurred_at), self.order, self.facts, left)

    def explained(self) -> Earned:
        """What it earns by its rules, with what each of them did."""
        return earned(self.decided_by.at(self.facts.occurred_at), self.order, self.facts, explained=True)

    def left(self, done: Done) -> list[dict[str, Any]]:
        """Every line, as far as it has not come back."""
        return [{**line, **_whole(line), **_left(line, done)._asdict()} for line in self.lines.values()]


class Plan(NamedTuple):
    """A return as it would be."""

    lines: Sequence[ReturnedLine]
    points: Mapping[str, int]
    """To be taken back, by wallet."""

    @property
    def amount(self) -> int:
        """Minor units that come back."""
        return sum(line.amount for line in self.lines)


LAPSED_ELSEWHERE: Shelf[LotId, int] = Shelf("points of a lot that lapsed at another member")
"""To whom its points have gone; not a table."""


class Taken(NamedTuple):
    """What a return took, and what it could not take, by wallet."""

    postings: list[Posting]
    draws: list[Draw]
    points: dict[str, int]
    """Taken back, what the member now owes included."""
    owed: dict[str, int]
    short: dict[str, int]
    """Neither taken nor owed."""


def bought(programme: Programme, entry: Entry) -> Bought:
    """The purchase that an entry is. Raises NotAPurchase."""
    if not is_purchase(entry):
        raise NotAPurchase("Only a purchase can be returned: this entry has no lines.", kind=entry.kind)
    stored = read(entry, Sold)
    return Bought(
        order=Order(stored["currency"], stored["net_spend"], stored["lines"], stored.get("tenders", ())),
        facts=facts_of(stored, entry.occurred_at),
        decided_by=rules_of(programme, stored),
        lines={line["line_id"]: line for line in stored["lines"]},
        points=stored["points"],
        moves=stored.get("moves", 0),
    )


def bought_on(calendar: Calendar, sale: Entry) -> date:
    """The business day of a purchase, whoever it was reassigned to since."""
    stored = read(sale, Sold).get("bought_on")
    return calendar.business_date(sale.occurred_at) if stored is None else date.fromisoformat(stored)


def planned(
    draft: Draft,
    sale: Entry,
    lines: Sequence[ReturnedLine] | None,
    *,
    reserved: Sequence[Plan] = (),
    after: Sequence[Plan] = (),
) -> Plan:
    """A return of these lines, or of all that is left; what is `reserved` to come back is not left.

    Its points are worked out from what has come back so far, and from what it is foretold to come `after`: whatever
    becomes of the reservations, all that came back will have taken what one return of it would. Raises NotAPurchase,
    PurchaseReassigned, LineUnknown, ExceedsPurchase, ReturnReserved.
    """
    purchase = bought(draft.programme, sale)
    check_not_reassigned(draft, sale)
    _, done = reversed_of(draft, sale.id)
    lines = _possible(purchase, lines, done, reserved)
    for earlier in after:
        done = with_plan(done, earlier)
    due = _due_back(purchase, with_plan(done, Plan(lines, {})))
    gone = done.get("points", {})
    lapsed: dict[str, int] = {}
    for lot in own_lots(draft, sale):
        lapsed[lot.wallet] = lapsed.get(lot.wallet, 0) + lot.lapsed + (draft.get(LAPSED_ELSEWHERE, lot.id) or 0)
    return Plan(lines, {name: max(0, all_ - gone.get(name, 0) - lapsed.get(name, 0)) for name, all_ in due.items()})


def check_not_reassigned(draft: Draft, sale: Entry) -> None:
    """Raises PurchaseReassigned: somebody moved it while this was on its way."""
    reversal = draft.get(REVERSALS, sale.id)
    if reversal is not None and reversal.moved_to is not None:
        raise PurchaseReassigned("The purchase belongs to another member by now.", entry=reversal.moved_to)


def count(draft: Draft, sale: Entry, plan: Plan) -> None:
    """Keep that the return has been done."""
    total, done = reversed_of(draft, sale.id)
    reverse(draft, sale.id, sale.member_id, total + sum(plan.points.values()), with_plan(done, plan))


def is_all_back(draft: Draft, sale: Entry, plan: Plan) -> bool:
    """Whether nothing is left of the purchase once this has come back too."""
    _, done = reversed_of(draft, sale.id)
    left = bought(draft.programme, sale).left(with_plan(done, plan))
    return not any(line["quantity"] or line["amount"] for line in left)


def with_plan(done: Done, plan: Plan) -> dict[str, dict[str, int]]:
    """What has come back with the return, in all."""
    return {
        "quantity": counted(done.get("quantity", {}), ((line.line_id, line.quantity) for line in plan.lines)),
        "amount": counted(done.get("amount", {}), ((line.line_id, line.amount) for line in plan.lines)),
        "points": counted(done.get("points", {}), plan.points.items()),
    }


def take_back(
    draft: Draft,
    sale: Entry,
    points: Mapping[str, int],
    *,
    to: str = "issued",
    shortfall: Shortfall = Shortfall.WAIVED,
) -> Taken:
    """Take the points by wallet: what remains of the purchase's own lots first, then of others in draw order."""
    taken = Taken([], [], {}, {}, {})
    for wallet, wanted in points.items():
        missing = _draw(draft, sale, wallet, wanted, to, taken)
        _make_good(taken, wallet, wanted, missing, shortfall)
    return taken


def take_held(
    draft: Draft,
    sale: Entry,
    points: Mapping[str, int],
    *,
    held: Sequence[Draw],
    foretold: Mapping[str, int],
    shortfall: Shortfall,
) -> Taken:
    """Take the points by wallet out of what was `held` for them. What is held beyond them goes back.

    A shortage that was `foretold` has been withheld or waived by now; where it would be owed, and for whatever else is
    missing, more is taken as by a return.
    """
    taken = Taken([], [], {}, {}, {})
    for wallet, all_ in points.items():
        settled = 0 if shortfall == Shortfall.OWED else min(all_, foretold[wallet])
        wanted = all_ - settled
        mine = [draw for draw in held if draw.wallet == wallet]
        used = parted(mine, wanted)
        taken.postings.extend(_out_of_held(draft, sale, used))
        covered = sum(draw.points for draw in used)
        missing = wanted - covered
        missing = _draw(draft, sale, wallet, missing, "issued", taken)
        _return_the_rest(draft, sale, mine, sum(draw.points for draw in mine) - covered, taken)
        _make_good(taken, wallet, wanted, missing, shortfall)
        taken.short[wallet] += settled
    return taken


def own_lots(draft: Draft, sale: Entry) -> list[Lot]:
    """The lots that the purchase created."""
    return [lot for birth in sale.births if (lot := draft.get(LOTS, birth.lot_id)) is not None]


def _make_good(taken: Taken, wallet: str, wanted: int, missing: int, shortfall: Shortfall) -> None:
    """What becomes of the points that are missing: they are owed, or short."""
    owed = missing if shortfall == Shortfall.OWED else 0
    if owed:
        taken.postings.append(posting(wallet, debit="owed", credit="issued", points=owed))
    taken.points[wallet] = wanted - missing + owed
    taken.owed[wallet] = owed
    taken.short[wallet] = missing - owed


def _out_of_held(draft: Draft, sale: Entry, used: Iterable[Draw]) -> list[Posting]:
    """What was held is taken back, by who funded the purchase's own lots."""
    points: dict[tuple[str, str | None], int] = {}
    for draw in used:
        lot = draft.get(LOTS, draw.lot_id)
        assert lot is not None, "a lot that was drawn from is loaded"
        place = draw.wallet, lot.funder if lot.entry_id == sale.id else None
        points[place] = points.get(place, 0) + draw.points
    return [
        posting(wallet, debit="held", credit="issued", points=total, funder=by)
        for (wallet, by), total in points.items()
    ]


def _return_the_rest(draft: Draft, sale: Entry, held: Sequence[Draw], points: int, taken: Taken) -> None:
    """Give back what was held of a wallet and is not needed; it repays what is owed first, as every credit does."""
    back = give_back(draft, held, points)
    lots = credited(draft, back)
    repaid, paying = repayment(draft, sale.member_id, (lot for lot in lots if lot.state == LotState.AVAILABLE))
    taken.postings.extend((*freed(draft, back), *repaid))
    taken.draws.extend((*back, *paying))


def _draw(draft: Draft, sale: Entry, wallet: str, points: int, to: str, taken: Taken) -> int:
    """Draw on the purchase's own lots, then on other available ones in draw order. Returns what they lack."""
    for lot in own_lots(draft, sale):
        part = min(points, lot.remaining) if lot.wallet == wallet else 0
        if part:
            taken.postings.append(posting(wallet, debit=lot.state, credit=to, points=part, funder=lot.funder))
            taken.draws.extend(take(draft, [lot], part))
            points -= part
    others = in_draw_order(draft, sale.member_id, wallet)
    part = min(points, sum(lot.remaining for lot in others))
    if part:
        taken.postings.append(posting(wallet, debit="available", credit=to, points=part))
        taken.draws.extend(take(draft, others, part))
    return points - part


def _possible(
    purchase: Bought, lines: Sequence[ReturnedLine] | None, done: Done, reserved: Iterable[Plan]
) -> Sequence[ReturnedLine]:
    """The lines that come back, all that is left where none are named.

    Raises LineUnknown, ExceedsPurchase; ReturnReserved where it is what is reserved that leaves too little.
    """
    left = done
    for other in reserved:
        left = with_plan(left, other)
    try:
        return _checked(purchase, lines, left)
    except ExceedsPurchase:
        _checked(purchase, lines, done)
        raise ReturnReserved("Too little of the purchase is left while a return of it is reserved.") from None


def _checked(purchase: Bought, lines: Sequence[ReturnedLine] | None, done: Done) -> Sequence[ReturnedLine]:
    """Raises LineUnknown, ExceedsPurchase."""
    if lines is None:
        lines = [left for line in purchase.lines.values() if any((left := _left(line, done))[1:])]
        if not lines:
            raise ExceedsPurchase("Nothing of the purchase is left to come back.")
    for line in lines:
        of = purchase.lines.get(line.line_id)
        if of is None:
            raise LineUnknown(f"The purchase has no line {line.line_id!r}.", line_id=line.line_id)
        left = _left(of, done)
        if line.quantity > left.quantity or line.amount > left.amount:
            raise ExceedsPurchase(
                f"Of the line {line.line_id!r}, {left.quantity} pieces and {left.amount} are left to come back.",
                line_id=line.line_id,
                quantity=left.quantity,
                amount=left.amount,
            )
        done = with_plan(done, Plan((line,), {}))
    return lines


def _due_back(purchase: Bought, done: Done) -> dict[str, int]:
    """Points by wallet that have to come back in all once all of that has."""
    remaining = purchase.earned(purchase.left(done)).points
    return {wallet: max(0, points - remaining.get(wallet, 0)) for wallet, points in purchase.points.items()}


def _whole(line: Mapping[str, Any]) -> dict[str, int]:
    """What the line came to when it was bought, where its tax is told: it comes back in proportion."""
    return {"whole": line.get("whole", line["amount"])} if "tax_amount" in line else {}


def _left(line: Mapping[str, Any], done: Done) -> ReturnedLine:
    """Pieces and amount of a line that have not come back."""
    id_ = line["line_id"]
    return ReturnedLine(
        id_,
        line["quantity"] - done.get("quantity", {}).get(id_, 0),
        line["amount"] - done.get("amount", {}).get(id_, 0),
    )
