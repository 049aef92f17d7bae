"""What is wrong with rules: each fault with its rule, and nothing where nothing is wrong."""

from typing import Any

import pytest

from loyalty.domain import soundness
from loyalty.domain.conditions import MAX_CONDITION, Invalid, compiled
from loyalty.domain.expiry import Expiry, Lifespan
from loyalty.domain.ladder import Ladder, Rung
from loyalty.domain.rules import Base, Bonus, Cap, CapPer, Exclusion, Multiplier, Per, Rule, RuleSet, Span, Stacking
from loyalty.domain.soundness import MOST_COST, MOST_TRIED, faults
from tests.makers import NEVER as NEVER_ENDS
from tests.makers import a_programme, a_wallet, at

MAY, JUNE, JULY = at("2026-05-01"), at("2026-06-01"), at("2026-07-01")
BASE = Base("base", "points", 1, 100)
NEVER = ("m", "when", "it can never fire: its condition never holds", None)


def wrong(*rules: Rule, **how: Any) -> list[tuple[str, str]]:
    return [(fault.rule, fault.field) for fault in faults(a_programme(a_wallet(), a_wallet("coins")), rules, **how)]


def doubled(id_: str = "m", when: str | None = None, **more: Any) -> Multiplier:
    return Multiplier(id_, "points", 200, when, **more)


def test_sound_rules_have_no_fault() -> None:
    rules: tuple[Rule, ...] = (
        BASE._replace(span=Span(None, JUNE)),
        BASE._replace(id="later", span=Span(JUNE, None)),
        Base("coins", "coins", 1, 1),
        doubled(when="line.category == 'toys' && member.tier != 'member'", group="g", priority=2),
        doubled("n", group="g", priority=1),
        doubled("o", group="g", priority=2, when="order.weekday > 5", span=Span(None, MAY)),
        Bonus("b", "points", 5, "line.quantity % 2 == 0", Per.PIECE),
        Bonus("c", "points", 5, "order.skus.exists(s, s.startsWith('S-'))"),
        Exclusion("x", None, "line.kind == 'gift_card'"),
        Cap("cap", "coins", 1, CapPer.MONTH),
    )
    assert wrong(*rules) == [("o", "priority")]  # until May both have the same
    assert wrong(*(rule for rule in rules if rule.id != "o"), effective_from=MAY) == []


def test_the_bases_of_a_wallet_follow_each_other() -> None:
    def over(begins: Any, ends: Any, id_: str) -> Base:
        return BASE._replace(id=id_, span=Span(begins, ends))

    assert wrong(over(None, JUNE, "a"), over(JULY, None, "b")) == [("b", "from")]
    assert wrong(over(None, JULY, "a"), over(JUNE, None, "b")) == [("b", "from")]
    assert wrong(over(JUNE, None, "b"), over(None, JUNE, "a")) == []
    assert wrong(over(None, JUNE, "a")) == [("a", "until")]
    assert wrong(over(JUNE, None, "a")) == []  # it depends on when the set takes effect
    assert wrong(over(JUNE, None, "a"), effective_from=JUNE) == []
    assert wrong(over(JUNE, None, "a"), effective_from=MAY) == [("a", "from")]
    assert wrong(over(None, None, "a"), over(None, None, "b")) == [("b", "from")]
    assert wrong(over(None, None, "a"), over(JUNE, None, "b")) == [("b", "from")]


def test_what_is_over_can_never_fire() -> None:
    late = doubled(span=Span(None, JUNE))
    assert wrong(BASE, late, effective_from=MAY) == []
    assert wrong(BASE, late, effective_from=JUNE) == [("m", "until")]
    assert wrong(BASE, doubled(span=Span(JUNE, JUNE))) == [("m", "until")]


def test_wallets_are_those_of_the_programme_and_have_a_base() -> None:
    assert wrong() == [("", "rules")]
    assert wrong(BASE, Cap("c", "coins", 1, CapPer.DAY)) == [("c", "wallet")]
    assert wrong(BASE, Base("g", "gems", 1, 1)) == [("g", "wallet")]
    assert wrong(BASE, Exclusion("x", None, "line.amount > 5")) == []


def test_groups_can_be_told_apart() -> None:
    assert wrong(BASE, doubled(group="g"), doubled("n", group="g")) == [
        ("n", "priority"),
    ]
    apart = [doubled(group="g", span=Span(None, JUNE)), doubled("n", group="g", span=Span(JUNE, None))]
    assert wrong(BASE, *apart) == []
    hidden = doubled(group="g", when="line.amount > 1")
    assert wrong(BASE, hidden, doubled("n", group="g", priority=1)) == [("m", "priority")]
    assert wrong(BASE, hidden, doubled("n", group="g", priority=1, when="1 < 2")) == [("m", "priority")]
    assert wrong(BASE, hidden, doubled("n", group="g", priority=1, span=Span(JUNE, JULY))) == []
    assert wrong(BASE, hidden, doubled("n", group="g", priority=1, span=Span(None, JULY))) == []
    within = hidden._replace(span=Span(MAY, JUNE))
    assert wrong(BASE, within, doubled("n", group="g", priority=1, span=Span(MAY, JUNE))) == [("m", "priority")]


