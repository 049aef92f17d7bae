"""Lines that come back: what is left of each, whose points leave for them, and what a refused return is told."""

from typing import Any

import orjson
import pytest

from loyalty.domain.books import Balance
from loyalty.domain.entries import Entry
from loyalty.domain.ids import Mint
from loyalty.domain.lots import LOTS
from loyalty.domain.programme import Shortfall
from loyalty.domain.returns import bought_on, take_back
from loyalty.domain.reversals import reversed_of
from loyalty.domain.state import Draft, Moment
from loyalty.operations.returns import Returned
from tests.makers import Desk, Part, a_calendar, a_fact, a_programme, accepted, at, day, refused


def selling(*lines: Part) -> tuple[Desk, Any, Any]:
    """A desk, a member, and a purchase of the lines in January: a point for every full 100."""
    desk = Desk()
    anna = desk.enrols()
    return desk, anna, desk.buys(anna, 0, "2026-01-10", lines=lines)


def lines_of(entry: Entry) -> list[Part]:
    """What a return says that it brought back."""
    lines = orjson.loads(entry.calculation or "")["lines"]
    return [(line["line_id"], line["quantity"], line["amount"]) for line in lines]


SOLD: tuple[Part, ...] = (("shirt", 3, 90_00), ("gift", 1, 0), ("hat", 1, 10_00))


@pytest.mark.parametrize(
    ("before", "full"),
    [
        pytest.param([], [("shirt", 3, 90_00), ("gift", 1, 0), ("hat", 1, 10_00)], id="everything, gifts too"),
        pytest.param([("hat", 1, 10_00)], [("shirt", 3, 90_00), ("gift", 1, 0)], id="all but the hat"),
        pytest.param([("gift", 1, 0), ("shirt", 3, 90_00)], [("hat", 1, 10_00)], id="only the hat is left"),
        pytest.param(
            [("shirt", 1, 30_00), ("shirt", 1, 25_00), ("hat", 0, 10_00)],
            [("shirt", 1, 35_00), ("gift", 1, 0), ("hat", 1, 0)],
            id="a piece whose money is refunded already",
        ),
        pytest.param(
            [("shirt", 3, 80_00), ("gift", 1, 0), ("hat", 1, 9_99)],
            [("shirt", 0, 10_00), ("hat", 0, 1)],
            id="money for pieces that are back already",
        ),
    ],
)
def test_a_full_return_brings_back_what_is_left_of_every_line(before: list[Part], full: list[Part]) -> None:
    desk, anna, bought = selling(*SOLD)
    for part in before:
        accepted(desk.returns(bought, "2026-01-11", part))
    [entry] = accepted(desk.returns(bought, "2026-01-12")).entries
    assert lines_of(entry) == full
    assert desk.balance(anna) == Balance()


@pytest.mark.parametrize(
    ("before", "wanted", "left"),
    [
        ([], ("shirt", 4, 1), (3, 90_00)),
        ([], ("gift", 1, 1), (1, 0)),
        ([("shirt", 2, 90_00)], ("shirt", 2, 0), (1, 0)),
        ([("shirt", 1, 1), ("shirt", 1, 0)], ("shirt", 1, 90_00), (1, 89_99)),
    ],
)
def test_who_wants_to_return_too_much_is_told_what_is_left_of_the_line(
    before: list[Part], wanted: Part, left: tuple[int, int]
) -> None:
    desk, _, bought = selling(*SOLD)
    for part in before:
        accepted(desk.returns(bought, "2026-01-11", part))
    refusal = refused(desk.returns(bought, "2026-01-12", wanted))
    assert refusal.code == "exceeds_purchase"
    assert refusal.facts == {"line_id": wanted[0], "quantity": left[0], "amount": left[1]}


def test_a_line_that_was_never_bought_is_named() -> None:
    desk, _, bought = selling(*SOLD)
    refusal = refused(desk.returns(bought, "2026-01-11", ("coat", 1, 1)))
    assert (refusal.code, refusal.facts) == ("unknown_line", {"line_id": "coat"})


