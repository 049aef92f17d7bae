"""Returns in two steps: what a return will take is held until it is confirmed, cancelled or has ended."""

from typing import Any

import pytest

from loyalty.domain.books import Balance, Book
from loyalty.domain.holds import MOST_OPEN
from loyalty.domain.programme import Programme, Shortfall
from loyalty.operations.returns import Returned
from tests import laws
from tests.domain.test_returns import WALLETS, selling
from tests.makers import Desk, a_programme, a_wallet, accepted, code_of, days, refused, told


def in_one_wallet(*, pending: int = 0, **settings: Any) -> Programme:
    return a_programme(a_wallet(pending=days(pending)), **settings)


def test_what_is_reserved_cannot_be_spent_and_is_gone_once_confirmed() -> None:
    desk, anna, bought = selling(("1", 1, 100_00), programme=in_one_wallet())
    reserved = desk.reserves(bought, "2026-01-20T10:00", ("1", 0, 60_00))
    assert accepted(reserved).said.returned == Returned({"points": 60}, {"points": 0}, {"points": 0})
    assert desk.balance(anna) == Balance(available=40, held=60)
    assert code_of(desk.redeems(anna, 41, "2026-01-20T10:01")) == "insufficient_points"
    assert accepted(desk.confirms(reserved, "2026-01-20T10:05")).said.returned.points == {"points": 60}
    assert desk.balance(anna) == Balance(available=40)
    assert [kind for kind, _, _ in told(desk.entries(anna))] == ["earn", "reserve", "return"]


def test_a_cancelled_one_leaves_everything_where_it_was_and_may_be_asked_for_again() -> None:
    desk, anna, bought = selling(("1", 1, 100_00), ("2", 3, 5_01), programme=a_programme(*WALLETS))
    before = [desk.balance(anna, wallet.name) for wallet in WALLETS]
    accepted(desk.cancels(desk.reserves(bought, "2026-01-11"), "2026-01-11"))
    assert [desk.balance(anna, wallet.name) for wallet in WALLETS] == before
    again = desk.reserves(bought, "2026-01-12")
    accepted(desk.confirms(again, "2026-01-12"))
    assert all(desk.book(anna, wallet.name) == Book() for wallet in WALLETS), "exactly nothing is left"


def test_pending_points_are_reserved_too_and_ripen_late_when_they_come_back() -> None:
    desk, anna, bought = selling(("1", 1, 100_00), programme=in_one_wallet(pending=30))
    reserved = desk.reserves(bought, "2026-01-20", lasts=days(30))
    assert desk.balance(anna) == Balance(held=100)
    desk.settles(anna, "2026-02-15")
    assert desk.balance(anna) == Balance(held=100), "they would have ripened on 9 February"
    accepted(desk.cancels(reserved, "2026-02-16"))
    assert desk.balance(anna) == Balance(available=100)
    kinds = [(e.kind, e.occurred_at.date().isoformat()) for e in desk.entries(anna)][-2:]
    assert kinds == [("release", "2026-02-16"), ("mature", "2026-02-09")]
    assert [(p.debit, p.credit) for p in desk.entries(anna)[-2].postings] == [("held", "pending")]


def test_a_reservation_ends_by_itself_and_cannot_be_confirmed_any_more() -> None:
    desk, anna, bought = selling(("1", 1, 100_00), programme=in_one_wallet())
    reserved = desk.reserves(bought, "2026-01-20T10:00")
    desk.settles(anna, "2026-01-20T10:10")
    assert desk.balance(anna) == Balance(available=100)
    for outcome in (desk.confirms(reserved, "2026-01-20T10:11"), desk.cancels(reserved, "2026-01-20T10:12")):
        assert code_of(outcome) == "reservation_expired"
        assert refused(outcome).facts["expires_at"].isoformat() == "2026-01-20T10:10:00+00:00"


@pytest.mark.parametrize("first", ["confirms", "cancels"])
@pytest.mark.parametrize("second", ["confirms", "cancels"])
def test_a_reservation_is_resolved_once(first: str, second: str) -> None:
    desk, anna, bought = selling(("1", 1, 100_00), programme=in_one_wallet())
    reserved = desk.reserves(bought, "2026-01-20")
    accepted(getattr(desk, first)(reserved, "2026-01-20"))
    before = desk.entries(anna)
    assert code_of(getattr(desk, second)(reserved, "2026-01-20")) == "reservation_resolved"
    assert desk.entries(anna) == before


