"""Members with histories, millions of entries of them, as if the service had written every one.

A few hundred lives are decided by the ledger itself (`lives.py`), one in each bucket, and written as the service does.
All others are copies of them that Postgres makes by itself: the same history under ids and references of its own,
every hash worked out again, so that `loyalty verify` has nothing to say. Entries are written in the order of time,
everybody's first, then everybody's second ...: a member's lie as far apart as they do after years of service.

For a Postgres that nobody else uses yet, with settings for loading (`LOADING`).
"""

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import asyncpg
from sqlalchemy import TableClause, make_url

from bench.lives import MARK, Life, Span, live
from bench.members import card
from loyalty.domain.claims import REFERENCES, ReferenceKey, ReplayKey
from loyalty.domain.entries import content
from loyalty.domain.identities import CARD_CHANNEL, CARD_TYPE, IDENTITIES, Binding, Identity
from loyalty.domain.ids import BUCKETS, MemberId
from loyalty.domain.members import existing
from loyalty.domain.programme import Programme
from loyalty.domain.state import State
from loyalty.store import (
    adjustments,
    books,
    claims,
    holds,
    identities,
    journal,
    lots,
    members,
    reversals,
    shelves,
    tiers,
)
from loyalty.store.database import Database

YEARS: Final = timedelta(days=730)
ENDED_AGO: Final = timedelta(days=9)
"""So long before now the histories end: longer than points are pending, so that nothing falls due for a while."""
REPLAYED: Final = 0.1
"""So many answers are kept for an entry: those of some weeks out of two years."""
REPLAYED_SINCE: Final = timedelta(days=40)
"""Some are old enough to be deleted."""
ANSWER_BYTES: Final = 1_230

LOADING = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
    "shared_buffers": "2GB",
    "maintenance_work_mem": "1GB",
}

STANDING: Final[Sequence[TableClause]] = (
    members.member,
    books.book,
    lots.lot,
    holds.hold,
    reversals.reversal,
    adjustments.adjustment,
    tiers.net_spend,
    tiers.tier_count,
    tiers.tier_step,
)
"""What is kept of a member beside its history, copied once for each."""
HISTORY: Final[Sequence[TableClause]] = (journal.posting, journal.draw, journal.event)
"""What is written with an entry, copied entry by entry."""


class Loaded(NamedTuple):
    """What was loaded."""

    member_ids: list[str]
    """In the order of their cards."""
    entries: int
    seconds: float


