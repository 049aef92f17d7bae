"""Holds: points set aside, captured or released once, ended by themselves; a grace after that."""

import pytest

from loyalty.domain.books import Balance
from loyalty.domain.holds import MOST_OPEN
from tests.makers import Desk, a_programme, a_wallet, accepted, at, code_of, day, days, refused, told

TEN_DAYS = days(10)


def test_a_hold_draws_the_earliest_expiring_lots_and_leaves_the_rest() -> None:
    desk = Desk()
    anna = desk.enrols()
    desk.gives(anna, 30, "2026-01-02", expires_at="2026-12-01")
    desk.gives(anna, 20, "2026-01-03", expires_at="2026-06-01")
    hold = desk.holds(anna, 25, "2026-02-01")
    later, sooner = desk.lots(anna)
    assert [(draw.lot_id, draw.points) for draw in desk.hold(hold).draws] == [(sooner.id, 20), (later.id, 5)]
    assert desk.balance(anna) == Balance(available=25, held=25)
    assert desk.hold(hold).expires_at == at("2026-02-01 12:10")


def test_a_capture_within_its_time_succeeds_although_a_lot_expired_meanwhile() -> None:
    desk = Desk()
    anna = desk.enrols()
    desk.gives(anna, 100, "2026-01-02", expires_at="2026-02-05")
    hold = desk.holds(anna, 60, "2026-02-01", lasts=TEN_DAYS)
    accepted(desk.captures(hold, "2026-02-08"))
    assert told(desk.entries(anna))[1:] == [
        ("hold", "2026-02-01", 60),
        ("expire", "2026-02-05", 40),
        ("capture", "2026-02-08", 60),
    ]
    assert desk.balance(anna) == Balance()


def test_a_capture_in_part_redeems_what_expires_first_and_releases_the_rest() -> None:
    desk = Desk()
    anna = desk.enrols()
    desk.gives(anna, 30, "2026-01-02", expires_at="2026-06-01")
    desk.gives(anna, 30, "2026-01-02", expires_at="2026-12-01")
    hold = desk.holds(anna, 60, "2026-02-01")
    [entry] = accepted(desk.captures(hold, "2026-02-01 12:05", points=40)).entries
    assert [(p.debit, p.credit, p.points) for p in entry.postings] == [
        ("held", "redeemed", 40),
        ("held", "available", 20),
    ]
    assert [lot.remaining for lot in desk.lots(anna)] == [0, 20]
    assert (desk.hold(hold).status, desk.hold(hold).captured) == ("captured", 40)


def test_a_release_gives_points_back_and_what_expired_meanwhile_expires_at_once() -> None:
    desk = Desk()
    anna = desk.enrols()
    desk.gives(anna, 60, "2026-01-02", expires_at="2026-02-05 00:00")
    desk.gives(anna, 10, "2026-01-02")
    hold = desk.holds(anna, 70, "2026-02-01", lasts=TEN_DAYS)
    receipt = accepted(desk.releases(hold, "2026-02-08"))
    assert receipt.balances["points"] == Balance(available=10)
    expire = desk.entries(anna)[-1]
    assert (expire.kind, expire.occurred_at) == ("expire", at("2026-02-05 00:00"))
    assert expire.effective_at == at("2026-02-08"), "it takes effect when the points are there to expire"
    assert expire.accounting_date == day("2026-02-04")


def test_a_hold_ends_by_itself_however_late_the_sweep() -> None:
    desk = Desk()
    anna = desk.enrols()
    desk.gives(anna, 60, "2026-01-02")
    hold = desk.holds(anna, 60, "2026-02-01", lasts=TEN_DAYS)
    assert desk.member(anna).due_at == at("2026-02-11")
    desk.settles(anna, "2026-02-10 23:59")
    assert desk.hold(hold).status == "open"
    desk.settles(anna, "2026-05-01")
    assert told(desk.entries(anna))[-1] == ("release", "2026-02-11", 60)
    assert desk.hold(hold).status == "expired"
    assert desk.balance(anna) == Balance(available=60)


def test_a_lot_that_a_hold_gave_points_back_to_expires_once() -> None:
    """Both fall due in one sweep: what the lot has kept and what comes back are one expiry."""
    desk = Desk()
    anna = desk.enrols()
    desk.gives(anna, 100, "2026-01-02", expires_at="2026-03-01")
    desk.holds(anna, 30, "2026-02-01", lasts=days(1))
    desk.settles(anna, "2026-06-01")
    assert told(desk.entries(anna))[2:] == [("release", "2026-02-02", 30), ("expire", "2026-03-01", 100)]


def test_a_hold_that_ends_as_its_lots_expire_leaves_one_expiry_for_the_moment() -> None:
    desk = Desk()
    anna = desk.enrols()
    desk.gives(anna, 30, "2026-01-02", expires_at="2026-03-01")
    desk.gives(anna, 50, "2026-01-03", expires_at="2026-03-01")
    desk.holds(anna, 30, "2026-02-27", lasts=days(2))
    desk.settles(anna, "2026-06-01")
    assert told(desk.entries(anna))[3:] == [("release", "2026-03-01", 30), ("expire", "2026-03-01", 80)]


