"""A member's history as of a moment. Neither `effective_at` nor `recorded_at` ever runs backwards along it, so a
moment cuts it in two: what had happened by then comes first.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from loyalty.domain.books import Balance
from loyalty.domain.calendar import FOREVER
from loyalty.domain.entries import Kind
from loyalty.domain.holds import Hold, HoldStatus
from loyalty.domain.ids import MemberId, bucket_of
from loyalty.domain.lots import Lot, LotState
from loyalty.store import holds, lots
from loyalty.store.parts import PROGRAMME
from loyalty.store.schema import BIGINT, INTEGER, SMALLINT, TEXT, TIMESTAMPTZ, UUID

OF_MEMBER = (
    bindparam("the_bucket", type_=SMALLINT),
    bindparam(PROGRAMME, type_=INTEGER),
    bindparam("the_member", type_=UUID),
)

_LAST = text(
    # By halving, for no index leads to an entry by its times: an entry for each doubling of the history. The fence
    # (`offset 0`) has each of them reached by its sequence: a join would read the whole history at every step.
    f"""
    with recursive halving (low, high, middle) as (
        select 0::bigint, m.sequence, (m.sequence + 1) / 2
          from member m
         where m.bucket = :the_bucket and m.programme_id = :{PROGRAMME} and m.id = :the_member
         union all
        select n.low, n.high, (n.low + n.high + 1) / 2
          from halving h
         cross join lateral (
               select e.effective_at, e.recorded_at from entry e
                where e.bucket = :the_bucket and e.programme_id = :{PROGRAMME} and e.member_id = :the_member
                  and e.sequence = h.middle offset 0) e
         cross join lateral (select e.effective_at <= :the_effective and e.recorded_at <= :the_recorded as by_then) t
         cross join lateral (
               select case when t.by_then then h.middle else h.low end as low,
                      case when t.by_then then h.high else h.middle - 1 end as high
               ) n
         where h.low < h.high
    )
    select low from halving where low = high
    """  # noqa: S608 - only our own constants
).bindparams(*OF_MEMBER, bindparam("the_effective", type_=TIMESTAMPTZ), bindparam("the_recorded", type_=TIMESTAMPTZ))


async def last_entry(
    connection: AsyncConnection,
    programme_id: int,
    member_id: MemberId,
    *,
    effective_at: datetime = FOREVER,
    recorded_at: datetime = FOREVER,
) -> int | None:
    """The sequence of the last entry effective and recorded by the moments, inclusive; 0 before all entries.

    None: there is no such member. Locks nothing.
    """
    values = {
        **of_member(programme_id, member_id),
        "the_effective": effective_at,
        "the_recorded": recorded_at,
    }
    found: int | None = await connection.scalar(_LAST, values)
    return found


class Left(NamedTuple):
    """How an entry left its member."""

    sequence: int
    effective_at: datetime
    recorded_at: datetime
    balances: dict[str, Balance]


_LEFT = text(
    f"""
    select e.sequence, e.effective_at, e.recorded_at, e.balances::text
      from entry e
     where e.bucket = :the_bucket and e.programme_id = :{PROGRAMME} and e.member_id = :the_member
       and e.sequence = :the_sequence
    """  # noqa: S608 - only our own constants
).bindparams(*OF_MEMBER, bindparam("the_sequence", type_=BIGINT))


async def left_by(connection: AsyncConnection, programme_id: int, member_id: MemberId, sequence: int) -> Left | None:
    """How the member's entry of this sequence left it; None before the first. Locks nothing."""
    rows = await connection.execute(_LEFT, {**of_member(programme_id, member_id), "the_sequence": sequence})
    row = rows.one_or_none()
    if row is None:
        return None
    found, effective_at, recorded_at, balances = row
    wallets = {wallet: Balance(*points) for wallet, points in orjson.loads(balances).items()}
    return Left(found, effective_at, recorded_at, wallets)


