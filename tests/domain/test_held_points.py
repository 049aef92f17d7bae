"""Held points: whose are redeemed and whose come back when a part of a hold is captured, and how long they are held."""

import pytest

from loyalty.domain.entries import Draw
from loyalty.domain.holds import MOST_OPEN, give_back, parted
from loyalty.domain.lots import LOTS
from tests.makers import Desk, a_draft, a_lot, accepted, at, refused

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


@pytest.mark.parametrize(
    ("status", "when", "seen"),
    [
        ("open", "2026-02-01 12:09:59", "open"),
        ("open", "2026-02-01 12:10", "expired"),
        ("open", "2026-03-01", "expired"),
        ("captured", "2026-02-01 12:00", "captured"),
        ("captured", "2026-03-01", "captured"),
        ("released", "2026-03-01", "released"),
    ],
)
def test_a_reader_sees_that_a_hold_has_ended_by_itself_before_anybody_settles(
    status: str, when: str, seen: str
) -> None:
    desk = Desk()
    anna = desk.enrols()
    desk.gives(anna, 60, "2026-01-02")
    hold = desk.hold(desk.holds(anna, 60, "2026-02-01 12:00"))._replace(status=status)
    assert hold.by(at(when)) == hold._replace(status=seen)


def test_who_holds_too_often_is_told_how_often_is_allowed() -> None:
    desk = Desk()
    anna = desk.enrols()
    desk.gives(anna, 1000, "2026-01-02")
    for _ in range(MOST_OPEN):
        accepted(desk.holds(anna, 1, "2026-02-01"))
    assert refused(desk.holds(anna, 1, "2026-02-01")).facts == {"maximum": MOST_OPEN}
