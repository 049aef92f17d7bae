"""The worker's rounds: settle what is due, cure what is parked, delete what is old; what-ifs are worked off beside."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog

from loyalty.config import Settings
from loyalty.domain.programme import Programme
from loyalty.operations.lanes import BULK_LANES, Lanes
from loyalty.store import programmes
from loyalty.store.cleaning import Cleaner
from loyalty.store.database import Database
from loyalty.store.sealing import Sealer
from loyalty.worker.cleaning import delete_old_replays
from loyalty.worker.parked import cure_parked
from loyalty.worker.settling import settle_due
from loyalty.worker.what_ifs import work_off

ROUND_S = 10.0
"""Time between the end of a round and the beginning of the next."""

WHAT_IF_S = 2.0
"""Time between looks for what-ifs that were asked."""

log = structlog.get_logger()


async def run_worker(settings: Settings, stop: asyncio.Event) -> None:
    """Make rounds until `stop` is set. A round that fails is logged and the next one tries again."""
    sealer = Sealer(settings.secret.get_secret_value().encode())
    database = Database(settings.database_url, sealer=sealer, door_size=BULK_LANES + 1, reads_size=2)
    lanes = Lanes(database)
    lanes.start()
    asked = asyncio.create_task(_again_and_again(stop, lambda: work_off(settings, database), WHAT_IF_S))
    try:
        await _again_and_again(stop, lambda: one_round(settings, database, lanes), ROUND_S)
    finally:
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        await lanes.drain(settings.shutdown_s)
        await database.close()


async def _again_and_again(stop: asyncio.Event, work: Callable[[], Awaitable[object]], pause_s: float) -> None:
    """Until `stop` is set. What fails is logged, and the next time tries again."""
    while not stop.is_set():
        try:
            await work()
        except Exception:
            log.exception("round_failed")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), pause_s)


async def one_round(settings: Settings, database: Database, lanes: Lanes) -> None:
    """Everything there is to do now, programme by programme."""
    cleaner = Cleaner(settings.cleaner_url) if settings.cleaner_url else None
    for programme in await programmes.read_all(database.reads):
        settled = await settle_due(database, lanes, programme)
        cured = await cure_parked(database, lanes, programme)
        deleted = await _clean(settings, cleaner, programme)
        if settled or cured or deleted:
            log.info("round", programme=programme.code, settled=settled, parked=cured, replays_deleted=deleted)


async def _clean(settings: Settings, cleaner: Cleaner | None, programme: Programme) -> int:
    if cleaner is None:
        return 0
    return await delete_old_replays(cleaner, programme, days=settings.replay_days)
