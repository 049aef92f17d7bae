"""A member's account over a span of time: what it began with, what happened, what it ended with."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from loyalty.domain.books import Balance
from loyalty.domain.calendar import INSTANT
from loyalty.domain.ids import MemberId
from loyalty.store.parts import PROGRAMME
from loyalty.store.past import OF_MEMBER, last_entry, of_member
from loyalty.store.schema import BIGINT


class Span(NamedTuple):
    """A member's entries after the sequence `after` up to `through`, inclusive."""

    after: int
    through: int


class Total(NamedTuple):
    """What all entries of one kind did."""

    entries: int
    changes: Mapping[str, Balance]
    """By wallet: points that each account gained or, negative, lost."""


async def span(
    connection: AsyncConnection, programme_id: int, member_id: MemberId, *, begins_at: datetime, ends_at: datetime
) -> Span | None:
    """The entries effective from `begins_at` up to, but not including, `ends_at`. None: no such member."""
    after = await last_entry(connection, programme_id, member_id, effective_at=begins_at - INSTANT)
    through = await last_entry(connection, programme_id, member_id, effective_at=ends_at - INSTANT)
    return None if after is None or through is None else Span(after, through)


_TOTALS = text(
    f"""
    select e.kind, p.wallet, count(distinct e.sequence),
           coalesce(sum(p.points) filter (where p.credit = 'pending'), 0)::bigint
         - coalesce(sum(p.points) filter (where p.debit = 'pending'), 0)::bigint,
           coalesce(sum(p.points) filter (where p.credit = 'available'), 0)::bigint
         - coalesce(sum(p.points) filter (where p.debit = 'available'), 0)::bigint,
           coalesce(sum(p.points) filter (where p.credit = 'held'), 0)::bigint
         - coalesce(sum(p.points) filter (where p.debit = 'held'), 0)::bigint,
           coalesce(sum(p.points) filter (where p.debit = 'owed'), 0)::bigint
         - coalesce(sum(p.points) filter (where p.credit = 'owed'), 0)::bigint
      from entry e
      left join posting p on p.bucket = e.bucket and p.programme_id = e.programme_id and p.entry_id = e.id
     where e.bucket = :the_bucket and e.programme_id = :{PROGRAMME} and e.member_id = :the_member
       and e.sequence > :the_after and e.sequence <= :the_through
     group by grouping sets ((e.kind), (e.kind, p.wallet))
     order by e.kind, grouping(p.wallet) desc, p.wallet
    """  # noqa: S608 - only our own constants
).bindparams(*OF_MEMBER, bindparam("the_after", type_=BIGINT), bindparam("the_through", type_=BIGINT))


async def totals(connection: AsyncConnection, programme_id: int, member_id: MemberId, of: Span) -> dict[str, Total]:
    """What the entries of the span did, by kind. Reads all of them; locks nothing."""
    values = {**of_member(programme_id, member_id), "the_after": of.after, "the_through": of.through}
    found: dict[str, Total] = {}
    changes: dict[str, Balance] = {}
    for kind, wallet, entries, *points in await connection.execute(_TOTALS, values):
        if kind not in found:  # the row of the kind itself comes before those of its wallets
            changes = {}
            found[kind] = Total(entries, changes)
        elif wallet is not None:
            changes[wallet] = Balance(*points)
    return found
