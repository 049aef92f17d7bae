"""Parked events: found by their id, listed newest first, and matched with what they wait for as it comes."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import TextClause, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from loyalty.domain.claims import ReferenceKey, ReferenceKind
from loyalty.domain.earning import Order
from loyalty.domain.entries import Because
from loyalty.domain.identities import Identity
from loyalty.domain.ids import BUCKETS, EntryId, FactId, MemberId, bucket_of
from loyalty.domain.parked import (
    MOST_WAITING,
    PARKED,
    WAITING_FOR,
    Asked,
    AskedPoints,
    AskedReturn,
    Awaited,
    ParkedEvent,
    ParkedStatus,
)
from loyalty.domain.returns import ReturnedLine
from loyalty.domain.state import State
from loyalty.store.claims import reference_bucket
from loyalty.store.database import fetch
from loyalty.store.parts import PROGRAMME, Insert, Load, Update, Write, keys, look_up, rows_of
from loyalty.store.schema import BIGINT, BYTEA, INTEGER, JSON, SMALLINT, TEXT, TIMESTAMPTZ, UUID, ledger_table

parked_event = ledger_table(
    "parked_event",
    id=UUID,
    kind=TEXT,
    awaits_bucket=SMALLINT,
    awaits_source=TEXT,
    awaits_reference=TEXT,
    awaits_date=TEXT,
    awaits_channel=TEXT,
    awaits_type=TEXT,
    awaits_lookup=BYTEA,
    asked=JSON,
    source=TEXT,
    reference=TEXT,
    store=TEXT,
    reason=TEXT,
    occurred_at=TIMESTAMPTZ,
    parked_at=TIMESTAMPTZ,
    until=TIMESTAMPTZ,
    status=TEXT,
    outcome=TEXT,
)
_COLUMNS = [
    f"p.{column.name}::text" if column.name == "asked" else f"p.{column.name}"
    for column in parked_event.columns
    if column.name not in ("bucket", "programme_id", "awaits_bucket")
]
BEFORE_ALL_PARKED, AFTER_ALL_PARKED = FactId("0" * 32), FactId("f" * 32)

_INSERT = Insert(parked_event)
_UPDATE = Update(parked_event, key=["id"], changed=["status", "outcome"])
_LOAD = rows_of(
    _COLUMNS,
    f"""from {keys(bucket="parked_buckets", id="parked_ids")}
        join parked_event p on p.bucket = k.bucket and p.programme_id = k.programme_id and p.id = k.id""",
)
_LOCK = text(
    f"""
    select {", ".join(_COLUMNS)}
      from {keys(bucket="parked_buckets", id="parked_ids")}
      join parked_event p on p.bucket = k.bucket and p.programme_id = k.programme_id and p.id = k.id
     order by p.bucket, p.id
       for no key update of p
    """  # noqa: S608 - only our own constants
).bindparams(
    bindparam("parked_buckets", type_=SMALLINT.array),
    bindparam("parked_ids", type_=UUID.array),
    bindparam(PROGRAMME, type_=INTEGER),
)


async def lock(connection: AsyncConnection, programme_id: int, ids: Iterable[FactId], into: State) -> None:
    """Put the parked events on the state, each locked FOR NO KEY UPDATE, in the order of bucket and id."""
    wanted = sorted(set(ids), key=lambda id_: (id_[30:], id_))
    values = {"parked_buckets": [bucket_of(id_) for id_ in wanted], "parked_ids": wanted, PROGRAMME: programme_id}
    for row in await fetch(connection, _LOCK, values):
        one = _from_row(row)
        into.put(PARKED, one.id, one)


def write(new: Sequence[ParkedEvent], changed: Sequence[ParkedEvent]) -> Iterable[Write]:
    """The part of the write that parked events contribute."""
    if new:
        yield _INSERT.write([_row(one) for one in new])
    if changed:
        yield _UPDATE.write([(bucket_of(one.id), one.id, one.status, one.outcome) for one in changed])


# --- how many wait for the same ----------------------------------------------------------------------------


def _counted(key: str, same: str, *, of: str) -> str:
    """Selects the keys `of` those awaited, and how many events wait for each, as far as it matters."""
    return f"""
        select {key}, c.waiting
          from {of} cross join lateral (
               select count(*) as waiting
                 from (select from parked_event p
                        where p.status = '{ParkedStatus.WAITING}' and p.programme_id = k.programme_id and {same}
                        limit {MOST_WAITING}) few) c
    """  # noqa: S608 - only our own constants


_SALES_AWAITED = _counted(
    "k.source as one, k.reference as two, k.date as three, null::bytea as lookup",
    "p.awaits_source = k.source and p.awaits_reference = k.reference and p.awaits_date = k.date",
    of=keys(source="awaited_sources", reference="awaited_references", date="awaited_dates"),
)
_MEMBERS_AWAITED = _counted(
    "k.channel, k.type, null, k.lookup",
    "p.awaits_channel = k.channel and p.awaits_type = k.type and p.awaits_lookup = k.lookup",
    of=keys(channel="awaited_channels", type="awaited_types", lookup="awaited_lookups"),
)
_WAITING_FOR = rows_of(
    ["w.one", "w.two", "w.three", "w.lookup", "w.waiting"], f"from ({_SALES_AWAITED} union all {_MEMBERS_AWAITED}) w"
)


def load_waiting(awaited: Sequence[Awaited]) -> Load:
    """How many events wait for the same, counted as far as it matters."""
    references = [one for one in awaited if isinstance(one, ReferenceKey)]
    identities = [one for one in awaited if isinstance(one, Identity)]
    return Load(
        _WAITING_FOR,
        {
            "awaited_sources": ([one.source for one in references], TEXT.array),
            "awaited_references": ([one.reference for one in references], TEXT.array),
            "awaited_dates": ([one.business_date for one in references], TEXT.array),
            "awaited_channels": ([one.channel for one in identities], TEXT.array),
            "awaited_types": ([one.type for one in identities], TEXT.array),
            "awaited_lookups": ([one.lookup for one in identities], BYTEA.array),
        },
    )


def place_waiting(rows: Iterable[Sequence[Any]], into: State) -> None:
    """Put the counts on the state."""
    for one, two, three, lookup, waiting in rows:
        into.put(WAITING_FOR, _sale(one, two, three) if lookup is None else Identity(one, two, lookup), waiting)


# --- reading -----------------------------------------------------------------------------------------------


async def waits(connection: AsyncConnection, programme_id: int, awaited: Awaited) -> bool:
    """Whether any event waits for that. Locks nothing."""
    rows = await look_up(connection, programme_id, load_waiting([awaited]))
    return any(waiting for *_, waiting in rows)


async def find(connection: AsyncConnection, programme_id: int, id_: FactId) -> ParkedEvent | None:
    """One parked event, outside the door. Locks nothing: only what never changes of it may be relied on."""
    found = await find_all(connection, programme_id, [id_])
    return found[0] if found else None


async def find_all(connection: AsyncConnection, programme_id: int, ids: Sequence[FactId]) -> list[ParkedEvent]:
    """The parked events of these ids, in their order. Locks nothing."""
    found = {one.id: one for one in map(_from_row, await look_up(connection, programme_id, _by_id(ids)))}
    return [found[id_] for id_ in ids if id_ in found]


_PAGE = text(
    # Each status by itself, in the order of its index: no filter has to pass over what is of another.
    f"""
    select {", ".join(_COLUMNS)}
      from unnest(:the_statuses) s (status)
     cross join lateral (
           select * from parked_event p
            where p.programme_id = :{PROGRAMME} and p.status = s.status and p.id < :before
            order by p.id desc limit :at_most) p
     order by p.id desc limit :at_most
    """  # noqa: S608 - only our own constants
).bindparams(
    bindparam("the_statuses", type_=TEXT.array),
    bindparam(PROGRAMME, type_=INTEGER),
    bindparam("before", type_=UUID),
    bindparam("at_most", type_=BIGINT),
)


async def page(
    connection: AsyncConnection, programme_id: int, *, statuses: Iterable[str], before: FactId, limit: int
) -> list[ParkedEvent]:
    """Parked events of these statuses, newest first, those before `before`. Locks nothing."""
    values = {PROGRAMME: programme_id, "the_statuses": list(statuses), "before": before, "at_most": limit}
    return [_from_row(row) for row in await connection.execute(_PAGE, values)]


# --- what has come -----------------------------------------------------------------------------------------


def _come(kind: ReferenceKind, found: str) -> TextClause:
    """Selects how far a page of those that wait reaches, and which of them have what they wait for, and what it is.

    A lookup by key for each, and nothing of the others leaves Postgres. Each is limited to one row, or the planner
    would rather read all references there are.
    """
    return text(
        f"""
        with looked_at as materialized (
             select p.* from parked_event p
              where p.programme_id = :{PROGRAMME} and p.status = '{ParkedStatus.WAITING}'
                and p.kind = '{kind}' and p.id > :after
              order by p.id limit :at_most)
        select (select p.id from looked_at p order by p.id desc limit 1),
               (select array_agg(row(p.id, f.found) order by p.id)
                  from looked_at p cross join lateral ({found} limit 1) f)
        """  # noqa: S608 - only our own constants
    ).bindparams(
        bindparam(PROGRAMME, type_=INTEGER), bindparam("after", type_=UUID), bindparam("at_most", type_=BIGINT)
    )


_SALES = _come(
    ReferenceKind.RETURN,
    # What was parked before its bucket was kept may have it in any.
    f"""select s.found
          from generate_series(coalesce(p.awaits_bucket, 0), coalesce(p.awaits_bucket, {BUCKETS - 1})) b (bucket)
         cross join lateral (
               select r.entry_id as found
                 from reference r
                where r.bucket = b.bucket and r.programme_id = p.programme_id and r.source = p.awaits_source
                  and r.reference = p.awaits_reference and r.kind = '{ReferenceKind.ACCRUAL}'
                  and r.business_date = p.awaits_date
                limit 1) s""",  # noqa: S608 - only our own constants
)
_MEMBERS = _come(
    ReferenceKind.ACCRUAL,
    """select i.member_id as found
         from identity i
        where i.bucket = p.awaits_bucket and i.programme_id = p.programme_id and i.channel = p.awaits_channel
          and i.type = p.awaits_type and i.lookup = p.awaits_lookup
          and i.member_id is not null""",
)
_OVERDUE = text(
    f"""
    select p.id from parked_event p
     where p.programme_id = :{PROGRAMME} and p.status = '{ParkedStatus.WAITING}' and p.until <= :the_moment
     order by p.until, p.id limit :at_most
    """  # noqa: S608 - only our own constants
).bindparams(
    bindparam(PROGRAMME, type_=INTEGER),
    bindparam("the_moment", type_=TIMESTAMPTZ),
    bindparam("at_most", type_=BIGINT),
)


async def sales_that_came(
    connection: AsyncConnection, programme_id: int, *, after: FactId, at_most: int
) -> tuple[dict[FactId, EntryId], FactId | None]:
    """Of those that wait for a sale, `at_most` beyond `after`: which has come for whom, and the last looked at.

    Locks nothing.
    """
    found, last = await _have_come(connection, _SALES, programme_id, after, at_most)
    return {id_: EntryId(sale) for id_, sale in found}, last


async def members_that_came(
    connection: AsyncConnection, programme_id: int, *, after: FactId, at_most: int
) -> tuple[dict[FactId, MemberId], FactId | None]:
    """As `sales_that_came`, of those that wait for a member. Locks nothing."""
    found, last = await _have_come(connection, _MEMBERS, programme_id, after, at_most)
    return {id_: MemberId(member) for id_, member in found}, last


async def overdue(connection: AsyncConnection, programme_id: int, moment: datetime, *, at_most: int) -> list[FactId]:
    """Those whose time was over by `moment`, the longest first. Locks nothing."""
    values = {PROGRAMME: programme_id, "the_moment": moment, "at_most": at_most}
    return [FactId(row[0].hex) for row in await connection.execute(_OVERDUE, values)]


async def _have_come(
    connection: AsyncConnection, statement: TextClause, programme_id: int, after: FactId, at_most: int
) -> tuple[list[tuple[FactId, str]], FactId | None]:
    values = {PROGRAMME: programme_id, "after": after, "at_most": at_most}
    last, rows = (await connection.execute(statement, values)).one()
    return [(FactId(id_.hex), found.hex) for id_, found in rows or ()], None if last is None else FactId(last.hex)


# --- rows --------------------------------------------------------------------------------------------------


def _by_id(ids: Sequence[FactId]) -> Load:
    return Load(
        _LOAD,
        {
            "parked_buckets": ([bucket_of(id_) for id_ in ids], SMALLINT.array),
            "parked_ids": (list(ids), UUID.array),
        },
    )


def _row(one: ParkedEvent) -> tuple[Any, ...]:
    return (
        bucket_of(one.id),
        one.id,
        one.kind.value,
        *_awaited(one.awaits),
        _kept(one.asked),
        *one.because,
        *one[4:],
    )


def _awaited(awaits: Awaited) -> tuple[Any, ...]:
    """The columns that say what it waits for, and in which bucket that will lie."""
    if isinstance(awaits, Identity):
        return (awaits.bucket, None, None, None, *awaits)
    return (reference_bucket(awaits), awaits.source, awaits.reference, awaits.business_date, None, None, None)


def _from_row(row: Sequence[Any]) -> ParkedEvent:
    id_, kind, source, reference, date, channel, type_, lookup, asked, *rest = row
    awaits = _sale(source, reference, date) if channel is None else Identity(channel, type_, lookup)
    return ParkedEvent(FactId(id_.hex), awaits, _asked(kind, orjson.loads(asked)), Because(*rest[:4]), *rest[4:])


def _sale(source: str, reference: str, date: str) -> ReferenceKey:
    return ReferenceKey(source, reference, ReferenceKind.ACCRUAL.value, date)


def _kept(asked: Asked) -> str:
    """What was asked for, as JSON text."""
    if isinstance(asked, AskedReturn):
        return orjson.dumps({"lines": asked.lines and [list(line) for line in asked.lines]}).decode()
    return orjson.dumps(asked._asdict()).decode()


def _asked(kind: str, kept: dict[str, Any]) -> Asked:
    """What was asked for, from what was kept of it."""
    if kind == ReferenceKind.RETURN:
        return AskedReturn(kept["lines"] and tuple(ReturnedLine(*line) for line in kept["lines"]))
    if "points" not in kept:
        return Order(**kept)
    times = {name: kept[name] and datetime.fromisoformat(kept[name]) for name in ("pending_until", "expires_at")}
    return AskedPoints(**{**kept, **times})
