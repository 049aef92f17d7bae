"""Transfers and adjustments: points move between members with their dates, or by a correction with a reason."""

from typing import Any

import pytest

from loyalty.domain.adjustments import Decision
from loyalty.domain.books import Balance
from loyalty.domain.bounds import MAX_POINTS
from loyalty.domain.expiry import Expiry, Lifespan
from tests.makers import Desk, a_member_id, a_programme, a_wallet, accepted, at, code_of, days, told


def two(**programme: Any) -> tuple[Desk, Any, Any]:
    """A desk where transfers are allowed, anna with 40 points until June and 40 until December, and bert."""
    desk = Desk(a_programme(**{"transfers": True, **programme}))
    anna, bert = desk.enrols(), desk.enrols()
    desk.gives(anna, 40, "2026-01-02", expires_at="2026-06-01")
    desk.gives(anna, 40, "2026-01-03", expires_at="2026-12-01")
    return desk, anna, bert


# --- transfers ---------------------------------------------------------------------------------------------


def test_a_transfer_keeps_the_dates_of_its_lots() -> None:
    desk, anna, bert = two()
    given, received = accepted(desk.transfers(anna, bert, 60, "2026-02-01")).entries
    assert given.fact_id == received.fact_id
    assert (desk.balance(anna), desk.balance(bert)) == (Balance(available=20), Balance(available=60))
    assert [(lot.points, lot.earned_at, lot.expires_at) for lot in desk.lots(bert)] == [
        (40, at("2026-01-02"), at("2026-06-01")),
        (20, at("2026-01-03"), at("2026-12-01")),
    ]
    assert desk.book(anna).transferred + desk.book(bert).transferred == 0, "invariant 9"
    desk.settles(bert, "2026-07-01")
    assert desk.balance(bert) == Balance(available=20)


def test_a_transfer_settles_both_first_and_what_is_over_for_who_receives_expires_at_once() -> None:
    desk, anna, bert = two()
    desk.gives(bert, 5, "2026-01-02", expires_at="2026-02-01")
    desk.settles(bert, "2026-02-01")
    desk.gives(bert, 1, "2026-07-01")
    accepted(desk.transfers(anna, bert, 50, "2026-05-01"))
    assert told(desk.entries(bert))[-2:] == [("transfer", "2026-07-01", 50), ("expire", "2026-07-01", 40)]
    assert desk.balance(bert) == Balance(available=11)


def test_a_transfer_repays_what_the_receiver_owes() -> None:
    desk, anna, bert = two()
    desk.owes(bert, 50)
    [_, received] = accepted(desk.transfers(anna, bert, 60, "2026-02-01")).entries
    assert [(p.debit, p.credit, p.points) for p in received.postings] == [
        ("transferred", "available", 60),
        ("available", "owed", 40),
        ("available", "owed", 10),
    ]
    assert desk.balance(bert) == Balance(available=10)


@pytest.mark.parametrize(
    ("setting", "to", "points", "status", "refusal"),
    [
        ({"transfers": False}, 2, 10, {}, "transfers_not_allowed"),
        ({}, 1, 10, {}, "same_member"),
        ({}, 99, 10, {}, "member_not_found"),
        ({}, 2, 81, {}, "insufficient_points"),
        ({}, 2, 10, {2: "frozen"}, "member_frozen"),
        ({}, 2, 10, {2: "closed"}, "member_closed"),
        ({}, 2, 10, {2: "earn_only"}, None),
        ({}, 2, 10, {1: "earn_only"}, "member_earn_only"),
        ({}, 2, 10, {1: "frozen"}, "member_frozen"),
    ],
)
def test_a_refused_transfer_changes_nothing(
    setting: dict[str, Any], to: int, points: int, status: dict[int, str], refusal: str | None
) -> None:
    desk, anna, _ = two(**setting)
    for who, what in status.items():
        desk.changes(a_member_id(who), status=what)
    rows, facts = dict(desk.state.rows), list(desk.state.facts)
    assert code_of(desk.transfers(anna, a_member_id(to), points, "2026-02-01")) == refusal
    assert ((desk.state.rows, desk.state.facts) == (rows, facts)) is (refusal is not None)


def test_a_return_does_not_follow_a_transfer() -> None:
    desk, anna, bert = two()
    desk.redeems(anna, 80, "2026-01-05")
    bought = desk.buys(anna, 100_00, "2026-01-10")
    desk.transfers(anna, bert, 100, "2026-01-11")
    accepted(desk.returns(bought, "2026-01-12"))
    assert (desk.balance(anna), desk.balance(bert)) == (Balance(owed=100), Balance(available=100))


# --- adjustments -------------------------------------------------------------------------------------------


