"""Old replays: answers older than the published time are deleted, a bounded batch at a time."""

from datetime import UTC, datetime, timedelta

from loyalty.domain.programme import Programme
from loyalty.store.cleaning import Cleaner

BATCH = 5_000
"""Replays deleted in one transaction."""


async def delete_old_replays(cleaner: Cleaner, programme: Programme, *, days: int) -> int:
    """Delete the programme's replays that are older than `days`; how many there were."""
    before = datetime.now(UTC) - timedelta(days=days)
    total = 0
    while deleted := await cleaner.delete_replays(programme.id, before=before, at_most=BATCH):
        total += deleted
    return total
