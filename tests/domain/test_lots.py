"""Lots: the one draw order, and draws across them."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loyalty.domain.bounds import MAX_POINTS
from loyalty.domain.entries import Birth, Draw, Posting
from loyalty.domain.lots import (
    EVERYTHING,
    LOTS,
    OPEN_LOTS,
    Lot,
    LotState,
    all_open,
    draw_order,
    in_draw_order,
    known_lots,
    let_lapse,
    moved,
    open_lot,
    put_back,
    take,
)
from tests.makers import a_draft, a_lot, a_member_id, at


def test_the_draw_order_is_earliest_expiry_then_earliest_earned_then_id() -> None:
    in_order = [
        a_lot(number=9, expires="2026-06-01", earned="2026-05-01"),
        a_lot(number=8, expires="2026-07-01", earned="2026-02-01"),
        a_lot(number=2, expires="2026-07-01", earned="2026-03-01"),
        a_lot(number=3, expires="2026-07-01", earned="2026-03-01"),
        a_lot(number=1, expires=None, earned="2026-01-01"),
        a_lot(number=4, expires=None, earned="2026-01-02"),
    ]
    shuffled = random.Random(7).sample(in_order, len(in_order))
    assert sorted(shuffled, key=draw_order) == in_order


def lots_in(*points: int) -> list[Lot]:
    return [a_lot(p, number=n, expires=f"2026-0{n}-01") for n, p in enumerate(points, start=1)]


@pytest.mark.parametrize(
    ("wanted", "left"),
    [
        (0, [30, 20, 50]),
        (10, [20, 20, 50]),
        (30, [0, 20, 50]),
        (31, [0, 19, 50]),
        (99, [0, 0, 1]),
        (100, [0, 0, 0]),
    ],
)
def test_a_draw_empties_one_lot_before_it_touches_the_next(wanted: int, left: list[int]) -> None:
    lots = lots_in(30, 20, 50)
    draft = a_draft(*reversed(lots))
    draws = take(draft, in_draw_order(draft, a_member_id(1), "points"), wanted)
    after = [draft.get(LOTS, lot.id) for lot in lots]
    assert [lot.remaining for lot in after if lot] == left
    assert [d.points for d in draws] == [
        before.remaining - r for before, r in zip(lots, left, strict=True) if before.remaining - r
    ]


def test_lots_that_do_not_cover_the_draw_are_our_own_mistake() -> None:
    draft = a_draft(*lots_in(5))
    with pytest.raises(AssertionError, match="invariant 3"):
        take(draft, in_draw_order(draft, a_member_id(1), "points"), 6)


def test_only_available_lots_with_something_left_are_drawn() -> None:
    pending = a_lot(10, number=1, matures="2026-02-01", expires="2026-03-01")
    spent = a_lot(10, number=2, drawn=10, expires="2026-03-01")
    good = a_lot(10, number=3, expires="2026-04-01")
    elsewhere = a_lot(10, number=4, wallet="coins")
    draft = a_draft(pending, spent, good, elsewhere)
    assert in_draw_order(draft, a_member_id(1), "points") == [good]
    assert set(known_lots(draft, a_member_id(1), "points")) == {pending, good}


def test_a_lot_remains_what_was_not_drawn_or_was_put_back() -> None:
    lot = a_lot(100, drawn=70, restored=20)
    assert (lot.remaining, lot.lapsed) == (50, 0)


def test_a_lot_is_due_when_it_matures_and_then_when_it_expires() -> None:
    lot = a_lot(matures="2026-02-01", expires="2027-01-01")
    assert lot.due_at == at("2026-02-01")
    assert lot._replace(state=LotState.AVAILABLE.value).due_at == at("2027-01-01")
    assert a_lot().due_at is None


@given(points=st.lists(st.integers(1, 40), min_size=1, max_size=8), data=st.data())
def test_draws_take_exactly_what_was_asked_in_draw_order(points: list[int], data: st.DataObject) -> None:
    months = st.integers(1, 9)
    lots = [
        a_lot(p, number=n, expires=f"2026-0{data.draw(months)}-28", earned=f"2025-0{data.draw(months)}-01")
        for n, p in enumerate(points, start=1)
    ]
    wanted = data.draw(st.integers(0, sum(points)))
    draft = a_draft(*lots)
    draws = take(draft, in_draw_order(draft, a_member_id(1), "points"), wanted)
    assert sum(draw.points for draw in draws) == wanted
    drawn = [draw.lot_id for draw in draws]
    assert drawn == [lot.id for lot in sorted(lots, key=draw_order)][: len(drawn)]
    assert all(draft.get(LOTS, id_).remaining == 0 for id_ in drawn[:-1])  # type: ignore[union-attr]


def test_what_lapses_is_all_that_remains_and_is_counted() -> None:
    lot = a_lot(100, drawn=70, restored=20, lapsed=20)
    draft = a_draft(lot)
    assert let_lapse(draft, lot) == Draw(lot.id, "points", 50)
    after = draft.get(LOTS, lot.id)
    assert after == lot._replace(drawn=120, lapsed=70)
    assert after.remaining == 0


def test_points_go_back_to_the_lot_they_were_drawn_from() -> None:
    lot = a_lot(100, drawn=70, restored=20, expires="2026-06-01")
    draft = a_draft(lot)
    assert put_back(draft, lot.id, 30) == Draw(lot.id, "points", -30)
    assert draft.get(LOTS, lot.id) == lot._replace(restored=50)
    assert draft.get(OPEN_LOTS, (a_member_id(1), "points")) == (lot.id,), "it is listed once"


@pytest.mark.parametrize("others", [[], [a_lot(5, number=2)]])
def test_a_lot_that_was_spent_is_open_again_when_points_go_back(others: list[Lot]) -> None:
    spent = a_lot(100, number=1, drawn=100)
    draft = a_draft(*others)
    draft.put(LOTS, spent.id, spent)
    put_back(draft, spent.id, 40)
    assert [lot.remaining for lot in known_lots(draft, a_member_id(1), "points")] == [*(5 for _ in others), 40]


def test_all_open_lots_are_told_in_draw_order_pending_ones_too() -> None:
    first, second, third = (
        a_lot(10, number=3, expires="2026-03-01"),
        a_lot(10, number=1, matures="2026-02-01", expires="2026-04-01"),
        a_lot(10, number=2),
    )
    draft = a_draft(third, first, second, a_lot(10, number=4, drawn=10))
    assert all_open(draft, a_member_id(1), "points") == [first, second, third]


def test_what_moves_is_summed_by_wallet_and_funder() -> None:
    lots = [
        a_lot(10, number=1, funder="brand"),
        a_lot(20, number=2, drawn=5),
        a_lot(30, number=3, funder="brand"),
        a_lot(40, number=4, wallet="coins", funder="brand"),
    ]
    assert moved(lots, debit="available", credit="expired") == [
        Posting("points", "available", "expired", 40, "brand"),
        Posting("points", "available", "expired", 15, None),
        Posting("coins", "available", "expired", 40, "brand"),
    ]


def test_a_new_lot_is_listed_and_its_birth_says_what_never_changes() -> None:
    lot = a_lot(10, matures="2026-02-01", expires="2026-03-01", funder="brand")
    draft = a_draft(a_lot(1, number=2))
    assert open_lot(draft, lot) == Birth(
        lot.id, "points", 10, at("2026-01-01"), at("2026-02-01"), at("2026-03-01"), "brand"
    )
    assert lot in set(known_lots(draft, a_member_id(1), "points"))


def test_everything_is_more_than_a_book_can_hold_and_still_a_bigint() -> None:
    assert MAX_POINTS < EVERYTHING < 2**63