def test_an_adjustment_gives_points_with_the_usual_expiry_or_takes_them_in_draw_order() -> None:
    desk = Desk(a_programme(a_wallet(expiry=Expiry(Lifespan.YEAR_END, 0))))
    anna = desk.enrols()
    accepted(desk.adjusts(anna, 50, "2026-02-01"))
    assert desk.lots(anna)[0].expires_at == at("2027-01-01 00:00")
    accepted(desk.adjusts(anna, -20, "2026-02-02"))
    assert (desk.balance(anna), desk.book(anna).adjusted) == (Balance(available=30), -30)
    assert code_of(desk.adjusts(anna, -31, "2026-02-03")) == "insufficient_points"


def test_an_adjustment_repays_what_is_owed() -> None:
    desk = Desk()
    anna = desk.enrols()
    desk.owes(anna, 30)
    accepted(desk.adjusts(anna, 50, "2026-02-01"))
    assert desk.balance(anna) == Balance(available=20)


@pytest.mark.parametrize("points", [101, -101])
def test_above_the_limit_a_second_person_decides_once(points: int) -> None:
    desk = Desk(a_programme(adjustment_limit=100))
    anna = desk.enrols()
    desk.gives(anna, 200, "2026-01-02")
    waiting = desk.adjusts(anna, points, "2026-02-01", ref="A-1")
    assert desk.balance(anna) == Balance(available=200)
    assert code_of(desk.adjusts(anna, 1, "2026-02-01", ref="A-1")) == "reference_taken", "while it waits"
    assert code_of(desk.decides(waiting, "2026-02-02", by="clerk")) == "second_person_required"
    [entry] = accepted(desk.decides(waiting, "2026-02-02")).entries
    assert (entry.id, entry.because.reference) == (accepted(waiting).said.id, "A-1")
    assert desk.balance(anna) == Balance(available=200 + points)
    assert code_of(desk.decides(waiting, "2026-02-03", approve=False)) == "adjustment_decided"


def test_a_rejected_adjustment_moves_nothing_and_keeps_its_reference() -> None:
    desk = Desk(a_programme(adjustment_limit=100))
    anna = desk.enrols()
    waiting = desk.adjusts(anna, 101, "2026-02-01", ref="A-1")
    assert accepted(desk.decides(waiting, "2026-02-02", approve=False)).said == Decision.REJECTED
    assert desk.entries(anna) == []
    assert code_of(desk.decides(waiting, "2026-02-03")) == "adjustment_decided"
    assert code_of(desk.adjusts(anna, 1, "2026-02-03", ref="A-1")) == "reference_taken"


def test_an_approval_that_the_points_do_not_cover_leaves_the_adjustment_waiting() -> None:
    desk = Desk(a_programme(adjustment_limit=100))
    anna = desk.enrols()
    waiting = desk.adjusts(anna, -101, "2026-02-01")
    assert code_of(desk.decides(waiting, "2026-02-02")) == "insufficient_points"
    desk.gives(anna, 101, "2026-02-03")
    accepted(desk.decides(waiting, "2026-02-04"))
    assert desk.balance(anna) == Balance()


# --- bounds ------------------------------------------------------------------------------------------------


def test_nothing_leads_beyond_what_the_ledger_can_hold() -> None:
    desk, anna, bert = two(forced_sources=frozenset({"offline"}))
    desk.adjusts(bert, MAX_POINTS, "2026-02-01")
    rows = dict(desk.state.rows)
    assert code_of(desk.adjusts(bert, 1, "2026-02-02")) == "amount_out_of_range"
    assert code_of(desk.transfers(anna, bert, 1, "2026-02-02")) == "amount_out_of_range"
    assert code_of(desk.transfers(bert, anna, MAX_POINTS, "2026-02-02")) == "amount_out_of_range"
    assert desk.state.rows == rows


def test_no_debt_grows_beyond_what_the_ledger_can_hold() -> None:
    desk, anna, _ = two(forced_sources=frozenset({"offline"}))
    accepted(desk.redeems(anna, MAX_POINTS, "2026-02-02", source="offline", forced=True))
    rows = dict(desk.state.rows)
    assert code_of(desk.redeems(anna, MAX_POINTS, "2026-02-02", source="offline", forced=True)) == "amount_out_of_range"
    assert desk.state.rows == rows


def test_points_that_wait_or_are_held_count_towards_what_the_ledger_can_hold() -> None:
    """Else they would not fit where they go when their time comes, and what falls due cannot be refused."""
    desk = Desk(a_programme(transfers=True))
    anna, bert = desk.enrols(), desk.enrols()
    accepted(desk.gives(anna, MAX_POINTS, "2026-02-01", pending_until="2026-02-05"))
    assert code_of(desk.adjusts(anna, 1, "2026-02-02")) == "amount_out_of_range"
    accepted(desk.holds(anna, MAX_POINTS, "2026-02-06", lasts=days(1)))
    accepted(desk.gives(bert, 5, "2026-02-06"))
    assert code_of(desk.transfers(bert, anna, 5, "2026-02-06")) == "amount_out_of_range"
    accepted(desk.settles(anna, "2026-03-01"))
    assert desk.balance(anna) == (0, MAX_POINTS, 0, 0)
