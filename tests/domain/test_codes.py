"""A code belongs to a step of half a minute; it, and all before it, are used up by one."""

from datetime import timedelta

import pytest

from loyalty.domain.codes import CODE_USE, STEP, moment_of, step_of, use_code
from loyalty.domain.refusals import CodeUsed
from loyalty.domain.state import State
from tests.makers import a_member_id, at

ANNA, BEN = a_member_id(1), a_member_id(2)


def test_time_goes_in_steps_of_half_a_minute() -> None:
    begins = at("2026-05-05 12:00")
    step = step_of(begins)
    assert moment_of(step) == begins
    assert step_of(begins + STEP - timedelta(microseconds=1)) == step
    assert step_of(begins + STEP) == step + 1
    assert timedelta(seconds=30) == STEP


def test_a_code_is_used_once_and_uses_up_those_before() -> None:
    state = State()
    use_code(state, ANNA, 7)
    for step in (6, 7):
        with pytest.raises(CodeUsed):
            use_code(state, ANNA, step)
    use_code(state, BEN, 7)
    use_code(state, ANNA, 8)
    assert state.get(CODE_USE, ANNA) == 8
