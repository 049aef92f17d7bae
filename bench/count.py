"""A count: what was measured in one go."""

from typing import NamedTuple


class Count(NamedTuple):
    """`rate` is accruals, redemptions or reads a second: what the caller wants, not how it was packed."""

    rate: float
    median_ms: float
    p99_ms: float
    errors: int
    """Answers other than the one expected, connections lost, timeouts: one of them makes the count invalid."""
    note: str = ""
    cpu_us: float = 0.0
    """Processor time of one operation: client, server and Postgres together."""
    others_share: float = 0.0
    """How much of the machine others used meanwhile."""
    worst_ms: float = 0.0
    """The slowest answer, where it was looked at."""
