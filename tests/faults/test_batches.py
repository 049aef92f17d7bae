"""What becomes of a batch that the database will not take: begun again, or split until the culprit stands alone."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from loyalty.domain.books import BOOKS, book_of
from loyalty.domain.ids import MemberId
from loyalty.domain.state import Draft, Need
from loyalty.operations import door, retry
from loyalty.operations.accrue import Grant
from loyalty.operations.command import Receipt
from loyalty.operations.door import Answer, Submission
from loyalty.operations.lanes import Lanes
from loyalty.operations.retry import Unavailable
from loyalty.store import database as database_module
from loyalty.store.database import Database
from tests.conftest import Cluster, ProgrammeFactory, Urls, kept_programme
from tests.faults.conftest import Batches, TownFactory
from tests.faults.scene import Town, a_town, asking, audit, everything, references, somebody_waits_for_a_lock
from tests.makers import a_programme

LOCK_TIMEOUT_S = 0.3
"""For these tests; shorter than the service's own."""


class Broken(NamedTuple):
    """A grant with a mistake in it: it leaves the member's book below zero, which Postgres refuses (invariant 2)."""

    grant: Grant

    @property
    def member_id(self) -> MemberId:
        return self.grant.member_id

    def needs(self) -> tuple[Need, ...]:
        return self.grant.needs()

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        receipt = self.grant.decide(draft, at)
        book = book_of(draft, self.member_id, "points")
        draft.put(BOOKS, (self.member_id, "points"), book._replace(available=-1, redeemed=book.issued + 1))
        return receipt


class Raising(NamedTuple):
    """A verb with a bug."""

    member_id: MemberId

    def needs(self) -> tuple[Need, ...]:
        return ()

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        raise ZeroDivisionError


def broken(here: Town, member: int) -> Submission:
    grant = here.gives(member, ref="culprit").command
    assert isinstance(grant, Grant)
    return asking(here.programme, Broken(grant), key="culprit")


def refused_by_the_server(here: Town, member: int) -> Submission:
    """Text with a NUL byte, which no Postgres takes."""
    return here.gives(member, ref="cul\0prit", key="culprit")


def refused_by_the_driver(here: Town, member: int) -> Submission:
    """Half a character, which cannot be encoded: no byte of it reaches Postgres."""
    return here.gives(member, ref="cul\ud800prit", key="culprit")


def raising_in_decide(here: Town, member: int) -> Submission:
    return asking(here.programme, Raising(here.members[member]), key="culprit", request="raising")


def raising_in_render(here: Town, member: int) -> Submission:
    def render(outcome: object) -> tuple[int, bytes]:
        raise ZeroDivisionError

    return here.gives(member, ref="culprit", key="culprit", render=render)


@pytest.mark.parametrize(
    ("culprit", "place"),
    [
        (broken, 0),
        (broken, 63),
        (refused_by_the_server, 37),
        (refused_by_the_driver, 37),
        (raising_in_decide, 37),
        (raising_in_render, 37),
    ],
)
async def test_only_the_command_that_cannot_be_committed_fails_and_its_63_neighbours_commit(
    culprit: Callable[[Town, int], Submission],
    place: int,
    town: TownFactory,
    lane: Lanes,
    owner: AsyncEngine,
    batches: Batches,
) -> None:
    here = await town(members=17)
    asks = [here.gives(number % 16, ref=f"r{number}", key=f"k{number}") for number in range(64)]
    asks[place] = culprit(here, 16)
    batches.clear()
    answers = await everything([asyncio.create_task(lane.submit(ask)) for ask in asks])
    error = answers.pop(place)
    assert isinstance(error, Exception)
    assert not isinstance(error, Unavailable), "it will never pass by itself"
    assert {answer.status for answer in answers} == {201}
    assert len(batches[0]) == 64, "they were one batch"
    assert len(batches) == 13, "halved six times: no command was tried more often than that"
    records = await audit(owner, here.programme)
    assert references(records) == sorted(f"r{number}" for number in range(64) if number != place)
    assert not [key for key in records.replays if key.key == "culprit"], "an error takes no key"
    assert (await lane.submit(here.gives(16, ref="after"))).status == 201, "the lane lives"


