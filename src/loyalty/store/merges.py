"""Merges: which member was merged into which, and what was carried."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from loyalty.domain.entries import Kind
from loyalty.domain.ids import EntryId, MemberId, bucket_of
from loyalty.domain.members import Status
from loyalty.domain.merges import ABSORBED, MERGES, Merge, carried
from loyalty.domain.state import State
from loyalty.store import journal
from loyalty.store.parts import Insert, Load, Update, Write, keys, look_up, rows_of
from loyalty.store.schema import JSON, SMALLINT, TIMESTAMPTZ, UUID, ledger_table

merge = ledger_table("merge", member_id=UUID, survivor_id=UUID, merged_at=TIMESTAMPTZ, carried=JSON)

_INSERT = Insert(merge)
_UPDATE = Update(merge, key=["member_id"], changed=["survivor_id", "merged_at", "carried"])
_LOAD = rows_of(
    ["g.member_id", "g.survivor_id", "g.merged_at", "g.carried::text"],
    f"""from {keys(bucket="merge_buckets", member_id="merge_members")}
        join merge g on g.bucket = k.bucket and g.programme_id = k.programme_id and g.member_id = k.member_id""",
)
_LOAD_IN_FORCE = rows_of(
    ["g.member_id", "g.survivor_id", "g.merged_at", "g.carried::text"],
    f"""from {keys(bucket="merged_buckets", member_id="merged_members")}
        join member m on m.bucket = k.bucket and m.programme_id = k.programme_id and m.id = k.member_id
         and m.status = '{Status.MERGED}'
        join merge g on g.bucket = k.bucket and g.programme_id = k.programme_id and g.member_id = k.member_id""",
)
_LOAD_ABSORBED = rows_of(
    ["k.member_id", "found.merged_at", "found.member_id"],
    # Member by member, each by the index: no bucket says where those who were merged into a member lie.
    f"""from {keys(member_id="absorbing_members")}
        cross join lateral (
              select g.member_id, g.merged_at from merge g
                join member m on m.bucket = g.bucket and m.programme_id = g.programme_id and m.id = g.member_id
                 and m.status = '{Status.MERGED}'
               where g.programme_id = k.programme_id and g.survivor_id = k.member_id) found""",  # noqa: S608 - only our own constants
)


def load(ids: Sequence[MemberId]) -> Load:
    """The newest merge of each member, in force or not."""
    return Load(
        _LOAD,
        {
            "merge_buckets": ([bucket_of(id_) for id_ in ids], SMALLINT.array),
            "merge_members": (list(ids), UUID.array),
        },
    )


def place(rows: Iterable[Sequence[Any]], into: State) -> None:
    for row in rows:
        found = from_row(row)
        into.put(MERGES, found.absorbed, found)


def load_absorbed(ids: Sequence[MemberId]) -> Load:
    """Who is merged into the members."""
    return Load(_LOAD_ABSORBED, {"absorbing_members": (list(ids), UUID.array)})


def place_absorbed(rows: Iterable[Sequence[Any]], into: State) -> None:
    for survivor, _, absorbed in sorted(map(tuple, rows)):
        id_ = MemberId(survivor.hex)
        into.put(ABSORBED, id_, (*(into.get(ABSORBED, id_) or ()), MemberId(absorbed.hex)))


def write(new: Sequence[Merge], changed: Sequence[Merge]) -> Iterable[Write]:
    """The part of the write that merges contribute."""
    if new:
        yield _INSERT.write([(bucket_of(one.absorbed), *one) for one in new])
    if changed:
        yield _UPDATE.write([(bucket_of(one.absorbed), *one) for one in changed])


async def in_force(connection: AsyncConnection, programme_id: int, ids: Sequence[MemberId]) -> Mapping[MemberId, Merge]:
    """The merges of those of the members who are merged into others. Locks nothing."""
    part = Load(
        _LOAD_IN_FORCE,
        {
            "merged_buckets": ([bucket_of(id_) for id_ in ids], SMALLINT.array),
            "merged_members": (list(ids), UUID.array),
        },
    )
    found = map(from_row, await look_up(connection, programme_id, part))
    return {one.absorbed: one for one in found}


async def find(connection: AsyncConnection, programme_id: int, id_: EntryId) -> Merge | None:
    """The merge of that id, if it is in force. Locks nothing."""
    entry = await journal.find(connection, programme_id, id_)
    if entry is None or entry.kind != Kind.MERGE:
        return None
    found = (await in_force(connection, programme_id, [entry.member_id])).get(entry.member_id)
    return found if found is not None and carried(found).entry == id_ else None


def from_row(row: Sequence[Any]) -> Merge:
    """A merge from its columns, `carried` as text."""
    absorbed, survivor, merged_at, carried = row
    return Merge(MemberId(absorbed.hex), MemberId(survivor.hex), merged_at, carried)
