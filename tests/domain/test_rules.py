"""What published rules give, held against a plain working-out on paper; and what a return leaves of it."""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from fractions import Fraction
from typing import Any, NamedTuple

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loyalty.domain.calculations import as_text
from loyalty.domain.earning import Earned, Facts, Order, calculation, earned, facts_of
from loyalty.domain.expiry import Expiry, Lifespan
from loyalty.domain.rules import (
    MOST_RULES,
    MOST_VERSIONS,
    Base,
    Bonus,
    Cap,
    CapPer,
    Exclusion,
    GiftCards,
    Multiplier,
    OnReturn,
    Per,
    Rounding,
    Rule,
    RuleSet,
    Span,
    Stacking,
    Tax,
    in_order,
    rule_of,
    shown,
)
from tests.makers import NEVER, a_programme, at, days

NOON = at("2026-05-05")
BASE = Base("base", "points", 1, 100)


def a_line(number: int = 1, amount: int = 10_000, quantity: int = 1, **more: Any) -> dict[str, Any]:
    return {"line_id": str(number), "sku": f"S-{number}", "quantity": quantity, "amount": amount, **more}


def an_order(*lines: dict[str, Any], tenders: Sequence[dict[str, Any]] = ()) -> Order:
    chosen = list(lines or [a_line()])
    return Order("CNY", sum(line["amount"] for line in chosen), chosen, tenders)


def gives(
    *rules: Rule,
    order: Order | None = None,
    facts: Facts | None = None,
    left: Sequence[Mapping[str, Any]] | None = None,
) -> Earned:
    in_force = RuleSet("", 1, None, rules).at(NOON)
    return earned(in_force, order or an_order(), facts or Facts(NOON), left, explained=True)


def points(*rules: Rule, **how: Any) -> int:
    return gives(*rules, **how).points["points"]


def times(percent: int, stacking: Stacking = Stacking.ADD, id_: str = "m", **more: Any) -> Multiplier:
    return Multiplier(id_, "points", percent, stacking=stacking, **more)


# --- one rule at a time ---


@pytest.mark.parametrize(
    ("rounding", "amount", "expected"),
    [
        (Rounding.FLOOR, 199, 1),
        (Rounding.HALF_UP, 149, 1),
        (Rounding.HALF_UP, 150, 2),
        (Rounding.CEIL, 101, 2),
        (Rounding.CEIL, 100, 1),
    ],
)
def test_rounding_is_a_choice(rounding: Rounding, amount: int, expected: int) -> None:
    assert points(BASE._replace(rounding=rounding), order=an_order(a_line(amount=amount))) == expected


def test_rounding_happens_once_whatever_multiplies_the_lines() -> None:
    order = an_order(a_line(1, 150), a_line(2, 150))
    assert points(BASE, times(133, when="line.sku == 'S-1'"), order=order) == 3  # 1.995 + 1.5 = 3.495


@pytest.mark.parametrize(
    ("multipliers", "expected"),
    [
        ([times(200), times(150, id_="n")], 250),
        ([times(200, Stacking.MULTIPLY), times(150, Stacking.MULTIPLY, "n")], 300),
        ([times(200, Stacking.BEST), times(150, Stacking.BEST, "n")], 200),
        ([times(120), times(150, Stacking.BEST, "n"), times(200, Stacking.MULTIPLY, "o")], 340),
        ([times(50), times(10, id_="n")], 0),  # never below nothing
        ([times(50, Stacking.BEST)], 100),  # the best is not to be worse
        ([times(0, Stacking.MULTIPLY)], 0),
    ],
)
def test_multipliers_stack_as_they_say(multipliers: list[Rule], expected: int) -> None:
    assert points(BASE, *multipliers) == expected


