"""A sale that was credited to the wrong person goes to the right one, under the same receipt."""

from typing import Any

import pytest

from loyalty.domain.books import Balance, Book
from loyalty.domain.expiry import Expiry, Lifespan
from loyalty.domain.ladder import Ladder, Rung
from loyalty.domain.members import Status
from loyalty.domain.programme import Programme, Shortfall
from loyalty.domain.returns import MOST_MOVES
from loyalty.operations.returns import Returned
from tests.domain.test_returns import WALLETS, selling
from tests.makers import Desk, Part, a_programme, a_wallet, accepted, code_of, days, refused


def wrong_card(*lines: Part, programme: Programme | None = None) -> tuple[Desk, Any, Any, Any]:
    """A desk, Anna whose card was swiped, Ben who paid in January, and the purchase."""
    desk, anna, bought = selling(*(lines or (("1", 1, 100_00),)), programme=programme)
    return desk, anna, desk.enrols(), bought


def test_who_paid_has_the_points_and_who_did_not_has_exactly_nothing() -> None:
    desk, anna, ben, bought = wrong_card(("1", 1, 99_99), ("2", 2, 1), programme=a_programme(*WALLETS))
    earned = [desk.balance(anna, wallet.name) for wallet in WALLETS]
    moved = accepted(desk.reassigns(bought, ben, "2026-01-12"))
    assert [desk.balance(ben, wallet.name) for wallet in WALLETS] == earned
    assert all(desk.book(anna, wallet.name) == Book() for wallet in WALLETS)
    taken, given = moved.entries
    assert (taken.kind, taken.member_id, given.kind, given.member_id) == ("reassign", anna, "reassign", ben)
    assert (given.because.source, given.because.reference) == ("pos", bought.outcome.entries[0].because.reference)
    assert given.because.reason == "wrong card"


def test_points_keep_the_dates_of_the_purchase() -> None:
    wallet = a_wallet(pending=days(30), expiry=Expiry(Lifespan.MONTHS, 6))
    desk, anna, ben, bought = wrong_card(programme=a_programme(wallet))
    accepted(desk.reassigns(bought, ben, "2026-01-20"))
    [lost], [got] = desk.lots(anna), desk.lots(ben)
    assert (got.earned_at, got.matures_at, got.expires_at) == (lost.earned_at, lost.matures_at, lost.expires_at)
    assert desk.balance(ben) == Balance(pending=100)


def test_points_that_had_ripened_are_available_at_once() -> None:
    desk, _, ben, bought = wrong_card(programme=a_programme(a_wallet(pending=days(7))))
    accepted(desk.reassigns(bought, ben, "2026-01-17"))
    assert desk.balance(ben) == Balance(available=100)
    assert [entry.kind for entry in desk.entries(ben)] == ["reassign"]


def test_points_that_have_expired_since_expire_for_the_right_person_too() -> None:
    wallet = a_wallet(expiry=Expiry(Lifespan.MONTHS, 1))
    desk, anna, ben, bought = wrong_card(programme=a_programme(wallet))
    moved = accepted(desk.reassigns(bought, ben, "2026-04-01"))
    assert moved.said.points == {"points": 0}, "they had lapsed by themselves"
    assert desk.balance(anna) == desk.balance(ben) == Balance()
    assert [entry.kind for entry in desk.entries(ben)] == ["reassign", "expire"]


@pytest.mark.parametrize(
    ("policy", "said", "left"),
    [
        (Shortfall.OWED, Returned({"points": 100}, {"points": 30}, {"points": 0}), Balance(owed=30)),
        (Shortfall.WITHHELD, Returned({"points": 70}, {"points": 0}, {"points": 0}), Balance()),
        (Shortfall.WAIVED, Returned({"points": 70}, {"points": 0}, {"points": 0}), Balance()),
    ],
)
def test_what_was_spent_of_it_is_owed_or_waived_for_there_is_no_refund_to_withhold_it_from(
    policy: Shortfall, said: Returned, left: Balance
) -> None:
    desk, anna, ben, bought = wrong_card(programme=a_programme(a_wallet(), return_shortfall=policy))
    desk.redeems(anna, 30, "2026-01-11")
    assert accepted(desk.reassigns(bought, ben, "2026-01-12")).said == said
    assert (desk.balance(anna), desk.balance(ben)) == (left, Balance(available=100))


def test_only_what_has_not_come_back_is_reassigned_and_later_returns_follow_it() -> None:
    desk, anna, ben, bought = wrong_card(("1", 2, 60_00), ("2", 1, 40_50), programme=a_programme(a_wallet()))
    accepted(desk.returns(bought, "2026-01-11", ("1", 1, 30_00)))
    moved = desk.reassigns(bought, ben, "2026-01-12")
    assert (desk.balance(anna), desk.balance(ben)) == (Balance(), Balance(available=70))
    assert code_of(desk.returns(bought, "2026-01-13")) == "purchase_reassigned", "its finder follows it"
    assert refused(desk.returns(bought, "2026-01-13")).facts["entry"] == accepted(moved).entries[1].id
    assert code_of(desk.returns(moved, "2026-01-13", ("1", 2, 30_00))) == "exceeds_purchase"
    accepted(desk.returns(moved, "2026-01-13", ("1", 1, 30_00)))
    assert desk.balance(ben) == Balance(available=40)
    accepted(desk.returns(moved, "2026-01-13"))
    assert desk.book(ben) == Book()
    assert code_of(desk.reassigns(moved, anna, "2026-01-13")) == "exceeds_purchase", "nothing is left of it"