def test_the_work_for_the_largest_order_is_bounded() -> None:
    allowed = MOST_COST // compiled("line.amount > 0").cost
    many = [doubled(f"m{number}", when="line.amount > 0") for number in range(allowed)]
    assert wrong(BASE, *many) == []
    assert wrong(BASE, *many, doubled("last", when="order.net_spend > 0")) == [("last", "when")]
    assert wrong(BASE, doubled(when="order.skus.all(s, order.skus.exists(t, s == t))")) == [("m", "when")]


@pytest.mark.parametrize(
    ("text", "work"),
    [
        ("line.amount > 0 && line.quantity > 1", 1),
        ("'staff' in member.tags", 4),
        ("line.sku in ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j']", 3),
        ("'a' in order.skus || 'b' in order.categories", 201),
        ("order.skus.exists(s, s.startsWith('a'))", 500),
        ("order.skus == order.categories", 201),
        ("!(line.sku in (order.skus + order.skus + order.skus))", 901),
        ("order.skus.exists(s, s in order.skus)", 500 * 101),
        ("order.skus.exists(s, order.categories.exists(c, s == c))", 500 * 500),
        ("[1, 2, 3].exists(x, [x, x] == [1, 2])", 1_000),
    ],
)
def test_lists_are_part_of_the_work(text: str, work: int) -> None:
    assert compiled(text).work == work


def test_however_many_conditions_there_are_trying_them_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(soundness, "holds", lambda condition, _: asked.append(condition.text))
    when = "order.weekday > 7 && order.month > {} && member.first_purchase && member.birthday"
    many = [doubled(f"m{number}", when.format(number + 12)) for number in range(99)]
    assert wrong(BASE, *many) == [(f"m{number}", "when") for number in range(29)], "336 cases of each"
    assert len(asked) == 29 * 336 <= MOST_TRIED


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("line.colour == 'x'", 5),
        ("true &&\nline.colour == 'x'", 13),
        ("1 / 0 == 1", 3),
        ("1 % line.amount == 1", 3),
        ("1 / 2.5 == 1.0", 3),
        ("order.net_spend", None),
        ("x" * (MAX_CONDITION + 1), None),
        ("", None),
        ("(" * 200 + "true" + ")" * 200, None),
        ("line.sku.matches('(a|b){1,990}c')", 10),
        ("order.lines > 1 && matches(line.sku, '[')", 20),
        ("order.skus[1] == 'a'", 11),
        ("order.lines > 1 && (order.skus + ['x']) [0] == 'a'", 41),
        ("{'a': 1}['a'] == 1", 9),
        ("order.net_spend > 100 && 'staff' in member. tags", 37),
        ("member . tier == 'gold'", 1),
        ("member['tier'] == 'gold'", 1),
        ("(member).tier == 'gold'", 2),
        ("order.lines > 1 // the member's", 17),
        (r"line.sku == r'\' && 'staff' in member.tags || 'a' == 'b'", 13),
        ("'''it's''' == order.store || 'staff' in member.tags || order.store == 'x'", 1),
    ],
)
def test_a_condition_that_cannot_be_used_says_where(text: str, position: int | None) -> None:
    with pytest.raises(Invalid) as caught:
        compiled(text)
    assert caught.value.position == position
    assert "\n" not in caught.value.problem


def test_what_tiers_go_by_is_not_forgotten() -> None:
    ladder = Ladder((Rung("member", 0), Rung("gold", 100)), metric=(("visits", 1), ("points.coins", 1)))
    programme = a_programme(a_wallet(), a_wallet("coins"), ladder=ladder)
    [forgotten] = faults(programme, [BASE])
    assert forgotten == (
        "",
        "rules",
        "tiers go by 'coins', which has no base rule; one of 0 points says that this is meant",
        None,
    )
    assert faults(programme, [BASE, Base("none", "coins", 0, 100)]) == []


def test_a_cap_is_not_taken_for_that_of_another_wallet() -> None:
    before = RuleSet("1", 1, MAY, (BASE, Cap("c", "points", 9, CapPer.MONTH)))
    programme = a_programme(a_wallet(), a_wallet("coins"), rule_sets=(before,))
    rules: list[Rule] = [BASE, Base("coins", "coins", 1, 1), Cap("c", "coins", 9, CapPer.MONTH)]
    [found] = faults(programme, rules)
    assert found == ("c", "id", "version 1 caps 'points' by this id, and its use goes on counting", None)
    assert faults(programme, [BASE, Cap("c", "points", 5, CapPer.DAY)]) == []


