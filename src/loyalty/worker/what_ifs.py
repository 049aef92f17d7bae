"""Working off what-ifs: one at a time, beside the rounds, on as many processors as there are."""

import asyncio
import os
from datetime import UTC, datetime, timedelta

import orjson
import structlog

from loyalty.config import Settings
from loyalty.domain.ids import BUCKETS
from loyalty.domain.programme import Programme
from loyalty.domain.rules import RuleSet
from loyalty.domain.what_ifs import WhatIf, WhatIfStatus
from loyalty.recompute.tally import Question, Tally, report
from loyalty.recompute.what_if import what_if
from loyalty.store import programmes, rules, what_ifs
from loyalty.store.database import Database

LEASE = timedelta(seconds=60)
"""A worker that has told nothing for so long is believed to be gone; another begins anew."""
TOLD_EVERY_S = 1.0

log = structlog.get_logger()


async def work_off(settings: Settings, database: Database) -> int:
    """Work out all that wait, programme by programme; how many there were. Two workers at once share them."""
    worked = 0
    for programme in await programmes.read_all(database.reads):
        while (found := await _claimed(database, programme)) is not None:
            await _work(settings, database, programme, found)
            worked += 1
    return worked


async def _claimed(database: Database, programme: Programme) -> WhatIf | None:
    now = datetime.now(UTC)
    async with database.transaction(programme.id) as connection:
        return await what_ifs.claim(connection, programme.id, moment=now, until=now + LEASE)


class _Lease:
    """A what-if that this worker works on, as long as it tells how far it has come."""

    def __init__(self, database: Database, programme: Programme, claimed: WhatIf) -> None:
        self._database = database
        self._programme = programme
        self._told = claimed
        self.done = 0
        """Buckets."""
        self.is_lost = False
        """Whether another worker has taken it over."""

    async def keep(self, working: "asyncio.Task[Tally]") -> None:
        """Tell every now and then, and stop the work if it is lost. What cannot be told now is told later."""
        while not self.is_lost:
            await asyncio.sleep(TOLD_EVERY_S)
            try:
                await self.tell(self._told._replace(done=self.done, claimed_until=datetime.now(UTC) + LEASE))
            except Exception:
                log.exception("what_if_untold", what_if=self._told.id)
        working.cancel()

    async def end(self, status: WhatIfStatus, answer: str | None) -> None:
        """It is over."""
        done = BUCKETS if status == WhatIfStatus.DONE else self.done
        await self.tell(self._told._replace(status=status.value, done=done, report=answer, claimed_until=None))

    async def tell(self, now: WhatIf) -> None:
        async with self._database.transaction(self._programme.id) as connection:
            kept = await what_ifs.tell(connection, self._programme.id, now, claimed=self._told.claimed_until)
        self._told, self.is_lost = now, not kept


async def _work(settings: Settings, database: Database, programme: Programme, found: WhatIf) -> None:
    """Work it out, telling how far it has come. Stops where another worker has taken it over."""
    lease = _Lease(database, programme, found)

    def progress(buckets: int) -> None:
        lease.done = buckets

    async with database.snapshot(programme.id) as connection:
        drafted = (await rules.find_drafts(connection, programme.id, [found.draft_id]))[found.draft_id]
    question = Question(RuleSet(drafted.id, None, None, drafted.rules), found.begins, found.ends)
    working = asyncio.create_task(
        what_if(settings.database_url, programme.code, question, processes=os.cpu_count() or 1, progress=progress)
    )
    keeping = asyncio.create_task(lease.keep(working))
    answer, status = None, WhatIfStatus.FAILED
    try:
        answer = orjson.dumps(report(programme, question, await working)).decode()
        status = WhatIfStatus.DONE
    except asyncio.CancelledError:
        if not lease.is_lost:  # it is this worker that ends
            raise
    except Exception:
        log.exception("what_if_failed", what_if=found.id)
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
    if lease.is_lost:
        log.warning("what_if_taken_over", programme=programme.code, what_if=found.id)
        return
    await lease.end(status, answer)
    log.info("what_if", programme=programme.code, what_if=found.id, status=status.value)
