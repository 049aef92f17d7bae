"""What the running role may not do, whoever has taken over the service: Postgres itself says no."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from loyalty.domain.programme import Programme
from loyalty.domain.state import Moment
from loyalty.operations.door import Submission
from loyalty.operations.lanes import Lanes
from loyalty.store.database import Database
from loyalty.store.readiness import NotServable, check_servable
from tests.conftest import ProgrammeFactory, Urls
from tests.makers import a_fact, a_member_id, at, buying, enrolling, rendered

WHEN = at("2026-02-01")

ONLY_INSERTED = {
    "entry": "calculation = null",
    "posting": "points = points + 1",
    "draw": "points = points + 1",
    "event": "type = 'nothing'",
    "replay": "status = 200",
    "reference": "entry_id = entry_id",
    "person": "sealed = ''",
    "consent": "purpose = 'everything'",
    "tier_step": "to_tier = 'gold'",
}
NEVER_CHANGED_COLUMNS = {
    "member": "number = '1'",
    "book": "wallet = 'coins'",
    "lot": "points = points + 1",
    "net_spend": "month = '2026-01-01'",
    "parked_event": "asked = null",
    "review": "points = 1",
    "identity": "lookup = ''",
}
TABLES = [*ONLY_INSERTED, *NEVER_CHANGED_COLUMNS]


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("deed", ["update {table} set {change}", "delete from {table}", "truncate {table}"])
async def test_the_running_role_cannot_rewrite_history(
    database: Database, programme: ProgrammeFactory, table: str, deed: str
) -> None:
    inside = await programme()
    change = {**ONLY_INSERTED, **NEVER_CHANGED_COLUMNS}[table]
    with pytest.raises(DBAPIError, match=f"permission denied for table {table}"):
        async with database.transaction(inside.id) as connection:
            await connection.execute(text(deed.format(table=table, change=change)))


@pytest.mark.parametrize(
    "deed", ["drop table entry", "alter table entry disable row level security", "create table x ()"]
)
async def test_the_running_role_cannot_change_tables(
    database: Database, programme: ProgrammeFactory, deed: str
) -> None:
    inside = await programme()
    with pytest.raises(DBAPIError, match=r"must be owner|permission denied"):
        async with database.transaction(inside.id) as connection:
            await connection.execute(text(deed))


@pytest.mark.parametrize("table", TABLES)
async def test_a_programme_does_not_see_the_rows_of_another(
    database: Database, lanes: Lanes, owner: AsyncEngine, programme: ProgrammeFactory, table: str
) -> None:
    mine, theirs = await programme(), await programme()
    await _a_purchase(lanes, theirs)
    async with database.transaction(mine.id) as connection:
        assert await connection.scalar(text(f"select count(*) from {table}")) == 0
        changed = {"member": "status = 'closed'", "book": "owed = 0", "lot": "drawn = 0", "net_spend": "amount = 0"}
        if table in changed:
            assert (await connection.execute(text(f"update {table} set {changed[table]}"))).rowcount == 0
    async with owner.connect() as connection:
        rows = await connection.scalar(text(f"select count(*) from {table} where programme_id = {theirs.id}"))
    none = ("draw", "replay", "identity", "person", "consent", "tier_step", "parked_event", "review")
    assert rows or table in none


async def test_a_programme_cannot_write_into_another(database: Database, programme: ProgrammeFactory) -> None:
    mine, theirs = await programme(), await programme()
    row = f"insert into reference values (1, {theirs.id}, 's', 'r', 'accrual', '', '{a_member_id(1)}')"
    with pytest.raises(DBAPIError, match="row-level security"):
        async with database.transaction(mine.id) as connection:
            await connection.execute(text(row))


async def test_outside_of_a_programme_nothing_is_to_be_seen(database: Database) -> None:
    with pytest.raises(DBAPIError):
        async with database.reads.connect() as connection:
            await connection.execute(text("select * from entry"))


async def test_the_wall_is_closed_again_after_each_transaction(database: Database, programme: ProgrammeFactory) -> None:
    inside = await programme()
    async with database.transaction(inside.id) as connection:
        await connection.execute(text("select 1 from entry"))
    with pytest.raises(DBAPIError):
        async with database.door.connect() as connection:
            await connection.execute(text("select 1 from entry"))


async def test_the_running_role_is_nobody_special(database: Database) -> None:
    async with database.reads.connect() as connection:
        powers = await connection.execute(
            text(
                "select rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication"
                "  from pg_roles where rolname = current_user"
            )
        )
        assert tuple(powers.one()) == (False,) * 5
        owned = text("select count(*) from pg_class where pg_get_userbyid(relowner) = current_user")
        assert await connection.scalar(owned) == 0


async def test_the_service_refuses_to_serve_under_a_stronger_role(urls: Urls, database: Database) -> None:
    await check_servable(database)
    stronger = Database(urls.owner)
    try:
        with pytest.raises(NotServable, match="logs in as a role that"):
            await check_servable(stronger)
    finally:
        await stronger.close()


async def _a_purchase(lanes: Lanes, programme: Programme) -> None:
    assert (await lanes.submit(_submission(programme, 1))).status == 201
    command = buying(programme, a_member_id(1), 100_00, WHEN, reference="r")
    answer = await lanes.submit(Submission(programme, command, Moment(a_fact(2), WHEN, WHEN), rendered))
    assert answer.status == 201


def _submission(programme: Programme, number: int) -> Submission:
    return Submission(programme, enrolling(a_member_id(number)), Moment(a_fact(number), WHEN, WHEN), rendered)
