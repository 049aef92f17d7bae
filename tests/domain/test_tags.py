"""Tags: a set of words, each change of it a fact; rules tell members apart by them."""

import orjson
import pytest

from loyalty.domain.bounds import MOST_TAGS
from loyalty.domain.ids import MemberId
from loyalty.domain.members import Status
from loyalty.domain.refusals import MemberClosed, MemberNotFound, TooManyTags
from loyalty.domain.rules import Base, Bonus, Exclusion, RuleSet
from loyalty.domain.tags import TagChange, set_tags, tags_of
from loyalty.operations.door import Answer
from loyalty.operations.tag import SetTags
from tests.makers import Desk, a_draft, a_member_id, a_programme, accepted, at, refused

NO_STAFF = Exclusion("staff", None, "'staff' in member.tags")
RULES = RuleSet("1" * 32, 1, at("2025-01-01"), (Base("base", "points", 1, 100), NO_STAFF))


def tags(desk: Desk, member_id: MemberId, *words: str, when: str = "2026-02-01") -> Answer:
    return desk.does(SetTags(member_id, words, "on the list", "desk"), at(when))


def changes(desk: Desk) -> list[TagChange]:
    return [fact for fact in desk.state.facts if isinstance(fact, TagChange)]


def test_tags_are_set_as_a_whole_and_every_change_is_kept() -> None:
    desk = Desk()
    anna = desk.enrols()
    assert accepted(tags(desk, anna, "staff", "press", "staff")).said.tags == ("press", "staff")
    assert accepted(tags(desk, anna, "staff")).said.tags == ("staff",)
    assert accepted(tags(desk, anna)).said.tags == ()
    kept = [(one.number, one.tags, one.reason, one.changed_by) for one in changes(desk)]
    assert kept == [
        (1, ("press", "staff"), "on the list", "desk"),
        (2, ("staff",), "on the list", "desk"),
        (3, (), "on the list", "desk"),
    ]


def test_a_change_is_told_under_its_own_id_and_what_is_so_already_is_no_change() -> None:
    desk = Desk()
    anna = desk.enrols()
    for _ in range(2):
        accepted(tags(desk, anna, "staff"))
    [change] = changes(desk)
    [event] = [fact for fact in desk.state.facts if getattr(fact, "type", None) == "member.tags_changed"]
    assert (event.id, event.member_id, event.recorded_at) == (change.id, anna, change.changed_at)


def test_a_member_has_as_many_tags_as_there_may_be_and_no_more() -> None:
    draft = a_draft()
    anna = a_member_id(1)
    words = [f"t{number}" for number in range(MOST_TAGS + 1)]
    with pytest.raises(TooManyTags):
        set_tags(draft, anna, words, reason=None, by=None)
    assert tags_of(draft, anna) == ()


def test_who_has_left_or_never_was_has_no_tags() -> None:
    desk = Desk()
    anna = desk.enrols()
    desk.changes(anna, status=Status.CLOSED.value)
    assert isinstance(refused(tags(desk, anna, "staff")), MemberClosed)
    assert isinstance(refused(tags(desk, a_member_id(9), "staff")), MemberNotFound)


def test_staff_earns_nothing_and_the_calculation_says_that_it_was_staff() -> None:
    desk = Desk(a_programme(rule_sets=(RULES,)))
    anna, ben = desk.enrols(), desk.enrols()
    accepted(tags(desk, anna, "staff"))
    assert accepted(desk.buys(anna, 10_000, "2026-03-01")).said.points == {"points": 0}
    assert accepted(desk.buys(ben, 10_000, "2026-03-01")).said.points == {"points": 100}
    kept = [orjson.loads(desk.entries(one)[-1].calculation or "")["facts"]["values"] for one in (anna, ben)]
    assert kept == [{"member.tags": ["staff"]}, {"member.tags": []}]


def test_a_return_goes_by_the_tags_of_the_purchase() -> None:
    bonus = Bonus("press", "points", 50, "'press' in member.tags")
    rules = RuleSet("1" * 32, 1, at("2025-01-01"), (Base("base", "points", 1, 100), bonus))
    desk = Desk(a_programme(rule_sets=(rules,)))
    anna = desk.enrols()
    accepted(tags(desk, anna, "press"))
    sale = desk.buys(anna, 10_000, "2026-03-01")
    accepted(tags(desk, anna, when="2026-03-02"))
    accepted(desk.returns(sale, "2026-03-03", ("1", 0, 5_000)))
    assert desk.balance(anna).available == 100
    accepted(desk.buys(anna, 10_000, "2026-03-04"))
    assert desk.balance(anna).available == 200
