"""Settling: what is due becomes entries, oldest first, maturing before expiring; debts are repaid first."""

from datetime import datetime
from typing import Any

import pytest

from loyalty.domain.books import Balance, Book
from loyalty.domain.claims import ReferenceKey
from loyalty.domain.entries import Because, Entry
from loyalty.domain.expiry import Expiry, Lifespan
from loyalty.domain.ids import MemberId
from loyalty.domain.lots import Lot
from loyalty.domain.refusals import AmountOutOfRange
from loyalty.domain.settle import settle
from loyalty.domain.state import Draft
from loyalty.operations import door
from loyalty.operations.hold import OpenHold
from tests.makers import (
    Desk,
    a_calendar,
    a_draft,
    a_lot,
    a_member_id,
    a_programme,
    a_wallet,
    accepted,
    at,
    day,
    days,
    told,
)

PENDING_WEEK = a_wallet(pending=days(7), expiry=Expiry(Lifespan.MONTHS, 3))


def entries_on(draft: Draft) -> list[Entry]:
    return [fact for fact in draft.facts if isinstance(fact, Entry)]


def settled(*lots: Lot, until: str) -> list[tuple[str, str, int]]:
    draft = a_draft(*lots, when=until)
    settle(draft, a_member_id(1), at(until))
    return told(entries_on(draft))


RIPE_LATER: dict[str, Any] = {"matures": "2026-02-01", "expires": "2026-06-01"}


@pytest.mark.parametrize(
    ("lots", "until", "expected"),
    [
        pytest.param([], "2030-01-01", [], id="nothing is due for nobody"),
        pytest.param([a_lot(5, **RIPE_LATER)], "2026-02-01 11:59:59", [], id="not yet"),
        pytest.param(
            [a_lot(5, **RIPE_LATER)], "2026-02-01", [("mature", "2026-02-01", 5)], id="at its very moment it matures"
        ),
        pytest.param(
            [a_lot(5, **RIPE_LATER)],
            "2027-01-01",
            [("mature", "2026-02-01", 5), ("expire", "2026-06-01", 5)],
            id="matures, and expires at last",
        ),
        pytest.param(
            [a_lot(5, number=1, **RIPE_LATER), a_lot(6, number=2, **RIPE_LATER)],
            "2026-03-01",
            [("mature", "2026-02-01", 11)],
            id="one entry for a moment",
        ),
        pytest.param(
            [
                a_lot(1, number=1, expires="2026-04-01"),
                a_lot(2, number=2, expires="2026-03-01"),
                a_lot(4, number=3, matures="2026-03-15", expires="2026-12-01"),
            ],
            "2026-05-01",
            [("expire", "2026-03-01", 2), ("mature", "2026-03-15", 4), ("expire", "2026-04-01", 1)],
            id="oldest moment first",
        ),
        pytest.param(
            [a_lot(1, number=1, expires="2026-02-01"), a_lot(2, number=2, **RIPE_LATER)],
            "2026-05-01",
            [("mature", "2026-02-01", 2), ("expire", "2026-02-01", 1)],
            id="maturing before expiring at the same moment",
        ),
        pytest.param(
            [a_lot(7, matures="2026-02-01", expires="2026-02-01")],
            "2026-02-01",
            [("mature", "2026-02-01", 7), ("expire", "2026-02-01", 7)],
            id="what matures as it expires does both",
        ),
        pytest.param([a_lot(9)], "2999-01-01", [], id="what never expires stays"),
        pytest.param(
            [a_lot(9, drawn=4, expires="2026-02-01")],
            "2026-03-01",
            [("expire", "2026-02-01", 5)],
            id="only what is left",
        ),
        pytest.param(
            [a_lot(9, drawn=9, expires="2026-02-01")], "2026-03-01", [], id="an empty lot is nobody's business"
        ),
    ],
)
def test_what_is_due_becomes_an_entry_for_each_moment(
    lots: list[Lot], until: str, expected: list[tuple[str, str, int]]
) -> None:
    assert settled(*lots, until=until) == expected


