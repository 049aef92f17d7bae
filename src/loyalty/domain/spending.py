"""Whether the points suffice, said in one way."""

from loyalty.domain.books import book_of
from loyalty.domain.ids import MemberId
from loyalty.domain.refusals import InsufficientPoints
from loyalty.domain.state import State


def check_covered(state: State, member_id: MemberId, wallet: str, points: int) -> None:
    """Raises InsufficientPoints, saying what is available and what was required."""
    available = book_of(state, member_id, wallet).available
    if available < points:
        raise InsufficientPoints(
            f"The member has {available} points available; {points} are required.",
            available=available,
            required=points,
        )