def test_a_refund_that_costs_no_point_takes_none() -> None:
    desk, anna, bought = selling(("shirt", 3, 90_99))
    assert accepted(desk.returns(bought, "2026-01-11", ("shirt", 0, 99))).said == Returned(
        {"points": 0}, {"points": 0}, {"points": 0}
    )
    assert desk.balance(anna) == Balance(available=90)


def test_what_was_taken_back_of_a_purchase_adds_up() -> None:
    desk, _, bought = selling(*SOLD)
    taken = []
    for part in [("hat", 1, 10_00), ("shirt", 1, 30_00), ("shirt", 2, 60_00)]:
        accepted(desk.returns(bought, "2026-01-11", part))
        taken.append(reversed_of(desk.state, accepted(bought).entries[0].id)[0])
    assert taken == [10, 40, 100]


@pytest.mark.parametrize(
    ("shortfall", "points", "owed", "short"),
    [(Shortfall.OWED, 100, 30, 0), (Shortfall.WITHHELD, 70, 0, 30), (Shortfall.WAIVED, 70, 0, 30)],
)
def test_what_is_not_there_to_be_taken_is_owed_or_short_and_never_both(
    shortfall: Shortfall, points: int, owed: int, short: int
) -> None:
    desk, anna, bought = selling(*SOLD)
    desk.redeems(anna, 30, "2026-01-11")
    moment = Moment(a_fact(9), at("2026-01-12"), at("2026-01-12"))
    draft = Draft(desk.state, desk.programme, moment, Mint(moment.fact))
    taken = take_back(draft, accepted(bought).entries[0], {"points": 100}, shortfall=shortfall)
    assert (taken.points, taken.owed, taken.short) == ({"points": points}, {"points": owed}, {"points": short})


def test_points_leave_by_who_funded_them_where_they_are_the_purchases_own() -> None:
    desk, anna, bought = selling(*SOLD)
    desk.redeems(anna, 40, "2026-01-11")
    desk.gives(anna, 50, "2026-01-11")
    for lot, funder in zip(desk.lots(anna), ("mall", "bank"), strict=True):
        desk.state.put(LOTS, lot.id, lot._replace(funder=funder))
    accepted(desk.returns(bought, "2026-01-12", ("hat", 1, 10_00)))
    reserved = desk.reserves(bought, "2026-01-13", ("shirt", 3, 90_00))
    accepted(desk.confirms(reserved, "2026-01-13"))
    assert [(p.debit, p.credit, p.points, p.funder) for e in desk.entries(anna)[3:] for p in e.postings] == [
        ("available", "issued", 10, "mall"),
        ("available", "held", 50, "mall"),
        ("available", "held", 40, None),
        ("held", "issued", 50, "mall"),
        ("held", "issued", 40, None),
    ]


def test_neither_a_return_nor_a_grant_nor_a_redemption_is_a_purchase() -> None:
    desk, anna, bought = selling(*SOLD)
    others = [
        desk.returns(bought, "2026-01-11", ("hat", 1, 10_00)),
        desk.gives(anna, 5, "2026-01-11"),
        desk.redeems(anna, 5, "2026-01-11"),
    ]
    refusals = [refused(desk.returns(one, "2026-01-12")) for one in others]
    assert [(one.code, one.facts["kind"]) for one in refusals] == [
        ("not_a_purchase", "return"),
        ("not_a_purchase", "earn"),
        ("not_a_purchase", "spend"),
    ]


def test_a_purchase_was_made_on_its_business_day_whoever_it_belongs_to_since() -> None:
    desk = Desk(a_programme(calendar=a_calendar("Asia/Shanghai")))
    anna, ben = desk.enrols(), desk.enrols()
    bought = desk.buys(anna, 90_00, "2026-01-10 16:00")  # the 11th there
    moved = desk.reassigns(bought, ben, "2026-02-01")
    back = desk.reassigns(moved, anna, "2026-03-01")
    sales = [accepted(bought).entries[0], accepted(moved).entries[1], accepted(back).entries[1]]
    assert [bought_on(desk.programme.calendar, sale) for sale in sales] == [day("2026-01-11")] * 3
