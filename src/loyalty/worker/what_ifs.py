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
from loyalty.operations.what_if import Question, report, what_if
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


async def _work(settings: Settings, database: Database, programme: Programme, found: WhatIf) -> None:
    """Work it out, telling how far it has come. Stops where another worker has taken it over."""
    told = found

    async def tell(now: WhatIf) -> bool:
        nonlocal told
        async with database.transaction(programme.id) as connection:
            kept = await what_ifs.tell(connection, programme.id, now, claimed=told.claimed_until)
        told = now
        return kept

    async def watch(working: "asyncio.Task[object]") -> None:
        while not working.done():
            await asyncio.sleep(TOLD_EVERY_S)
            until = datetime.now(UTC) + LEASE
            if not await tell(told._replace(done=done, claimed_until=until)):
                working.cancel()

    done = 0

    def progress(buckets: int) -> None:
        nonlocal done
        done = buckets

    async with database.snapshot(programme.id) as connection:
        drafted = (await rules.find_drafts(connection, programme.id, [found.draft_id]))[found.draft_id]
    question = Question(RuleSet(drafted.id, None, None, drafted.rules), found.begins, found.ends)
    working = asyncio.create_task(
        what_if(settings.database_url, programme.code, question, processes=os.cpu_count() or 1, progress=progress)
    )
    watching = asyncio.create_task(watch(working))
    try:
        answer = orjson.dumps(report(programme, question, await working)).decode()
        status = WhatIfStatus.DONE
    except Exception:
        log.exception("what_if_failed", what_if=found.id)
        answer, status = None, WhatIfStatus.FAILED
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    await tell(told._replace(status=status.value, done=BUCKETS, report=answer, claimed_until=None))
    log.info("what_if", programme=programme.code, what_if=found.id, status=status.value)
