"""Member codes: what the app shows and the till scans. Each is good for a moment, and is used once."""

from datetime import UTC, datetime, timedelta
from typing import Final

from loyalty.domain.ids import MemberId
from loyalty.domain.refusals import CodeUsed
from loyalty.domain.state import Shelf, State

STEP: Final = timedelta(seconds=30)
"""How long the app shows a code."""
STEPS_AROUND: Final = 1
"""Steps before and after the present one whose codes are good too: it was just shown, or clocks differ."""
ONE_TIME_DIGITS: Final = 8

CODE_USE: Shelf[MemberId, int] = Shelf("use of member codes")
"""The step of the last code that was used: it, and all before it, are used up."""


def step_of(at: datetime) -> int:
    """The step that a moment lies in."""
    return int(at.timestamp() // STEP.total_seconds())


def moment_of(step: int) -> datetime:
    """When a step begins."""
    return datetime.fromtimestamp(step * STEP.total_seconds(), UTC)


def use_code(state: State, member_id: MemberId, step: int) -> None:
    """The member's code of a step is used. Raises CodeUsed: it, or a later one, was used before."""
    last = state.get(CODE_USE, member_id)
    if last is not None and step <= last:
        raise CodeUsed("This code, or a later one of the member, was used before; the app shows a new one soon.")
    state.put(CODE_USE, member_id, step)
