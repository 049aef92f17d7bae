"""What was written, read back: a member's entries and open lots, page by page, and entries by id or reference."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson
from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from loyalty.domain.books import Balance
from loyalty.domain.entries import Because, Entry, Posting
from loyalty.domain.ids import BUCKETS, EntryId, FactId, LotId, MemberId, bucket_of
from loyalty.domain.lots import Lot
from loyalty.store.lots import COLUMNS as LOT_COLUMNS
from loyalty.store.lots import from_row as lot_from_row
from loyalty.store.parts import PROGRAMME
from loyalty.store.schema import BIGINT, INTEGER, SMALLINT, TEXT, TIMESTAMPTZ, UUID

_ENTRY_COLUMNS = """
    e.id, e.member_id, e.sequence, e.kind, e.fact_id, e.occurred_at, e.effective_at, e.recorded_at,
    e.accounting_date, e.source, e.reference, e.store, e.reason, e.balances::text, e.hash,
    (select array_agg(row(p.wallet, p.debit, p.credit, p.points, p.funder) order by p.number)
       from posting p
      where p.bucket = e.bucket and p.programme_id = e.programme_id and p.entry_id = e.id)
"""

_ENTRIES = text(
    f"""
    select {_ENTRY_COLUMNS}
      from entry e
     where e.bucket = :the_bucket and e.programme_id = :{PROGRAMME} and e.member_id = :the_member
       and e.sequence < :before
     order by e.sequence desc
     limit :at_most
    """  # noqa: S608 - only our own constants
).bindparams(
    bindparam("the_bucket", type_=SMALLINT),
    bindparam(PROGRAMME, type_=INTEGER),
    bindparam("the_member", type_=UUID),
    bindparam("before", type_=BIGINT),
    bindparam("at_most", type_=BIGINT),
)

_SPAN = text(
    f"""
    select {_ENTRY_COLUMNS}
      from entry e
     where e.bucket = :the_bucket and e.programme_id = :{PROGRAMME} and e.member_id = :the_member
       and e.sequence > :the_after and e.sequence <= :the_through
     order by e.sequence
     limit :at_most
    """  # noqa: S608 - only our own constants
).bindparams(
    bindparam("the_bucket", type_=SMALLINT),
    bindparam(PROGRAMME, type_=INTEGER),
    bindparam("the_member", type_=UUID),
    bindparam("the_after", type_=BIGINT),
    bindparam("the_through", type_=BIGINT),
    bindparam("at_most", type_=BIGINT),
)

_ENTRY = text(
    f"""
    select {_ENTRY_COLUMNS}
      from entry e
     where e.bucket = :the_bucket and e.programme_id = :{PROGRAMME} and e.id = :the_entry
    """  # noqa: S608 - only our own constants
).bindparams(
    bindparam("the_bucket", type_=SMALLINT),
    bindparam(PROGRAMME, type_=INTEGER),
    bindparam("the_entry", type_=UUID),
)

_UNDER = text(
    # The bucket of a reference comes from its whole key: without kind or business date it may be any of them. That of
    # the entry is named within: a condition that calls a function finds no rows from behind row-level security.
    f"""
    select {_ENTRY_COLUMNS}
      from (select k.programme_id, r.entry_id, get_byte(uuid_send(r.entry_id), 15)::smallint as bucket
              from (select b.bucket::smallint, :{PROGRAMME} as programme_id
                      from generate_series(0, {BUCKETS - 1}) as b (bucket) offset 0) k
             cross join lateral (
                   select r.entry_id from reference r
                    where r.bucket = k.bucket and r.programme_id = k.programme_id
                      and r.source = :the_source and r.reference = :the_reference
                      and (:the_kind is null or r.kind = :the_kind) and r.entry_id < :before_entry
                    order by r.entry_id desc
                    limit :at_most
                   ) r
             order by r.entry_id desc
             limit :at_most) f
      join entry e on e.bucket = f.bucket and e.programme_id = f.programme_id and e.id = f.entry_id
     order by e.id desc
    """  # noqa: S608 - only our own constants
).bindparams(
    bindparam(PROGRAMME, type_=INTEGER),
    bindparam("the_source", type_=TEXT),
    bindparam("the_reference", type_=TEXT),
    bindparam("the_kind", type_=TEXT),
    bindparam("before_entry", type_=UUID),
    bindparam("at_most", type_=BIGINT),
)
AFTER_ALL_ENTRIES = EntryId("f" * 32)


class LotPlace(NamedTuple):
    """Where a page of lots ended: the place of its last lot in the order of the list."""

    wallet: str
    state: str
    due_at: datetime | None
    earned_at: datetime
    id: LotId


_LOTS = text(
    f"""
    select {", ".join(LOT_COLUMNS)}
      from lot l
     where l.open and l.bucket = :the_bucket and l.programme_id = :{PROGRAMME} and l.member_id = :the_member
       and (l.wallet, l.state, l.due_at, l.earned_at, l.id)
         > (:after_wallet, :after_state, coalesce(:after_due, 'infinity'::timestamptz), :after_earned, :after_id)
     order by l.wallet, l.state, l.due_at, l.earned_at, l.id
     limit :at_most
    """  # noqa: S608 - only our own constants
).bindparams(
    bindparam("the_bucket", type_=SMALLINT),
    bindparam(PROGRAMME, type_=INTEGER),
    bindparam("the_member", type_=UUID),
    bindparam("after_wallet", type_=TEXT),
    bindparam("after_state", type_=TEXT),
    bindparam("after_due", type_=TIMESTAMPTZ),
    bindparam("after_earned", type_=TIMESTAMPTZ),
    bindparam("after_id", type_=UUID),
    bindparam("at_most", type_=BIGINT),
)
_LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)
_BEFORE_ALL_LOTS = LotPlace("", "", _LONG_AGO, _LONG_AGO, LotId("0" * 32))


async def entries(
    connection: AsyncConnection, programme_id: int, member_id: MemberId, *, before: int, limit: int
) -> list[Entry]:
    """The member's entries with a sequence below `before`, newest first. Locks nothing."""
    rows = await connection.execute(
        _ENTRIES,
        {
            "the_bucket": bucket_of(member_id),
            PROGRAMME: programme_id,
            "the_member": member_id,
            "before": before,
            "at_most": limit,
        },
    )
    return [_entry(row) for row in rows]


