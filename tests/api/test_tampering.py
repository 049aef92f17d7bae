"""Whoever changes a row behind the ledger's back is told on, whatever the table and the column; or we say why not.

Every column of every row of every table is changed, as a superuser, and every row is lost and repeated once.
Either Postgres refuses it (a constraint), or `verify` finds something; what neither does is listed here, with the
reason. That the row itself is named is tested in `tests/test_verify.py` and `test_verify_every_verb.py`.
"""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NamedTuple

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from loyalty.demo import DEMO
from loyalty.domain.programme import Programme
from loyalty.recompute.verify import verify
from loyalty.store.database import Database
from loyalty.store.verify import EVERY_BUCKET
from tests.api.conftest import Contract, Shop, keys_for
from tests.api.test_verify_every_verb import OF_EVERY_VERB, a_day_of_every_verb
from tests.conftest import kept_programme

NOWHERE_ELSE = "nothing else keeps it"
A_PERSON = "personal data is sealed; the ledger does not know it"
WAITS = "what waits, for its approval, its sale or its member, is not in the journal yet; once it is, it is held to it"
WHOSE = "whose an identity is, only its row says; but for the card number"
ITS_ORDER = "only the order counts, and that the hash covers"
TOLD_ONCE = "that somebody was enrolled, frozen or active again, and when, no other row says"
A_DRAFT = "a draft that is not published decides nothing"
A_SETTING = "a channel is a setting: nothing in the journal is decided by it"
A_COPY = "what a channel showed, only its copy says; and ours as of then, whoever asks for the balance"
FOR_A_WHILE = "an answer is kept for a while only, and is no part of the ledger"

REVERSED = "of a merge that was reversed nobody reads it: the journal tells what was carried and brought back"
UNSEEN: Mapping[str, str] = {
    **{f"adjustment.{name}": WAITS for name in ("points", "reason", "wallet")},
    **{f"adjustment.{name}": NOWHERE_ELSE for name in ("requested_by", "decided_by")},
    **{f"consent{what}": A_PERSON for what in (" -", " +", ".id", ".programme_id")},
    **{f"consent.{name}": A_PERSON for name in ("given_at", "purpose", "text_version")},
    "person.sealed": A_PERSON,
    "person -": A_PERSON,
    "person.programme_id": A_PERSON,
    "draw.number": ITS_ORDER,
    "posting.number": ITS_ORDER,
    **{f"parked_event{what}": WAITS for what in (" -", " +", ".id", ".programme_id")},
    **{f"parked_event.awaits_{name}": WAITS for name in ("bucket", "source", "reference", "date")},
    **{f"parked_event.awaits_{name}": WAITS for name in ("channel", "type", "lookup")},
    **{f"parked_event.{name}": WAITS for name in ("source", "reference", "store", "reason", "asked", "outcome")},
    **{f"parked_event.{name}": WAITS for name in ("occurred_at", "parked_at", "until")},
    **{f"event{what}": TOLD_ONCE for what in (" -", " +", ".id", ".programme_id", ".recorded_at", ".sequence")},
    "member.due_at": "it may be early: then somebody is looked at for nothing",
    **{f"review.{name}": NOWHERE_ELSE for name in ("opened_at", "resolved_by", "resolved_at", "reason")},
    **{f"identity{what}": WHOSE for what in (" -", " +", ".programme_id", ".bound_at", ".proven")},
    **{f"identity.{name}": WHOSE for name in ("bucket", "channel", "type", "lookup")},
    "rule_draft +": A_DRAFT,
    **{f"merge{what}": REVERSED for what in (" -", ".programme_id", ".survivor_id", ".carried")},
    "merge.merged_at": NOWHERE_ELSE,
    "code_use.*": FOR_A_WHILE,
    "channel.*": A_SETTING,
    **{f"difference.{name}": A_COPY for name in ("channel", "shown_points", "shown_tier", "our_points", "our_tier")},
    **{f"difference.{name}": A_COPY for name in ("as_of", "ended_at")},
    **{f"tag_change.{name}": NOWHERE_ELSE for name in ("tags", "reason", "changed_by")},
    "event.xid": "the order in which followers see it",
    "member.store": NOWHERE_ELSE,
    "replay.*": FOR_A_WHILE,
}
"""`table.column`, `table -` (a row lost), `table +` (a row too many), or `table.*` for all of these.

Of some row of the table, not of each: an adjustment that was approved is held to its entry, one that waits is not.
"""