async def load_histories(
    owner_url: str, runner_url: str, programme: Programme, *, member_count: int, entries: int
) -> Loaded:
    """Fill the programme with so many members and about so many entries, as far from one another as in real life."""
    began = time.monotonic()
    lives = _lives(programme, entries // member_count, member_count)
    await _write(runner_url, programme, lives)
    copying = _Copying(owner_url, programme, lives, member_count)
    await copying.work()
    return Loaded(copying.member_ids, copying.entries, time.monotonic() - began)


def _lives(programme: Programme, entries: int, most: int) -> list[Life]:
    ends_at = datetime.now(UTC) - ENDED_AGO
    span = Span(ends_at - YEARS, ends_at)
    return [live(programme, n, bucket=n, entries=entries, span=span) for n in range(min(BUCKETS, most))]


async def _write(runner_url: str, programme: Programme, lives: Sequence[Life]) -> None:
    """Write the lives as the service does, in a statement each."""
    database = Database(runner_url)
    try:
        for number, life in enumerate(lives):
            enrolled_at = existing(life.state, life.member_id).enrolled_at
            life.state.put(IDENTITIES, _identity(number), Binding(life.member_id, enrolled_at))
            async with database.transaction(programme.id) as connection:
                await shelves.write(connection, programme, life.state, State(), enrolled_at)
    finally:
        await database.close()


def _identity(number: int) -> Identity:
    return Identity(CARD_CHANNEL, CARD_TYPE, card(number).encode())


class _Copying:
    """The copies: member n is one of life n mod 256, with n in the place of the mark."""

    def __init__(self, owner_url: str, programme: Programme, lives: Sequence[Life], member_count: int) -> None:
        self._url = owner_url
        self._programme = programme
        self._lives = lives
        self._numbers = range(len(lives), member_count)
        self._longest = max(len(life.entries) for life in lives)
        self.member_ids: list[str] = [*(life.member_id for life in lives), *(self._member_id(n) for n in self._numbers)]
        self.entries = sum(len(self._life_of(n).entries) for n in range(member_count))

    async def work(self) -> None:
        async with self._connected() as connection:
            await self._stage(connection)
        await asyncio.gather(self._copy_history(), self._copy_claims())
        async with self._connected() as connection:
            for table in STANDING:
                await self._copy_standing(connection, table)
            await connection.execute("drop schema loading cascade")
            self._tell("vacuuming")
            await connection.execute(f"vacuum (freeze, analyze) {', '.join(await self._filled(connection))}")

    def _life_of(self, number: int) -> Life:
        return self._lives[number % len(self._lives)]

    def _member_id(self, number: int) -> MemberId:
        return MemberId(self._life_of(number).member_id.replace(MARK, f"{number:06x}"))

    async def _stage(self, connection: "asyncpg.Connection[Any]") -> None:
        """Lay out what is to be copied, and for whom."""
        await connection.execute(_STAGE)
        await connection.copy_records_to_table(
            "content",
            schema_name="loading",
            records=[
                (entry.id, content(self._programme.id, entry).decode())
                for life in self._lives
                for entry in life.entries
            ],
        )
        await connection.copy_records_to_table(
            "copy",
            schema_name="loading",
            records=[(n, n % 2, self._life_of(n).member_id, f"{n:06x}", card(n)) for n in self._numbers],
        )
        for table in (*STANDING, journal.entry, *HISTORY):
            await connection.execute(_staged(table))
        await connection.execute("analyze")

    async def _copy_standing(self, connection: "asyncpg.Connection[Any]", table: TableClause) -> None:
        await connection.execute(
            f"{_insert(table)} from loading.{table.name} t join loading.copy c on c.life = t.life order by c.number"
        )

    async def _copy_history(self) -> None:
        """Everybody's first entries, then everybody's second ..., in two halves side by side."""
        statements = [_copy_of(table) for table in (journal.entry, *HISTORY)]
        async with self._connected() as one, self._connected() as other:
            for place in range(self._longest + 1):  # what happened before the first entry is an event too
                await asyncio.gather(
                    self._copy_place(one, statements, place, half=0), self._copy_place(other, statements, place, half=1)
                )
                if place % 10 == 0 or place == self._longest:
                    self._tell(f"entry {place} of {self._longest} of every member")

    async def _copy_place(
        self, connection: "asyncpg.Connection[Any]", statements: Sequence[str], place: int, *, half: int
    ) -> None:
        async with connection.transaction():
            for statement in statements:
                await connection.execute(statement, place, half)

    async def _copy_claims(self) -> None:
        """What lies in a bucket of its own key, which Postgres cannot work out."""
        async with self._connected() as connection:
            for table, records in (
                ("identity", self._identities()),
                ("reference", self._references()),
                ("replay", self._replays()),
            ):
                await connection.copy_records_to_table(table, records=records)
                self._tell(f"every {table}")

    async def _filled(self, connection: "asyncpg.Connection[Any]") -> list[str]:
        """The tables with rows. An empty one, believed to be so, would be scanned by plans made now and kept."""
        tables = [*STANDING, journal.entry, *HISTORY, identities.identity, claims.reference, claims.replay]
        return [one.name for one in tables if await connection.fetchval(f"select exists (select from {one.name})")]

    def _identities(self) -> Iterator[tuple[Any, ...]]:
        bound_at = existing(self._lives[0].state, self._lives[0].member_id).enrolled_at
        for n in self._numbers:
            key = _identity(n)
            yield key.bucket, self._programme.id, *key, self._member_id(n), bound_at, True

    def _references(self) -> Iterator[tuple[Any, ...]]:
        taken = [life.state.own(REFERENCES) for life in self._lives]
        for n in self._numbers:
            mark = f"{n:06x}"
            for key, entry_id in taken[n % len(self._lives)]:
                own = ReferenceKey(key.source, key.reference.replace(MARK, mark), key.kind, key.business_date)
                yield claims.reference_bucket(own), self._programme.id, *own, entry_id.replace(MARK, mark)

    def _replays(self) -> Iterator[tuple[Any, ...]]:
        """Answers that are as long as real ones, under keys as random as clients' are."""
        body = os.urandom(ANSWER_BYTES // 2).hex().encode()
        count = round(self.entries * REPLAYED)
        since, apart = datetime.now(UTC) - REPLAYED_SINCE, (REPLAYED_SINCE - ENDED_AGO) / count
        for n in range(count):
            key = ReplayKey("till", "", secrets.token_hex(16))
            yield claims.replay_bucket(key), self._programme.id, *key, bytes(32), 201, body, since + n * apart

    @asynccontextmanager
    async def _connected(self) -> "AsyncIterator[asyncpg.Connection[Any]]":
        url = make_url(self._url)
        connection = await asyncpg.connect(host=str(url.query["host"]), user=url.username, database=url.database)
        try:
            # Plans are made while tables are empty and used when they are not: by key, whatever it looks like now.
            await connection.execute("set work_mem = '256MB'; set enable_seqscan = off")
            yield connection
        finally:
            await connection.close()

    def _tell(self, what: str) -> None:
        print(f"  {datetime.now():%H:%M:%S} loaded: {what}", flush=True)


_STAGE = """
create schema loading;
create unlogged table loading.content (entry_id uuid primary key, content text);
create unlogged table loading.copy (number integer, half integer, life uuid, mark text, card text);
create index on loading.copy (life, half)
"""


def _staged(table: TableClause) -> str:
    """Sets the rows of the lives aside, each with its life and, in a history, the place of its entry."""
    match table.name:
        case "member":
            own, source = "x.id as life", "member x"
        case "entry" | "event":
            own, source = "x.member_id as life, x.sequence as place", f"{table.name} x"
        case "posting" | "draw":
            own = "e.member_id as life, e.sequence as place"
            source = f"{table.name} x join entry e on e.bucket = x.bucket and e.id = x.entry_id"
        case _:
            own, source = "x.member_id as life", f"{table.name} x"
    index = f"; create index on loading.{table.name} (place)" if "place" in own else ""
    return f"create unlogged table loading.{table.name} as select {own}, x.* from {source}{index}"


def _copy_of(table: TableClause) -> str:
    """Copies the rows of everybody's entries at a place, for one half of the members."""
    return (
        f"{_insert(table)} from loading.{table.name} t join loading.copy c on c.life = t.life and c.half = $2"
        " where t.place = $1 order by c.number"
    )


def _insert(table: TableClause) -> str:
    names = [column.name for column in table.columns]
    values = [_value(table.name, column.name, str(column.type)) for column in table.columns]
    return f"insert into {table.name} ({', '.join(names)}) select {', '.join(values)}"


def _value(table: str, name: str, type_: str) -> str:
    """What a copy has in the column: its own ids and references, its own hash; all else as in the life."""
    match (table, name, type_):
        case ("member", "number", _):
            return "c.card"
        case ("member", "head", _):
            return _hash_of_entry("t.id", "t.sequence")
        case ("entry", "hash", _):
            before = f"coalesce({_hash_of_entry('t.member_id', 't.sequence - 1')}, decode(repeat('00', 32), 'hex'))"
            own = f"(select replace(k.content, '{MARK}', c.mark) from loading.content k where k.entry_id = t.id)"
            return f"sha256({before} || convert_to({own}, 'UTF8'))"
        case (_, _, "uuid"):
            return _own_id(f"t.{name}")
        case (_, "reference", _) | (_, _, "json"):
            return f"replace(t.{name}::text, '{MARK}', c.mark)::{type_}"
        case _:
            return f"t.{name}"


def _own_id(column: str) -> str:
    """The id with the copy's digits in the place of the mark: the first six of its last group."""
    return f"overlay({column}::text placing c.mark from 25 for 6)::uuid"


def _hash_of_entry(member: str, sequence: str) -> str:
    return (
        "(select b.hash from entry b where b.bucket = t.bucket and b.programme_id = t.programme_id"
        f" and b.member_id = {_own_id(member)} and b.sequence = {sequence})"
    )