def test_a_line_that_came_back_before_is_not_unknown_afterwards() -> None:
    desk, _, ben, bought = wrong_card(("1", 2, 60_00), ("2", 1, 40_50), programme=a_programme(a_wallet()))
    accepted(desk.returns(bought, "2026-01-11", ("1", 2, 60_00)))
    moved = desk.reassigns(bought, ben, "2026-01-12")
    again = refused(desk.returns(moved, "2026-01-13", ("1", 1, 30_00)))
    assert (again.code, again.facts) == ("exceeds_purchase", {"line_id": "1", "quantity": 0, "amount": 0})
    assert code_of(desk.returns(moved, "2026-01-13", ("3", 1, 30_00))) == "unknown_line"
    accepted(desk.returns(moved, "2026-01-13"))
    assert desk.book(ben) == Book()


def test_the_purchase_counts_for_the_tier_of_who_made_it_in_the_year_it_was_made() -> None:
    ladder = Ladder((Rung("member", 0), Rung("silver", 100_00)))
    desk, anna, ben, bought = wrong_card(programme=a_programme(a_wallet(), ladder=ladder))
    assert desk.member(anna).tier == "silver"
    moved = desk.reassigns(bought, ben, "2027-02-01")
    assert (desk.member(anna).tier, desk.member(ben).tier) == ("silver", "silver"), "tiers fall at their next review"
    assert desk.member(ben).tier_until == desk.member(anna).tier_until
    desk.settles(anna, "2028-01-02")
    assert desk.member(anna).tier == "member"
    back = desk.reassigns(moved, anna, "2027-03-01")
    accepted(desk.returns(back, "2027-03-02"))


def test_it_goes_back_and_forth_but_not_for_ever() -> None:
    desk, anna, ben, bought = wrong_card(programme=a_programme(a_wallet()))
    for number in range(MOST_MOVES):
        bought = desk.reassigns(bought, (ben, anna)[number % 2], "2026-01-12")
        accepted(bought)
    assert (desk.balance(anna), desk.balance(ben)) == (Balance(available=100), Balance())
    assert code_of(desk.reassigns(bought, ben, "2026-01-12")) == "reassigned_too_often"


@pytest.mark.parametrize(
    ("status", "anna_may", "ben_may"), [(Status.FROZEN, True, False), (Status.EARN_ONLY, True, True)]
)
def test_a_sale_is_taken_from_anybody_and_given_to_who_may_earn(status: Status, anna_may: bool, ben_may: bool) -> None:
    for whose, may in (("anna", anna_may), ("ben", ben_may)):
        desk, anna, ben, bought = wrong_card(programme=a_programme(a_wallet()))
        desk.changes({"anna": anna, "ben": ben}[whose], status=status.value)
        assert (code_of(desk.reassigns(bought, ben, "2026-01-12")) is None) is may


def test_a_closed_member_loses_a_sale_and_owes_nothing() -> None:
    desk, anna, ben, bought = wrong_card(programme=a_programme(a_wallet()))
    desk.redeems(anna, 30, "2026-01-11")
    accepted(desk.closes(anna, "2026-01-11"))
    accepted(desk.reassigns(bought, ben, "2026-01-12"))
    assert (desk.balance(anna), desk.balance(ben)) == (Balance(), Balance(available=100))
    accepted(desk.closes(ben, "2026-01-12"))
    assert code_of(desk.reassigns(bought, ben, "2026-01-12")) == "member_closed"


def test_what_cannot_be_reassigned() -> None:
    desk, anna, ben, bought = wrong_card(("1", 2, 100_00), programme=a_programme(a_wallet()))
    assert code_of(desk.reassigns(desk.gives(anna, 5, "2026-01-11"), ben, "2026-01-12")) == "not_a_purchase"
    assert code_of(desk.reassigns(bought, anna, "2026-01-12")) == "same_member"
    reserved = desk.reserves(bought, "2026-01-12", ("1", 1, 10_00))
    assert code_of(desk.reassigns(bought, ben, "2026-01-12")) == "return_reserved"
    accepted(desk.cancels(reserved, "2026-01-12"))
    accepted(desk.reassigns(bought, ben, "2026-01-12", ref="X-1"))
    assert code_of(desk.reassigns(bought, ben, "2026-01-12", ref="X-1")) == "reference_taken"
    assert code_of(desk.reassigns(bought, ben, "2026-01-12")) == "purchase_reassigned"


def test_it_repays_what_the_right_person_owes() -> None:
    desk, _, ben, bought = wrong_card(programme=a_programme(a_wallet()))
    desk.owes(ben, 30)
    accepted(desk.reassigns(bought, ben, "2026-01-12"))
    assert desk.balance(ben) == Balance(available=70)