def test_points_that_slide_end_with_their_wallet() -> None:
    sliding = a_programme(a_wallet(expiry=Expiry(Lifespan.SLIDING, 3)))
    found = faults(sliding, [BASE._replace(expiry=NEVER_ENDS)])
    assert [(one.rule, one.field) for one in found] == [("base", "expiry")]
    assert faults(sliding, [BASE._replace(pending=60)]) == []


def test_signs_within_a_text_are_no_division() -> None:
    assert compiled("line.sku == 'a/b' || line.sku == \"50%\" || line.sku == 'it\\'s 1/0'").names == {"line.sku"}
    assert compiled("line.amount / 100 > 3 && line.amount % 7 == 0").of_lines
    assert not compiled("'line.amount' == order.store").of_lines


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        (
            [Cap("c", "coins", 1, CapPer.DAY), BASE],
            [("c", "wallet", "it can never fire: the wallet 'coins' has no base rule", None)],
        ),
        ([], [("", "rules", "no wallet has a base rule: nothing would ever earn", None)]),
        ([BASE, Base("g", "gems", 1, 1)], [("g", "wallet", "this programme has no wallet 'gems'", None)]),
        ([BASE, doubled(), doubled()], [("m", "id", "another rule has this id", None)]),
        ([BASE, doubled(span=Span(JULY, JUNE))], [("m", "until", "it can never fire: it ends before it begins", None)]),
        ([BASE, doubled()._replace(percent=100)], [("m", "percent", "100 percent changes nothing", None)]),
        (
            [BASE, doubled()._replace(percent=50, stacking=Stacking.BEST)],
            [("m", "percent", "it changes nothing: the best is never less than 100 percent", None)],
        ),
        ([BASE, doubled()._replace(percent=50)], []),
        (
            [BASE, Exclusion("x", None, "1 < 2")],
            [("x", "when", "nothing would ever earn: it excludes every line, always", None)],
        ),
        ([BASE, Exclusion("x", None, "true", Span(JUNE, JULY))], []),
        (
            [BASE, doubled(when="order.day in ['2026-02-28', '2026-02-31']")],
            [("m", "when", "order.day is never '2026-02-31': it is written as 2026-12-31", 29)],
        ),
        (
            [BASE, Bonus("b", "points", 5, "line.amount > 1")],
            [("b", "when", "a bonus per order cannot speak of a line; order.skus and order.categories can", None)],
        ),
        ([BASE, Bonus("b", "points", 5, "line.amount > 1", Per.PIECE)], []),
        ([BASE._replace(pending=60, expiry=Expiry(Lifespan.MONTHS, 3))], []),
        (
            [BASE._replace(expiry=Expiry(Lifespan.SLIDING, 3))],
            [("base", "expiry", "only a wallet slides, all of it: that is a setting", None)],
        ),
        (
            [BASE, Cap("c", "points", 0, CapPer.DAY)],
            [("c", "points", "a cap of nothing: exclude what earns nothing", None)],
        ),
        ([BASE, doubled(when="line.colour == 'x'")], [("m", "when", "undeclared reference to 'line.colour'", 5)]),
        ([BASE, doubled(when="1 > 2")], [NEVER]),
        ([BASE, doubled(when="order.weekday > 7")], [NEVER]),
        ([BASE, doubled(when="order.weekday == 7 && order.month <= 12")], []),
        ([BASE, doubled(when="member.birthday && order.month == 13 && member.tier != 'member'")], [NEVER]),
        (
            [BASE, doubled(when="line.kind != 'giftcard'")],
            [("m", "when", "no line is of the kind 'giftcard': goods, gift_card or shipping", 14)],
        ),
        (
            [BASE, doubled(when="order.day == 'monday'")],
            [("m", "when", "order.day is never 'monday': it is written as 2026-12-31", 14)],
        ),
        ([BASE, doubled(when="member.first_purchase && !member.first_purchase")], [NEVER]),
        ([BASE, doubled(when="member.tier == 'member' && member.tier != 'member'")], [NEVER]),
        ([BASE, doubled(when="order.weekday > 7 && line.amount > 1")], []),  # not found out; it does no harm
        (
            [BASE, doubled(when="member.tier in ['member', 'ruby']")],
            [("m", "when", "this programme has no tier 'ruby'", 27)],
        ),
        ([BASE, doubled(when="'staff' in member.tags && !('on leave' in order.skus)")], []),
        (
            [BASE, doubled(when="!('Staff' in member.tags)")],
            [("m", "when", "no member has a tag 'Staff': it is lower-case letters, digits and _", 3)],
        ),
        (
            [BASE, BASE._replace(id="b2")],
            [("b2", "from", "it overlaps with 'base', another base rule of the wallet", None)],
        ),
        (
            [BASE._replace(span=Span(None, JUNE)), BASE._replace(id="b2", span=Span(JULY, None))],
            [("b2", "from", "a gap in time after 'base': no base rule of the wallet applies", None)],
        ),
        (
            [BASE._replace(span=Span(None, JUNE))],
            [("base", "until", "a gap in time: no base rule of the wallet applies after it ends", None)],
        ),
        (
            [BASE, doubled(group="g"), Bonus("b", "points", 5, group="g", priority=1)],
            [
                ("b", "group", "the group 'g' holds rules of one kind and wallet", None),
                ("m", "priority", "it can never fire: 'b' of its group always goes first", None),
            ],
        ),
        (
            [
                BASE,
                Base("c", "coins", 1, 1),
                doubled(group="g"),
                Multiplier("n", "coins", 200, group="g", priority=1, when="line.amount > 1"),
            ],
            [("n", "group", "the group 'g' holds rules of one kind and wallet", None)],
        ),
        (
            [
                BASE,
                Bonus("b", "points", 5, group="g", when="order.lines > 1"),
                Bonus("d", "points", 5, group="g", priority=1, per=Per.PIECE, when="line.amount > 1"),
            ],
            [("d", "group", "the group 'g' holds rules of one kind and wallet", None)],
        ),
        (
            [BASE, doubled(group="g", when="line.amount > 1"), doubled("n", group="g", when="line.amount > 2")],
            [("n", "priority", "'m' of the same group has the same priority", None)],
        ),
        (
            [BASE, doubled(group="g"), doubled("n", group="g", priority=1)],
            [("m", "priority", "it can never fire: 'n' of its group always goes first", None)],
        ),
        (
            [BASE, doubled(when="order.skus.all(s, order.skus.exists(t, s == t))")],
            [("m", "when", "the conditions up to this one may take 250000 steps; 10000 are allowed", None)],
        ),
    ],
)
def test_a_fault_is_told_with_its_rule_and_place(
    rules: list[Rule], told: list[tuple[str, str, str, int | None]]
) -> None:
    assert [tuple(fault) for fault in faults(a_programme(a_wallet(), a_wallet("coins")), rules)] == told