async def test_several_culprits_are_all_found(town: TownFactory, lane: Lanes, owner: AsyncEngine) -> None:
    here = await town(members=8)
    asks = [here.gives(number % 8, ref=f"r{number}") for number in range(32)]
    for place in (3, 4, 20):
        asks[place] = raising_in_decide(here, place % 8)
    answers = await everything([asyncio.create_task(lane.submit(ask)) for ask in asks])
    assert [place for place, answer in enumerate(answers) if isinstance(answer, Exception)] == [3, 4, 20]
    assert len(references(await audit(owner, here.programme))) == 29


# --- what passes by itself -------------------------------------------------------------------------------


class Passing(Exception):
    """An error of Postgres that a second try may not meet."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__(sqlstate)
        self.sqlstate = sqlstate


class Failing:
    """Stands before `commit_batch` and fails with the state of an error of Postgres, so many times."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, sqlstate: str, times: int) -> None:
        self.sqlstate, self.times, self.attempts = sqlstate, times, 0
        self._commit_batch = door.commit_batch
        monkeypatch.setattr(retry, "commit_batch", self)
        monkeypatch.setattr(retry, "FIRST_PAUSE_S", 0.0001)

    async def __call__(self, database: Database, asks: Sequence[Submission], **more: Any) -> list[Answer]:
        self.attempts += 1
        if self.attempts <= self.times:
            raise DBAPIError("a statement", None, Passing(self.sqlstate))
        return await self._commit_batch(database, asks, **more)


PASSING = ["40001", "40P01", "57P01", "57P02", "57P03", "08006", "53300"]
"""Serialization failure, deadlock, shut down by an administrator, crashed, starting up, lost, too many connections."""


