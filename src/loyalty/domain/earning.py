"""What a purchase earns: the rules in force over an order, rounded once per purchase and wallet.

A wallet gains its base over the lines that earn, each multiplied by the multipliers that apply to it, rounded; the
bonuses; and no more than its caps leave room for. Everything is exact until it is rounded.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from fractions import Fraction
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeVar

from loyalty.domain.calculations import KeptFacts, Sold
from loyalty.domain.conditions import Failed, answered, compiled
from loyalty.domain.programme import Programme
from loyalty.domain.refusals import CurrencyNotAccepted
from loyalty.domain.rules import (
    Base,
    Bonus,
    CapPer,
    Exclusion,
    GiftCards,
    InForce,
    Multiplier,
    OnReturn,
    Per,
    Rounding,
    Rule,
    RuleSet,
    Stacking,
    Tax,
    plain_base,
)

Exact = int | Fraction
_Conditional = TypeVar("_Conditional", Multiplier, Bonus, Exclusion)
_Grouped = TypeVar("_Grouped", Multiplier, Bonus)


class Order(NamedTuple):
    """A till receipt as far as earning is concerned. Amounts are integer minor units of `currency`."""

    currency: str
    net_spend: int
    """The sum of the lines: what the order costs after discounts and before points."""
    lines: list[dict[str, Any]]
    """The lines as they were sent, kept with the calculation so that a return can be worked out later."""
    tenders: Sequence[dict[str, Any]] = ()


class Facts(NamedTuple):
    """What decides, beside its lines, what an order earns. Kept with the calculation; never personal data."""

    occurred_at: datetime
    values: Mapping[str, Any] = MappingProxyType({})
    """Variables of conditions that do not follow from the lines, as far as a condition speaks of them."""
    room: Mapping[str, int] = MappingProxyType({})
    """Points that are left under each cap over a longer time than the order."""
    net_spend: int | None = None
    """Of the whole order, where a part of it is all that was reassigned; None: the order is whole."""
    kept: Mapping[str, int] | None = None
    """What each bonus that goes in proportion gave when the order was decided; None while it is."""


class Step(NamedTuple):
    """What one rule did."""

    rule: Rule
    fired: bool
    why: str | None = None
    """Why it did not fire."""
    amount: int | None = None
    """Minor units that earned by it; pieces, for a bonus per piece."""
    points: int | None = None
    """What a bonus gave, or a cap cut off."""


class Gain(NamedTuple):
    """What a wallet gains."""

    points: int
    exact: tuple[int, int]
    """By the base and the multipliers before rounding, as a fraction."""
    rounded: int


class Earned(NamedTuple):
    """What an order earns, and how."""

    gains: Mapping[str, Gain]
    proportional: Mapping[str, int]
    """What each bonus gave that goes in proportion when a part comes back."""
    steps: Sequence[Step]
    """Every rule, where that was asked for."""

    @property
    def points(self) -> dict[str, int]:
        """By wallet."""
        return {wallet: gain.points for wallet, gain in self.gains.items()}


def check_currency(programme: Programme, order: Order) -> None:
    """Raises CurrencyNotAccepted."""
    if order.currency != programme.currency:
        raise CurrencyNotAccepted(
            f"This programme earns on {programme.currency}.",
            currency=order.currency,
            accepted=programme.currency,
        )


def earned(
    rules: InForce,
    order: Order,
    facts: Facts,
    left: Sequence[Mapping[str, Any]] | None = None,
    *,
    explained: bool = False,
    reasons: bool = True,
) -> Earned:
    """What the order earns by the rules; or would, were only what is `left` of its lines all that was bought.

    `explained`: with what every rule did, and the `reasons` of those that did nothing.
    """
    lines = order.lines if left is None else left
    if rules.is_plain:
        return _plain(rules, lines)
    lines = [line for line in lines if line["amount"] or line["quantity"]]  # nothing is bought by the others
    return _Evaluation(rules, order, facts, lines, explained=explained, reasons=reasons).earned()


def _plain(rules: InForce, lines: Iterable[Mapping[str, Any]]) -> Earned:
    """All that is spent earns by the base."""
    spent = sum(line["amount"] for line in lines)
    gains, steps = {}, []
    for wallet, base in rules.bases.items():
        points = spent * base.points // base.per
        gains[wallet] = Gain(points, (spent * base.points, base.per), points)
        steps.append(Step(base, fired=True, amount=spent))
    return Earned(gains, {}, steps)


class _Evaluation:
    """One order under the rules in force."""

    def __init__(
        self,
        rules: InForce,
        order: Order,
        facts: Facts,
        lines: Sequence[Mapping[str, Any]],
        *,
        explained: bool,
        reasons: bool,
    ) -> None:
        self._rules = rules
        self._order = order
        self._facts = facts
        self._lines = lines
        self._whole = order.net_spend if facts.net_spend is None else facts.net_spend
        self._left = sum(line["amount"] for line in lines)
        self._values = {**facts.values, **_of_basket(rules.names, lines, self._left)}
        self._of_lines: dict[int, Mapping[str, Any]] = {}
        self._answers: dict[tuple[str, int | None], bool | None] = {}
        self._failures: dict[str, str] = {}
        self._proportional: dict[str, int] = {}
        self._explained = explained
        self._reasons = reasons
        self._steps: list[Step] = []
        self._excluded = self._exclusions()

    def earned(self) -> Earned:
        gains = {wallet: self._gain(base) for wallet, base in self._rules.bases.items()}
        if self._explained:
            for rule in self._rules.exclusions:
                hit = [line["amount"] for number, line in enumerate(self._lines) if self._applies(rule, number)]
                self._tell(rule, fired=bool(hit), amount=sum(hit))
        return Earned(gains, self._proportional, self._steps)

    def _tell(
        self, rule: Rule, *, fired: bool, why: str | None = None, amount: int | None = None, points: int | None = None
    ) -> None:
        """Explain what a rule did, where that is asked for."""
        if self._explained:
            told = None if fired or not self._reasons else why or self._why(rule)
            self._steps.append(Step(rule, fired, told, amount, points))

    def _gain(self, base: Base) -> Gain:
        """What one wallet gains: the base over the lines and their multipliers, rounded once; bonuses; caps."""
        wallet, lines = base.wallet, self._lines
        counting = [
            number for number, line in enumerate(lines) if wallet not in self._excluded[number] and _earns(base, line)
        ]
        spent = sum(lines[number]["amount"] for number in counting)
        weighted: Exact = 0
        touched: dict[str, int] = {}
        for number, applying in self._by_line(self._rules.multipliers.get(wallet, ()), counting):
            highest = _highest(applying)
            for rule in highest:
                touched[rule.id] = touched.get(rule.id, 0) + lines[number]["amount"]
            weighted += _amount(base, lines[number]) * _factor(highest)
        earning, of = self._share(base)
        exact = Fraction(weighted * base.points * earning, base.per * 100 * of)
        rounded = _ROUND[base.rounding](exact)
        self._tell(base, fired=bool(counting), why="no line earns", amount=spent)
        for multiplier in self._rules.multipliers.get(wallet, ()):
            self._tell(multiplier, fired=multiplier.id in touched, amount=touched.get(multiplier.id, 0))
        points = rounded + self._bonuses(wallet, counting)
        return Gain(self._capped(wallet, points), exact.as_integer_ratio(), rounded)

    def _share(self, base: Base) -> tuple[int, int]:
        """How much of the order was paid with what earns, and of how much."""
        without = {"points"} if not base.paid_with_points else set()
        if base.gift_cards == GiftCards.ON_SALE:
            without.add("gift_card")
        paid = sum(tender["amount"] for tender in self._order.tenders if tender["type"] in without)
        return (max(0, self._whole - paid), self._whole) if self._whole else (1, 1)

    def _bonuses(self, wallet: str, counting: Sequence[int]) -> int:
        """The fixed points, of lines that earn."""
        total = 0
        rules = self._rules.bonuses.get(wallet, ())
        given: dict[str, int] = dict.fromkeys((rule.id for rule in rules), 0)
        for number, applying in self._by_line([rule for rule in rules if rule.per == Per.PIECE], counting):
            for rule in _highest(applying):
                given[rule.id] += self._lines[number]["quantity"]
        whole = [rule for rule in rules if rule.per == Per.ORDER and counting and self._applies(rule, None)]
        given.update({rule.id: 1 for rule in _highest(whole)})
        for rule in rules:
            points = self._in_proportion(rule, given[rule.id] * rule.points, counting)
            if rule.on_return == OnReturn.PROPORTION:
                self._proportional[rule.id] = points
            pieces = given[rule.id] if rule.per == Per.PIECE else None
            self._tell(rule, fired=points > 0 or given[rule.id] > 0, amount=pieces, points=points)
            total += points
        return total

    def _in_proportion(self, rule: Bonus, points: int, counting: Sequence[int]) -> int:
        """What is left of a bonus that goes in proportion; as the order earns it now where it was not decided yet."""
        if rule.on_return == OnReturn.RECOMPUTE or self._facts.kept is None:
            return points
        given = self._facts.kept.get(rule.id, 0)
        if not self._whole:
            return given if counting else 0
        left: int = given * self._left // self._whole
        return left

    def _capped(self, wallet: str, points: int) -> int:
        for cap in self._rules.caps:
            if cap.wallet != wallet:
                continue
            room = cap.points if cap.per == CapPer.ORDER else self._facts.room.get(cap.id, 0)
            cut = max(0, points - room)
            self._tell(cap, fired=bool(cut), why="there was room for all", points=cut)
            points -= cut
        return points

    def _exclusions(self) -> list[frozenset[str]]:
        """The wallets in which each line earns nothing."""
        found: list[set[str]] = [set() for _ in self._lines]
        for number, applying in self._by_line(self._rules.exclusions, range(len(found))):
            for rule in applying:
                found[number].update(self._rules.bases if rule.wallet is None else (rule.wallet,))
        return [frozenset(wallets) for wallets in found]

    def _by_line(
        self, rules: Sequence[_Conditional], numbers: Iterable[int]
    ) -> Iterator[tuple[int, list[_Conditional]]]:
        """The rules that apply to each line. What is not about lines is asked once."""
        of_lines = [rule for rule in rules if rule.when in self._rules.about_lines]
        of_order = [rule for rule in rules if rule.when not in self._rules.about_lines and self._applies(rule, None)]
        for number in numbers:
            yield number, of_order + [rule for rule in of_lines if self._applies(rule, number)]

    def _applies(self, rule: Multiplier | Bonus | Exclusion, number: int | None) -> bool:
        """Whether a rule's condition holds, for a line where it is about lines.

        It fails closed: where there is no answer, nobody gains by that.
        """
        if rule.when is None:
            return True
        condition = compiled(rule.when)
        asked = (rule.when, number if condition.of_lines else None)
        if asked not in self._answers:
            try:
                self._answers[asked] = answered(condition, self._looked_at(asked[1]))
            except Failed as failure:
                self._failures[rule.when] = str(failure)
                self._answers[asked] = None
        answer = self._answers[asked]
        return _takes_away(rule) if answer is None else answer

    def _looked_at(self, number: int | None) -> Mapping[str, Any]:
        """The values that conditions look at, of the order and a line."""
        if number is None:
            return self._values
        found = self._of_lines.get(number)
        if found is None:
            found = self._of_lines[number] = {**self._values, **_of_line(self._lines[number])}
        return found

    def _why(self, rule: Rule) -> str:
        """Why a rule did not fire."""
        when = getattr(rule, "when", None)
        if when in self._failures:
            return f"its condition has no answer: {self._failures[when]}"
        if not self._lines:
            return "there is no line"
        if when is None or any(answer for (text, _), answer in self._answers.items() if text == when):
            return "another rule of its group, or an exclusion, goes first"
        return "its condition does not hold"


def _takes_away(rule: Multiplier | Bonus | Exclusion) -> bool:
    """Whether whoever it applies to earns less by it."""
    return isinstance(rule, Exclusion) or (isinstance(rule, Multiplier) and rule.percent < 100)


def _highest(rules: list[_Grouped]) -> list[_Grouped]:
    """Of each exclusive group the rule of the highest priority; all that are in none."""
    best: dict[str, int] = {}
    for rule in rules:
        if rule.group is not None:
            best[rule.group] = max(rule.priority, best.get(rule.group, rule.priority))
    return [rule for rule in rules if rule.group is None or best[rule.group] == rule.priority] if best else rules


def _factor(multipliers: Iterable[Multiplier]) -> Exact:
    """By how many hundredths they multiply what a line earns."""
    added, best = 100, 0
    factor: Exact = 1
    for rule in multipliers:
        match rule.stacking:
            case Stacking.ADD:
                added += rule.percent - 100
            case Stacking.BEST:
                best = max(best, rule.percent - 100)
            case Stacking.MULTIPLY:
                factor *= Fraction(rule.percent, 100)
    return max(0, added + best) * factor


def _earns(base: Base, line: Mapping[str, Any]) -> bool:
    """Whether a line of its kind earns."""
    match line.get("kind"):
        case "shipping":
            return base.shipping
        case "gift_card":
            return base.gift_cards != GiftCards.ON_USE
    return True


def _amount(base: Base, line: Mapping[str, Any]) -> Exact:
    """What of a line's amount earns, with or without its tax; of the tax its part, where a part of the line is left."""
    amount: int = line["amount"]
    tax = line.get("tax_amount")
    whole = line.get("whole", amount)
    if tax is None or base.tax == Tax.AS_SENT or not whole:
        return amount
    within = line.get("tax_included") is not False
    if within == (base.tax == Tax.INCLUDED):
        return amount
    return Fraction(amount * max(0, whole - tax if within else whole + tax), whole)


