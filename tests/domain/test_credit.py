"""Credit to `available`: whose points repay a debt, and what is said of a hold that gives its points back."""

from collections.abc import Callable

import orjson
import pytest

from loyalty.domain.books import BOOKS, Book
from loyalty.domain.credit import repayment
from loyalty.domain.entries import NO_CAUSE, Because, Draw, Posting
from loyalty.domain.ids import MemberId
from loyalty.operations.door import Answer
from tests.makers import Desk, a_draft, a_lot, a_member_id, accepted, days


@pytest.mark.parametrize(
    ("owed", "paid"),
    [
        (0, []),
        (10, [(10, None)]),
        (30, [(30, None)]),
        (31, [(30, None), (1, "mall")]),
        (90, [(30, None), (50, "mall")]),
    ],
)
def test_a_debt_is_repaid_in_draw_order_and_each_part_by_who_funded_it(
    owed: int, paid: list[tuple[int, str | None]]
) -> None:
    last, first = a_lot(50, number=1, funder="mall"), a_lot(30, number=2, expires="2026-06-01")
    anna, draft = a_member_id(1), a_draft(last, first)
    draft.put(BOOKS, (anna, "points"), Book(available=80, owed=owed))
    postings, draws = repayment(draft, anna, [last, first])
    assert postings == [Posting("points", "available", "owed", points, funder) for points, funder in paid]
    ids = [first.id, last.id]
    assert draws == [Draw(id_, "points", points) for id_, (points, _) in zip(ids, paid, strict=False)]


def test_what_the_same_entry_forgives_of_a_debt_is_not_repaid() -> None:
    lot = a_lot(50)
    anna, draft = a_member_id(1), a_draft(lot)
    draft.put(BOOKS, (anna, "points"), Book(available=50, owed=30))
    for forgiven, paid in [(0, 30), (10, 20), (30, 0)]:
        _, draws = repayment(draft.over(), anna, [lot], forgiven=forgiven)
        assert [draw.points for draw in draws] == [paid] * bool(paid)


def by_itself(desk: Desk, anna: MemberId, hold: Answer) -> None:
    desk.settles(anna, "2026-03-01")


def at_the_till(desk: Desk, anna: MemberId, hold: Answer) -> None:
    desk.releases(hold, "2026-02-02")


def by_closing(desk: Desk, anna: MemberId, hold: Answer) -> None:
    desk.closes(anna, "2026-02-02")


@pytest.mark.parametrize(
    ("ends", "because"),
    [(by_itself, NO_CAUSE), (at_the_till, NO_CAUSE), (by_closing, Because(reason="asked to leave"))],
)
def test_a_release_says_which_hold_it_ended_and_why(
    ends: Callable[[Desk, MemberId, Answer], None], because: Because
) -> None:
    desk = Desk()
    anna = desk.enrols()
    desk.gives(anna, 60, "2026-01-02")
    hold = desk.holds(anna, 40, "2026-02-01", lasts=days(10))
    ends(desk, anna, hold)
    [release] = [entry for entry in desk.entries(anna) if entry.kind == "release"]
    assert orjson.loads(release.calculation or "") == {"of": accepted(hold).said.id}
    assert release.because == because
