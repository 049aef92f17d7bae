"""Refunds of redemptions: each point goes back to the lot it came from, with that lot's expiry."""

from typing import Any

import pytest

from loyalty.domain.books import Balance
from tests.makers import Desk, a_calendar, a_programme, accepted, at, code_of, refused, told


def spending(**programme: Any) -> tuple[Desk, Any, Any]:
    """A desk, a member and a redemption of 60 points: 40 of a lot until June, 20 of one until December."""
    desk = Desk(a_programme(**programme))
    anna = desk.enrols()
    desk.gives(anna, 40, "2026-01-02", expires_at="2026-06-01")
    desk.gives(anna, 40, "2026-01-02", expires_at="2026-12-01")
    return desk, anna, desk.redeems(anna, 60, "2026-02-01")


def test_a_refund_gives_points_back_to_the_very_lots_with_their_expiry() -> None:
    desk, anna, spent = spending()
    accepted(desk.refunds(spent, "2026-02-02"))
    assert [lot.remaining for lot in desk.lots(anna)] == [40, 40]
    assert desk.balance(anna) == Balance(available=80)
    desk.settles(anna, "2026-07-01")
    assert desk.balance(anna) == Balance(available=40)


def test_a_redemption_is_refunded_in_several_steps_what_was_drawn_last_first() -> None:
    desk, anna, spent = spending()
    remaining = []
    for points in (15, 15, 30):
        accepted(desk.refunds(spent, "2026-02-02", points=points))
        remaining.append([lot.remaining for lot in desk.lots(anna)])
    assert remaining == [[0, 35], [10, 40], [40, 40]]
    rows = dict(desk.state.rows)
    assert code_of(desk.refunds(spent, "2026-02-03")) == "exceeds_redemption"
    assert desk.state.rows == rows


def test_more_than_is_left_of_a_redemption_is_not_refunded() -> None:
    desk, _, spent = spending()
    accepted(desk.refunds(spent, "2026-02-02", points=15))
    rows = dict(desk.state.rows)
    assert refused(desk.refunds(spent, "2026-02-02", points=46)).facts == {"refundable": 45}
    assert desk.state.rows == rows


def test_a_lot_that_has_expired_since_lives_on_for_the_programmes_grace() -> None:
    desk, anna, spent = spending(refund_grace_days=3, calendar=a_calendar("Asia/Shanghai"))
    accepted(desk.refunds(spent, "2026-07-01"))
    *_, fresh = desk.lots(anna)
    assert (fresh.points, fresh.earned_at, fresh.expires_at) == (40, at("2026-01-02"), at("2026-07-04 16:00"))
    assert desk.balance(anna) == Balance(available=80)
    desk.settles(anna, "2026-07-05")
    assert desk.balance(anna) == Balance(available=40)


def test_the_days_of_grace_are_business_days_also_where_the_clock_is_put_back() -> None:
    """A quarter past four on the last summer morning, the day beginning at four: three full days, not two."""
    berlin = a_calendar("Europe/Berlin", cutover_hours=4)
    desk, anna, spent = spending(refund_grace_days=3, calendar=berlin)
    accepted(desk.refunds(spent, "2026-10-23 04:15+02:00"))
    assert desk.lots(anna)[-1].expires_at == at("2026-10-27 04:00+01:00")


def test_without_grace_a_lot_that_has_expired_since_expires_again_at_once() -> None:
    desk, anna, spent = spending()
    receipt = accepted(desk.refunds(spent, "2026-07-01"))
    assert told(desk.entries(anna))[-2:] == [("unspend", "2026-07-01", 60), ("expire", "2026-07-01", 40)]
    assert receipt.balances["points"] == Balance(available=40)
    assert desk.book(anna).expired == 40


