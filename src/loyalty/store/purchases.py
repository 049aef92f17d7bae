"""Where a purchase is now: the entry that took its reference, or the one it was reassigned to since."""

from sqlalchemy.ext.asyncio import AsyncConnection

from loyalty.domain.entries import Entry
from loyalty.domain.ids import EntryId
from loyalty.domain.returns import MOST_MOVES
from loyalty.store import journal, reversals


async def find(connection: AsyncConnection, programme_id: int, entry_id: EntryId) -> Entry | None:
    """The entry that the purchase is by now, which may have been `entry_id` once. Locks nothing."""
    for _ in range(MOST_MOVES):
        reversal = await reversals.find(connection, programme_id, entry_id)
        if reversal is None or reversal.moved_to is None:
            break
        entry_id = reversal.moved_to
    return await journal.find(connection, programme_id, entry_id)