def test_wallets_that_fall_due_together_share_an_entry() -> None:
    programme = a_programme(a_wallet("points"), a_wallet("coins"))
    lots = [a_lot(5, number=1, expires="2026-02-01"), a_lot(6, number=2, wallet="coins", expires="2026-02-01")]
    draft = a_draft(*lots, programme=programme)
    settle(draft, a_member_id(1), at("2026-03-01"))
    [entry] = entries_on(draft)
    assert [(p.wallet, p.points) for p in entry.postings] == [("points", 5), ("coins", 6)]
    assert [(d.wallet, d.lot_id) for d in entry.draws] == [("points", lots[0].id), ("coins", lots[1].id)]


def test_what_matures_together_is_listed_in_draw_order() -> None:
    programme = a_programme(a_wallet("points"), a_wallet("coins"), a_wallet("stars"))
    matures = "2026-02-01"
    draft = a_draft(
        a_lot(3, number=3, matures=matures, expires="2026-07-01"),
        a_lot(1, number=2, matures=matures, expires="2026-09-01", wallet="coins"),
        a_lot(2, number=1, matures=matures, expires="2026-08-01", wallet="stars"),
        programme=programme,
    )
    settle(draft, a_member_id(1), at("2026-03-01"))
    [entry] = entries_on(draft)
    assert [(p.wallet, p.points) for p in entry.postings] == [("points", 3), ("stars", 2), ("coins", 1)]


def test_what_expires_together_is_drawn_in_draw_order_also_what_a_hold_has_just_given_back() -> None:
    desk = Desk()
    anna = desk.enrols()
    for points, earned in [(10, "2026-01-02"), (20, "2026-01-03"), (40, "2026-01-04")]:
        desk.gives(anna, points, earned, expires_at="2026-03-01")
    desk.holds(anna, 15, "2026-02-27", lasts=days(2))
    desk.settles(anna, "2026-06-01")
    *_, expire = desk.entries(anna)
    assert [(draw.lot_id, draw.points) for draw in expire.draws] == [(lot.id, lot.points) for lot in desk.lots(anna)], (
        "each lot once, the earliest earned first"
    )


def test_funders_are_kept_apart_in_the_postings_of_an_expiry() -> None:
    lots = [a_lot(n, number=n, expires="2026-02-01", funder=f) for n, f in enumerate(["mall", None, "mall"], start=1)]
    draft = a_draft(*lots)
    settle(draft, a_member_id(1), at("2026-03-01"))
    [entry] = entries_on(draft)
    assert {(p.funder, p.points) for p in entry.postings} == {("mall", 4), (None, 2)}


def test_an_expiry_is_dated_its_last_valid_day_and_takes_effect_at_its_moment() -> None:
    programme = a_programme(calendar=a_calendar("Asia/Shanghai"))
    draft = a_draft(a_lot(5, expires="2026-12-31 16:00"), programme=programme, when="2027-05-05", number=77)
    settle(draft, a_member_id(1), at("2027-05-05"))
    [entry] = entries_on(draft)
    assert entry.accounting_date == day("2026-12-31")
    assert entry.occurred_at == entry.effective_at == at("2026-12-31 16:00")
    assert entry.recorded_at == at("2027-05-05")
    assert entry.fact_id == draft.moment.fact


def test_what_falls_due_in_a_past_that_is_closed_takes_effect_at_the_members_present() -> None:
    draft = a_draft(a_lot(5, expires="2026-02-01"), effective_at=at("2026-03-01"))
    settle(draft, a_member_id(1), at("2026-04-01"))
    [entry] = entries_on(draft)
    assert (entry.occurred_at, entry.effective_at) == (at("2026-02-01"), at("2026-03-01"))


def test_due_at_says_when_to_look_again() -> None:
    desk = Desk(a_programme(PENDING_WEEK))
    anna = desk.enrols()
    assert desk.member(anna).due_at is None
    desk.buys(anna, 100_00, "2026-01-10")
    assert desk.member(anna).due_at == at("2026-01-17")
    desk.buys(anna, 100_00, "2026-01-05")
    assert desk.member(anna).due_at == at("2026-01-12"), "an earlier moment wins"
    desk.settles(anna, "2026-01-12")
    assert desk.member(anna).due_at == at("2026-01-17")
    desk.settles(anna, "2026-01-17")
    assert desk.member(anna).due_at == at("2026-04-06 00:00")
    desk.redeems(anna, 200, "2026-01-18")
    desk.settles(anna, "2027-01-01")
    assert desk.member(anna).due_at is None, "what was spent is not waited for"
    assert [entry.kind for entry in desk.entries(anna)] == ["earn", "earn", "mature", "mature", "spend"]


