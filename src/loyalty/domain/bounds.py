"""How large the things of one fact may be, whichever way the fact comes in."""

from datetime import UTC, datetime
from typing import Final

MAX_POINTS: Final = 2**53 - 1
"""The largest amount of points, or of minor currency units, that survives every JSON reader."""
MAX_LINES: Final = 500
"""Most lines of one order."""
MAX_QUANTITY: Final = 10**9
MAX_AMOUNT: Final = 10**12
"""Most minor units of the currency on one line."""
MOST_TAGS: Final = 16
"""Most tags of a member."""
EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)
"""Times lie from `EARLIEST` up to, but not including, `LATEST`."""
