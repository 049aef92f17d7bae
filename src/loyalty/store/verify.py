"""What `loyalty verify` reads: the journal and what is kept beside it, a bucket at a time, in bounded memory."""

from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from loyalty.domain.adjustments import Adjustment
from loyalty.domain.books import ACCOUNTS, Book
from loyalty.domain.entries import Entry
from loyalty.domain.ids import BUCKETS, EntryId, MemberId
from loyalty.domain.ladder import NET_SPEND
from loyalty.domain.members import Member
from loyalty.domain.merges import Merge
from loyalty.domain.sliding import Slide
from loyalty.domain.tiers import TierGrant, TierStep
from loyalty.store import adjustments, members, merges, tiers
from loyalty.store.journal import WHOLE_ENTRY, Beside, EntryRows, hex_of, whole_entry
from loyalty.store.parts import PROGRAMME
from loyalty.store.schema import BIGINT, INTEGER, SMALLINT, TEXT, UUID
from loyalty.store.tiers import grant_from_row

ENTRIES_AT_A_TIME: Final = 2_000
MEMBERS_AT_A_TIME: Final = 1_000
STATEMENT_TIMEOUT_MS: Final = 600_000
"""A bucket of a large programme takes longer than anything that a request may ask."""
EVERY_BUCKET: Final = range(BUCKETS)
_BEFORE_ALL: Final = "0" * 32


class MemberRows(NamedTuple):
    """A member and everything that is kept about it beside the journal."""

    member: Member
    books: dict[str, Book]
    counts: dict[tuple[str, date], int]
    """By metric and first day of the bucket; net spend in minor units."""
    cap_use: dict[tuple[str, str], int]
    """Points by cap and the time it counts over."""
    steps: tuple[TierStep, ...]
    """In the order in which they were recorded."""
    grant: TierGrant | None
    """The newest, in force or not."""
    merge: Merge | None
    """The same, into another."""
    slides: tuple[Slide, ...]
    """By wallet and sequence."""


async def take_time(connection: AsyncConnection) -> None:
    """Let the statements of this transaction take up to `STATEMENT_TIMEOUT_MS`."""
    await connection.execute(_TAKE_TIME)


async def entries(connection: AsyncConnection, programme_id: int, bucket: int) -> AsyncIterator[Sequence[EntryRows]]:
    """Every entry of the bucket, by member and sequence. Locks nothing."""
    member_id, sequence = _BEFORE_ALL, 0
    while True:
        found = await connection.execute(
            _ENTRIES,
            {
                "the_bucket": bucket,
                PROGRAMME: programme_id,
                "after_member": member_id,
                "after_sequence": sequence,
                "at_most": ENTRIES_AT_A_TIME,
            },
        )
        rows = [_entry(row[:-3])._replace(beside=Beside(*row[-3:])) for row in found]
        if rows:
            yield rows
        if len(rows) < ENTRIES_AT_A_TIME:
            return
        member_id, sequence = rows[-1].entry.member_id, rows[-1].entry.sequence


async def entries_of_kinds(
    connection: AsyncConnection, programme_id: int, bucket: int, kinds: Sequence[str]
) -> AsyncIterator[Sequence[Entry]]:
    """As `entries`, of some kinds only, and without what is kept beside them."""
    member_id, sequence = _BEFORE_ALL, 0
    while True:
        found = await connection.execute(
            _ENTRIES_OF_KINDS,
            {
                "the_bucket": bucket,
                PROGRAMME: programme_id,
                "the_kinds": list(kinds),
                "after_member": member_id,
                "after_sequence": sequence,
                "at_most": ENTRIES_AT_A_TIME,
            },
        )
        rows = [whole_entry(row).entry for row in found]
        if rows:
            yield rows
        if len(rows) < ENTRIES_AT_A_TIME:
            return
        member_id, sequence = rows[-1].member_id, rows[-1].sequence


