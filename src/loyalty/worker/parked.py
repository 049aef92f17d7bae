"""Curing what is parked: an event whose sale or member has come since is done; one whose time is over is given up.

Most events wait in vain. Postgres looks at them, a page in a statement, and says only for which something has come.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TypeVar

from loyalty.domain.entries import Entry
from loyalty.domain.ids import FactId, MemberId
from loyalty.domain.merges import Merge
from loyalty.domain.parked import ParkedEvent
from loyalty.domain.programme import Programme
from loyalty.operations.command import Command
from loyalty.operations.lanes import Lanes
from loyalty.operations.merge import through
from loyalty.operations.park import Lapse, cure_of
from loyalty.store import merges, parked, purchases
from loyalty.store.database import Database
from loyalty.worker.unasked import decided, unasked

LOOKED_AT = 2_000
"""Events that wait, looked at in one statement."""
AT_A_TIME = 100
"""Events loaded and ended at a time: each may be as large as an order."""

T = TypeVar("T")
HaveCome = Callable[..., Awaitable[tuple[dict[FactId, T], FactId | None]]]
"""A read of `store/parked.py`: what has come for whom, beyond a place, and the next place."""


async def cure_parked(database: Database, lanes: Lanes, programme: Programme) -> int:
    """Cure or give up every parked event that can be; how many there were. Two at once are harmless.

    Accruals come first: a return may wait for a sale that waits itself.
    """
    ended = await _cure_accruals(database, lanes, programme)
    ended += await _cure_returns(database, lanes, programme)
    return ended + await _give_up(database, lanes, programme)


async def _cure_accruals(database: Database, lanes: Lanes, programme: Programme) -> int:
    """Somebody is known by the identity now."""
    ended = 0
    async for members in _come(database, programme, parked.members_that_came):
        async with database.snapshot(programme.id) as connection:
            events = await parked.find_all(connection, programme.id, list(members))
        ended += await _cure(lanes, programme, [(one, members[one.id]) for one in events])
    return ended


async def _cure_returns(database: Database, lanes: Lanes, programme: Programme) -> int:
    """The sale is there now."""
    ended = 0
    async for sales in _come(database, programme, parked.sales_that_came):
        async with database.snapshot(programme.id) as connection:
            events = await parked.find_all(connection, programme.id, list(sales))
            entries = {id_: await purchases.find(connection, programme.id, id_) for id_ in set(sales.values())}
            sellers = {entry.member_id for entry in entries.values() if entry is not None}
            merged = await merges.in_force(connection, programme.id, sorted(sellers))
        found = ((one, entries[sales[one.id]]) for one in events)
        ended += await _cure(lanes, programme, [(one, entry) for one, entry in found if entry is not None], merged)
    return ended


async def _come(database: Database, programme: Programme, have_come: HaveCome[T]) -> AsyncIterator[dict[FactId, T]]:
    """What has come for those that wait, the longest first, `AT_A_TIME`."""
    place: FactId | None = parked.BEFORE_ALL_PARKED
    while place is not None:
        async with database.snapshot(programme.id) as connection:
            came, place = await have_come(connection, programme.id, after=place, at_most=LOOKED_AT)
        pairs = list(came.items())
        for start in range(0, len(pairs), AT_A_TIME):
            yield dict(pairs[start : start + AT_A_TIME])


async def _cure(
    lanes: Lanes,
    programme: Programme,
    found: Sequence[tuple[ParkedEvent, Entry | MemberId]],
    merged: Mapping[MemberId, Merge] = MappingProxyType({}),
) -> int:
    """Send the cures; of the sale of a member who was `merged`, as something that is carried on."""
    now = datetime.now(UTC)
    asks = []
    for one, what in found:
        command: Command = cure_of(programme, one, what)
        if (merge := merged.get(command.member_id)) is not None:
            day = programme.calendar.business_date(one.occurred_at)
            command = through(command, merge, wallets=tuple(programme.wallets), business_date=day)
        asks.append(unasked(programme, command, occurred_at=one.occurred_at, recorded_at=now))
    return sum(await decided(lanes, asks))


async def _give_up(database: Database, lanes: Lanes, programme: Programme) -> int:
    """Give up those whose time is over. A batch that makes no headway ends it."""
    ended = 0
    seen: set[FactId] = set()
    while True:
        now = datetime.now(UTC)
        async with database.snapshot(programme.id) as connection:
            late = await parked.overdue(connection, programme.id, now, at_most=AT_A_TIME)
            if seen.issuperset(late):
                return ended
            events = await parked.find_all(connection, programme.id, late)
        seen.update(late)
        lapses = [unasked(programme, Lapse(one), occurred_at=one.occurred_at, recorded_at=now) for one in events]
        ended += sum(await decided(lanes, lapses))