def test_of_a_group_only_the_highest_priority_counts() -> None:
    toys = times(500, when="line.category == 'toys'", group="g", priority=2)
    all_ = times(200, id_="n", group="g", priority=1)
    beside = times(110, id_="o")
    order = an_order(a_line(1, category="toys"), a_line(2))
    assert points(BASE, toys, all_, beside, order=order) == 510 + 210
    big = Bonus("big", "points", 100, "order.net_spend > 15000", group="b", priority=2)
    small = Bonus("small", "points", 10, group="b")
    assert points(BASE, big, small, order=order) == 200 + 100
    assert points(BASE, big, small) == 100 + 10


def test_bonuses_are_given_for_an_order_or_for_every_piece() -> None:
    order = an_order(a_line(1, quantity=3), a_line(2, quantity=2))
    assert points(BASE, Bonus("b", "points", 7), order=order) == 207
    assert points(BASE, Bonus("b", "points", 7, "line.sku == 'S-1'", Per.PIECE), order=order) == 221
    assert points(BASE, Bonus("b", "points", 7, "order.net_spend > 1", Per.PIECE), order=order) == 235


def test_what_is_excluded_earns_nothing_and_counts_for_no_bonus() -> None:
    order = an_order(a_line(1), a_line(2, 5_000))
    first = Exclusion("x", None, "line.sku == 'S-1'")
    assert points(BASE, first, order=order) == 50
    assert points(BASE, first, Bonus("b", "points", 7, per=Per.PIECE), order=order) == 57
    all_ = Exclusion("x", "points", "order.net_spend > 0")
    assert points(BASE, all_, Bonus("b", "points", 7), order=order) == 0
    other = Base("other", "coins", 1, 1_000)
    assert gives(BASE, other, all_, order=order).points == {"points": 0, "coins": 15}
    assert gives(BASE, other, all_._replace(wallet=None), order=order).points == {"points": 0, "coins": 0}


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        (BASE, 100),
        (BASE._replace(tax=Tax.INCLUDED), 100),
        (BASE._replace(tax=Tax.EXCLUDED), 90),
    ],
)
def test_tax_earns_or_not(base: Base, expected: int) -> None:
    assert points(base, order=an_order(a_line(tax_amount=1_000))) == expected


def test_more_tax_than_the_line_came_to_earns_nothing() -> None:
    assert points(BASE._replace(tax=Tax.EXCLUDED), order=an_order(a_line(tax_amount=10_001))) == 0


def test_tax_beside_the_amount_earns_or_not() -> None:
    order = an_order(a_line(tax_amount=1_000, tax_included=False))
    assert points(BASE._replace(tax=Tax.INCLUDED), order=order) == 110
    assert points(BASE._replace(tax=Tax.EXCLUDED), order=order) == 100


def test_shipping_and_gift_cards_earn_or_not() -> None:
    order = an_order(a_line(1), a_line(2, 2_000, kind="shipping"), a_line(3, 5_000, kind="gift_card"))
    assert points(BASE, order=order) == 170
    assert points(BASE._replace(shipping=False), order=order) == 150
    assert points(BASE._replace(gift_cards=GiftCards.ON_USE), order=order) == 120


def test_a_gift_card_earns_once() -> None:
    paid = an_order(tenders=[{"type": "gift_card", "amount": 2_500}, {"type": "card", "amount": 7_500}])
    assert points(BASE, order=paid) == 75
    assert points(BASE._replace(gift_cards=GiftCards.ON_USE), order=paid) == 100


def test_the_part_paid_with_points_earns_or_not() -> None:
    paid = an_order(tenders=[{"type": "points", "amount": 2_500}])
    assert points(BASE, order=paid) == 75
    assert points(BASE._replace(paid_with_points=True), order=paid) == 100
    more = an_order(tenders=[{"type": "points", "amount": 25_000}])
    assert points(BASE, order=more) == 0


def test_caps_cut_off_what_is_beyond_them() -> None:
    order_cap = Cap("o", "points", 80, CapPer.ORDER)
    assert points(BASE, order_cap) == 80
    daily = Cap("d", "points", 90, CapPer.DAY)
    facts = Facts(NOON, room={"d": 30})
    assert points(BASE, order_cap, daily, facts=facts) == 30
    assert points(BASE, daily._replace(wallet="coins"), Base("c", "coins", 1, 100), facts=facts) == 100