async def members_of(
    connection: AsyncConnection, programme_id: int, bucket: int
) -> AsyncIterator[Sequence[MemberRows]]:
    """Every member of the bucket, by id. Locks nothing."""
    member_id = _BEFORE_ALL
    while True:
        found = await connection.execute(
            _MEMBERS,
            {
                "the_bucket": bucket,
                PROGRAMME: programme_id,
                "after_member": member_id,
                "at_most": MEMBERS_AT_A_TIME,
            },
        )
        rows = [_member(row) for row in found]
        if rows:
            yield rows
        if len(rows) < MEMBERS_AT_A_TIME:
            return
        member_id = rows[-1].member.id


async def adjustments_of(
    connection: AsyncConnection, programme_id: int, bucket: int
) -> AsyncIterator[Sequence[Adjustment]]:
    """Every adjustment of the bucket that a second person had to decide, by id. Locks nothing."""
    after = _BEFORE_ALL
    while True:
        rows = await adjustments.page_of(connection, programme_id, bucket, after=after, at_most=MEMBERS_AT_A_TIME)
        if rows:
            yield rows
        if len(rows) < MEMBERS_AT_A_TIME:
            return
        after = rows[-1].id


async def count_beside(connection: AsyncConnection, programme_id: int, bucket: int) -> dict[str, int]:
    """How many rows of each of the tables that are only held against others lie in the bucket. Locks nothing."""
    counts = (await connection.execute(_COUNT_BESIDE, {"the_bucket": bucket, PROGRAMME: programme_id})).one()
    return dict(zip(_BESIDE_OTHERS, counts, strict=True))


# --- rows ------------------------------------------------------------------------------------------------------


def _entry(row: Sequence[Any]) -> EntryRows:
    """A whole entry; without its balances where nobody can read them, and its hash will tell."""
    try:
        return whole_entry(row)
    except (TypeError, ValueError, AttributeError):
        *facts, _, calculation, hash_, postings, draws, born = row
        return whole_entry((*facts, "{}", calculation, hash_, postings, draws, born))


def _member(row: Sequence[Any]) -> MemberRows:
    *own, books, months, counts, caps, steps, grant, merge, slides = row
    member = members.from_row(own)
    return MemberRows(
        member,
        {wallet: Book._make(accounts) for wallet, *accounts in books or ()},
        {(NET_SPEND, month): amount for month, amount in months or ()}
        | {(metric, first): amount for metric, first, amount in counts or ()},
        {(cap, over): points for cap, over, points in caps or ()},
        tuple(_step(member.id, *step) for step in steps or ()),
        None if grant is None else grant_from_row(grant),
        None if merge is None else merges.from_row(merge),
        tuple(Slide(member.id, *one) for one in slides or ()),
    )


def _step(
    member_id: MemberId,
    id_: str,
    from_tier: str,
    to_tier: str,
    occurred_at: datetime,
    recorded_at: datetime,
    entry_id: str | None,
    *judged: Any,
) -> TierStep:
    entry = EntryId(entry_id) if entry_id else None
    return TierStep(id_, member_id, from_tier, to_tier, occurred_at, recorded_at, entry, tiers.judged_from(judged))


# --- statements ------------------------------------------------------------------------------------------------

_TAKE_TIME = text(f"select set_config('statement_timeout', '{STATEMENT_TIMEOUT_MS}', true)")

_KEYS = (bindparam("the_bucket", type_=SMALLINT), bindparam(PROGRAMME, type_=INTEGER))
_AT_MOST = bindparam("at_most", type_=BIGINT)


