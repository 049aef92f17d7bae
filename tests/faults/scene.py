"""What the tests of faults share: members to fight over, commands for them, and the audit afterwards."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import orjson
import uuid_utils
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from loyalty.domain.entries import Kind
from loyalty.domain.ids import FactId, MemberId
from loyalty.domain.programme import Programme
from loyalty.domain.state import Moment
from loyalty.operations.command import Command
from loyalty.operations.door import Answer, Submission
from loyalty.operations.lanes import Lanes
from tests import laws
from tests.makers import a_claim, a_member_id, at, enrolling, granting, rendered

WHEN = at("2026-01-05")
PATIENCE_S = 20.0
"""How long a test waits for what must come. Nothing waits that long unless it is broken."""


def asking(programme: Programme, command: Command, *, key: str | None = None, **more: Any) -> Submission:
    """A submission with a fact of its own, under a key if one is given."""
    request = more.pop("request", repr(command))
    claim = a_claim(key, request) if key else None
    moment = Moment(FactId(uuid_utils.uuid7().hex), WHEN, WHEN)
    return Submission(programme, command, moment, more.pop("render", rendered), claim, **more)


class Town(NamedTuple):
    """A programme of its own, and members 0, 1, 2 ... that have enrolled; their lanes alternate."""

    programme: Programme
    members: list[MemberId]

    def gives(self, member: int, points: int = 1, *, ref: str, key: str | None = None, **more: Any) -> Submission:
        """Points for a member: the plainest command with a reference."""
        command = granting(self.programme, self.members[member], points, WHEN, reference=ref)
        return asking(self.programme, command, key=key, **more)


async def a_town(programme: Programme, lanes: Lanes, members: int) -> Town:
    ids = [a_member_id(number) for number in range(members)]
    answers = await asyncio.gather(*(lanes.submit(asking(programme, enrolling(id_))) for id_ in ids))
    assert {answer.status for answer in answers} == {201}
    return Town(programme, ids)


async def audit(owner: AsyncEngine, programme: Programme) -> laws.Records:
    """All that lies in the programme, after every law was found to hold."""
    async with owner.connect() as connection:
        records = await laws.of_database(connection, programme)
    laws.check(records)
    return records


def references(records: laws.Records) -> list[str]:
    """The reference of every entry that has one, sorted; twice if it happened twice."""
    earned = (entry.because.reference for entry in records.entries if entry.kind == Kind.EARN)
    return sorted(reference for reference in earned if reference is not None)


def code_of(answer: Answer) -> str | None:
    """The code of the refusal that was answered; None for what was accepted."""
    said: dict[str, Any] = orjson.loads(answer.body)
    return said.get("refused")


async def until(condition: Callable[[], Awaitable[Any]], *, within: float = PATIENCE_S) -> None:
    """Return as soon as it is true."""
    deadline = time.monotonic() + within
    while not await condition():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.005)


async def somebody_waits_for_a_lock(owner: AsyncEngine) -> None:
    """Return once a connection of the service to this database stands before a lock."""

    async def waits() -> Any:
        async with owner.connect() as connection:
            return await connection.scalar(
                text(
                    "select count(*) from pg_stat_activity where datname = current_database()"
                    " and application_name = 'loyalty' and wait_event_type = 'Lock'"
                )
            )

    await until(waits)


async def everything(waiting: Sequence["asyncio.Future[Any] | asyncio.Task[Any]"]) -> list[Any]:
    """What came of each, errors among them, and never later than our patience lasts."""
    async with asyncio.timeout(PATIENCE_S):
        return await asyncio.gather(*waiting, return_exceptions=True)