def test_settling_twice_is_settling_once() -> None:
    desk = Desk(a_programme(PENDING_WEEK))
    anna = desk.enrols()
    desk.buys(anna, 100_00, "2026-01-10")
    desk.settles(anna, "2026-03-01")
    before = desk.member(anna)
    desk.settles(anna, "2026-03-01")
    assert desk.member(anna) == before


def test_every_command_settles_before_it_decides() -> None:
    desk = Desk(a_programme(PENDING_WEEK))
    anna = desk.enrols()
    desk.buys(anna, 100_00, "2026-01-10")
    accepted(desk.redeems(anna, 100, "2026-01-17"))
    assert told(desk.entries(anna)) == [
        ("earn", "2026-01-10", 100),
        ("mature", "2026-01-17", 100),
        ("spend", "2026-01-17", 100),
    ]


def test_a_late_earn_that_is_ripe_already_matures_with_the_command_that_brings_it() -> None:
    desk = Desk(a_programme(PENDING_WEEK))
    anna = desk.enrols()
    desk.settles(anna, "2026-02-01")
    desk.gives(anna, 1, "2026-02-01")
    desk.buys(anna, 100_00, "2026-01-10")
    assert told(desk.entries(anna))[1:] == [("earn", "2026-02-01", 100), ("mature", "2026-02-01", 100)]
    assert desk.balance(anna) == Balance(available=101)


def test_a_late_earn_whose_points_are_over_expires_with_the_command_that_brings_it() -> None:
    desk = Desk(a_programme(PENDING_WEEK))
    anna = desk.enrols("2025-01-01")
    desk.gives(anna, 1, "2026-02-01")
    receipt = accepted(desk.buys(anna, 100_00, "2025-06-10"))
    kinds = [entry.kind for entry in desk.entries(anna)]
    assert kinds == ["earn", "earn", "mature", "expire"]
    assert receipt.balances["points"] == Balance(available=1)
    assert [entry.kind for entry in receipt.entries] == ["earn"]


# --- debts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("owed", "gained", "after"),
    [
        (30, 100, Balance(available=70)),
        (100, 100, Balance()),
        (130, 100, Balance(owed=30)),
    ],
)
def test_a_grant_first_repays_what_is_owed_in_the_same_entry(owed: int, gained: int, after: Balance) -> None:
    desk = Desk()
    anna = desk.enrols()
    desk.owes(anna, owed)
    desk.gives(anna, gained, "2026-02-01")
    assert desk.balance(anna) == after
    entry = desk.entries(anna)[-1]
    paid = min(owed, gained)
    assert [(p.debit, p.credit, p.points) for p in entry.postings] == [
        ("issued", "available", gained),
        ("available", "owed", paid),
    ]
    [lot] = desk.lots(anna)
    assert [(d.lot_id, d.points) for d in entry.draws] == [(lot.id, paid)]
    assert entry.births[0].points == gained
    assert lot.remaining == gained - paid


def test_a_purchase_repays_each_wallet_from_its_own_points() -> None:
    desk = Desk(a_programme(a_wallet("points"), a_wallet("coins", points=2)))
    anna = desk.enrols()
    desk.owes(anna, 30, "points")
    desk.owes(anna, 500, "coins")
    desk.buys(anna, 100_00, "2026-02-01")
    assert desk.balance(anna, "points") == Balance(available=70)
    assert desk.balance(anna, "coins") == Balance(owed=300)


def test_pending_points_repay_nothing_until_they_mature() -> None:
    desk = Desk(a_programme(PENDING_WEEK))
    anna = desk.enrols()
    desk.owes(anna, 30)
    desk.buys(anna, 100_00, "2026-01-10")
    assert desk.balance(anna) == Balance(pending=100, owed=30)
    desk.settles(anna, "2026-01-17")
    assert desk.balance(anna) == Balance(available=70)
    mature = desk.entries(anna)[-1]
    assert [(p.debit, p.credit, p.points) for p in mature.postings] == [
        ("pending", "available", 100),
        ("available", "owed", 30),
    ]
    [lot] = desk.lots(anna)
    assert mature.draws == ((lot.id, "points", 30),)


