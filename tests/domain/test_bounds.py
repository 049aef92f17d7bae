"""The published limits: moving one is a decision, not a slip."""

from loyalty.domain import bounds
from loyalty.domain.calendar import FOREVER
from loyalty.domain.holds import LONGEST, MOST_OPEN
from loyalty.domain.parked import MOST_WAITING
from loyalty.domain.programme import CLOCK_TOLERANCE
from loyalty.domain.returns import MOST_MOVES
from tests.makers import at, days


def test_the_limits_are_as_published() -> None:
    assert bounds.MAX_POINTS == 9_007_199_254_740_991
    assert bounds.MAX_LINES == 500
    assert bounds.MAX_QUANTITY == 1_000_000_000
    assert bounds.MAX_AMOUNT == 1_000_000_000_000
    assert (at("2000-01-01 00:00"), at("2200-01-01 00:00")) == (bounds.EARLIEST, bounds.LATEST)
    assert days(5 / 24 / 60) == CLOCK_TOLERANCE
    assert (days(30), 64) == (LONGEST, MOST_OPEN)
    assert (MOST_MOVES, MOST_WAITING) == (16, 100)


def test_for_ever_is_an_instant_after_all_that_the_ledger_takes() -> None:
    assert FOREVER > bounds.LATEST
