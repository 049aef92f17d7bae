"""What becomes of a batch that fails: restarted from the beginning, or split until the culprit stands alone."""

import asyncio
import random
from collections.abc import Sequence

import structlog

from loyalty.operations.door import Answer, Submission, commit_batch
from loyalty.store.database import Database, Fault, fault_of
from loyalty.store.shelves import LostClaim

RESTARTS = 6
"""Most attempts at the same batch."""
FIRST_PAUSE_S = 0.01

log = structlog.get_logger()


class Unavailable(Exception):
    """The database could not be reached in time. Whether the command happened, its claim tells."""


Result = Answer | Exception


async def commit(database: Database, asks: Sequence[Submission], *, hasty: bool = False) -> list[Result]:
    """An answer for every command, or the error of the one that cannot be committed. Never raises."""
    try:
        return list(await _persist(database, asks, hasty=hasty))
    except Unavailable as error:
        return [error] * len(asks)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the culprit's alone
        failed = error
    busy = fault_of(failed) is Fault.BUSY
    if len(asks) == 1:
        return [_fate(asks[0], failed, busy=busy)]
    log.warning("batch_split", size=len(asks), error=type(failed).__name__)
    middle, hasty = len(asks) // 2, hasty or busy
    halves = asks[:middle], asks[middle:]
    return [result for half in halves for result in await commit(database, half, hasty=hasty)]


def _fate(ask: Submission, error: Exception, *, busy: bool) -> Exception:
    """What the command that stands alone is told."""
    if busy:
        log.warning("member_locked_elsewhere", member=ask.command.member_id)
        return Unavailable("The member is being changed elsewhere.")
    log.error("command_failed", command=type(ask.command).__name__, exc_info=error)
    return error


async def _persist(database: Database, asks: Sequence[Submission], *, hasty: bool) -> list[Answer]:
    """Commit the batch, beginning again after what passes by itself. Raises Unavailable when it does not."""
    last: Exception | None = None
    for attempt in range(1, RESTARTS + 1):
        try:
            return await commit_batch(database, asks, hasty=hasty)
        except LostClaim:
            log.info("batch_restarted", attempt=attempt, cause="lost_claim")
        except Exception as error:
            if fault_of(error) is not Fault.RESTART:
                raise
            log.warning("batch_restarted", attempt=attempt, cause=type(error).__name__)
            last = error
            await asyncio.sleep(FIRST_PAUSE_S * 2**attempt * (0.5 + random.random()))  # noqa: S311 - jitter
    raise Unavailable("The ledger's database did not answer.") from last