_LOTS = text(
    # Backwards from now, so that no index on the draws of a lot is needed: the open lots, and those that a later entry
    # has drawn, without what later entries did. A lot matures with the first entry after its own that settles its
    # moment; none does so before its time, which spares most lots the look through the entries between.
    # Each step is fenced (`offset 0`), so that rows are reached by their whole key however little there is. Lots and
    # what was done to them are put together by grouping: Postgres believes both to be few, and would join them row by
    # row, which takes seconds for a member with thousands of each.
    f"""
    with later as materialized (
        select e.id, e.kind, e.occurred_at
          from entry e
         where e.bucket = :the_bucket and e.programme_id = :{PROGRAMME} and e.member_id = :the_member
           and e.sequence > :the_sequence
    ), touched as materialized (
        select c.id, sum(greatest(c.points, 0))::bigint as drawn, sum(greatest(-c.points, 0))::bigint as restored
          from (select l.id, 0::bigint as points from lot l
                 where l.open and l.bucket = :the_bucket and l.programme_id = :{PROGRAMME}
                   and l.member_id = :the_member
                 union all
                select d.lot_id, d.points from later e
                 cross join lateral (
                       select d.lot_id, d.points from draw d
                        where d.bucket = :the_bucket and d.programme_id = :{PROGRAMME} and d.entry_id = e.id
                        offset 0) d
                 union all
                select h.id, 0 from unnest(:the_held) as h (id)) c
         group by c.id
    )
    select l.id, l.member_id, l.wallet,
           case when l.matures_at is not null
                 and (l.state = :pending
                      or l.matures_at in (select e.occurred_at from later e where e.kind = :mature))
                 and (l.matures_at > :the_effective
                      or not exists (
                         select from entry e
                          where e.bucket = :the_bucket and e.programme_id = :{PROGRAMME} and e.member_id = :the_member
                            and e.sequence > b.sequence and e.sequence <= :the_sequence
                            and e.kind = :mature and e.occurred_at = l.matures_at))
                then :pending else :available end,
           l.points, l.drawn - t.drawn, l.restored - t.restored,
           l.earned_at, l.matures_at, l.expires_at, l.entry_id, l.source, l.store, l.funder, l.lapsed
      from touched t
     cross join lateral (
           select l.* from lot l
            where l.bucket = :the_bucket and l.programme_id = :{PROGRAMME} and l.id = t.id offset 0) l
     cross join lateral (
           select e.sequence from entry e
            where e.bucket = :the_bucket and e.programme_id = :{PROGRAMME} and e.id = l.entry_id offset 0) b
     where b.sequence <= :the_sequence
    """  # noqa: S608 - only our own constants
).bindparams(
    *OF_MEMBER,
    bindparam("the_sequence", type_=BIGINT),
    bindparam("the_effective", type_=TIMESTAMPTZ),
    bindparam("the_held", type_=UUID.array),
    bindparam("mature", value=Kind.MATURE.value, type_=TEXT),
    bindparam("pending", value=LotState.PENDING.value, type_=TEXT),
    bindparam("available", value=LotState.AVAILABLE.value, type_=TEXT),
)


_HOLDS = text(
    # Those that are open now, and those that a later entry resolved; without those that were opened later.
    f"""
    with candidate as materialized (
        select h.id from hold h
         where h.bucket = :the_bucket and h.programme_id = :{PROGRAMME} and h.member_id = :the_member
           and h.status = 'open'
         union
        select coalesce(e.calculation ->> 'reservation', e.calculation ->> 'of')::uuid from entry e
         where e.bucket = :the_bucket and e.programme_id = :{PROGRAMME} and e.member_id = :the_member
           and e.sequence > :the_sequence and e.kind in ('capture', 'release', 'return')
           and exists (
               select from posting p
                where p.bucket = e.bucket and p.programme_id = e.programme_id and p.entry_id = e.id
                  and p.debit = 'held')
    )
    select {", ".join(holds.COLUMNS)}
      from candidate c
     cross join lateral (
           select h.* from hold h
            where h.bucket = :the_bucket and h.programme_id = :{PROGRAMME} and h.id = c.id offset 0) h
     cross join lateral (
           select e.sequence from entry e
            where e.bucket = :the_bucket and e.programme_id = :{PROGRAMME} and e.id = c.id offset 0) o
     where o.sequence <= :the_sequence
    """  # noqa: S608 - only our own constants
).bindparams(*OF_MEMBER, bindparam("the_sequence", type_=BIGINT))


async def holds_left_by(connection: AsyncConnection, programme_id: int, member_id: MemberId, entry: Left) -> list[Hold]:
    """The member's holds that were open when the entry had been written. Locks nothing."""
    values = {**of_member(programme_id, member_id), "the_sequence": entry.sequence}
    rows: Sequence[Any] = (await connection.execute(_HOLDS, values)).all()
    return [holds.from_row(row)._replace(status=HoldStatus.OPEN.value, captured=0) for row in rows]


async def lots_left_by(
    connection: AsyncConnection, programme_id: int, member_id: MemberId, entry: Left, held: Sequence[Hold]
) -> list[Lot]:
    """The member's lots that had points when the entry had been written, and those its holds drew on. Locks nothing.

    Costs as much as there are open lots and later entries.
    """
    drawn = {draw.lot_id for hold in held for draw in hold.draws}
    values = {
        **of_member(programme_id, member_id),
        "the_sequence": entry.sequence,
        "the_effective": entry.effective_at,
        "the_held": list(drawn),
    }
    rows: Sequence[Any] = (await connection.execute(_LOTS, values)).all()
    return [lot for lot in map(lots.from_row, rows) if lot.remaining or lot.id in drawn]


def of_member(programme_id: int, member_id: MemberId) -> dict[str, object]:
    """Values for the binds `OF_MEMBER`."""
    return {"the_bucket": bucket_of(member_id), PROGRAMME: programme_id, "the_member": member_id}
