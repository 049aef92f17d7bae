"""The sweep: members for whom something is due and nobody asks are settled through the one door."""

import asyncio
from datetime import UTC, datetime

import uuid_utils

from loyalty.domain.ids import FactId, MemberId
from loyalty.domain.programme import Programme
from loyalty.domain.refusals import Refusal
from loyalty.domain.state import Moment
from loyalty.operations.command import Receipt
from loyalty.operations.door import Answer, Submission
from loyalty.operations.lanes import MAX_BULK_BATCH, Lanes
from loyalty.operations.sweep import Settle
from loyalty.store import members
from loyalty.store.database import Database

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
        if not due or seen.issuperset(due):
            return total
        seen.update(due)
        asks = [_settling(programme, id_, now, recorded_at) for id_ in due]
        results = await asyncio.gather(*lanes.submit_bulk(asks), return_exceptions=True)
        total += sum(isinstance(result, Answer) for result in results)


def _settling(programme: Programme, id_: MemberId, now: datetime, recorded_at: datetime) -> Submission:
    moment = Moment(FactId(uuid_utils.uuid7().hex), now, recorded_at)
    return Submission(programme, Settle(id_), moment, _say_nothing)


def _say_nothing(_: Receipt | Refusal) -> tuple[int, bytes]:
    return 200, b""
