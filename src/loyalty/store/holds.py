"""Holds: points set aside. Their draws are those of the entry that opened them."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from loyalty.domain.entries import Draw
from loyalty.domain.holds import HOLDS, OPEN_HOLDS, Hold
from loyalty.domain.ids import EntryId, LotId, MemberId, bucket_of
from loyalty.domain.state import State
from loyalty.store.lots import COLUMNS as LOT_COLUMNS
from loyalty.store.parts import Insert, Load, Update, Write, keys, look_up, rows_of
from loyalty.store.schema import BIGINT, JSON, SMALLINT, TEXT, TIMESTAMPTZ, UUID, ledger_table

hold = ledger_table(
    "hold",
    id=UUID,
    member_id=UUID,
    wallet=TEXT,
    points=BIGINT,
    status=TEXT,
    captured=BIGINT,
    opened_at=TIMESTAMPTZ,
    expires_at=TIMESTAMPTZ,
    reserved=JSON,
)
COLUMNS = [
    *(f"h.{name}" for name in Hold._fields if name not in ("reserved", "draws")),
    "h.reserved::text",
    """(select array_agg(row(d.lot_id, d.wallet, d.points) order by d.number)
          from draw d
         where d.bucket = h.bucket and d.programme_id = h.programme_id and d.entry_id = h.id)""",
]

_INSERT = Insert(hold, row_type="hold_row_2")
_UPDATE = Update(hold, key=["id"], changed=["status", "captured"])
_BY_ID = f"""from {keys(bucket="hold_buckets", id="hold_ids")}
        join hold h on h.bucket = k.bucket and h.programme_id = k.programme_id and h.id = k.id"""
# The inner fence (`offset 0`) has the few open holds reached by their member: when Postgres last counted there may have
# been none, and then it would walk the index of all open ones.
_OPEN = f"""from {keys(bucket="holder_buckets", member_id="holder_ids")}
        cross join lateral (
              select h.* from hold h
               where h.bucket = k.bucket and h.programme_id = k.programme_id
                 and h.member_id = k.member_id and h.status = 'open' offset 0) h"""  # noqa: S608 - only our own constants
_LOAD_BY_ID = rows_of(COLUMNS, _BY_ID)
_LOAD_OPEN = rows_of(COLUMNS, _OPEN)
_LOAD_LOTS_OF_OPEN = rows_of(
    LOT_COLUMNS,
    f"""{_OPEN}
        join draw d on d.bucket = h.bucket and d.programme_id = h.programme_id and d.entry_id = h.id
        join lot l on l.bucket = d.bucket and l.programme_id = d.programme_id and l.id = d.lot_id""",
)


def load_by_id(ids: Sequence[EntryId]) -> Load:
    """The holds of these ids, whatever has become of them."""
    return Load(
        _LOAD_BY_ID,
        {
            "hold_buckets": ([bucket_of(id_) for id_ in ids], SMALLINT.array),
            "hold_ids": (list(ids), UUID.array),
        },
    )


def load_open(holders: Sequence[MemberId]) -> Load:
    """The open holds of the members."""
    return Load(_LOAD_OPEN, _holders(holders))


def load_lots_of_open(holders: Sequence[MemberId]) -> Load:
    """The lots that the open holds of the members were drawn from."""
    return Load(_LOAD_LOTS_OF_OPEN, _holders(holders))


def _holders(holders: Sequence[MemberId]) -> dict[str, Any]:
    return {
        "holder_buckets": ([bucket_of(id_) for id_ in holders], SMALLINT.array),
        "holder_ids": (list(holders), UUID.array),
    }


def place(rows: Iterable[Sequence[Any]], into: State) -> None:
    """Put the holds found on the state."""
    for row in rows:
        one = from_row(row)
        into.put(HOLDS, one.id, one)


def place_open(rows: Iterable[Sequence[Any]], into: State) -> None:
    """Put the holds found on the state, as the open ones of their members."""
    for row in rows:
        one = from_row(row)
        into.put(HOLDS, one.id, one)
        known = into.get(OPEN_HOLDS, one.member_id) or ()
        if one.id not in known:
            into.put(OPEN_HOLDS, one.member_id, (*known, one.id))


def write(new: Sequence[Hold], changed: Sequence[Hold]) -> Iterable[Write]:
    """The part of the write that holds contribute."""
    if new:
        yield _INSERT.write([(bucket_of(one.id), *one[:-1]) for one in new])
    if changed:
        yield _UPDATE.write([(bucket_of(one.id), one.id, one.status, one.captured) for one in changed])


async def find(connection: AsyncConnection, programme_id: int, id_: EntryId) -> Hold | None:
    """One hold, outside the door. Locks nothing: only what never changes of it may be relied on."""
    rows = await look_up(connection, programme_id, load_by_id([id_]))
    return from_row(rows[0]) if rows else None


def from_row(row: Sequence[Any]) -> Hold:
    """A hold from the columns in `COLUMNS`."""
    id_, member_id, *middle, draws = row
    drawn = tuple(Draw(LotId(lot_id.hex), wallet, points) for lot_id, wallet, points in draws or ())
    return Hold._make((EntryId(id_.hex), MemberId(member_id.hex), *middle, drawn))
