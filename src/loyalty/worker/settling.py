"""The sweep: members for whom something is due and nobody asks are settled through the one door."""

from datetime import UTC, datetime

from loyalty.domain.ids import MemberId
from loyalty.domain.merges import Merge
from loyalty.domain.programme import Programme
from loyalty.operations.command import Command
from loyalty.operations.lanes import MAX_BULK_BATCH, Lanes
from loyalty.operations.merge import through
from loyalty.operations.sweep import Settle
from loyalty.store import members, merges
from loyalty.store.database import Database
from loyalty.worker.unasked import decided, unasked

BATCH = 2 * MAX_BULK_BATCH
"""Members settled at a time."""


async def settle_due(database: Database, lanes: Lanes, programme: Programme) -> int:
    """Settle every member of the programme that is due by now; how many there were.

    Two sweeps at once are harmless, and one that is stopped midway is simply continued by the next. A batch that
    makes no headway ends the sweep: its members are locked elsewhere, or their settling fails and is logged.
    """
    total = 0
    seen: set[MemberId] = set()
    while True:
        recorded_at = datetime.now(UTC)
        now = programme.now(recorded_at)
        async with database.snapshot(programme.id) as connection:
            due = await members.due(connection, programme.id, now, at_most=BATCH)
            merged = await merges.in_force(connection, programme.id, due)
        if not due or seen.issuperset(due):
            return total
        seen.update(due)
        commands = [_settling(programme, id_, merged.get(id_), now) for id_ in due]
        asks = [unasked(programme, one, occurred_at=now, recorded_at=recorded_at) for one in commands]
        total += await decided(lanes, asks)


def _settling(programme: Programme, member_id: MemberId, merge: Merge | None, now: datetime) -> Command:
    """What falls to a member who was merged into another is carried on."""
    if merge is None:
        return Settle(member_id)
    day = programme.calendar.business_date(now)
    return through(Settle(member_id), merge, wallets=tuple(programme.wallets), business_date=day)
