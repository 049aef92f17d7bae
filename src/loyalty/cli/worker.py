"""`loyalty worker`: the background rounds."""

import asyncio

import uvloop

from loyalty.cli.ending import ends_clearly
from loyalty.cli.serve import stop_on_signals
from loyalty.config import Settings, load_settings
from loyalty.memory import relax_collector
from loyalty.store.database import Database
from loyalty.store.readiness import check_servable
from loyalty.telemetry import configure_logging
from loyalty.worker.worker import run_worker


@ends_clearly
def worker() -> None:
    """Settle what is due, cure what is parked and delete what is old, round after round, until SIGTERM.

    What-ifs are worked off beside, by as many processes as there are processors.

    Needs LOYALTY_DATABASE_URL and LOYALTY_SECRET; deletes answers older than LOYALTY_REPLAY_DAYS only with
    LOYALTY_CLEANER_URL. Several workers are harmless.
    """
    settings = load_settings()
    configure_logging(settings.log_level)
    relax_collector()
    uvloop.run(_work(settings))


async def _work(settings: Settings) -> None:
    database = Database(settings.database_url, door_size=1, reads_size=1)
    try:
        await check_servable(database)
    finally:
        await database.close()
    stop = asyncio.Event()
    stop_on_signals(stop)
    await run_worker(settings, stop)
