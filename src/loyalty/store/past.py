"""A member's history as of a moment. Neither `effective_at` nor `recorded_at` ever runs backwards along it, so a
moment cuts it in two: what had happened by then comes first.
"""

from datetime import datetime

from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from loyalty.domain.calendar import FOREVER
from loyalty.domain.ids import MemberId, bucket_of
from loyalty.store.parts import PROGRAMME
from loyalty.store.schema import INTEGER, SMALLINT, TIMESTAMPTZ, UUID

OF_MEMBER = (
    bindparam("the_bucket", type_=SMALLINT),
    bindparam(PROGRAMME, type_=INTEGER),
    bindparam("the_member", type_=UUID),
)

_LAST = text(
    # By halving, for no index leads to an entry by its times: an entry for each doubling of the history.
    f"""
    with recursive halving (low, high, middle) as (
        select 0::bigint, m.sequence, (m.sequence + 1) / 2
          from member m
         where m.bucket = :the_bucket and m.programme_id = :{PROGRAMME} and m.id = :the_member
         union all
        select n.low, n.high, (n.low + n.high + 1) / 2
          from halving h
          join entry e on e.bucket = :the_bucket and e.programme_id = :{PROGRAMME} and e.member_id = :the_member
           and e.sequence = h.middle
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


def of_member(programme_id: int, member_id: MemberId) -> dict[str, object]:
    """Values for the binds `OF_MEMBER`."""
    return {"the_bucket": bucket_of(member_id), PROGRAMME: programme_id, "the_member": member_id}