NOT_THE_LEDGERS = {"programme", "api_key", "alembic_version", "what_if"}
"""Settings, keys, where the migrations stand, and what would have been."""

TABLES = (
    *("cap_use", "code_use", "rule_draft", "rule_version", "channel", "difference"),
    *("adjustment", "book", "consent", "draw", "entry", "event", "hold", "identity", "lot", "member", "net_spend"),
    *("parked_event", "person", "posting", "reference", "replay", "reversal", "review"),
    *("merge", "slide", "tag_change", "tier_count", "tier_grant", "tier_step"),
)
A_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch
CHANGED_BY_TYPE = {
    "smallint": "((coalesce({0}, 0) + 1) % 256)::smallint",
    "integer": "coalesce({0}, 0) + 1",
    "bigint": "coalesce({0}, 0) + 1",
    "text": "coalesce({0}, '') || 'x'",
    "uuid": "overlay(coalesce({0}, gen_random_uuid())::text placing 'ff' from 1 for 2)::uuid",
    "timestamp with time zone": "coalesce({0}, now()) + interval '1 hour'",
    "date": "coalesce({0}, '2026-01-01') + 1",
    "bytea": "sha256({0})",
    "boolean": "not {0}",
    "json": "json_build_object('points', 1)",
    "xid8": "'1'::xid8",
}


class Column(NamedTuple):
    name: str
    type: str


class Ground:
    """A programme with a day of every verb, and a superuser who can do everything and leaves no trace."""

    def __init__(self, owner: AsyncEngine, database: Database, shop: Shop, other: Programme) -> None:
        self._owner = owner
        self._database = database
        self._programme = shop.programme
        self._other = other

    async def tries(self, table: str) -> set[str]:
        """Change, lose and repeat every row of the table, each column by itself; whatever nobody noticed."""
        unseen = set()
        async with self._owner.connect() as connection:
            columns = await _columns(connection, table)
            count = await self._count(connection, table)
            await connection.rollback()
        assert count, f"the day leaves something in {table}"
        ways = [(f"{table}.{column.name}", column) for column in columns]
        for row in range(count):
            for what, changed in [*ways, (f"{table} -", None), (f"{table} +", None)]:
                if not await self._notices(table, row, columns, what, changed=changed):
                    unseen.add(what)
        return unseen

    async def _notices(self, table: str, row: int, columns: list[Column], what: str, *, changed: Column | None) -> bool:
        """Whether Postgres refuses the change, or `verify` finds it. Afterwards all is as it was."""
        async with self._owner.connect() as connection:
            at = await connection.scalar(
                text(f"select ctid::text from {table} x where programme_id = :p order by x::text offset :n limit 1"),
                {"p": self._programme.id, "n": row},
            )
            names = ", ".join(column.name for column in columns)
            await connection.execute(text("drop table if exists pg_temp.saved"))
            await connection.execute(
                text(f"create temp table saved as select {names} from {table} where ctid = '{at}'::tid")
            )
            await connection.commit()
            try:
                left = await self._tamper(connection, table, at, columns, what, changed)
                await connection.commit()
            except (IntegrityError, DataError):
                await connection.rollback()
                return True
            rows = [(await connection.scalar(text("select to_jsonb(x) from pg_temp.saved x")))]
            if left is not None:
                rows.append(
                    await connection.scalar(text(f"select to_jsonb(x) from {table} x where ctid = '{left}'::tid"))
                )
            await connection.rollback()
            listed = what in UNSEEN or f"{table}.*" in UNSEEN
            noticed = not await self.is_sound(_buckets(rows)) or not (listed or await self.is_sound())
            if left is not None:
                await connection.execute(text(f"delete from {table} where ctid = '{left}'::tid"))
            if not what.endswith("+"):
                await connection.execute(text(f"insert into {table} ({names}) select {names} from pg_temp.saved"))
            await connection.commit()
        return noticed

    async def _tamper(
        self, connection: AsyncConnection, table: str, at: str, columns: list[Column], what: str, changed: Column | None
    ) -> str | None:
        """Where the row is that must go afterwards."""
        if what.endswith(" -"):
            await connection.execute(text(f"delete from {table} where ctid = '{at}'::tid"))
            return None
        if changed is not None:
            value = str(self._other.id) if changed.name == "programme_id" else _changed(changed)
            statement = f"update {table} set {changed.name} = {value} where ctid = '{at}'::tid returning ctid::text"
        else:
            key = await _last_of_key(connection, table)
            names = ", ".join(column.name for column in columns)
            values = ", ".join(_changed(one) if one.name == key else one.name for one in columns)
            statement = f"insert into {table} ({names}) select {values} from pg_temp.saved returning ctid::text"
        left: str = (await connection.execute(text(statement))).scalar_one()
        return left

    async def _count(self, connection: AsyncConnection, table: str) -> int:
        found = await connection.scalar(
            text(f"select count(*) from {table} where programme_id = :p"), {"p": self._programme.id}
        )
        return int(found or 0)

    async def is_sound(self, buckets: Sequence[int] = EVERY_BUCKET) -> bool:
        return (await verify(self._database, self._programme, buckets=buckets)).sound


