"""Parked returns: few, and found by their id or in the order in which they came."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from loyalty.domain.claims import ReferenceKey, ReferenceKind
from loyalty.domain.entries import Because
from loyalty.domain.ids import FactId, bucket_of
from loyalty.domain.parked import PARKED, ParkedReturn
from loyalty.domain.returns import ReturnedLine
from loyalty.domain.state import State
from loyalty.store.parts import PROGRAMME, Insert, Load, Update, Write, keys, look_up, rows_of
from loyalty.store.schema import BIGINT, INTEGER, JSON, SMALLINT, TEXT, TIMESTAMPTZ, UUID, ledger_table

parked_return = ledger_table(
    "parked_return",
    id=UUID,
    awaits_source=TEXT,
    awaits_reference=TEXT,
    awaits_date=TEXT,
    lines=JSON,
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
    f"p.{column.name}::text" if column.name == "lines" else f"p.{column.name}"
    for column in parked_return.columns
    if column.name not in ("bucket", "programme_id")
]

_INSERT = Insert(parked_return)
_UPDATE = Update(parked_return, key=["id"], changed=["status", "outcome"])
_LOAD = rows_of(
    _COLUMNS,
    f"""from {keys(bucket="parked_buckets", id="parked_ids")}
        join parked_return p on p.bucket = k.bucket and p.programme_id = k.programme_id and p.id = k.id""",
)
_WAITING = text(
    f"""
    select {", ".join(_COLUMNS)} from parked_return p
     where p.programme_id = :{PROGRAMME} and p.status = 'waiting' and (p.parked_at, p.id) > (:after, :after_id)
     order by p.parked_at, p.id limit :at_most
    """  # noqa: S608 - only our own constants
).bindparams(
    bindparam(PROGRAMME, type_=INTEGER),
    bindparam("after", type_=TIMESTAMPTZ),
    bindparam("after_id", type_=UUID),
    bindparam("at_most", type_=BIGINT),
)


def load(ids: Sequence[FactId]) -> Load:
    """The parked returns of these ids."""
    return Load(
        _LOAD,
        {
            "parked_buckets": ([bucket_of(id_) for id_ in ids], SMALLINT.array),
            "parked_ids": (list(ids), UUID.array),
        },
    )


def place(rows: Iterable[Sequence[Any]], into: State) -> None:
    """Put the parked returns found on the state."""
    for row in rows:
        one = _from_row(row)
        into.put(PARKED, one.id, one)


def write(new: Sequence[ParkedReturn], changed: Sequence[ParkedReturn]) -> Iterable[Write]:
    """The part of the write that parked returns contribute."""
    if new:
        yield _INSERT.write([_row(one) for one in new])
    if changed:
        yield _UPDATE.write([(bucket_of(one.id), one.id, one.status, one.outcome) for one in changed])


async def find(connection: AsyncConnection, programme_id: int, id_: FactId) -> ParkedReturn | None:
    """One parked return, outside the door. Locks nothing."""
    rows = await look_up(connection, programme_id, load([id_]))
    return _from_row(rows[0]) if rows else None


async def waiting(
    connection: AsyncConnection, programme_id: int, *, after: tuple[datetime, FactId], at_most: int
) -> list[ParkedReturn]:
    """Those that wait, the longest first, beyond a place. Locks nothing."""
    moment, id_ = after
    values = {PROGRAMME: programme_id, "after": moment, "after_id": id_, "at_most": at_most}
    return [_from_row(row) for row in await connection.execute(_WAITING, values)]


def _row(one: ParkedReturn) -> tuple[Any, ...]:
    lines = None if one.lines is None else orjson.dumps([list(line) for line in one.lines]).decode()
    return (
        bucket_of(one.id),
        one.id,
        one.awaits.source,
        one.awaits.reference,
        one.awaits.business_date,
        lines,
        *one.because,
        *one[4:],
    )


def _from_row(row: Sequence[Any]) -> ParkedReturn:
    id_, source, reference, date, lines, *rest = row
    returned = None if lines is None else tuple(ReturnedLine(*line) for line in orjson.loads(lines))
    awaits = ReferenceKey(source, reference, ReferenceKind.ACCRUAL, date)
    return ParkedReturn(FactId(id_.hex), awaits, returned, Because(*rest[:4]), *rest[4:])