async def entries_between(
    connection: AsyncConnection, programme_id: int, member_id: MemberId, *, after: int, through: int, limit: int
) -> list[Entry]:
    """The member's entries with a sequence above `after` up to `through`, oldest first. Locks nothing."""
    rows = await connection.execute(
        _SPAN,
        {
            "the_bucket": bucket_of(member_id),
            PROGRAMME: programme_id,
            "the_member": member_id,
            "the_after": after,
            "the_through": through,
            "at_most": limit,
        },
    )
    return [_entry(row) for row in rows]


async def entry(connection: AsyncConnection, programme_id: int, entry_id: EntryId) -> Entry | None:
    """One entry. Locks nothing."""
    rows = await connection.execute(
        _ENTRY, {"the_bucket": bucket_of(entry_id), PROGRAMME: programme_id, "the_entry": entry_id}
    )
    row = rows.one_or_none()
    return None if row is None else _entry(row)


async def entries_under(
    connection: AsyncConnection,
    programme_id: int,
    *,
    source: str,
    reference: str,
    kind: str | None,
    before: EntryId,
    limit: int,
) -> list[Entry]:
    """The entries that took the source's reference, newest first, those before `before`. Locks nothing.

    Several where the reference was taken for several kinds, or the source's numbers have begun again.
    """
    rows = await connection.execute(
        _UNDER,
        {
            PROGRAMME: programme_id,
            "the_source": source,
            "the_reference": reference,
            "the_kind": kind,
            "before_entry": before,
            "at_most": limit,
        },
    )
    return [_entry(row) for row in rows]


async def open_lots(
    connection: AsyncConnection, programme_id: int, member_id: MemberId, *, after: LotPlace | None, limit: int
) -> list[Lot]:
    """The member's open lots by wallet and state, each in the order they fall due. Locks nothing."""
    place = after or _BEFORE_ALL_LOTS
    rows = await connection.execute(
        _LOTS,
        {
            "the_bucket": bucket_of(member_id),
            PROGRAMME: programme_id,
            "the_member": member_id,
            "after_wallet": place.wallet,
            "after_state": place.state,
            "after_due": place.due_at,
            "after_earned": place.earned_at,
            "after_id": place.id,
            "at_most": limit,
        },
    )
    return [lot_from_row(row) for row in rows]


def _entry(row: Sequence[Any]) -> Entry:
    """An entry as far as it is shown: without its draws, births and calculation."""
    id_, member_id, sequence, kind, fact_id, occurred_at, effective_at, recorded_at, accounting_date = row[:9]
    source, reference, store, reason, balances, hash_, postings = row[9:]
    return Entry(
        EntryId(id_.hex),
        MemberId(member_id.hex),
        sequence,
        kind,
        FactId(fact_id.hex),
        occurred_at,
        effective_at,
        recorded_at,
        accounting_date,
        because=Because(source, reference, store, reason),
        postings=tuple(Posting(*posting) for posting in postings or ()),
        draws=(),
        births=(),
        balances={wallet: Balance(*points) for wallet, points in orjson.loads(balances).items()},
        calculation=None,
        hash=hash_,
    )