def _buckets(rows: list[dict[str, object]]) -> list[int]:
    """Where the rows lie, and where everything lies that they name."""
    named = (int(value[-2:], 16) for row in rows for value in row.values() if isinstance(value, str) and A_UUID(value))
    return sorted({*named, *(int(str(row["bucket"])) for row in rows if "bucket" in row)} & set(EVERY_BUCKET))


def _changed(column: Column) -> str:
    return CHANGED_BY_TYPE[column.type].format(column.name)


async def _columns(connection: AsyncConnection, table: str) -> list[Column]:
    found = await connection.execute(
        text(
            "select column_name, data_type from information_schema.columns where table_schema = 'public'"
            " and table_name = :t and is_generated = 'NEVER' order by ordinal_position"
        ),
        {"t": table},
    )
    return [Column(*row) for row in found]


async def _last_of_key(connection: AsyncConnection, table: str) -> str:
    found = await connection.scalar(
        text(
            "select a.attname from pg_index i join pg_attribute a on a.attrelid = i.indrelid"
            " and a.attnum = i.indkey[i.indnkeyatts - 1] where i.indrelid = cast(:t as regclass) and i.indisprimary"
        ),
        {"t": table},
    )
    return str(found)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ground(
    owner: AsyncEngine, http: httpx2.AsyncClient, contract: Contract, app: FastAPI
) -> AsyncIterator[Ground]:
    programme = await kept_programme(owner, DEMO._replace(**OF_EVERY_VERB))
    shop = Shop(programme, http, contract, await keys_for(owner, programme))
    await a_day_of_every_verb(shop, app, owner)
    ground = Ground(owner, app.state.service.database, shop, await kept_programme(owner, DEMO))
    assert await ground.is_sound()
    yield ground
    assert await ground.is_sound(), "everything was put back"


@pytest.mark.parametrize("table", TABLES)
async def test_whatever_is_changed_in_a_table_is_noticed(ground: Ground, table: str) -> None:
    unseen = await ground.tries(table)
    if f"{table}.*" in UNSEEN:
        assert unseen
    else:
        assert unseen == {what for what in UNSEEN if what.startswith((f"{table}.", f"{table} "))}


async def test_every_table_is_tried(owner: AsyncEngine) -> None:
    async with owner.connect() as connection:
        found = await connection.execute(
            text("select table_name from information_schema.tables where table_schema = 'public'")
        )
        assert set(found.scalars()) == {*TABLES, *NOT_THE_LEDGERS}
