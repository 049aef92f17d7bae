"""Reversals: what was taken back of an entry, and where a purchase has gone."""

from loyalty.domain.ids import EntryId, MemberId
from loyalty.domain.reversals import REVERSALS, Reversal, moved, reverse, reversed_of
from loyalty.domain.state import State

SALE, NEXT, ANNA = EntryId("1" * 32), EntryId("2" * 32), MemberId("a" * 32)


def test_nothing_has_been_taken_back_of_what_was_never_reversed() -> None:
    assert reversed_of(State(), SALE) == (0, {})


def test_where_a_purchase_has_gone_stays_kept() -> None:
    state = State()
    reverse(state, SALE, ANNA, 3, {"points": {"points": 3}})
    assert state.get(REVERSALS, SALE) == Reversal(SALE, ANNA, 3, '{"points":{"points":3}}', None)
    moved(state, SALE, to=NEXT)
    reverse(state, SALE, ANNA, 5, {"points": {"points": 5}})
    assert reversed_of(state, SALE) == (5, {"points": {"points": 5}})
    assert state.get(REVERSALS, SALE) == Reversal(SALE, ANNA, 5, '{"points":{"points":5}}', NEXT)
