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

BATCH = 8 * MAX_BULK_BATCH
"""Members settled at a time: some batches for each lane, since all wait for the slowest."""


async def settle_due(database: Database, lanes: Lanes, programme: Programme) -> int:
    """Settle every member of the programme that is due by now; how many there were.

    Two sweeps at once are harmless, and one that is stopped midway is simply continued by the next. Members whose
    settling fails, which is logged, are left to the next sweep; a batch full of them ends this one.
    """
    total = 0
    left: set[MemberId] = set()
    before: set[MemberId] = set()
    while len(left) < BATCH:
        recorded_at = datetime.now(UTC)
        now = programme.now(recorded_at)
        async with database.snapshot(programme.id) as connection:
            due = await members.due(connection, programme.id, now, but=left, at_most=BATCH)
            merged = await merges.in_force(connection, programme.id, due)
        if not due:
            break
        commands = [_settling(programme, id_, merged.get(id_), now) for id_ in due]
        asks = [unasked(programme, one, occurred_at=now, recorded_at=recorded_at) for one in commands]
        accepted = await decided(lanes, asks)
        total += sum(accepted)
        # Whoever is due again at once is no headway either.
        left.update(id_ for id_, done in zip(due, accepted, strict=True) if not done or id_ in before)
        before = {*due}
    return total


def _settling(programme: Programme, member_id: MemberId, merge: Merge | None, now: datetime) -> Command:
    """What falls to a member who was merged into another is carried on."""
    if merge is None:
        return Settle(member_id)
    day = programme.calendar.business_date(now)
    return through(Settle(member_id), merge, wallets=tuple(programme.wallets), business_date=day)
