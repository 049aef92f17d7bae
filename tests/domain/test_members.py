"""Members: who may do what, and when they are looked at again."""

import pytest

from loyalty.domain.members import MEMBERS, watch, who_may_earn, who_may_spend
from loyalty.domain.refusals import MemberEarnsOnly
from loyalty.domain.settle import settle
from tests.makers import a_draft, a_lot, a_member_id, at

ANNA = a_member_id(1)


def test_who_may_earn_or_spend_is_the_member() -> None:
    draft = a_draft()
    assert who_may_earn(draft, ANNA) == who_may_spend(draft, ANNA) == draft.get(MEMBERS, ANNA)
    only_earns = a_draft(status="earn_only")
    assert who_may_earn(only_earns, ANNA).status == "earn_only"
    with pytest.raises(MemberEarnsOnly):
        who_may_spend(only_earns, ANNA)


def test_a_member_is_looked_at_again_at_the_earliest_moment() -> None:
    draft = a_draft()
    watch(draft, ANNA, None)
    assert draft.rows[MEMBERS, ANNA].due_at is None
    watch(draft, ANNA, at("2026-03-01"), None, at("2026-02-01"))
    assert draft.rows[MEMBERS, ANNA].due_at == at("2026-02-01")
    watch(draft, ANNA, at("2026-02-15"))
    assert draft.rows[MEMBERS, ANNA].due_at == at("2026-02-01")


def test_nothing_is_changed_for_a_member_of_whom_nothing_is_new() -> None:
    draft = a_draft(a_lot(expires="2026-06-01")).over()
    watch(draft, ANNA, None, at("2026-06-01"), at("2026-07-01"))
    settle(draft, ANNA, at("2026-05-31"))
    assert draft.rows == {}, "neither a look nor a settlement costs a row"