def test_lots_that_mature_together_repay_in_draw_order() -> None:
    desk = Desk(a_programme(a_wallet(pending=days(7))))
    anna = desk.enrols()
    desk.owes(anna, 150)
    desk.gives(anna, 100, "2026-01-05", pending_until="2026-01-17", expires_at="2027-12-01")
    desk.gives(anna, 100, "2026-01-06", pending_until="2026-01-17", expires_at="2027-06-01")
    desk.settles(anna, "2026-01-17")
    assert [lot.remaining for lot in desk.lots(anna)] == [50, 0], "what expires first pays first"
    assert desk.book(anna) == Book(available=50, issued=200, redeemed=150)


@pytest.mark.parametrize("ends", ["2026-01-03", "2026-01-10"], ids=["before the lot", "with the lot"])
def test_a_lot_that_a_hold_has_given_points_back_to_expires_once(ends: str) -> None:
    desk = Desk()
    anna = desk.enrols()
    desk.gives(anna, 100, "2026-01-01", expires_at="2026-01-10")
    hold = OpenHold(
        member_id=anna,
        points=40,
        wallet="points",
        lasts=at(ends) - at("2026-01-02"),
        because=Because("pos", "H-1"),
        reference=ReferenceKey("pos", "H-1", "hold"),
        business_date=day("2026-01-02"),
    )
    accepted(desk.does(hold, at("2026-01-02")))
    desk.settles(anna, "2026-02-01")
    assert told(desk.entries(anna))[-2:] == [("release", ends, 40), ("expire", "2026-01-10", 100)]
    assert desk.book(anna) == Book(issued=100, expired=100)


@pytest.mark.parametrize("ends", ["2026-02-10 12:00", "2026-02-11 00:00", "2026-02-12 12:00"])
def test_a_lot_that_ripened_and_ended_while_it_was_held_does_both_when_it_comes_back(ends: str) -> None:
    desk = Desk(a_programme(a_wallet(pending=days(30), expiry=Expiry(Lifespan.MONTHS, 1))))
    anna = desk.enrols()
    bought = desk.buys(anna, 100_00, "2026-01-10")
    desk.reserves(bought, "2026-02-01", lasts=at(ends) - at("2026-02-01"))
    desk.settles(anna, "2026-03-01")
    assert [(e.kind, e.occurred_at, [(p.debit, p.credit) for p in e.postings]) for e in desk.entries(anna)[2:]] == [
        ("release", at(ends), [("held", "pending")]),
        ("mature", at("2026-02-09"), [("pending", "available")]),
        ("expire", at("2026-02-11 00:00"), [("available", "expired")]),
    ]
    assert desk.balance(anna) == Balance()


def test_a_debt_leaves_nothing_to_spend() -> None:
    desk = Desk()
    anna = desk.enrols()
    desk.owes(anna, 130)
    desk.gives(anna, 100, "2026-02-01")
    assert desk.redeems(anna, 1, "2026-02-02").status == 409


def test_a_lot_that_repaid_a_debt_with_all_it_had_leaves_nothing_to_expire() -> None:
    desk = Desk()
    anna = desk.enrols()
    desk.owes(anna, 100)
    desk.gives(anna, 100, "2026-01-05", pending_until="2026-01-17", expires_at="2026-06-01")
    desk.settles(anna, "2026-12-01")
    assert told(desk.entries(anna))[1:] == [("earn", "2026-01-05", 100), ("mature", "2026-01-17", 200)]
    assert desk.balance(anna) == Balance()


def test_what_settles_half_way_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal drops what the command did, and keeps what settled before: all of it, or nothing."""
    desk = Desk()
    anna = desk.enrols()
    desk.gives(anna, 10, "2026-02-01", pending_until="2026-02-05")
    before = dict(desk.state.rows)

    def gives_up(draft: Draft, member_id: MemberId, until: datetime) -> None:
        settle(draft, member_id, until)
        raise AmountOutOfRange("too much")

    monkeypatch.setattr(door, "settle", gives_up)
    desk.gives(anna, 1, "2026-02-06")
    assert desk.state.rows == before