def test_what_is_reserved_is_not_left_for_other_returns_of_the_purchase() -> None:
    desk, anna, bought = selling(("1", 2, 1_50), ("2", 1, 50), programme=in_one_wallet())
    assert desk.balance(anna).available == 2
    reserved = desk.reserves(bought, "2026-01-20", ("1", 1, 1_00))
    assert code_of(desk.returns(bought, "2026-01-20", ("1", 1, 1_51))) == "exceeds_purchase"
    assert code_of(desk.returns(bought, "2026-01-20", ("1", 1, 51))) == "return_reserved", "it may be given up"
    assert code_of(desk.reserves(bought, "2026-01-20", ("1", 2, 50))) == "return_reserved"
    rest = accepted(desk.returns(bought, "2026-01-20"))
    assert rest.said.points == {"points": 1}
    accepted(desk.confirms(reserved, "2026-01-20"))
    assert desk.book(anna) == Book()


@pytest.mark.parametrize("confirmed", [0, 1])
@pytest.mark.parametrize("lines", [10, 60])
def test_whichever_are_confirmed_they_take_what_one_return_of_them_would(lines: int, confirmed: int) -> None:
    """Half a point each: what one of them takes depends on the others, and is settled when it is confirmed."""
    programme = in_one_wallet()
    desk, anna, bought = selling(*((str(n), 1, 50) for n in range(lines)), programme=programme)
    reserved = [desk.reserves(bought, "2026-01-20", (str(n), 1, 50)) for n in range(lines)]
    for place, one in enumerate(reserved):
        accepted((desk.confirms if place % 2 == confirmed else desk.cancels)(one, "2026-01-20T00:05"))
    at_once, ben, same = selling(*((str(n), 1, 50) for n in range(lines)), programme=programme)
    accepted(at_once.returns(same, "2026-01-20", *((str(n), 1, 50) for n in range(lines) if n % 2 == confirmed)))
    assert desk.balance(anna) == at_once.balance(ben)
    accepted(desk.returns(bought, "2026-01-21"))
    assert desk.book(anna) == Book()


def test_after_a_cancelled_one_the_next_return_makes_good_for_the_rounding() -> None:
    desk, anna, bought = selling(("1", 2, 1_50), ("2", 1, 50), programme=in_one_wallet())
    reserved = desk.reserves(bought, "2026-01-20", ("1", 1, 1_00))
    accepted(desk.returns(bought, "2026-01-20", ("2", 1, 50)))
    accepted(desk.cancels(reserved, "2026-01-20"))
    accepted(desk.returns(bought, "2026-01-21"))
    assert desk.book(anna) == Book()


@pytest.mark.parametrize(("pending", "left"), [(0, Balance(owed=30)), (30, Balance(pending=15, owed=45))])
def test_what_was_held_beyond_need_repays_a_debt_when_it_can_be_spent(pending: int, left: Balance) -> None:
    """Every other of sixty halves of a point holds a whole one; those thirty alone are worth fifteen."""
    lines = [str(number) for number in range(60)]
    desk, anna, bought = selling(*((line, 1, 50) for line in lines), programme=in_one_wallet(pending=pending))
    reserved = [desk.reserves(bought, "2026-01-20", (line, 1, 50)) for line in lines]
    assert desk.balance(anna).held == 30
    desk.owes(anna, 45, when="2026-01-20")
    for place, one in enumerate(reserved):
        accepted((desk.cancels if place % 2 else desk.confirms)(one, "2026-01-20"))
    assert desk.balance(anna) == left
    laws.check(laws.of_state(desk.programme, desk.state))


@pytest.mark.parametrize(
    ("policy", "foretold", "confirmed", "left"),
    [
        # 30 of 100 points were spent, 20 come in between: only a debt is made good with them
        (Shortfall.OWED, Returned({"points": 100}, {"points": 30}, {"points": 0}), (100, 10, 0), Balance(owed=10)),
        (
            Shortfall.WITHHELD,
            Returned({"points": 70}, {"points": 0}, {"points": 30}),
            (70, 0, 30),
            Balance(available=20),
        ),
        (Shortfall.WAIVED, Returned({"points": 70}, {"points": 0}, {"points": 0}), (70, 0, 0), Balance(available=20)),
    ],
)
def test_what_the_points_do_not_cover_is_foretold_and_settled_when_confirmed(
    policy: Shortfall, foretold: Returned, confirmed: tuple[int, int, int], left: Balance
) -> None:
    desk, anna, bought = selling(("1", 1, 100_00), programme=in_one_wallet(return_shortfall=policy))
    desk.redeems(anna, 30, "2026-01-11")
    reserved = desk.reserves(bought, "2026-01-20")
    assert accepted(reserved).said.returned == foretold
    desk.gives(anna, 20, "2026-01-20")
    points, owed, withheld = (({"points": n}) for n in confirmed)
    assert accepted(desk.confirms(reserved, "2026-01-20")).said.returned == Returned(points, owed, withheld)
    assert desk.balance(anna) == left


