"""Returns: what a purchase earned is taken back, cumulatively; what cannot be taken is owed, withheld or waived."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loyalty.domain.books import Balance, Book
from loyalty.domain.expiry import Expiry, Lifespan
from loyalty.domain.programme import Programme, Shortfall
from loyalty.operations.returns import Returned
from tests.makers import Desk, Part, a_programme, a_wallet, accepted, code_of, days, refused

WALLETS = (a_wallet("points", unit=7), a_wallet("coins", points=3, unit=200), a_wallet("stars", unit=1_000))


def selling(*lines: Part, programme: Programme | None = None) -> tuple[Desk, Any, Any]:
    """A desk, a member, and a purchase of the lines in January."""
    desk = Desk(programme)
    anna = desk.enrols()
    return desk, anna, desk.buys(anna, 0, "2026-01-10", lines=lines)


def test_a_full_return_leaves_exactly_nothing() -> None:
    desk, anna, bought = selling(("1", 1, 99_99), ("2", 2, 1), programme=a_programme(*WALLETS))
    accepted(desk.returns(bought, "2026-01-20"))
    assert all(desk.book(anna, wallet.name) == Book() for wallet in WALLETS)
    assert desk.steps(anna) == []


@given(
    lines=st.lists(st.integers(1, 9_999), min_size=1, max_size=3),
    cuts=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4_000)), max_size=8),
    spent=st.integers(0, 4),
    expires=st.booleans(),
    others=st.integers(0, 800),
)
def test_many_small_returns_take_what_one_big_return_takes(
    lines: list[int], cuts: list[tuple[int, int]], spent: int, expires: bool, others: int
) -> None:
    """Whatever the parts are, in every wallet, with points spent and expired in between."""
    left = dict(enumerate(lines))
    parts = []
    for place, amount in cuts:
        if part := min(amount, left.get(place, 0)):
            left[place] -= part
            parts.append((str(place), 0, part))
    parts += [(str(place), 1, amount) for place, amount in left.items()]

    def fate(at_once: bool) -> list[Balance]:
        desk, anna, bought = selling(
            *((str(place), 1, amount) for place, amount in enumerate(lines)), programme=a_programme(*WALLETS)
        )
        if others:
            desk.gives(anna, others, "2026-01-11", expires_at="2026-03-01" if expires else "2027-01-01")
        if spent:
            desk.redeems(anna, max(1, desk.balance(anna).available * spent // 4), "2026-01-12")
        if expires:
            desk.settles(anna, "2026-04-01")
        for part in [] if at_once else parts:
            accepted(desk.returns(bought, "2026-04-02", part))
        if at_once:
            accepted(desk.returns(bought, "2026-04-02"))
        assert code_of(desk.returns(bought, "2026-04-03")) == "exceeds_purchase", "nothing is left to come back"
        return [desk.balance(anna, wallet.name) for wallet in WALLETS]

    assert fate(at_once=False) == fate(at_once=True)


def test_a_return_takes_the_purchases_own_points_first_even_pending_ones_then_others_in_draw_order() -> None:
    desk, anna, bought = selling(("1", 1, 100_00), programme=a_programme(a_wallet(pending=days(30))))
    desk.gives(anna, 40, "2026-01-11", expires_at="2026-12-01")
    desk.gives(anna, 40, "2026-01-11", expires_at="2026-06-01")
    desk.gives(anna, 40, "2026-01-11", pending_until="2026-05-01")
    accepted(desk.returns(bought, "2026-01-12", ("1", 0, 30_00)))
    assert desk.balance(anna) == Balance(pending=110, available=80), "the purchase's own are enough"
    desk.settles(anna, "2026-02-09")
    desk.redeems(anna, 100, "2026-02-10")
    assert desk.balance(anna) == Balance(pending=40, available=50)
    accepted(desk.returns(bought, "2026-02-11", ("1", 0, 45_00)))
    assert desk.balance(anna) == Balance(pending=40, available=5), "never another's pending points"
    accepted(desk.returns(bought, "2026-02-12"))
    assert desk.balance(anna) == Balance(pending=40, owed=20)


@pytest.mark.parametrize(
    ("policy", "said", "after"),
    [
        (Shortfall.OWED, Returned({"points": 100}, {"points": 70}, {"points": 0}), Balance(held=60, owed=70)),
        (Shortfall.WITHHELD, Returned({"points": 30}, {"points": 0}, {"points": 70}), Balance(held=60)),
        (Shortfall.WAIVED, Returned({"points": 30}, {"points": 0}, {"points": 0}), Balance(held=60)),
    ],
)
def test_a_shortfall_is_owed_withheld_or_waived_and_open_holds_are_never_touched(
    policy: Shortfall, said: Returned, after: Balance
) -> None:
    desk, anna, bought = selling(("1", 1, 100_00), programme=a_programme(return_shortfall=policy))
    desk.holds(anna, 60, "2026-01-11", lasts=days(20))
    desk.redeems(anna, 10, "2026-01-11")
    assert accepted(desk.returns(bought, "2026-01-12")).said == said
    assert desk.balance(anna) == after
    desk.settles(anna, "2026-02-12")
    assert desk.balance(anna) == (Balance(owed=10) if after.owed else Balance(available=60)), "a release repays"


def test_what_expired_of_the_purchase_is_not_taken_again() -> None:
    desk, anna, bought = selling(("1", 1, 100_00), programme=a_programme(a_wallet(expiry=Expiry(Lifespan.MONTHS, 1))))
    desk.redeems(anna, 60, "2026-01-11")
    desk.gives(anna, 500, "2026-01-12", expires_at="2027-01-01")
    desk.settles(anna, "2026-03-01")
    accepted(desk.returns(bought, "2026-03-02"))
    assert desk.balance(anna) == Balance(available=440), "40 are over; the 60 that were spent come out of others"


def test_what_was_forfeited_is_not_taken_again_and_who_has_closed_owes_nothing() -> None:
    desk, anna, bought = selling(("1", 1, 100_00))
    desk.redeems(anna, 60, "2026-01-11")
    accepted(desk.closes(anna, "2026-01-12"))
    accepted(desk.returns(bought, "2026-01-13"))
    assert desk.balance(anna) == Balance()


@pytest.mark.parametrize(
    ("parts", "refusal"),
    [
        ([("3", 1, 1)], "unknown_line"),
        ([("1", 3, 1)], "exceeds_purchase"),
        ([("1", 1, 100_01)], "exceeds_purchase"),
        ([("1", 1, 60_00), ("1", 1, 60_00)], "exceeds_purchase"),
    ],
)
def test_more_than_was_bought_does_not_come_back(parts: list[Part], refusal: str) -> None:
    desk, _, bought = selling(("1", 2, 100_00), ("2", 1, 5_00))
    rows = dict(desk.state.rows)
    assert code_of(desk.returns(bought, "2026-01-11", *parts)) == refusal
    assert desk.state.rows == rows


def test_what_was_returned_does_not_come_back_again() -> None:
    desk, _, bought = selling(("1", 2, 100_00), ("2", 1, 5_00))
    accepted(desk.returns(bought, "2026-01-11", ("1", 2, 100_00)))
    said = refused(desk.returns(bought, "2026-01-12", ("1", 0, 1)))
    assert said.facts == {"line_id": "1", "quantity": 0, "amount": 0}
    accepted(desk.returns(bought, "2026-01-12"))
    rows = dict(desk.state.rows)
    assert code_of(desk.returns(bought, "2026-01-13", ref="fresh")) == "exceeds_purchase"
    assert desk.state.rows == rows


def test_only_a_purchase_is_returned() -> None:
    desk, anna, _ = selling(("1", 2, 100_00))
    assert code_of(desk.returns(desk.gives(anna, 5, "2026-01-11"), "2026-01-12")) == "not_a_purchase"
