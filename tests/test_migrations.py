"""Migrations over tables that are filled: what was there is still there, and goes on from where it was."""

import secrets
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from loyalty.domain.ids import FactId
from loyalty.domain.parked import AskedReturn
from loyalty.domain.programme import Programme
from loyalty.domain.returns import ReturnedLine
from loyalty.domain.state import Moment
from loyalty.operations.door import Submission
from loyalty.operations.lanes import Lanes
from loyalty.recompute.verify import verify
from loyalty.store import migrations, parked
from loyalty.store.database import Database
from loyalty.worker.parked import cure_parked
from tests.conftest import Cluster, Urls, kept_programme
from tests.makers import a_fact, a_member_id, a_programme, at, buying, enrolling, granting, redeeming, rendered

WHEN = at("2026-02-01")
WAITING, ALL_OF_IT, REFUSED = FactId(a_fact(7)), FactId(a_fact(8)), FactId(a_fact(9))


@pytest.fixture
def blank(cluster: Cluster) -> Urls:
    """A database that was never migrated."""
    name = f"test_{secrets.token_hex(6)}"
    cluster.server.run("createdb", name)
    return Urls(owner=cluster.server.url(database=name), running=cluster.server.url("loyalty_runner", name))


@pytest.fixture
async def owner(blank: Urls) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(blank.owner, poolclass=NullPool)
    yield engine
    await engine.dispose()


async def migrated(owner: AsyncEngine, revision: str, way: Callable[..., None] = command.upgrade) -> None:
    def move(connection: Connection) -> None:
        config = migrations._config()
        config.attributes["connection"] = connection
        way(config, revision)

    async with owner.connect() as connection:
        await connection.run_sync(move)
        await connection.commit()


async def at_0004(owner: AsyncEngine) -> Programme:
    """A programme whose returns wait as they did before every event could: one by lines, one whole, one refused."""
    await migrated(owner, "0004")
    programme = await kept_programme(owner, a_programme())
    async with owner.begin() as connection:
        for id_, sale, lines, status, outcome in (
            (WAITING, "S-1", '[["1", 1, 4000]]', "waiting", None),
            (ALL_OF_IT, "S-2", None, "waiting", None),
            (REFUSED, "S-3", None, "refused", "exceeds_purchase"),
        ):
            await connection.execute(
                text(
                    "insert into parked_return values (get_byte(uuid_send(cast(:id as uuid)), 15), :p, :id,"
                    " 'pos', :sale, '', cast(:lines as json), 'pos', 'B-' || cast(:sale as text), null, null, :at, :at,"
                    " now() + interval '30 days', :status, :outcome)"
                ),
                {
                    "id": id_,
                    "p": programme.id,
                    "sale": sale,
                    "lines": lines,
                    "at": WHEN,
                    "status": status,
                    "outcome": outcome,
                },
            )
    return programme


async def test_returns_that_wait_for_their_sale_go_on_waiting_and_are_cured(owner: AsyncEngine, blank: Urls) -> None:
    programme = await at_0004(owner)
    await migrated(owner, "head")
    database = Database(blank.running)
    lanes = Lanes(database)
    lanes.start()
    try:
        async with database.snapshot(programme.id) as connection:
            found = await parked.find_all(connection, programme.id, [WAITING, ALL_OF_IT, REFUSED])
        assert [one.asked for one in found] == [
            AskedReturn((ReturnedLine("1", 1, 4000),)),
            AskedReturn(None),
            AskedReturn(None),
        ]
        assert [(one.status, one.outcome) for one in found] == [
            ("waiting", None),
            ("waiting", None),
            ("refused", "exceeds_purchase"),
        ]
        steps: list[Any] = [
            enrolling(a_member_id(1)),
            buying(programme, a_member_id(1), 100_00, WHEN, reference="S-1"),
            buying(programme, a_member_id(1), 50_00, WHEN, reference="S-2"),
        ]
        for number, step in enumerate(steps):
            await lanes.submit(Submission(programme, step, Moment(a_fact(number), WHEN, WHEN), rendered))
        assert await cure_parked(database, lanes, programme) == 2
        async with database.snapshot(programme.id) as connection:
            now = await parked.find_all(connection, programme.id, [WAITING, ALL_OF_IT, REFUSED])
        assert [one.status for one in now] == ["cured", "cured", "refused"]
        assert (await verify(database, programme)).findings == []
    finally:
        assert await lanes.drain(10)
        await database.close()


async def test_what_was_not_covered_before_there_were_reviews_is_open_for_one(owner: AsyncEngine, blank: Urls) -> None:
    """The redemption is written as ever; the way back and forth again loses its review item, and finds it."""
    await migrated(owner, "head")
    programme = await kept_programme(owner, a_programme(forced_sources=frozenset({"offline"})))
    database = Database(blank.running)
    lanes = Lanes(database)
    lanes.start()
    try:
        who = a_member_id(1)
        forced: dict[str, Any] = {"source": "offline", "forced": True}
        steps: list[Any] = [
            enrolling(who),
            granting(programme, who, 5, WHEN, reference="G"),
            redeeming(programme, who, 12, WHEN, reference="F-1", **forced),
            redeeming(programme, who, 1, WHEN, reference="F-2", **forced),
        ]
        for number, step in enumerate(steps):
            await lanes.submit(Submission(programme, step, Moment(a_fact(number), WHEN, WHEN), rendered))
        before = await _reviews(owner)
        assert [row[5] for row in before] == [7, 1]
        await migrated(owner, "0004", command.downgrade)
        await migrated(owner, "head")
        assert await _reviews(owner) == before
        await database.reads.dispose()
        assert (await verify(database, programme)).findings == []
    finally:
        assert await lanes.drain(10)
        await database.close()


async def test_what_was_refused_before_there_were_reviews_is_open_for_one(owner: AsyncEngine) -> None:
    await at_0004(owner)
    await migrated(owner, "head")
    [review] = await _reviews(owner)
    assert (review[2].hex, review[3], review[8]) == (REFUSED, "parked.refused", WHEN)


async def _reviews(owner: AsyncEngine) -> list[Any]:
    columns = "bucket, programme_id, id, kind, member_id, points, source, reference, opened_at, status, resolved_at"
    async with owner.connect() as connection:
        found = await connection.execute(text(f"select {columns} from review order by points desc"))
        return [tuple(row) for row in found]


async def test_a_way_back_keeps_the_returns_that_wait(owner: AsyncEngine) -> None:
    await at_0004(owner)
    before = await _returns(owner)
    await migrated(owner, "head")
    await migrated(owner, "0004", command.downgrade)
    assert await _returns(owner) == before
    await migrated(owner, "head")


async def _returns(owner: AsyncEngine) -> list[Any]:
    async with owner.connect() as connection:
        return [tuple(row) for row in await connection.execute(text("select * from parked_return order by id"))]