def test_faults_of_time_are_told() -> None:
    programme = a_programme()
    [over] = faults(programme, [BASE, doubled(span=Span(None, JUNE))], effective_from=JUNE)
    assert over.problem == "it can never fire: its time is over before the rules take effect"
    [late] = faults(programme, [BASE._replace(span=Span(JUNE, None))], effective_from=MAY)
    assert late.problem == "a gap in time: no base rule of the wallet applies before it begins"


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        (Span(None, JUNE), Span(JUNE, None), False),
        (Span(None, JUNE), Span(MAY, None), True),
        (Span(MAY, JUNE), Span(JUNE, JULY), False),
        (Span(MAY, JULY), Span(JUNE, None), True),
        (Span(MAY, JUNE), Span(None, MAY), False),
        (Span(None, None), Span(MAY, JUNE), True),
        (Span(JUNE, JULY), Span(None, JULY), True),
    ],
)
def test_equal_priorities_matter_where_both_rules_apply(one: Span, other: Span, meet: bool) -> None:
    pair = [
        doubled(group="g", when="line.amount > 1", span=one),
        doubled("n", "line.amount > 2", group="g", span=other),
    ]
    assert wrong(BASE, *pair) == ([("n", "priority")] if meet else [])
    assert wrong(BASE, *reversed(pair)) == ([("m", "priority")] if meet else [])


@pytest.mark.parametrize(
    ("outer", "inner", "hidden"),
    [
        (Span(None, None), Span(MAY, JUNE), True),
        (Span(MAY, JUNE), Span(MAY, JUNE), True),
        (Span(MAY, JUNE), Span(None, JUNE), False),
        (Span(MAY, JUNE), Span(MAY, None), False),
        (Span(MAY, JULY), Span(MAY, JUNE), True),
        (Span(MAY, JUNE), Span(MAY, JULY), False),
        (Span(JUNE, JULY), Span(MAY, JULY), False),
        (Span(None, JUNE), Span(MAY, JUNE), True),
        (Span(JUNE, None), Span(MAY, None), False),
    ],
)
def test_a_rule_is_hidden_where_another_always_goes_first(outer: Span, inner: Span, hidden: bool) -> None:
    first = doubled("n", group="g", priority=1, span=outer)
    assert wrong(BASE, doubled(group="g", when="line.amount > 1", span=inner), first) == (
        [("m", "priority")] if hidden else []
    )
