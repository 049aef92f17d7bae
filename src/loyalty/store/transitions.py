"""How members moved: one member step by step; all of them between two days, over tiers and how alive they are."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import TextClause, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from loyalty.domain.calendar import FOREVER
from loyalty.domain.ids import EntryId, MemberId, bucket_of
from loyalty.domain.members import Status
from loyalty.domain.programme import Programme
from loyalty.domain.tiers import TierStep
from loyalty.store.parts import PROGRAMME
from loyalty.store.schema import BIGINT, DATE, INTEGER, SMALLINT, TIMESTAMPTZ, UUID
from loyalty.store.tiers import judged_from


class Transition(NamedTuple):
    """Members who were in one state when the span began, and in another, or the same, when it ended."""

    before: str | None
    """None: they joined within the span."""
    after: str
    cause: str | None
    """Of the last step of their tier: the kind of its entry, or `review`; None where they took none."""
    members: int


class Caused(NamedTuple):
    """A step of a member's tier history, and what caused it: the kind of its entry, or `review`."""

    step: TierStep
    cause: str


class StepPlace(NamedTuple):
    """Where a page of steps ended: the place of its last step in the order of the list."""

    occurred_at: datetime
    id: str


AFTER_ALL_STEPS: Final = StepPlace(FOREVER, "f" * 32)


async def of_member(
    connection: AsyncConnection, programme_id: int, member_id: MemberId, *, before: StepPlace, limit: int
) -> list[Caused]:
    """The member's steps that lie before a place, newest first. Locks nothing."""
    rows = await connection.execute(
        _OF_MEMBER,
        {
            "the_bucket": bucket_of(member_id),
            PROGRAMME: programme_id,
            "the_member": member_id,
            "before_moment": before.occurred_at,
            "before_step": before.id,
            "at_most": limit,
        },
    )
    return [_caused(member_id, *row) for row in rows]


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


def _caused(
    member_id: MemberId,
    id_: Any,
    from_tier: str,
    to_tier: str,
    occurred_at: datetime,
    recorded_at: datetime,
    entry_id: Any,
    cause: str,
    *judged: Any,
) -> Caused:
    entry = None if entry_id is None else EntryId(entry_id.hex)
    step = TierStep(id_.hex, member_id, from_tier, to_tier, occurred_at, recorded_at, entry, judged_from(judged))
    return Caused(step, cause)


_CAUSE: Final = "coalesce(e.kind, 'review')"
"""Of a step, beside its entry `e`, if it has one. The end of a tier that was given by hand is a review too."""
_OF_MEMBER = text(
    f"""
    select s.id, s.from_tier, s.to_tier, s.occurred_at, s.recorded_at, s.entry_id, {_CAUSE},
           s.window_from, s.window_ends, s.score, s.needed
      from tier_step s
      left join entry e on e.bucket = s.bucket and e.programme_id = s.programme_id and e.id = s.entry_id
     where s.bucket = :the_bucket and s.programme_id = :{PROGRAMME} and s.member_id = :the_member
       and (s.occurred_at, s.id) < (:before_moment, :before_step)
     order by s.occurred_at desc, s.id desc
     limit :at_most
    """  # noqa: S608 - only our own constants
).bindparams(
    bindparam("the_bucket", type_=SMALLINT),
    bindparam(PROGRAMME, type_=INTEGER),
    bindparam("the_member", type_=UUID),
    bindparam("before_moment", type_=TIMESTAMPTZ),
    bindparam("before_step", type_=UUID),
    bindparam("at_most", type_=BIGINT),
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
                (array_agg({_CAUSE} order by s.occurred_at desc, s.id desc)
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
