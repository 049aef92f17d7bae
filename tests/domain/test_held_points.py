"""Held points: which lots' points are redeemed and which come back, when only a part of a hold is captured."""

import pytest

from loyalty.domain.entries import Draw
from loyalty.domain.holds import give_back, parted
from loyalty.domain.lots import LOTS
from tests.makers import a_draft, a_lot

SOONER, LATER = a_lot(30, number=1, drawn=30, expires="2026-06-01"), a_lot(20, number=2, drawn=20, expires="2026-12-01")
HELD = (Draw(SOONER.id, "points", 30), Draw(LATER.id, "points", 20))

PARTS = pytest.mark.parametrize(
    ("points", "captured", "back"),
    [
        pytest.param(0, [], [20, 30], id="nothing: all of it comes back"),
        pytest.param(1, [1], [20, 29], id="a part of the lot that expires first"),
        pytest.param(30, [30], [20], id="that lot, to the point"),
        pytest.param(31, [30, 1], [19], id="and a part of the next"),
        pytest.param(50, [30, 20], [], id="all of it: nothing comes back"),
    ],
)


@PARTS
def test_what_was_drawn_first_is_captured_first(points: int, captured: list[int], back: list[int]) -> None:
    lots = [SOONER.id, LATER.id]
    assert parted(HELD, points) == [Draw(id_, "points", part) for id_, part in zip(lots, captured, strict=False)]


@PARTS
def test_what_was_drawn_last_comes_back_first(points: int, captured: list[int], back: list[int]) -> None:
    draft = a_draft(SOONER, LATER)
    lots = [LATER.id, SOONER.id]
    given = give_back(draft, HELD, 50 - points)
    assert given == [Draw(id_, "points", -part) for id_, part in zip(lots, back, strict=False)]
    after = [draft.get(LOTS, lot.id) for lot in (SOONER, LATER)]
    assert sum(lot.remaining for lot in after if lot) == 50 - points


def test_more_coming_back_than_was_drawn_is_our_own_mistake() -> None:
    with pytest.raises(AssertionError, match="than was drawn"):
        give_back(a_draft(SOONER, LATER), HELD, 51)
