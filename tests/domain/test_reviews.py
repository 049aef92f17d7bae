"""Review items: what somebody has to look at says what it is about, and nothing is known of it that nobody told."""

import pytest

from loyalty.domain.entries import NO_CAUSE, Because
from loyalty.domain.events import Event, EventType
from loyalty.domain.ids import ReviewId
from loyalty.domain.reviews import REVIEWS, Review, ReviewKind, open_review
from tests.makers import Desk, a_draft, a_member_id, a_programme, accepted, at

NOBODYS = Review(
    id=ReviewId("it"),
    kind="parked.lapsed",
    member_id=None,
    wallet=None,
    points=None,
    source="pos",
    reference="r1",
    opened_at=at("2026-02-01"),
    status="open",
    resolved_by=None,
    reason=None,
    resolved_at=None,
)
ANNAS = NOBODYS._replace(member_id=a_member_id(1), wallet="points", points=30)


@pytest.mark.parametrize("wanted", [NOBODYS, ANNAS, NOBODYS._replace(source="", reference="")])
def test_a_review_item_is_open_and_says_what_it_is_about(wanted: Review) -> None:
    draft = a_draft()
    open_review(
        draft,
        ReviewKind.LAPSED,
        "it",
        Because(wanted.source, wanted.reference) if wanted.source else NO_CAUSE,
        opened_at=wanted.opened_at,
        member_id=wanted.member_id,
        wallet=wanted.wallet,
        points=wanted.points,
    )
    assert draft.get(REVIEWS, wanted.id) == wanted


def test_a_review_item_is_of_no_member_and_of_no_points_unless_it_says_so() -> None:
    draft = a_draft()
    open_review(draft, ReviewKind.LAPSED, "it", Because("pos", "r1"), opened_at=NOBODYS.opened_at)
    assert draft.get(REVIEWS, NOBODYS.id) == NOBODYS


def test_what_was_not_covered_is_told_and_reviewed_as_recorded_with_its_entry() -> None:
    """Another process, whose clock is ahead, has written for the member before."""
    desk = Desk(a_programme(forced_sources=frozenset({"offline"})))
    anna = desk.enrols()
    desk.now = at("2026-02-01T10:00:05")
    accepted(desk.gives(anna, 10, "2026-02-01T10:00"))
    desk.now = at("2026-02-01T10:00:01")
    [spent] = accepted(desk.redeems(anna, 30, "2026-02-01T10:00", source="offline", forced=True)).entries
    [event] = [fact for fact in desk.state.facts if isinstance(fact, Event) and fact.type == EventType.NOT_COVERED]
    review = desk.state.get(REVIEWS, ReviewId(spent.id))
    assert review is not None
    assert review.opened_at == event.recorded_at == spent.recorded_at == at("2026-02-01T10:00:05")