@pytest.mark.parametrize("sqlstate", PASSING)
async def test_a_batch_begins_again_after_what_passes_by_itself(
    sqlstate: str, town: TownFactory, lane: Lanes, owner: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = await town(members=2)
    failing = Failing(monkeypatch, sqlstate, retry.RESTARTS - 1)
    asks = [here.gives(number % 2, ref=f"r{number}", key=f"k{number}") for number in range(6)]
    answers = await everything([asyncio.create_task(lane.submit(ask)) for ask in asks])
    assert [answer.status for answer in answers] == [201] * 6
    assert failing.attempts == retry.RESTARTS
    assert len(references(await audit(owner, here.programme))) == 6


@pytest.mark.parametrize("sqlstate", PASSING)
async def test_what_does_not_pass_is_unavailable_for_all_after_so_many_attempts(
    sqlstate: str, town: TownFactory, lane: Lanes, owner: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = await town(members=2)
    failing = Failing(monkeypatch, sqlstate, 10**6)
    asks = [here.gives(number % 2, ref=f"r{number}", key=f"k{number}") for number in range(6)]
    answers = await everything([asyncio.create_task(lane.submit(ask)) for ask in asks])
    assert all(isinstance(answer, Unavailable) for answer in answers)
    assert failing.attempts == retry.RESTARTS, "it was neither tried for ever nor split"
    assert not references(await audit(owner, here.programme))
    monkeypatch.undo()
    assert (await lane.submit(asks[0])).status == 201, "and afterwards it happens"


def test_all_pauses_between_attempts_are_short_together() -> None:
    longest = sum(retry.FIRST_PAUSE_S * 2**attempt * 1.5 for attempt in range(1, retry.RESTARTS + 1))
    assert longest <= 2


@pytest.fixture
async def own_urls(cluster: Cluster) -> Urls:
    """A database of this test's own, whose settings it may change."""
    return cluster.a_database()


@pytest.fixture
async def own_owner(own_urls: Urls) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(own_urls.owner, poolclass=NullPool)
    yield engine
    await engine.dispose()


async def test_a_real_deadlock_restarts_the_batch(own_urls: Urls, own_owner: AsyncEngine, batches: Batches) -> None:
    async with own_owner.begin() as connection:
        name = await connection.scalar(text("select current_database()"))
        await connection.execute(text(f"alter role loyalty_runner in database {name} set deadlock_timeout = '50ms'"))
    database = Database(own_urls.running)
    lane = Lanes(database)
    lane.start()
    here = await a_town(await kept_programme(own_owner, a_programme()), lane, 2)
    batches.clear()
    async with own_owner.begin() as other:
        await other.execute(text("set local deadlock_timeout = '20s'"))
        await lock_member(other, here.members[1])
        tasks = [asyncio.create_task(lane.submit(here.gives(n, ref=f"r{n}", key=f"k{n}"))) for n in (0, 1)]
        # The batch has the first member and waits for the second; now we want the first as well.
        await somebody_waits_for_a_lock(own_owner)
        await lock_member(other, here.members[0])
    assert [answer.status for answer in await everything(tasks)] == [201, 201]
    assert len(batches) >= 2, "it was begun again"
    assert {len(batch) for batch in batches} == {2}, "and not split"
    await audit(own_owner, here.programme)
    assert await lane.drain(10)
    await database.close()


async def test_running_out_of_connections_passes_by_itself(own_urls: Urls, own_owner: AsyncEngine) -> None:
    async with own_owner.begin() as connection:
        name = await connection.scalar(text("select current_database()"))
        await connection.execute(text(f"alter database {name} connection limit 0"))
    database = Database(own_urls.running)
    lane = Lanes(database)
    lane.start()
    programme = await kept_programme(own_owner, a_programme())
    waiting = asyncio.create_task(a_town(programme, lane, 2))
    answers = await everything([waiting])
    assert isinstance(answers[0], Unavailable)
    async with own_owner.begin() as connection:
        await connection.execute(text(f"alter database {name} connection limit -1"))
    assert await a_town(programme, lane, 2)
    assert await lane.drain(10)
    await database.close()


# --- a member that is locked elsewhere -------------------------------------------------------------------


async def lock_member(connection: object, member_id: MemberId) -> None:
    await connection.execute(  # type: ignore[attr-defined]
        text("select from member where id = cast(:the_id as uuid) for no key update"), {"the_id": member_id}
    )


async def test_a_member_locked_elsewhere_does_not_stall_its_neighbours_and_is_told_so(
    urls: Urls, owner: AsyncEngine, programme: ProgrammeFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(database_module._BY_KEY, "lock_timeout", str(int(LOCK_TIMEOUT_S * 1000)))
    database = Database(urls.running)
    lane = Lanes(database)
    lane.start()
    here = await a_town(await programme(), lane, 64)
    async with owner.begin() as other:
        await lock_member(other, here.members[41])
        begun = time.monotonic()
        tasks = [asyncio.create_task(lane.submit(here.gives(n, ref=f"r{n}", key=f"k{n}"))) for n in range(64)]
        answers = await everything(tasks)
        took = time.monotonic() - begun
    assert isinstance(answers.pop(41), Unavailable), "a clear answer"
    assert {answer.status for answer in answers} == {201}
    assert took < 4 * LOCK_TIMEOUT_S, "one lock timeout for all of them, not one for each halving"
    assert len(references(await audit(owner, here.programme))) == 63
    assert (await lane.submit(here.gives(41, ref="r41", key="k41"))).status == 201, "afterwards it works"
    assert len(references(await audit(owner, here.programme))) == 64
    assert await lane.drain(10)
    await database.close()


async def test_a_member_locked_for_a_moment_is_waited_for(town: TownFactory, lane: Lanes, owner: AsyncEngine) -> None:
    here = await town(members=2)
    async with owner.begin() as other:
        await lock_member(other, here.members[0])
        tasks = [asyncio.create_task(lane.submit(here.gives(n, ref=f"r{n}"))) for n in (0, 1)]
        await somebody_waits_for_a_lock(owner)
    assert [answer.status for answer in await everything(tasks)] == [201, 201]