_BESIDE = f"""
           case when e.kind in ('hold', 'reserve') then (select row(h.status, h.captured, h.expires_at) from hold h
              where h.bucket = e.bucket and h.programme_id = e.programme_id and h.id = e.id) end,
           case when e.kind in ('earn', 'spend', 'capture', 'reassign') then (
             select row(r.points, r.done::text, {hex_of("r.moved_to")}) from reversal r
              where r.bucket = e.bucket and r.programme_id = e.programme_id and r.entry_id = e.id) end,
           case when e.kind = 'adjust' then (select a.status from adjustment a
              where a.bucket = e.bucket and a.programme_id = e.programme_id and a.id = e.id) end
"""  # noqa: S608 - only our own constants
_ENTRIES = text(
    f"""
    select {WHOLE_ENTRY}, {_BESIDE}
      from entry e
     where e.bucket = :the_bucket and e.programme_id = :{PROGRAMME}
       and (e.member_id, e.sequence) > (:after_member, :after_sequence)
     order by e.member_id, e.sequence
     limit :at_most
    """  # noqa: S608 - only our own constants
).bindparams(
    *_KEYS,
    bindparam("after_member", type_=UUID),
    bindparam("after_sequence", type_=BIGINT),
    _AT_MOST,
)

_ENTRIES_OF_KINDS = text(
    f"""
    select {WHOLE_ENTRY}
      from entry e
     where e.bucket = :the_bucket and e.programme_id = :{PROGRAMME} and e.kind = any(:the_kinds)
       and (e.member_id, e.sequence) > (:after_member, :after_sequence)
     order by e.member_id, e.sequence
     limit :at_most
    """  # noqa: S608 - only our own constants
).bindparams(
    *_KEYS,
    bindparam("the_kinds", type_=TEXT.array),
    bindparam("after_member", type_=UUID),
    bindparam("after_sequence", type_=BIGINT),
    _AT_MOST,
)

_MEMBERS = text(
    f"""
    select {members.COLUMNS},
           (select array_agg(row(b.wallet, {", ".join(f"b.{account}" for account in ACCOUNTS)}))
              from book b
             where b.bucket = m.bucket and b.programme_id = m.programme_id and b.member_id = m.id),
           (select array_agg(row(s.month, s.amount))
              from net_spend s
             where s.bucket = m.bucket and s.programme_id = m.programme_id and s.member_id = m.id),
           (select array_agg(row(n.metric, n.first_day, n.amount))
              from tier_count n
             where n.bucket = m.bucket and n.programme_id = m.programme_id and n.member_id = m.id),
           (select array_agg(row(c.cap, c.over, c.points))
              from cap_use c
             where c.bucket = m.bucket and c.programme_id = m.programme_id and c.member_id = m.id),
           (select array_agg(row({hex_of("t.id")}, t.from_tier, t.to_tier, t.occurred_at, t.recorded_at,
                                 {hex_of("t.entry_id")}, t.window_from, t.window_ends, t.score, t.needed)
                            order by t.recorded_at, t.id)
              from tier_step t
             where t.bucket = m.bucket and t.programme_id = m.programme_id and t.member_id = m.id),
           (select row(g.tier, g.until, g.locked, g.earned_tier, g.earned_since, g.earned_until)
              from tier_grant g
             where g.bucket = m.bucket and g.programme_id = m.programme_id and g.member_id = m.id),
           (select row(g.member_id, g.survivor_id, g.merged_at, g.carried::text)
              from merge g
             where g.bucket = m.bucket and g.programme_id = m.programme_id and g.member_id = m.id),
           (select array_agg(row(l.wallet, l.sequence, l.ends_at) order by l.wallet, l.sequence)
              from slide l
             where l.bucket = m.bucket and l.programme_id = m.programme_id and l.member_id = m.id)
      from member m
     where m.bucket = :the_bucket and m.programme_id = :{PROGRAMME} and m.id > :after_member
     order by m.id
     limit :at_most
    """  # noqa: S608 - only our own constants
).bindparams(*_KEYS, bindparam("after_member", type_=UUID), _AT_MOST)

_BESIDE_OTHERS = (
    *("adjustment", "reference", "parked_event", "review", "event", "tag_change", "identity"),
    *("person", "consent", "difference"),
)
_COUNTS = (
    f"(select count(*) from {table} x where x.bucket = :the_bucket and x.programme_id = :{PROGRAMME})"  # noqa: S608
    for table in _BESIDE_OTHERS
)
_COUNT_BESIDE = text(f"select {', '.join(_COUNTS)}").bindparams(*_KEYS)
