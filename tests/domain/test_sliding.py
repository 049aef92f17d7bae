"""Sliding expiry: what counts as activity, what it does to the end of a book, and what it leaves alone."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from loyalty.domain.books import Balance
from loyalty.domain.expiry import Expiry, Lifespan, RenewedBy
from loyalty.domain.ids import MemberId
from loyalty.domain.programme import Programme
from loyalty.domain.sliding import Slide, book_end
from tests.makers import Desk, a_programme, a_wallet, accepted, at, day, days, told

EARNING = Expiry(Lifespan.SLIDING, 12)
SPENDING = Expiry(Lifespan.SLIDING, 12, RenewedBy.EARNING_AND_SPENDING)


def a_sliding_programme(expiry: Expiry = EARNING, *, pending: timedelta = timedelta(0), **changes: Any) -> Programme:
    return a_programme(a_wallet(expiry=expiry, pending=pending), **changes)


def ends(desk: Desk, member_id: MemberId) -> datetime | None:
    return book_end(desk.state, member_id, "points")


def expiries(desk: Desk, member_id: MemberId) -> list[tuple[datetime, int]]:
    entries = desk.entries(member_id)
    return [(one.occurred_at, sum(p.points for p in one.postings)) for one in entries if one.kind == "expire"]


def test_whatever_is_earned_lets_all_points_last_from_then_on() -> None:
    desk = Desk(a_sliding_programme())
    anna = desk.enrols()
    for when in ("2026-01-10", "2026-06-10", "2027-06-10"):
        accepted(desk.buys(anna, 10_000, when))
    assert [lot.expires_at for lot in desk.lots(anna)] == [None, None, None]
    desk.settles(anna, "2028-06-10 23:59")
    assert desk.balance(anna).available == 300
    desk.settles(anna, "2028-06-11 00:00")
    assert desk.balance(anna) == Balance()
    *_, last = desk.entries(anna)
    assert told([last]) == [("expire", "2028-06-11", 300)]
    assert last.accounting_date == day("2028-06-10")


def test_what_was_done_too_late_revives_nothing() -> None:
    desk = Desk(a_sliding_programme())
    anna = desk.enrols()
    accepted(desk.buys(anna, 10_000, "2026-01-10"))
    accepted(desk.buys(anna, 5_000, "2027-01-11"))
    assert expiries(desk, anna) == [(at("2027-01-11 00:00"), 100)]
    assert desk.balance(anna).available == 50


def test_an_activity_that_is_learnt_late_shortens_nothing_and_is_over_at_once_if_its_book_is() -> None:
    desk = Desk(a_sliding_programme())
    anna = desk.enrols()
    accepted(desk.buys(anna, 10_000, "2026-06-10"))
    accepted(desk.buys(anna, 5_000, "2026-02-01"))
    assert ends(desk, anna) == at("2027-06-11 00:00")
    desk.settles(anna, "2027-07-01")
    accepted(desk.buys(anna, 5_000, "2026-03-01"))
    assert expiries(desk, anna) == [(at("2027-06-11 00:00"), 150), (at("2027-06-11 00:00"), 50)]


@pytest.mark.parametrize(("expiry", "ends_on"), [(EARNING, "2027-01-11 00:00"), (SPENDING, "2027-03-02 00:00")])
def test_spending_counts_where_the_programme_says_so(expiry: Expiry, ends_on: str) -> None:
    for spends in ("redeemed", "held and captured"):
        desk = Desk(a_sliding_programme(expiry))
        anna = desk.enrols()
        accepted(desk.buys(anna, 10_000, "2026-01-10"))
        if spends == "redeemed":
            accepted(desk.redeems(anna, 10, "2026-03-01"))
        else:
            accepted(desk.captures(desk.holds(anna, 10, "2026-02-28", lasts=days(2)), "2026-03-01"))
        assert ends(desk, anna) == at(ends_on)


def test_what_earns_nothing_returns_holds_or_releases_is_no_activity() -> None:
    desk = Desk(a_sliding_programme(SPENDING))
    anna = desk.enrols()
    sale = desk.buys(anna, 10_000, "2026-01-10")
    accepted(desk.buys(anna, 99, "2026-02-01"))
    accepted(desk.releases(desk.holds(anna, 10, "2026-02-02", lasts=days(1)), "2026-02-02 12:30"))
    accepted(desk.returns(sale, "2026-02-03", ("1", 0, 5_000)))
    accepted(desk.adjusts(anna, -5, "2026-02-04"))
    assert ends(desk, anna) == at("2027-01-11 00:00")


def test_points_with_a_date_keep_it_are_drawn_first_and_move_nothing() -> None:
    desk = Desk(a_sliding_programme())
    anna = desk.enrols()
    accepted(desk.buys(anna, 10_000, "2026-01-10"))
    accepted(desk.gives(anna, 30, "2026-06-01", expires_at="2026-09-01"))
    assert ends(desk, anna) == at("2027-01-11 00:00")
    accepted(desk.redeems(anna, 10, "2026-06-02"))
    desk.settles(anna, "2026-10-01")
    assert expiries(desk, anna) == [(at("2026-09-01"), 20)]
    assert desk.balance(anna).available == 100


def test_points_last_to_the_day_on_which_they_ripen() -> None:
    desk = Desk(a_sliding_programme(Expiry(Lifespan.SLIDING, 1), pending=days(40)))
    anna = desk.enrols()
    accepted(desk.buys(anna, 10_000, "2026-01-10"))
    desk.settles(anna, "2026-02-19 23:00")
    assert desk.balance(anna).available == 100
    desk.settles(anna, "2026-02-20 00:00")
    assert expiries(desk, anna) == [(at("2026-02-20 00:00"), 100)]


def test_what_is_given_away_takes_its_end_with_it_and_slides_no_more() -> None:
    desk = Desk(a_sliding_programme(transfers=True))
    anna, ben = desk.enrols(), desk.enrols()
    accepted(desk.buys(anna, 10_000, "2026-01-10"))
    accepted(desk.buys(ben, 10_000, "2026-03-10"))
    accepted(desk.transfers(anna, ben, 40, "2026-04-01"))
    assert ends(desk, ben) == at("2027-03-11 00:00")
    accepted(desk.buys(ben, 10_000, "2026-12-10"))
    desk.settles(ben, "2027-04-01")
    assert expiries(desk, ben) == [(at("2027-01-11 00:00"), 40)]
    assert desk.balance(ben).available == 200


@pytest.mark.parametrize(("grace", "left"), [(0, 0), (7, 10)])
def test_points_that_come_back_after_the_end_are_gone_or_live_on_for_the_grace(grace: int, left: int) -> None:
    desk = Desk(a_sliding_programme(refund_grace_days=grace))
    anna = desk.enrols()
    accepted(desk.buys(anna, 10_000, "2026-01-10"))
    spent = desk.redeems(anna, 10, "2026-03-01")
    accepted(desk.refunds(spent, "2027-02-01"))
    assert desk.balance(anna).available == left
    desk.settles(anna, "2027-02-10")
    assert desk.balance(anna).available == 0
    assert ends(desk, anna) == at("2027-01-11 00:00"), "and a refund is no activity"


def test_points_that_were_held_over_the_end_expire_when_they_are_free() -> None:
    desk = Desk(a_sliding_programme())
    anna = desk.enrols()
    accepted(desk.buys(anna, 10_000, "2026-01-10"))
    held = desk.holds(anna, 30, "2027-01-10", lasts=days(20))
    accepted(desk.releases(held, "2027-01-20"))
    assert expiries(desk, anna) == [(at("2027-01-11 00:00"), 70), (at("2027-01-11 00:00"), 30)]
    assert desk.balance(anna) == Balance()


def test_each_step_of_the_end_names_its_entry_and_there_is_one_a_day_at_most() -> None:
    desk = Desk(a_sliding_programme())
    anna = desk.enrols()
    for when in ("2026-01-10 08:00", "2026-01-10 09:00", "2026-01-11", "2026-01-05"):
        accepted(desk.buys(anna, 10_000, when))
    slides = [fact for fact in desk.state.facts if isinstance(fact, Slide)]
    assert [(one.sequence, one.ends_at) for one in slides] == [
        (1, at("2027-01-11 00:00")),
        (3, at("2027-01-12 00:00")),
    ]


def test_a_wallet_slides_by_at_least_a_month() -> None:
    with pytest.raises(ValueError, match="at least a month"):
        a_wallet(expiry=Expiry(Lifespan.SLIDING)).check()