@pytest.mark.parametrize(
    ("grace", "when", "refusal"),
    [
        (0, "2026-02-01 12:09:59", None),
        (0, "2026-02-01 12:10", "hold_expired"),
        (2, "2026-02-01 12:10", None),
        (2, "2026-02-03 12:09:59", None),
        (2, "2026-02-03 12:10", "hold_expired"),
    ],
)
def test_after_its_end_a_hold_is_captured_within_the_grace_only(grace: int, when: str, refusal: str | None) -> None:
    desk = Desk(a_programme(hold_grace=days(grace)))
    anna = desk.enrols()
    desk.gives(anna, 60, "2026-01-02")
    hold = desk.holds(anna, 60, "2026-02-01")
    assert code_of(desk.captures(hold, when)) == refusal
    assert desk.book(anna).redeemed == (0 if refusal else 60)


def test_within_the_grace_the_points_must_suffice() -> None:
    desk = Desk(a_programme(hold_grace=days(2)))
    anna = desk.enrols()
    desk.gives(anna, 60, "2026-01-02")
    hold = desk.holds(anna, 60, "2026-02-01")
    desk.redeems(anna, 20, "2026-02-02")
    before = desk.book(anna)
    assert code_of(desk.captures(hold, "2026-02-02")) == "hold_expired"
    assert desk.book(anna) == before
    accepted(desk.captures(hold, "2026-02-02", points=40))
    assert code_of(desk.captures(hold, "2026-02-02")) == "hold_resolved"


def test_invariant_8_a_hold_is_resolved_once() -> None:
    desk = Desk()
    anna = desk.enrols()
    desk.gives(anna, 60, "2026-01-02")
    captured, released = desk.holds(anna, 10, "2026-02-01"), desk.holds(anna, 10, "2026-02-01")
    assert refused(desk.captures(captured, "2026-02-01", points=11)).facts == {"held": 10, "required": 11}
    accepted(desk.captures(captured, "2026-02-01"))
    accepted(desk.releases(released, "2026-02-01"))
    rows = dict(desk.state.rows)
    for hold in (captured, released):
        assert code_of(desk.captures(hold, "2026-02-01")) == "hold_resolved"
        assert code_of(desk.releases(hold, "2026-02-01")) == "hold_resolved"
    assert desk.state.rows == rows


def test_a_hold_needs_points_a_wallet_and_a_reference_of_its_own() -> None:
    desk = Desk()
    anna = desk.enrols()
    desk.gives(anna, 60, "2026-01-02")
    assert code_of(desk.holds(anna, 61, "2026-02-01")) == "insufficient_points"
    assert code_of(desk.holds(anna, 1, "2026-02-01", wallet="miles")) == "unknown_wallet"
    accepted(desk.holds(anna, 1, "2026-02-01", ref="H-1"))
    assert code_of(desk.holds(anna, 1, "2026-02-01", ref="H-1")) == "reference_taken"


def test_a_member_has_a_limited_number_of_open_holds() -> None:
    desk = Desk()
    anna = desk.enrols()
    desk.gives(anna, 1000, "2026-01-02")
    for _ in range(MOST_OPEN):
        accepted(desk.holds(anna, 1, "2026-02-01"))
    assert code_of(desk.holds(anna, 1, "2026-02-01")) == "too_many_holds"
    accepted(desk.holds(anna, 1, "2026-02-02"))


def test_what_a_release_gives_back_repays_debts_in_draw_order() -> None:
    desk = Desk(a_programme(a_wallet(), forced_sources=frozenset({"offline"})))
    anna = desk.enrols()
    desk.gives(anna, 50, "2026-01-02", expires_at="2026-06-01")
    desk.gives(anna, 50, "2026-01-02", expires_at="2026-12-01")
    hold = desk.holds(anna, 100, "2026-02-01")
    desk.owes(anna, 60, when="2026-02-01")
    accepted(desk.releases(hold, "2026-02-01"))
    assert desk.balance(anna) == Balance(available=40)
    assert [lot.remaining for lot in desk.lots(anna)] == [0, 40], "what expires first pays first"


def test_closing_releases_forfeits_and_lets_expire_what_expired_while_it_was_held() -> None:
    desk = Desk()
    anna = desk.enrols()
    desk.gives(anna, 30, "2026-01-02", expires_at="2026-02-05")
    desk.gives(anna, 50, "2026-01-02")
    desk.holds(anna, 40, "2026-02-01", lasts=TEN_DAYS)
    accepted(desk.closes(anna, "2026-02-08"))
    assert told(desk.entries(anna))[3:] == [
        ("release", "2026-02-08", 40),
        ("expire", "2026-02-08", 30),
        ("forfeit", "2026-02-08", 50),
    ]
    assert (desk.book(anna).expired, desk.book(anna).forfeited) == (30, 50)
    assert code_of(desk.closes(anna, "2026-02-09")) == "member_closed"
    assert code_of(desk.gives(anna, 1, "2026-02-09")) == "member_closed"
