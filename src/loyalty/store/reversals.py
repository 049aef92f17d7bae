"""Reversals: how much of a purchase or a redemption was taken back, a row for each that ever was."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from loyalty.domain.ids import EntryId, MemberId, bucket_of
from loyalty.domain.reversals import REVERSALS, Reversal
from loyalty.domain.state import State
from loyalty.store.parts import Insert, Load, Update, Write, keys, look_up, rows_of
from loyalty.store.schema import BIGINT, JSON, SMALLINT, UUID, ledger_table

reversal = ledger_table("reversal", entry_id=UUID, member_id=UUID, points=BIGINT, done=JSON, moved_to=UUID)

_INSERT = Insert(reversal, row_type="reversal_row_2")
_UPDATE = Update(reversal, key=["entry_id"], changed=["points", "done", "moved_to"], row_type="reversal_change_2")
_LOAD = rows_of(
    ["r.entry_id", "r.member_id", "r.points", "r.done::text", "r.moved_to"],
    f"""from {keys(bucket="reversal_buckets", entry_id="reversal_entries")}
        join reversal r on r.bucket = k.bucket and r.programme_id = k.programme_id and r.entry_id = k.entry_id""",
)


def load(ids: Sequence[EntryId]) -> Load:
    """What was taken back of the entries."""
    return Load(
        _LOAD,
        {
            "reversal_buckets": ([bucket_of(id_) for id_ in ids], SMALLINT.array),
            "reversal_entries": (list(ids), UUID.array),
        },
    )


def place(rows: Iterable[Sequence[Any]], into: State) -> None:
    """Put the reversals found on the state."""
    for row in rows:
        one = _from_row(row)
        into.put(REVERSALS, one.entry_id, one)


def write(new: Sequence[Reversal], changed: Sequence[Reversal]) -> Iterable[Write]:
    """The part of the write that reversals contribute."""
    if new:
        yield _INSERT.write([(bucket_of(one.entry_id), *one) for one in new])
    if changed:
        yield _UPDATE.write(
            [(bucket_of(one.entry_id), one.entry_id, one.points, one.done, one.moved_to) for one in changed]
        )


async def find(connection: AsyncConnection, programme_id: int, entry_id: EntryId) -> Reversal | None:
    """What was taken back of one entry, outside the door. Locks nothing."""
    rows = await look_up(connection, programme_id, load([entry_id]))
    return _from_row(rows[0]) if rows else None


def _from_row(row: Sequence[Any]) -> Reversal:
    entry_id, member_id, points, done, moved_to = row
    return Reversal(EntryId(entry_id.hex), MemberId(member_id.hex), points, done, moved_to and EntryId(moved_to.hex))
