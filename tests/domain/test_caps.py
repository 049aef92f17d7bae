"""What caps have let through is counted by member, cap and time."""

import pytest

from loyalty.domain.caps import CAP_USE, CapKey, key_of, room, use
from loyalty.domain.rules import Cap, CapPer
from loyalty.domain.state import State
from tests.makers import a_member_id, day

ANNA, BEN = a_member_id(1), a_member_id(2)
DAY = day("2026-05-05")
CAPS = [Cap(per.value, "points", 100, per) for per in CapPer]


@pytest.mark.parametrize(("per", "over"), [("day", "2026-05-05"), ("month", "2026-05"), ("member", "")])
def test_a_cap_counts_over_its_time(per: str, over: str) -> None:
    assert key_of(Cap("c", "points", 1, CapPer(per)), ANNA, DAY) == CapKey(ANNA, "c", over)


def test_a_cap_of_an_order_needs_no_memory() -> None:
    assert key_of(Cap("c", "points", 1, CapPer.ORDER), ANNA, DAY) is None
    assert "order" not in room(State(), CAPS, ANNA, DAY)


def test_what_was_earned_leaves_less_room_and_never_less_than_none() -> None:
    state = State()
    use(state, CAPS, ANNA, DAY, {"points": 60, "coins": 7})
    use(state, CAPS, ANNA, day("2026-05-06"), {"points": 30})
    use(state, CAPS, ANNA, DAY, {"points": 0})
    use(state, CAPS, ANNA, DAY, {"coins": 9})
    assert room(state, CAPS, ANNA, DAY) == {"day": 40, "month": 10, "member": 10}
    assert room(state, CAPS, ANNA, day("2026-06-01")) == {"day": 100, "month": 100, "member": 10}
    assert room(state, CAPS, BEN, DAY) == {"day": 100, "month": 100, "member": 100}
    use(state, CAPS, ANNA, DAY, {"points": 60})
    assert room(state, CAPS, ANNA, DAY) == {"day": 0, "month": 0, "member": 0}
    assert len(state.own(CAP_USE)) == 4