def _of_basket(names: frozenset[str], lines: Iterable[Mapping[str, Any]], net_spend: int) -> dict[str, Any]:
    """The variables that follow from the lines."""
    found: dict[str, Any] = {"order.net_spend": net_spend}
    if "order.lines" in names:
        found["order.lines"] = sum(1 for _ in lines)
    if "order.skus" in names:
        found["order.skus"] = [line["sku"] for line in lines]
    if "order.categories" in names:
        found["order.categories"] = [line["category"] for line in lines if line.get("category")]
    return found


def _of_line(line: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "line.sku": line["sku"],
        "line.category": line.get("category") or "",
        "line.kind": line.get("kind") or "goods",
        "line.amount": line["amount"],
        "line.quantity": line["quantity"],
    }


_ROUND: Final[Mapping[Rounding, Callable[[Fraction], int]]] = {
    Rounding.FLOOR: math.floor,
    Rounding.HALF_UP: lambda exact: math.floor(exact + Fraction(1, 2)),
    Rounding.CEIL: math.ceil,
}


def calculation(programme: Programme, rules: RuleSet, order: Order, facts: Facts, given: Earned) -> Sold:
    """What the entry of a purchase keeps: its inputs, the rules that decided, and what they gave."""
    sold = Sold(currency=order.currency, net_spend=order.net_spend, lines=order.lines, points=given.points)
    if order.tenders:
        sold["tenders"] = list(order.tenders)
    if rules.version:
        return {"rules": rules.version, "facts": _kept(facts, given), **sold}
    rates = {name: [wallet.points_per_unit, wallet.unit] for name, wallet in programme.wallets.items()}
    return {"rule": "base", "rates": rates, **sold}


def _kept(facts: Facts, given: Earned) -> KeptFacts:
    """The facts as they are stored."""
    kept = KeptFacts(at=facts.occurred_at.isoformat())
    if facts.values:
        kept["values"] = facts.values
    if facts.room:
        kept["room"] = facts.room
    if given.proportional:
        kept["kept"] = given.proportional
    return kept


def facts_of(stored: Sold, occurred_at: datetime) -> Facts:
    """The facts of a stored calculation. Before rules were published, the moment of its entry was the only one."""
    kept = stored.get("facts")
    if kept is None:
        return Facts(occurred_at)
    return Facts(
        datetime.fromisoformat(kept["at"]),
        kept.get("values", {}),
        kept.get("room", {}),
        kept.get("net_spend"),
        kept.get("kept", {}),
    )


def rules_of(programme: Programme, stored: Sold) -> RuleSet:
    """The rules by which a stored purchase was decided."""
    if "rates" in stored:
        return RuleSet("", 0, None, tuple(plain_base(wallet, *rate) for wallet, rate in stored["rates"].items()))
    return programme.rules(stored["rules"])