def test_a_condition_that_has_no_answer_gives_nobody_anything() -> None:
    overflow = "order.net_spend * 9000000000000000000 > 0"
    given = gives(BASE, times(200, when=overflow), Bonus("b", "points", 7, overflow))
    assert given.points == {"points": 100}
    assert [step.why for step in given.steps] == [
        None,
        "its condition has no answer: integer overflow",
        "its condition has no answer: integer overflow",
    ]
    assert points(BASE, Exclusion("x", None, overflow)) == 0
    assert points(BASE, times(50, when=overflow)) == 50
    assert points(BASE, Exclusion("x", None, overflow), times(200, when=overflow)) == 0
    assert points(BASE, times(200, when=overflow), times(50, id_="n", when=overflow)) == 50


def test_a_rule_applies_from_its_first_moment_and_up_to_its_last() -> None:
    span = Span(NOON, NOON + days(1))
    rules = RuleSet("", 1, None, (BASE, times(200, span=span)))
    for when, expected in (
        (NOON - timedelta(microseconds=1), 100),
        (NOON, 200),
        (NOON + days(1) - timedelta(microseconds=1), 200),
        (NOON + days(1), 100),
    ):
        assert earned(rules.at(when), an_order(), Facts(when)).points == {"points": expected}


# --- against a plain working-out ---


class Told(NamedTuple):
    """A condition, and what it says of an order (its lines, its facts) and a line."""

    text: str
    says: Callable[[Sequence[Mapping[str, Any]], Mapping[str, Any], Mapping[str, Any] | None], bool]


def _spent(lines: Sequence[Mapping[str, Any]]) -> int:
    return sum(line["amount"] for line in lines)


OF_ORDERS = (
    Told("order.net_spend >= 5000", lambda lines, _, __: _spent(lines) >= 5_000),
    Told("order.lines < 3", lambda lines, _, __: len(lines) < 3),
    Told("'S-1' in order.skus", lambda lines, _, __: any(line["sku"] == "S-1" for line in lines)),
    Told("'b' in order.categories", lambda lines, _, __: any(line.get("category") == "b" for line in lines)),
    Told("member.tier == 'gold'", lambda _, values, __: values["member.tier"] == "gold"),
    Told("member.first_purchase", lambda _, values, __: bool(values["member.first_purchase"])),
)
OF_LINES = (
    *OF_ORDERS,
    Told("line.category == 'a'", lambda _, __, line: line is not None and line.get("category") == "a"),
    Told("line.amount > 3000", lambda _, __, line: line is not None and line["amount"] > 3_000),
    Told("line.quantity != 2", lambda _, __, line: line is not None and line["quantity"] != 2),
)
SAYS = {told.text: told.says for told in OF_LINES}