@pytest.mark.parametrize(
    ("told", "since", "left"),
    [
        (Shortfall.WITHHELD, Shortfall.OWED, Balance()),
        (Shortfall.WAIVED, Shortfall.OWED, Balance()),
        (Shortfall.OWED, Shortfall.WITHHELD, Balance(owed=30)),
    ],
)
def test_what_the_till_was_told_of_a_shortfall_stays_true_when_the_setting_changes(
    told: Shortfall, since: Shortfall, left: Balance
) -> None:
    """The money was refunded accordingly: who was paid less does not owe the points too."""
    desk, anna, bought = selling(("1", 1, 100_00), programme=in_one_wallet(return_shortfall=told))
    desk.redeems(anna, 30, "2026-01-11")
    reserved = desk.reserves(bought, "2026-01-20")
    desk.programme = desk.programme._replace(return_shortfall=since)
    said = accepted(desk.confirms(reserved, "2026-01-20")).said.returned
    assert said == accepted(reserved).said.returned
    assert desk.balance(anna) == left


def test_a_return_of_nothing_is_reserved_too() -> None:
    desk, anna, bought = selling(("1", 1, 99), programme=in_one_wallet())
    reserved = desk.reserves(bought, "2026-01-20")
    assert desk.balance(anna) == Balance()
    assert code_of(desk.returns(bought, "2026-01-20")) == "return_reserved"
    accepted(desk.confirms(reserved, "2026-01-20"))
    assert code_of(desk.returns(bought, "2026-01-20")) == "exceeds_purchase"


def test_closing_gives_a_reservation_up_and_forfeits_its_points() -> None:
    desk, anna, bought = selling(("1", 1, 100_00), programme=in_one_wallet(pending=30))
    reserved = desk.reserves(bought, "2026-01-20")
    assert accepted(desk.closes(anna, "2026-01-20")).said == {"points": 100}
    assert code_of(desk.confirms(reserved, "2026-01-20")) == "reservation_resolved"


def test_reservations_count_among_the_holds_of_a_member() -> None:
    desk, anna, bought = selling(("1", 100, 100_00), programme=in_one_wallet())
    for _ in range(MOST_OPEN):
        accepted(desk.reserves(bought, "2026-01-20", ("1", 1, 0)))
    assert code_of(desk.reserves(bought, "2026-01-20", ("1", 1, 0))) == "too_many_holds"
    assert code_of(desk.holds(anna, 1, "2026-01-20")) == "too_many_holds"


def test_its_reference_is_that_of_a_return() -> None:
    desk, _, bought = selling(("1", 2, 100_00), programme=in_one_wallet())
    accepted(desk.reserves(bought, "2026-01-20", ("1", 1, 0), ref="R-1"))
    assert code_of(desk.returns(bought, "2026-01-20", ("1", 1, 0), ref="R-1")) == "reference_taken"


def test_only_a_purchase_can_be_reserved() -> None:
    desk = Desk()
    anna = desk.enrols()
    given = desk.gives(anna, 100, "2026-01-10")
    assert code_of(desk.reserves(given, "2026-01-20")) == "not_a_purchase"


def test_tills_withhold_no_more_than_the_purchase_earned_however_it_is_cut() -> None:
    """They refund between reserving and confirming: what they were told to withhold is kept from the customer."""
    desk = Desk(in_one_wallet(return_shortfall=Shortfall.WITHHELD))
    anna = desk.enrols()
    sale = desk.buys(anna, 0, "2026-01-10", lines=[(str(n), 1, 50) for n in range(20)])
    accepted(desk.redeems(anna, 10, "2026-01-11"))
    reserved = [desk.reserves(sale, "2026-01-12", (str(n), 1, 50)) for n in range(20)]
    assert sum(accepted(one).said.returned.withheld["points"] for one in reserved) == 10
    assert sum(accepted(desk.confirms(one, "2026-01-12")).said.returned.withheld["points"] for one in reserved) == 10
