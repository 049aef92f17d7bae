"""How members moved between two days: over tiers, and over how alive they are."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy import TextClause, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from loyalty.domain.members import Status
from loyalty.domain.programme import Programme
from loyalty.store.parts import PROGRAMME
from loyalty.store.schema import DATE, INTEGER, TIMESTAMPTZ


class Transition(NamedTuple):
    """Members who were in one state when the span began, and in another, or the same, when it ended."""

    before: str | None
    """None: they joined within the span."""
    after: str
    cause: str | None
    """Of the last step of their tier: the kind of its entry, or `review`; None where they took none."""
    members: int


async def of_tiers(
    connection: AsyncConnection, programme: Programme, *, begins: datetime, ends: datetime
) -> list[Transition]:
    """By tier and cause. Reads every member, and the tier steps since the span began; locks nothing."""
    values = {PROGRAMME: programme.id, "the_begin": begins, "the_end": ends}
    return _transitions(await connection.execute(_OF_TIERS, values))


async def of_activity(
    connection: AsyncConnection, programme: Programme, *, begins: date, ends: date
) -> list[Transition]:
    """By how alive they were at the beginning of the two days. Reads every member, and what each spent by month."""
    calendar = programme.calendar
    values: dict[str, Any] = {
        PROGRAMME: programme.id,
        "the_begin": calendar.day_start(begins),
        "the_end": calendar.day_start(ends),
    }
    for name, day in (("begin", begins), ("end", ends)):
        joined, *borders = programme.activity.borders(day)
        values[f"{name}_day"] = day
        values[f"{name}_new"] = calendar.day_start(joined)
        values[f"{name}_active"], values[f"{name}_dormant"] = borders
    return _transitions(await connection.execute(_OF_ACTIVITY, values))


def _transitions(rows: Any) -> list[Transition]:
    return [Transition(*row) for row in rows]


def _binds(statement: TextClause, *, moments: Sequence[str], days: Sequence[str] = ()) -> TextClause:
    return statement.bindparams(
        bindparam(PROGRAMME, type_=INTEGER),
        *(bindparam(name, type_=TIMESTAMPTZ) for name in moments),
        *(bindparam(name, type_=DATE) for name in days),
    )


_OF_TIERS = _binds(
    text(
        f"""
    with moved as (
         select s.bucket, s.member_id,
                (array_agg(s.from_tier order by s.occurred_at, s.id))[1] as before,
                (array_agg(s.to_tier order by s.occurred_at desc, s.id desc)
                    filter (where s.occurred_at < :the_end))[1] as after,
                (array_agg(s.from_tier order by s.occurred_at, s.id)
                    filter (where s.occurred_at >= :the_end))[1] as later,
                (array_agg(coalesce(e.kind, 'review') order by s.occurred_at desc, s.id desc)
                    filter (where s.occurred_at < :the_end))[1] as cause
           from tier_step s
           left join entry e on e.bucket = s.bucket and e.programme_id = s.programme_id and e.id = s.entry_id
          where s.programme_id = :{PROGRAMME} and s.occurred_at >= :the_begin
          group by s.bucket, s.member_id)
    select case when m.enrolled_at < :the_begin then coalesce(v.before, m.tier) end,
           coalesce(v.after, v.later, m.tier), v.cause, count(*)
      from member m
      left join moved v on v.bucket = m.bucket and v.member_id = m.id
     where m.programme_id = :{PROGRAMME} and m.enrolled_at < :the_end and m.status <> '{Status.MERGED}'
     group by 1, 2, 3
    """  # noqa: S608 - only our own constants
    ),
    moments=("the_begin", "the_end"),
)


def _alive(when: str) -> str:
    """How alive a member is on a day, of the month of its last purchase before."""
    return (
        f"case when m.enrolled_at >= :{when}_new then 'new'"
        f" when s.{when}_month + interval '1 month' > :{when}_active then 'active'"
        f" when s.{when}_month + interval '1 month' > :{when}_dormant then 'dormant' else 'lapsed' end"
    )


_OF_ACTIVITY = _binds(
    text(
        f"""
    with bought as (
         select s.bucket, s.member_id,
                max(s.month) filter (where s.month < :begin_day) as begin_month,
                max(s.month) as end_month
           from net_spend s
          where s.programme_id = :{PROGRAMME} and s.month < :end_day and s.amount > 0
          group by s.bucket, s.member_id)
    select case when m.enrolled_at < :the_begin then {_alive("begin")} end, {_alive("end")}, null, count(*)
      from member m
      left join bought s on s.bucket = m.bucket and s.member_id = m.id
     where m.programme_id = :{PROGRAMME} and m.enrolled_at < :the_end and m.status <> '{Status.MERGED}'
     group by 1, 2
    """  # noqa: S608 - only our own constants
    ),
    moments=("the_begin", "the_end", "begin_new", "end_new"),
    days=("begin_day", "end_day", "begin_active", "end_active", "begin_dormant", "end_dormant"),
)