def test_a_refund_first_repays_what_is_owed_in_draw_order() -> None:
    desk, anna, spent = spending()
    desk.redeems(anna, 20, "2026-02-02")
    desk.owes(anna, 50, when="2026-02-02")
    [entry] = accepted(desk.refunds(spent, "2026-02-03")).entries
    assert [(p.debit, p.credit, p.points) for p in entry.postings] == [
        ("redeemed", "available", 60),
        ("available", "owed", 40),
        ("available", "owed", 10),
    ]
    assert [lot.remaining for lot in desk.lots(anna)] == [0, 10]


@pytest.mark.parametrize(
    ("repaid", "first", "then"),
    [
        pytest.param(0, [0, 0], [40, 40], id="what is still owed is forgiven"),
        pytest.param(5, [0, 0, 0, 5], [40, 40, 0, 5], id="what was repaid comes back as new points"),
        pytest.param(500, [0, 0, 480, 20], [40, 40, 480, 20], id="all of them when all was repaid"),
    ],
)
def test_of_a_forced_redemption_what_no_lot_covered_comes_back_first(
    repaid: int, first: list[int], then: list[int]
) -> None:
    desk = Desk(a_programme(forced_sources=frozenset({"offline"})))
    anna = desk.enrols()
    desk.gives(anna, 40, "2026-01-02", expires_at="2026-06-01")
    desk.gives(anna, 40, "2026-01-02", expires_at="2026-12-01")
    spent = desk.redeems(anna, 100, "2026-02-01", source="offline", forced=True)
    assert desk.balance(anna) == Balance(owed=20)
    if repaid:
        desk.gives(anna, repaid, "2026-02-02")
    for points, remaining in ((20, first), (None, then)):
        accepted(desk.refunds(spent, "2026-02-03", points=points))
        assert [lot.remaining for lot in desk.lots(anna)] == remaining
        assert desk.balance(anna) == Balance(available=sum(remaining))
    assert desk.book(anna).redeemed == 0


def test_a_capture_is_refunded_like_any_redemption() -> None:
    desk = Desk()
    anna = desk.enrols()
    desk.gives(anna, 40, "2026-01-02", expires_at="2026-06-01")
    desk.gives(anna, 40, "2026-01-02", expires_at="2026-12-01")
    captured = desk.captures(desk.holds(anna, 60, "2026-02-01"), "2026-02-01", points=50)
    assert [lot.remaining for lot in desk.lots(anna)] == [0, 30]
    assert code_of(desk.refunds(captured, "2026-02-02", points=51)) == "exceeds_redemption"
    accepted(desk.refunds(captured, "2026-02-02", points=45))
    assert [lot.remaining for lot in desk.lots(anna)] == [35, 40]


def test_a_refund_after_the_return_of_the_purchase_repays_what_the_return_left_owed() -> None:
    desk = Desk()
    anna = desk.enrols()
    bought = desk.buys(anna, 100_00, "2026-01-10")
    spent = desk.redeems(anna, 70, "2026-01-11")
    accepted(desk.returns(bought, "2026-01-12"))
    assert desk.balance(anna) == Balance(owed=70)
    accepted(desk.refunds(spent, "2026-01-13"))
    assert desk.balance(anna) == Balance()
    assert desk.book(anna).issued == 0


@pytest.mark.parametrize(("status", "refusal"), [("frozen", "member_frozen"), ("closed", "member_closed")])
def test_nothing_is_refunded_to_whom_nothing_may_be_given(status: str, refusal: str) -> None:
    desk, anna, spent = spending()
    desk.changes(anna, status=status)
    rows = dict(desk.state.rows)
    assert code_of(desk.refunds(spent, "2026-02-02")) == refusal
    assert desk.state.rows == rows


def test_a_reference_refunds_once() -> None:
    desk, _, spent = spending()
    accepted(desk.refunds(spent, "2026-02-02", points=1, ref="F-1"))
    assert code_of(desk.refunds(spent, "2026-02-02", points=1, ref="F-1")) == "reference_taken"