lines_of_orders = st.lists(
    st.builds(
        lambda amount, quantity, category, kind, tax: {
            "amount": amount,
            "quantity": quantity,
            **({"category": category} if category else {}),
            **({"kind": kind} if kind else {}),
            **({"tax_amount": amount * tax // 100} if tax is not None else {}),
        },
        st.integers(0, 9_999),
        st.integers(1, 3),
        st.sampled_from([None, "a", "b"]),
        st.sampled_from([None, "goods", "shipping", "gift_card"]),
        st.sampled_from([None, 0, 13]),
    ),
    min_size=1,
    max_size=4,
)
whens = st.one_of(st.none(), st.sampled_from([told.text for told in OF_LINES]))
of_orders = st.one_of(st.none(), st.sampled_from([told.text for told in OF_ORDERS]))


@st.composite
def rule_sets(draw: st.DrawFn) -> tuple[Rule, ...]:
    base = Base(
        "base",
        "points",
        draw(st.integers(1, 5)),
        draw(st.sampled_from([1, 7, 100])),
        draw(st.sampled_from(Rounding)),
        draw(st.sampled_from(Tax)),
        draw(st.booleans()),
        draw(st.sampled_from(GiftCards)),
        draw(st.booleans()),
        draw(st.sampled_from([None, 0, 86_400])),
        draw(st.sampled_from([None, NEVER, Expiry(Lifespan.MONTHS, 3), Expiry(Lifespan.YEAR_END)])),
    )
    rules: list[Rule] = [base]
    for number in range(draw(st.integers(0, 3))):
        percent, stacking = draw(st.integers(0, 400)), draw(st.sampled_from(Stacking))
        rules.append(Multiplier(f"m{number}", "points", percent, draw(whens), stacking))
    for number in range(draw(st.integers(0, 2))):
        per, back = draw(st.sampled_from(Per)), draw(st.sampled_from(OnReturn))
        when = draw(of_orders if per == Per.ORDER else whens)
        rules.append(Bonus(f"b{number}", "points", draw(st.integers(1, 90)), when, per, back))
    if draw(st.booleans()):
        rules.append(Exclusion("x", None, draw(st.sampled_from([told.text for told in OF_LINES]))))
    if draw(st.booleans()):
        rules.append(Cap("c", "points", draw(st.integers(1, 300)), CapPer.ORDER))
    return tuple(rules)


@st.composite
def orders(draw: st.DrawFn) -> tuple[Order, Facts]:
    lines = [
        {"line_id": str(number), "sku": f"S-{number}", **line} for number, line in enumerate(draw(lines_of_orders))
    ]
    types = st.sampled_from(["cash", "points", "gift_card"])
    tenders = draw(
        st.lists(
            st.builds(lambda type_, amount: {"type": type_, "amount": amount}, types, st.integers(0, 3_000)), max_size=2
        )
    )
    values = {"member.tier": draw(st.sampled_from(["member", "gold"])), "member.first_purchase": draw(st.booleans())}
    return an_order(*lines, tenders=tenders), Facts(NOON, values)


def on_paper(rules: Sequence[Rule], order: Order, facts: Facts) -> int:
    """The points of an order, worked out without a thought for speed or order."""
    [base] = [rule for rule in rules if isinstance(rule, Base)]

    def applies(when: str | None, line: Mapping[str, Any] | None) -> bool:
        return when is None or SAYS[when](order.lines, facts.values, line)

    def earns(line: Mapping[str, Any]) -> bool:
        kinds = {"shipping": base.shipping, "gift_card": base.gift_cards != GiftCards.ON_USE}
        banned = any(applies(rule.when, line) for rule in rules if isinstance(rule, Exclusion))
        return kinds.get(line.get("kind", "goods"), True) and not banned

    total = Fraction(0)
    earning = [line for line in order.lines if earns(line)]
    for line in earning:
        amount = line["amount"] - (line.get("tax_amount", 0) if base.tax == Tax.EXCLUDED else 0)
        mine = [rule for rule in rules if isinstance(rule, Multiplier) and applies(rule.when, line)]
        extra = Fraction(sum(rule.percent - 100 for rule in mine if rule.stacking == Stacking.ADD), 100)
        extra += Fraction(max([0, *(rule.percent - 100 for rule in mine if rule.stacking == Stacking.BEST)]), 100)
        factor = max(Fraction(0), 1 + extra)
        factor *= math.prod(Fraction(rule.percent, 100) for rule in mine if rule.stacking == Stacking.MULTIPLY)
        total += factor * amount
    unearned = ["points"] * (not base.paid_with_points) + ["gift_card"] * (base.gift_cards == GiftCards.ON_SALE)
    paid = sum(tender["amount"] for tender in order.tenders if tender["type"] in unearned)
    share = Fraction(max(0, order.net_spend - paid), order.net_spend) if order.net_spend else Fraction(1)
    exact = total * share * base.points / base.per
    rounded = {
        Rounding.FLOOR: math.floor(exact),
        Rounding.CEIL: math.ceil(exact),
        Rounding.HALF_UP: math.floor(exact + Fraction(1, 2)),
    }
    found = rounded[base.rounding]
    for rule in rules:
        if isinstance(rule, Bonus) and rule.per == Per.ORDER:
            found += rule.points if earning and applies(rule.when, None) else 0
        elif isinstance(rule, Bonus):
            found += rule.points * sum(line["quantity"] for line in earning if applies(rule.when, line))
    return min([found, *(rule.points for rule in rules if isinstance(rule, Cap))])


@settings(max_examples=400)
@given(rules=rule_sets(), asked=orders())
def test_rules_give_what_is_worked_out_on_paper(rules: tuple[Rule, ...], asked: tuple[Order, Facts]) -> None:
    order, facts = asked
    assert points(*rules, order=order, facts=facts) == on_paper(rules, order, facts)


@settings(max_examples=200)
@given(rules=rule_sets(), asked=orders(), data=st.data())
def test_what_is_left_earns_as_if_it_alone_had_been_bought(
    rules: tuple[Rule, ...], asked: tuple[Order, Facts], data: st.DataObject
) -> None:
    """Of everything but what is told of the whole order: bonuses that go in proportion, and how it was paid."""
    order, facts = asked
    rules = tuple(rule._replace(on_return=OnReturn.RECOMPUTE) if isinstance(rule, Bonus) else rule for rule in rules)
    order = order._replace(tenders=())
    whole = gives(*rules, order=order, facts=facts)
    kept = facts._replace(kept=whole.proportional)
    assert gives(*rules, order=order, facts=kept, left=order.lines).points == whole.points
    left = []
    for line in order.lines:
        pieces, amount = data.draw(st.integers(0, line["quantity"])), data.draw(st.integers(0, line["amount"]))
        left.append({**line, "whole": line["amount"], "amount": amount, "quantity": pieces})
    there = [line for line in left if line["amount"] or line["quantity"]]
    taxed = any(line.get("tax_amount") for line in there) and any(
        isinstance(rule, Base) and rule.tax == Tax.EXCLUDED for rule in rules
    )
    if not taxed:
        alone = Order("CNY", sum(line["amount"] for line in there), there)
        assert points(*rules, order=order, facts=kept, left=left) == on_paper(rules, alone, facts)
    nothing = [{**line, "amount": 0, "quantity": 0} for line in order.lines]
    assert points(*rules, order=order, facts=kept, left=nothing) == 0


@given(rules=rule_sets())
def test_rules_are_stored_as_they_are(rules: tuple[Rule, ...]) -> None:
    span = Span(NOON, NOON + days(1))
    for rule in (*rules, rules[0]._replace(span=span)):
        assert rule_of(orjson.loads(orjson.dumps(shown(rule)))) == rule


def test_a_calculation_keeps_the_facts_that_decided() -> None:
    programme = a_programme()
    kept = Bonus("kept", "points", 9, on_return=OnReturn.PROPORTION)
    rules = RuleSet("r", 3, NOON, (BASE, kept))
    facts = Facts(NOON, {"member.tier": "gold"}, {"d": 5})
    given_ = earned(rules.at(NOON), an_order(), facts)
    stored = orjson.loads(as_text(calculation(programme, rules, an_order(), facts, given_)))
    assert (stored["rules"], stored["points"]) == (3, {"points": 109})
    assert facts_of(stored, NOON) == facts._replace(kept={"kept": 9})
    half = [{**line, "amount": line["amount"] // 2} for line in an_order().lines]
    assert points(BASE, kept, facts=facts_of(stored, NOON), left=half) == 50 + 4


# --- what is told of it ---


def told(given: Earned) -> list[tuple[str, bool, str | None, int | None, int | None]]:
    return [(step.rule.id, *step[1:]) for step in given.steps]


def test_each_rule_tells_what_it_did() -> None:
    order = an_order(a_line(1, 10_050, category="toys"), a_line(2, 5_000, 3), a_line(3, 2_000, kind="gift_card"))
    rules: tuple[Rule, ...] = (
        BASE,
        times(200, when="line.category == 'toys'", id_="toys"),
        times(300, when="line.category == 'books'", id_="books"),
        times(150, when="line.quantity > 0", id_="low", group="g"),
        times(160, when="order.lines > 2", id_="high", group="g", priority=1),
        Bonus("small", "points", 5, "order.net_spend < 1000"),
        Bonus("pieces", "points", 2, "line.sku == 'S-2'", Per.PIECE),
        Bonus("big", "points", 7, "order.net_spend > 1000", group="b", priority=2),
        Bonus("any", "points", 6, group="b"),
        Exclusion("cards", None, "line.kind == 'gift_card'"),
        Exclusion("ships", None, "line.kind == 'shipping'"),
        Cap("order", "points", 340, CapPer.ORDER),
        Cap("daily", "points", 1_000, CapPer.DAY),
    )
    given_ = gives(*rules, order=order, facts=Facts(NOON, room={"daily": 1_000}))
    assert given_.gains == {"points": (340, (3_413, 10), 341)}
    lost = "another rule of its group, or an exclusion, goes first"
    assert told(given_) == [
        ("base", True, None, 15_050, None),
        ("toys", True, None, 10_050, None),
        ("books", False, "its condition does not hold", 0, None),
        ("low", False, lost, 0, None),
        ("high", True, None, 15_050, None),
        ("small", False, "its condition does not hold", None, 0),
        ("pieces", True, None, 3, 6),
        ("big", True, None, None, 7),
        ("any", False, lost, None, 0),
        ("order", True, None, None, 14),
        ("daily", False, "there was room for all", None, 0),
        ("cards", True, None, 2_000, None),
        ("ships", False, "its condition does not hold", 0, None),
    ]
    in_force = RuleSet("", 1, None, rules).at(NOON)
    quiet = earned(in_force, order, Facts(NOON, room={"daily": 1_000}))
    assert (quiet.steps, quiet.gains) == ([], given_.gains)


def test_an_order_of_which_nothing_is_left_tells_so() -> None:
    given_ = gives(BASE, times(200), Bonus("b", "points", 5), left=[])
    assert (given_.points, told(given_)) == (
        {"points": 0},
        [
            ("base", False, "no line earns", 0, None),
            ("m", False, "there is no line", 0, None),
            ("b", False, "there is no line", None, 0),
        ],
    )


def test_before_anything_is_published_the_base_tells_for_itself() -> None:
    rules = a_programme().rules_at(NOON)
    assert (rules.id, rules.version, rules.effective_from) == ("", 0, None)
    assert rules.at(NOON).is_plain is True
    given_ = earned(rules.at(NOON), an_order(), Facts(NOON))
    assert told(given_) == [("points", True, None, 10_000, None)]
    assert given_.gains == {"points": (100, (10_000, 100), 100)}
    for rule in (times(200), Bonus("b", "points", 1), Exclusion("x", None, "true"), Cap("c", "points", 1, CapPer.DAY)):
        assert RuleSet("", 1, None, (*rules.rules, rule)).at(NOON).is_plain is False
    assert RuleSet("", 1, None, (BASE,)).at(NOON).is_plain is False  # gift cards, and points that pay


def test_a_bonus_of_a_free_order_goes_with_its_last_piece() -> None:
    kept = Bonus("kept", "points", 9, on_return=OnReturn.PROPORTION)
    free = an_order(a_line(amount=0, quantity=2))
    facts = Facts(NOON, kept={"kept": 9})
    assert points(BASE, kept, order=free, facts=facts, left=[a_line(amount=0, quantity=1)]) == 9
    assert points(BASE, kept, order=free, facts=facts, left=[a_line(amount=0, quantity=0)]) == 0


def test_what_is_left_of_a_bonus_in_proportion_is_told_though_it_would_not_be_given_now() -> None:
    kept = Bonus("kept", "points", 9, "order.net_spend >= 10000", on_return=OnReturn.PROPORTION)
    given_ = gives(BASE, kept, facts=Facts(NOON, kept={"kept": 9}), left=[a_line(amount=5_000)])
    assert told(given_)[1] == ("kept", True, None, None, 4)


def test_of_a_reassigned_part_the_whole_order_is_what_was_paid() -> None:
    paid = an_order(a_line(amount=5_000), tenders=[{"type": "points", "amount": 2_500}])
    assert points(BASE, order=paid, facts=Facts(NOON, net_spend=10_000)) == 37  # 50 x 75 %


def test_a_multiplier_of_a_whole_hundred_changes_nothing_even_without_an_answer() -> None:
    overflow = "order.net_spend * 9000000000000000000 > 0"
    assert not gives(BASE, times(100, when=overflow)).steps[1].fired
    assert gives(BASE, times(99, when=overflow)).steps[1].fired


def test_only_what_was_asked_for_is_kept() -> None:
    rules = RuleSet("r", 3, NOON, (BASE,))
    stored = calculation(a_programme(), rules, an_order(), Facts(NOON), gives(BASE))
    assert stored["facts"] == {"at": "2026-05-05T12:00:00+00:00"}
    stored["facts"]["net_spend"] = 5
    assert facts_of(stored, NOON).net_spend == 5
    del stored["facts"]
    assert facts_of(stored, NOON) == Facts(NOON)


def test_the_words_of_rules_are_as_published() -> None:
    choices: list[type[Any]] = [Rounding, Tax, GiftCards, Stacking, Per, OnReturn, CapPer]
    assert [[choice.value for choice in one] for one in choices] == [
        ["floor", "half_up", "ceil"],
        ["as_sent", "included", "excluded"],
        ["on_sale", "on_use", "always"],
        ["add", "multiply", "best"],
        ["order", "piece"],
        ["recompute", "proportion"],
        ["order", "day", "month", "member"],
    ]
    rules: list[Rule] = [BASE, times(200), Bonus("b", "points", 1), Exclusion("x", None, "true")]
    rules.append(Cap("c", "points", 1, CapPer.DAY))
    assert [shown(rule)["kind"] for rule in rules] == ["base", "multiplier", "bonus", "exclusion", "cap"]
    assert shown(rules[2]) == {
        "kind": "bonus",
        "id": "b",
        "wallet": "points",
        "points": 1,
        "when": None,
        "per": "order",
        "on_return": "recompute",
        "group": None,
        "priority": 0,
    }
    assert shown(BASE._replace(span=Span(NOON, NOON + days(1))))["from"] == NOON
    lasting = shown(BASE._replace(pending=60, expiry=Expiry(Lifespan.MONTHS, 3)))
    assert (lasting["pending_seconds"], lasting["expiry"]) == (60, {"lifespan": "months", "periods": 3})
    assert not {"pending_seconds", "expiry", "pending"} & shown(BASE).keys(), "the hashes of old versions hold"
    assert (MOST_RULES, MOST_VERSIONS) == (100, 1_000)


def test_a_programme_earns_by_the_version_that_began_last_whenever_it_was_published() -> None:
    begins = (1, 9, 4, 9)
    sets = [RuleSet(str(n), n, NOON + days(day), (BASE,)) for n, day in enumerate(begins, start=1)]
    programme = a_programme(rule_sets=in_order(sets))
    for day, version in ((0, 0), (1, 1), (1.5, 1), (4, 3), (8, 3), (9, 4), (99, 4)):
        assert programme.rules_at(NOON + days(day)).version == version
    assert [programme.rules(version).id for version in (1, 2, 3, 4)] == ["1", "2", "3", "4"]
    with pytest.raises(LookupError):
        programme.rules(5)


def test_a_set_knows_what_any_of_its_rules_asks_for() -> None:
    early = times(200, when="member.tier == 'x'", span=Span(None, NOON))
    rules = RuleSet("", 1, None, (BASE, early, Bonus("b", "points", 1, "order.lines > 1")))
    assert rules.names == {"member.tier", "order.lines"}
    assert rules.at(NOON).names == {"order.lines"}
