"""Migrating while the service works: nobody waits for long, nothing is lost, and it may be cut off anywhere."""

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import uuid_utils
from sqlalchemy import make_url

from bench.ground import PROGRAMME
from bench.members import load_members
from bench.migration import REVISIONS
from loyalty.domain.claims import ReferenceKind, reference_key
from loyalty.domain.entries import Because
from loyalty.domain.ids import FactId, MemberId
from loyalty.domain.programme import Programme
from loyalty.domain.state import Moment
from loyalty.operations.accrue import Grant
from loyalty.operations.door import Submission
from loyalty.operations.lanes import Lanes
from loyalty.store import gently, migrations, seeding
from loyalty.store.database import Database
from tests.conftest import Cluster, Urls

MEMBERS = 300
LOTS = 6 * MEMBERS


class Filled:
    """A database with members, and the service at work on it."""

    def __init__(self, urls: Urls, programme: Programme, members: list[str]) -> None:
        self.urls = urls
        self.programme = programme
        self.members = members
        self.waited: list[float] = []
        """How long each accrual took."""

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[Any]:
        url = make_url(self.urls.owner)
        connection = await asyncpg.connect(host=str(url.query["host"]), user=url.username, database=url.database)
        try:
            yield connection
        finally:
            await connection.close()

    async def told(self, sql: str) -> Any:
        async with self.connected() as connection:
            return await connection.fetchval(sql)

    async def becomes(self, sql: str) -> None:
        """Wait until it is true."""
        for _ in range(2_000):
            if await self.told(sql):
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"never: {sql}")

    async def upgrade(self, **more: Any) -> None:
        await migrations.upgrade(self.urls.owner, also=REVISIONS, **more)

    @contextlib.asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Accruals, one after the other, for as long as this lasts."""
        database = Database(self.urls.running)
        lanes = Lanes(database)
        lanes.start()
        stop = asyncio.Event()
        working = asyncio.create_task(self._accrue(lanes, stop))
        try:
            yield
        finally:
            stop.set()
            await working
            await lanes.drain(10)
            await database.close()

    async def _accrue(self, lanes: Lanes, stop: asyncio.Event) -> None:
        while not stop.is_set():
            began = time.monotonic()
            answer = await lanes.submit(self._a_grant(len(self.waited)))
            assert answer.status == 201
            self.waited.append(time.monotonic() - began)
            await asyncio.sleep(0.002)

    def _a_grant(self, number: int) -> Submission:
        now, member = datetime.now(UTC), MemberId(self.members[number % MEMBERS])
        fact, day = FactId(uuid_utils.uuid7().hex), self.programme.calendar.business_date(now)
        key = reference_key(self.programme, ReferenceKind.ACCRUAL, source="crm", reference=fact, day=day)
        command = Grant(member, 10, "points", Because("crm", fact, None, "gift"), key, day)
        return Submission(self.programme, command, Moment(fact, now, now), lambda _: (201, b""))


@pytest.fixture
async def filled(cluster: Cluster) -> Filled:
    urls = cluster.a_database()
    programme = await seeding.ensure_programme(urls.owner, PROGRAMME)
    filled = Filled(urls, programme, [])
    async with filled.connected() as connection:
        filled.members = await load_members(connection, programme.id, MEMBERS)
    return filled


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts follow each other sooner than they do in earnest."""
    monkeypatch.setattr(migrations, "PAUSE_S", 0.5)


async def test_a_release_expands_backfills_and_contracts_while_the_service_works(filled: Filled) -> None:
    async with filled.at_work():
        await filled.upgrade()
    assert await filled.told("select version_num from alembic_version") == "t7"
    columns = "select count(*) from information_schema.columns where table_name = 'lot' and column_name = 'tally'"
    assert await filled.told(columns) == 0
    assert await filled.told("select count(*) from lot") == LOTS + len(filled.waited)
    assert filled.waited, "the service was at work"


async def test_a_backfill_reaches_every_row_and_leaves_new_ones_alone(filled: Filled, upto: Any) -> None:
    await upto("t1")  # what was earned before is old too
    async with filled.at_work():
        await upto("t2")
    assert await filled.told("select count(*) from lot where tally is null") == 0
    assert await filled.told("select count(*) from lot where tally = points") == LOTS
    assert await filled.told("select count(*) from lot where tally = 0") == len(filled.waited)


