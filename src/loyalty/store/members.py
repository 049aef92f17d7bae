"""Members: the row that is lane, lock and head of the chain."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from loyalty.domain.ids import MemberId, bucket_of
from loyalty.domain.members import MEMBERS, Member
from loyalty.domain.state import State
from loyalty.store.database import fetch
from loyalty.store.parts import PROGRAMME, Insert, Update, Write, keys
from loyalty.store.schema import BIGINT, BOOLEAN, BYTEA, INTEGER, SMALLINT, TEXT, TIMESTAMPTZ, UUID, ledger_table

member = ledger_table(
    "member",
    id=UUID,
    number=TEXT,
    status=TEXT,
    store=TEXT,
    enrolled_at=TIMESTAMPTZ,
    sequence=BIGINT,
    head=BYTEA,
    effective_at=TIMESTAMPTZ,
    recorded_at=TIMESTAMPTZ,
    due_at=TIMESTAMPTZ,
    tier=TEXT,
    tier_since=TIMESTAMPTZ,
    tier_until=TIMESTAMPTZ,
    tier_granted=BOOLEAN,
)
COLUMNS = ", ".join(f"m.{name}" for name in Member._fields)

_CHANGED = (
    "status",
    "sequence",
    "head",
    "effective_at",
    "recorded_at",
    "due_at",
    "tier",
    "tier_since",
    "tier_until",
    "tier_granted",
)
_INSERT = Insert(member, row_type="member_row_2")
_UPDATE = Update(member, key=["id"], changed=_CHANGED, row_type="member_change_2")

_KEYS = (
    bindparam("the_buckets", type_=SMALLINT.array),
    bindparam("the_ids", type_=UUID.array),
    bindparam(PROGRAMME, type_=INTEGER),
)
_LOCK = text(
    # The moment is read when the transaction has its xid: `store/horizon.py` relies on it.
    f"""
    select b.began, l.*
      from (select case when pg_current_xact_id() is not null then clock_timestamp() end as began) b
      left join (
           select {COLUMNS}
             from {keys(bucket="the_buckets", id="the_ids")}
             join member m on m.bucket = k.bucket and m.programme_id = k.programme_id and m.id = k.id
            order by m.bucket, m.id
              for no key update of m
           ) l on true
    """  # noqa: S608 - only our own constants
).bindparams(*_KEYS)
_FIND = text(
    f"""
    select {COLUMNS}
      from {keys(bucket="the_buckets", id="the_ids")}
      join member m on m.bucket = k.bucket and m.programme_id = k.programme_id and m.id = k.id
    """  # noqa: S608 - only our own constants
).bindparams(*_KEYS)


async def lock(connection: AsyncConnection, programme_id: int, ids: Iterable[MemberId], into: State) -> datetime:
    """Put the members on the state, each locked FOR NO KEY UPDATE, in the order of bucket and id.

    Returns the database's time before the first lock: nothing the transaction writes may be recorded before it.
    """
    rows = await _fetch(_LOCK, connection, programme_id, ids)
    _place((row[1:] for row in rows if row[1] is not None), into)
    began: datetime = rows[0][0]
    return began


async def find(connection: AsyncConnection, programme_id: int, ids: Iterable[MemberId], into: State) -> None:
    """Put the members on the state without locking them."""
    _place(await _fetch(_FIND, connection, programme_id, ids), into)


_EXISTS = text(
    f"""
    select exists (select from member m
                    where m.bucket = :the_bucket and m.programme_id = :{PROGRAMME} and m.id = :the_id)
    """  # noqa: S608 - only our own constants
).bindparams(
    bindparam("the_bucket", type_=SMALLINT), bindparam(PROGRAMME, type_=INTEGER), bindparam("the_id", type_=UUID)
)


async def exists(connection: AsyncConnection, programme_id: int, id_: MemberId) -> bool:
    """Whether there is such a member. Locks nothing."""
    values = {"the_bucket": bucket_of(id_), PROGRAMME: programme_id, "the_id": id_}
    return bool(await connection.scalar(_EXISTS, values))


async def _fetch(
    statement: Any, connection: AsyncConnection, programme_id: int, ids: Iterable[MemberId]
) -> Sequence[Any]:
    wanted = sorted(set(ids), key=lambda id_: (id_[30:], id_))
    return await fetch(
        connection,
        statement,
        {"the_buckets": [bucket_of(id_) for id_ in wanted], "the_ids": wanted, PROGRAMME: programme_id},
    )


def _place(rows: Iterable[Sequence[Any]], into: State) -> None:
    for row in rows:
        into.put(MEMBERS, MemberId(row[0].hex), from_row(row))


def from_row(row: Sequence[Any]) -> Member:
    """A member from the columns in `COLUMNS`."""
    return Member(MemberId(row[0].hex), *row[1:])


def write(new: Sequence[Member], changed: Sequence[Member]) -> Iterable[Write]:
    """The part of the write that members contribute."""
    if new:
        yield _INSERT.write([(bucket_of(m.id), *m) for m in new])
    if changed:
        yield _UPDATE.write(
            [
                (
                    bucket_of(m.id),
                    m.id,
                    m.status,
                    m.sequence,
                    m.head,
                    m.effective_at,
                    m.recorded_at,
                    m.due_at,
                    m.tier,
                    m.tier_since,
                    m.tier_until,
                    m.tier_granted,
                )
                for m in changed
            ]
        )


_DUE = text(
    f"""
    select m.id from member m
     where m.programme_id = :{PROGRAMME} and m.due_at <= :the_moment and m.id <> all (:but)
     order by m.due_at limit :at_most
    """  # noqa: S608 - only our own constants
).bindparams(
    bindparam(PROGRAMME, type_=INTEGER),
    bindparam("the_moment", type_=TIMESTAMPTZ),
    bindparam("but", type_=UUID.array),
    bindparam("at_most", type_=BIGINT),
)


async def due(
    connection: AsyncConnection, programme_id: int, moment: datetime, *, but: Iterable[MemberId] = (), at_most: int
) -> list[MemberId]:
    """Members for whom something is due by `moment`, longest overdue first, `but` for some. Locks nothing."""
    values = {PROGRAMME: programme_id, "the_moment": moment, "but": [*but], "at_most": at_most}
    found = await connection.execute(_DUE, values)
    return [MemberId(row[0].hex) for row in found]
