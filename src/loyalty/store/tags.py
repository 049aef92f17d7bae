"""Tags of members: every change is a row, the newest counts. Rows here are only ever inserted."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from loyalty.domain.ids import MemberId, bucket_of
from loyalty.domain.state import State
from loyalty.domain.tags import TAGS, TagChange, TagChangeId, tags_of
from loyalty.store.parts import PROGRAMME, Insert, Load, Write, keys, look_up, rows_of
from loyalty.store.schema import BIGINT, INTEGER, SMALLINT, TEXT, TIMESTAMPTZ, UUID, ledger_table

tag_change = ledger_table(
    "tag_change",
    id=UUID,
    member_id=UUID,
    number=INTEGER,
    tags=TEXT,
    reason=TEXT,
    changed_at=TIMESTAMPTZ,
    changed_by=TEXT,
)
AFTER_ALL_CHANGES: Final = 2**31 - 1

_INSERT = Insert(tag_change)
_COLUMNS = [f"t.{one.name}" for one in tag_change.columns if one.name not in ("bucket", "programme_id")]
_LOAD = rows_of(
    [f"n.{column.removeprefix('t.')}" for column in _COLUMNS],
    f"""from {keys(bucket="tag_buckets", member_id="tag_members")}
        cross join lateral (
              select {", ".join(_COLUMNS)} from tag_change t
               where t.bucket = k.bucket and t.programme_id = k.programme_id and t.member_id = k.member_id
               order by t.number desc limit 1) n""",  # noqa: S608 - only our own constants
)
_PAGE = text(
    f"""
    select {", ".join(_COLUMNS)} from tag_change t
     where t.bucket = :the_bucket and t.programme_id = :{PROGRAMME} and t.member_id = :the_member
       and t.number < :before
     order by t.number desc limit :at_most
    """  # noqa: S608 - only our own constants
).bindparams(
    bindparam("the_bucket", type_=SMALLINT),
    bindparam(PROGRAMME, type_=INTEGER),
    bindparam("the_member", type_=UUID),
    bindparam("before", type_=INTEGER),
    bindparam("at_most", type_=BIGINT),
)


def load(ids: Sequence[MemberId]) -> Load:
    """The newest change of each member's tags."""
    return Load(
        _LOAD,
        {
            "tag_buckets": ([bucket_of(id_) for id_ in ids], SMALLINT.array),
            "tag_members": (list(ids), UUID.array),
        },
    )


def place(rows: Iterable[Sequence[Any]], into: State) -> None:
    for row in rows:
        change = _from_row(row)
        into.put(TAGS, change.member_id, change)


def write(changes: Sequence[TagChange]) -> Iterable[Write]:
    """The part of the write that changes of tags contribute. The member's lock guards them."""
    if changes:
        yield _INSERT.write([_row(one) for one in changes])


async def find(connection: AsyncConnection, programme_id: int, member_id: MemberId) -> tuple[str, ...]:
    """The member's tags, in alphabetical order. Locks nothing."""
    found = State()
    place(await look_up(connection, programme_id, load([member_id])), found)
    return tags_of(found, member_id)


async def page(
    connection: AsyncConnection, programme_id: int, member_id: MemberId, *, before: int, limit: int
) -> list[TagChange]:
    """How a member's tags were changed, the newest first, those before the number `before`. Locks nothing."""
    values = {
        "the_bucket": bucket_of(member_id),
        PROGRAMME: programme_id,
        "the_member": member_id,
        "before": before,
        "at_most": limit,
    }
    return [_from_row(row) for row in await connection.execute(_PAGE, values)]


def _row(change: TagChange) -> tuple[Any, ...]:
    id_, member_id, number, tags, *rest = change
    return (bucket_of(member_id), id_, member_id, number, " ".join(tags), *rest)


def _from_row(row: Sequence[Any]) -> TagChange:
    id_, member_id, number, tags, *rest = row
    return TagChange(TagChangeId(id_.hex), MemberId(member_id.hex), number, tuple(tags.split()), *rest)