async def test_a_backfill_that_was_cut_off_is_begun_again(filled: Filled, upto: Any) -> None:
    await upto("t1")
    cut_off = asyncio.create_task(upto("t2"))
    await filled.becomes("select count(*) > 0 from lot where tally is not null")
    await filled.told(_END_OTHERS)
    with pytest.raises(Exception, match=r"terminat|closed|lost|reconnect"):
        await cut_off
    assert await filled.told("select version_num from alembic_version") == "t1"
    await upto("t2")
    assert await filled.told("select count(*) from lot where tally = points") == LOTS


async def test_an_index_that_was_left_unfinished_is_built_anew(filled: Filled, upto: Any) -> None:
    await upto("t1")
    await filled.told("create index lot_tally on lot (tally)")
    await filled.told("update pg_index set indisvalid = false where indexrelid = 'lot_tally'::regclass")
    await upto("t2")
    assert await filled.told("select indisvalid from pg_index where indexrelid = 'lot_tally'::regclass")


async def test_rows_that_somebody_holds_are_filled_once_they_are_free(filled: Filled, upto: Any) -> None:
    await upto("t1")
    async with filled.connected() as holder:
        held = holder.transaction()
        await held.start()
        await holder.execute("select from lot limit 5 for no key update")
        filling = asyncio.create_task(upto("t2"))
        await filled.becomes("select count(*) = 5 from lot where tally is null")
        assert not filling.done(), "it goes round until all are filled"
        await held.rollback()
        await filling
    assert await filled.told("select count(*) from lot where tally = points") == LOTS


async def test_a_long_reader_holds_up_the_migration_and_not_the_service(filled: Filled) -> None:
    async with filled.connected() as reader, filled.at_work():
        reading = reader.transaction()
        await reading.start()
        await reader.fetchval("select count(*) from lot")
        migrating = asyncio.create_task(filled.upgrade())
        await asyncio.sleep(3)
        assert await filled.told("select version_num from alembic_version") == migrations.newest_revision()
        served = len(filled.waited)
        await reading.rollback()
        await migrating
    assert await filled.told("select version_num from alembic_version") == "t7"
    assert served > 5, "the service went on between the attempts"
    assert max(filled.waited) < 2, "nobody waited for as long as requests are turned away after"


async def test_what_was_done_before_a_revision_failed_stays_done(filled: Filled, tmp_path: Path) -> None:
    for path in REVISIONS.glob("t*.py"):
        shutil.copy(path, tmp_path)
    fourth = tmp_path / "t4_validate.py"
    fourth.write_text(fourth.read_text().replace("lot_tally_there", "lot_tally_here"))
    with pytest.raises(Exception, match="lot_tally_here"):
        await migrations.upgrade(filled.urls.owner, also=tmp_path)
    assert await filled.told("select version_num from alembic_version") == "t3"


async def test_two_migrations_at_once_take_turns(filled: Filled) -> None:
    await asyncio.gather(filled.upgrade(), filled.upgrade())
    assert await filled.told("select version_num from alembic_version") == "t7"


async def test_two_backfills_at_once_fill_every_row_once(filled: Filled, upto: Any) -> None:
    await upto("t1")
    block = gently.in_batches("lot", "tally = coalesce(tally, 0) + points", "t.tally is null")
    await asyncio.gather(filled.told(block), filled.told(block))
    assert await filled.told("select count(*) from lot where tally = points") == LOTS


async def test_a_migration_that_is_never_let_in_gives_up_and_says_who_is_in_its_way(filled: Filled) -> None:
    async with filled.connected() as reader:
        await reader.execute("begin; select count(*) from lot")
        with pytest.raises(migrations.Locked, match=rf"postgres.*process {reader.get_server_pid()}"):
            await filled.upgrade(attempts=2)
    assert await filled.told("select version_num from alembic_version") == migrations.newest_revision()


_END_OTHERS = """
select count(pg_terminate_backend(pid)) from pg_stat_activity
 where datname = current_database() and pid <> pg_backend_pid()
"""


@pytest.fixture
def upto(filled: Filled, tmp_path: Path) -> Any:
    """Migrates as far as one of the revisions to try."""

    async def migrate(revision: str) -> None:
        for path in REVISIONS.glob("t*.py"):
            if path.stem.partition("_")[0] <= revision:
                shutil.copy(path, tmp_path)
        await migrations.upgrade(filled.urls.owner, also=tmp_path)

    return migrate
