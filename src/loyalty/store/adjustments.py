"""Adjustments that wait for a second person, and what became of them."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from loyalty.domain.adjustments import ADJUSTMENTS, Adjustment
from loyalty.domain.ids import EntryId, MemberId, bucket_of
from loyalty.domain.state import State
from loyalty.store.parts import PROGRAMME, Insert, Load, Update, Write, keys, look_up, rows_of
from loyalty.store.schema import BIGINT, INTEGER, SMALLINT, TEXT, TIMESTAMPTZ, UUID, ledger_table

adjustment = ledger_table(
    "adjustment",
    id=UUID,
    member_id=UUID,
    wallet=TEXT,
    points=BIGINT,
    reason=TEXT,
    source=TEXT,
    reference=TEXT,
    status=TEXT,
    requested_by=TEXT,
    decided_by=TEXT,
    requested_at=TIMESTAMPTZ,
)

_INSERT = Insert(adjustment)
_UPDATE = Update(adjustment, key=["id"], changed=["status", "decided_by"])
_LOAD = rows_of(
    [f"a.{name}" for name in Adjustment._fields],
    f"""from {keys(bucket="adjustment_buckets", id="adjustment_ids")}
        join adjustment a on a.bucket = k.bucket and a.programme_id = k.programme_id and a.id = k.id""",
)
_PAGE = text(
    f"""
    select {", ".join(Adjustment._fields)}
      from adjustment
     where bucket = :the_bucket and programme_id = :{PROGRAMME} and id > :after
     order by id
     limit :at_most
    """  # noqa: S608 - only our own constants
).bindparams(
    bindparam("the_bucket", type_=SMALLINT),
    bindparam(PROGRAMME, type_=INTEGER),
    bindparam("after", type_=UUID),
    bindparam("at_most", type_=BIGINT),
)


def load(ids: Sequence[EntryId]) -> Load:
    """The adjustments of these ids."""
    return Load(
        _LOAD,
        {
            "adjustment_buckets": ([bucket_of(id_) for id_ in ids], SMALLINT.array),
            "adjustment_ids": (list(ids), UUID.array),
        },
    )


def place(rows: Iterable[Sequence[Any]], into: State) -> None:
    """Put the adjustments found on the state."""
    for row in rows:
        one = _from_row(row)
        into.put(ADJUSTMENTS, one.id, one)


def write(new: Sequence[Adjustment], changed: Sequence[Adjustment]) -> Iterable[Write]:
    """The part of the write that adjustments contribute."""
    if new:
        yield _INSERT.write([(bucket_of(one.id), *one) for one in new])
    if changed:
        yield _UPDATE.write([(bucket_of(one.id), one.id, one.status, one.decided_by) for one in changed])


async def find(connection: AsyncConnection, programme_id: int, id_: EntryId) -> Adjustment | None:
    """One adjustment, outside the door. Locks nothing: only what never changes of it may be relied on."""
    rows = await look_up(connection, programme_id, load([id_]))
    return _from_row(rows[0]) if rows else None


async def page_of(
    connection: AsyncConnection, programme_id: int, bucket: int, *, after: str, at_most: int
) -> list[Adjustment]:
    """The adjustments of a bucket whose ids come after this one, by id. Locks nothing."""
    found = {"the_bucket": bucket, PROGRAMME: programme_id, "after": after, "at_most": at_most}
    return [_from_row(row) for row in await connection.execute(_PAGE, found)]


def _from_row(row: Sequence[Any]) -> Adjustment:
    id_, member_id, *rest = row
    return Adjustment._make((EntryId(id_.hex), MemberId(member_id.hex), *rest))
