"""Lines that come back: what is left of each, what a full return finds, and what a refused one is told."""

from typing import Any

import orjson
import pytest

from loyalty.domain.books import Balance
from loyalty.domain.entries import Entry
from loyalty.operations.returns import Returned
from tests.makers import Desk, Part, accepted, refused


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
