"""What `loyalty verify` reads: the journal and what is kept beside it, a bucket at a time, in bounded memory."""

from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from loyalty.domain.adjustments import Adjustment
from loyalty.domain.books import ACCOUNTS, Book
from loyalty.domain.claims import TAKEN_BY
from loyalty.domain.ids import BUCKETS, EntryId, MemberId
from loyalty.domain.members import Member
from loyalty.domain.programme import Programme
from loyalty.domain.reviews import ReviewKind
from loyalty.domain.tiers import TierStep
from loyalty.store import adjustments, members
from loyalty.store.journal import WHOLE_ENTRY, Beside, EntryRows, hex_of, whole_entry
from loyalty.store.parts import PROGRAMME
from loyalty.store.schema import BIGINT, INTEGER, SMALLINT, TIMESTAMPTZ, UUID
from loyalty.store.sealing import CARD_CHANNEL, CARD_TYPE

ENTRIES_AT_A_TIME: Final = 2_000
MEMBERS_AT_A_TIME: Final = 1_000
STATEMENT_TIMEOUT_MS: Final = 600_000
"""A bucket of a large programme takes longer than anything that a request may ask."""
STRAYS_SHOWN: Final = 100
"""Most rows that one check of one bucket names."""
EVERY_BUCKET: Final = range(BUCKETS)
_BEFORE_ALL: Final = "0" * 32


class MemberRows(NamedTuple):
    """A member and everything that is kept about it beside the journal."""

    member: Member
    books: dict[str, Book]
    net_spend: dict[date, int]
    steps: tuple[TierStep, ...]
    """In the order in which they were recorded."""


class Stray(NamedTuple):
    """A row that has no place in the ledger, or contradicts the row it belongs to."""

    table: str
    row: str
    invariant: int
    problem: str


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


async def strays(connection: AsyncConnection, programme: Programme, bucket: int) -> list[Stray]:
    """Rows of the bucket that belong to nothing, or contradict what they belong to. Locks nothing."""
    asked = {"the_bucket": bucket, PROGRAMME: programme.id, "fixed_now": programme.fixed_now, "at_most": STRAYS_SHOWN}
    rows = await connection.execute(_STRAYS, asked)
    return [Stray(*row) for row in rows]


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
    *own, books, months, steps = row
    member = members.from_row(own)
    return MemberRows(
        member,
        {wallet: Book._make(accounts) for wallet, *accounts in books or ()},
        dict(months or ()),
        tuple(_step(member.id, *step) for step in steps or ()),
    )


def _step(
    member_id: MemberId,
    id_: str,
    from_tier: str,
    to_tier: str,
    occurred_at: datetime,
    recorded_at: datetime,
    entry_id: str | None,
) -> TierStep:
    return TierStep(
        id_, member_id, from_tier, to_tier, occurred_at, recorded_at, EntryId(entry_id) if entry_id else None
    )


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

_MEMBERS = text(
    f"""
    select {members.COLUMNS},
           (select array_agg(row(b.wallet, {", ".join(f"b.{account}" for account in ACCOUNTS)}))
              from book b
             where b.bucket = m.bucket and b.programme_id = m.programme_id and b.member_id = m.id),
           (select array_agg(row(s.month, s.amount))
              from net_spend s
             where s.bucket = m.bucket and s.programme_id = m.programme_id and s.member_id = m.id),
           (select array_agg(row({hex_of("t.id")}, t.from_tier, t.to_tier, t.occurred_at, t.recorded_at,
                                 {hex_of("t.entry_id")}) order by t.recorded_at, t.id)
              from tier_step t
             where t.bucket = m.bucket and t.programme_id = m.programme_id and t.member_id = m.id)
      from member m
     where m.bucket = :the_bucket and m.programme_id = :{PROGRAMME} and m.id > :after_member
     order by m.id
     limit :at_most
    """  # noqa: S608 - only our own constants
).bindparams(*_KEYS, bindparam("after_member", type_=UUID), _AT_MOST)

_BESIDE_OTHERS = ("adjustment", "reference", "parked_event", "review", "event", "identity", "person", "consent")
_COUNTS = (
    f"(select count(*) from {table} x where x.bucket = :the_bucket and x.programme_id = :{PROGRAMME})"  # noqa: S608
    for table in _BESIDE_OTHERS
)
_COUNT_BESIDE = text(f"select {', '.join(_COUNTS)}").bindparams(*_KEYS)


def _stray(table: str, key: str, invariant: int, problem: str, *, joined: str, wrong: str) -> str:
    """Selects the rows of a table that lack what they are joined to or contradict it."""
    return f"""
    (select '{table}', {key}, {invariant}, '{problem}'
       from {table} x {joined}
      where x.bucket = :the_bucket and x.programme_id = :{PROGRAMME} and ({wrong})
      limit :at_most)
    """  # noqa: S608 - only our own constants


_ENTRY = "left join entry e on e.bucket = x.bucket and e.programme_id = x.programme_id and e.id = x.entry_id"
_MEMBER = "left join member m on m.bucket = x.bucket and m.programme_id = x.programme_id and m.id = x.member_id"
_LOT = "left join lot l on l.bucket = x.bucket and l.programme_id = x.programme_id and l.id = x.lot_id"
_REVIEW = "left join review v on v.bucket = x.bucket and v.programme_id = x.programme_id and v.id = "
_OUTCOME = (
    # The bucket is named within here too; see `_CLAIMING`.
    "left join lateral (select its.id, get_byte(uuid_send(its.id), 15)::smallint as bucket"
    " from (select case when x.outcome ~ '^[0-9a-f]{32}$' then x.outcome::uuid end as id) its offset 0) o on true"
    " left join entry e on e.bucket = o.bucket and e.programme_id = x.programme_id and e.id = o.id"
)
_REVIEWED = (
    "left join entry e on e.bucket = x.bucket and e.programme_id = x.programme_id and e.id = x.id"
    " left join posting p on p.bucket = x.bucket and p.programme_id = x.programme_id and p.entry_id = x.id"
    " and p.debit = 'owed' and p.credit = 'redeemed'"
    " left join parked_event k on k.bucket = x.bucket and k.programme_id = x.programme_id and k.id = x.id"
)
_CLAIMING = (
    # The bucket of the entry is named within, as in `history._UNDER`: compared with a function's value it finds no rows
    # from behind row-level security, and each reference would look through all buckets.
    " cross join lateral (select get_byte(uuid_send(x.entry_id), 15)::smallint as bucket offset 0) its"
    " left join entry e on e.bucket = its.bucket and e.programme_id = x.programme_id and e.id = x.entry_id"
    " left join adjustment a on a.bucket = its.bucket and a.programme_id = x.programme_id and a.id = x.entry_id"
)
# A correction with a second person is taken on the day it is asked for: within a day of it, whatever the zone.
_ITS_DAYS = ", ".join(
    ["case when a.id is null then e.accounting_date::text else '' end"]
    + [
        "to_char(coalesce(:fixed_now, a.requested_at) at time zone 'UTC'"
        f" + case when a.id is not null then interval '{days} day' end, 'YYYY-MM-DD')"
        for days in (-1, 0, 1)
    ]
)
_TAKEN_BY = " ".join(f"when '{kind}' then '{taken}'" for kind, taken in TAKEN_BY.items())
_ENTRY_OF_ID = "left join entry e on e.bucket = x.bucket and e.programme_id = x.programme_id and e.id = x.id"
_STEP_OF_ID = "left join tier_step t on t.bucket = x.bucket and t.programme_id = x.programme_id and t.id = x.id"
_EVENT_OF_ID = "left join event v on v.bucket = x.bucket and v.programme_id = x.programme_id and v.id = x.id"
_ASKED_FOR = (
    "left join adjustment a on a.bucket = x.bucket and a.programme_id = x.programme_id"
    " and a.member_id = x.member_id and a.requested_at = x.recorded_at"
)
_NOT_COVERED = (
    "left join review v on v.bucket = x.bucket and v.programme_id = x.programme_id"
    " and v.member_id = x.member_id and v.opened_at = x.recorded_at and v.kind = x.type"
)
_TOLD = "left join event v on v.bucket = x.bucket and v.programme_id = x.programme_id and v.member_id = x.member_id"
_UNTOLD = "no event tells of it"
_NUMBERED = f"{hex_of('x.entry_id')} || ' ' || x.number"
_OF_MEMBER = hex_of("x.member_id")

_STRAYS = text(
    " union all ".join(
        [
            _stray(
                "posting",
                _NUMBERED,
                6,
                "belongs to no entry, or names another member, store or accounting date than its entry",
                joined=_ENTRY,
                wrong="e.id is null or e.member_id <> x.member_id or e.store is distinct from x.store"
                " or e.accounting_date <> x.accounting_date",
            ),
            _stray(
                "draw",
                _NUMBERED,
                5,
                "belongs to no entry, or draws on no lot of its member",
                joined=f"{_ENTRY} {_LOT}",
                wrong="e.id is null or l.id is null or l.member_id <> e.member_id",
            ),
            _stray(
                "lot",
                hex_of("x.id"),
                5,
                "was born of no entry, or names another member, source, store or fact than its entry",
                joined=_ENTRY,
                wrong="e.id is null or e.member_id <> x.member_id or e.store is distinct from x.store"
                " or e.source is distinct from x.source"
                f" or left({hex_of('e.fact_id')}, 26) <> left({hex_of('x.id')}, 26)",
            ),
            _stray(
                "book",
                f"{_OF_MEMBER} || ' ' || x.wallet",
                4,
                "belongs to no member",
                joined=_MEMBER,
                wrong="m.id is null",
            ),
            _stray(
                "net_spend",
                f"{_OF_MEMBER} || ' ' || x.month",
                4,
                "belongs to no member",
                joined=_MEMBER,
                wrong="m.id is null",
            ),
            _stray(
                "hold",
                hex_of("x.id"),
                8,
                "was opened by no entry, or names another member, wallet, amount or return than its entry",
                joined="left join entry e on e.bucket = x.bucket and e.programme_id = x.programme_id and e.id = x.id"
                " left join posting p on p.bucket = x.bucket and p.programme_id = x.programme_id"
                " and p.entry_id = x.id and p.number = 0",
                wrong="e.id is null or e.member_id <> x.member_id or x.opened_at <> e.effective_at"
                " or e.kind <> case when x.reserved is null then 'hold' else 'reserve' end"
                " or e.calculation::jsonb -> 'reserved' is distinct from x.reserved::jsonb"
                " or p.wallet <> x.wallet or x.points <> (select coalesce(sum(p.points), 0) from posting p"
                " where p.bucket = x.bucket and p.programme_id = x.programme_id and p.entry_id = x.id)",
            ),
            _stray(
                "reversal",
                hex_of("x.entry_id"),
                5,
                "belongs to no entry that can be taken back, or names another member than its entry",
                joined=_ENTRY,
                wrong="e.id is null or e.kind not in ('earn', 'spend', 'capture', 'reassign')"
                " or e.member_id <> x.member_id",
            ),
            _stray(
                "adjustment",
                hex_of("x.id"),
                6,
                "says something else than its entry, or has one before it was approved",
                joined="left join entry e on e.bucket = x.bucket and e.programme_id = x.programme_id and e.id = x.id"
                " left join posting p on p.bucket = x.bucket and p.programme_id = x.programme_id"
                " and p.entry_id = x.id and p.number = 0",
                wrong="(x.status = 'approved') <> (e.id is not null) or (x.status = 'awaiting_approval')"
                " <> (x.decided_by is null) or e.member_id <> x.member_id or p.wallet <> x.wallet"
                " or p.points <> abs(x.points) or (x.points > 0) <> (p.debit = 'adjusted') or e.reason <> x.reason"
                " or e.source <> x.source or e.reference <> x.reference",
            ),
            _stray(
                "posting",
                _NUMBERED,
                6,
                "redeems what was not covered, and has no review item",
                joined=f"{_REVIEW} x.entry_id",
                wrong="x.debit = 'owed' and x.credit = 'redeemed' and v.id is null",
            ),
            _stray(
                "parked_event",
                hex_of("x.id"),
                6,
                "was cured by no such entry, or ended otherwise and has no review item",
                joined=f"{_OUTCOME} {_REVIEW} x.id",
                wrong="(x.status in ('refused', 'lapsed')) <> (v.id is not null) or x.status = 'cured'"
                " and (e.source, e.reference, e.occurred_at) is distinct from (x.source, x.reference, x.occurred_at)",
            ),
            _stray(
                "review",
                hex_of("x.id"),
                6,
                "is about nothing that has to be reviewed, or says something else than that",
                joined=_REVIEWED,
                wrong="case when x.kind = 'redemption.not_covered' then (e.member_id, p.wallet, p.points, e.source,"
                " e.reference, e.recorded_at) is distinct from (x.member_id, x.wallet, x.points, x.source, x.reference,"
                " x.opened_at) else ('parked.' || k.status, k.source, k.reference) is distinct from"
                " (x.kind, x.source, x.reference) end",
            ),
            _stray("tier_step", hex_of("x.id"), 4, "belongs to no member", joined=_MEMBER, wrong="m.id is null"),
            _stray(
                "event",
                hex_of("x.id"),
                6,
                "tells of nothing, or something else than there is",
                joined=f"{_MEMBER} {_ENTRY_OF_ID} {_STEP_OF_ID} {_ASKED_FOR} {_NOT_COVERED}",
                wrong="m.id is null or x.sequence > m.sequence"
                " or case when starts_with(x.type, 'entry.') then e.id is null or x.type <> 'entry.' || e.kind"
                " or (e.member_id, e.sequence, e.recorded_at) <> (x.member_id, x.sequence, x.recorded_at)"
                " when x.type = 'member.tier_changed' then t.id is null"
                " or (t.member_id, t.recorded_at) <> (x.member_id, x.recorded_at)"
                " when x.type = 'member.enrolled' then x.id <> m.id or x.sequence <> 0"
                " when x.type = 'member.closed' then m.status <> 'closed'"
                " when x.type = 'adjustment.awaiting_approval' then a.id is null"
                " when x.type = 'redemption.not_covered' then v.id is null"
                " else x.type <> 'member.status_changed' end",
            ),
            _stray("entry", hex_of("x.id"), 6, _UNTOLD, joined=_EVENT_OF_ID, wrong="v.id is null"),
            _stray("tier_step", hex_of("x.id"), 6, _UNTOLD, joined=_EVENT_OF_ID, wrong="v.id is null"),
            _stray(
                "adjustment",
                hex_of("x.id"),
                6,
                _UNTOLD,
                joined=f"{_TOLD} and v.recorded_at = x.requested_at and v.type = 'adjustment.awaiting_approval'",
                wrong="v.id is null",
            ),
            _stray(
                "review",
                hex_of("x.id"),
                6,
                _UNTOLD,
                joined=f"{_TOLD} and v.recorded_at = x.opened_at and v.type = x.kind",
                wrong=f"x.kind = '{ReviewKind.NOT_COVERED}' and v.id is null",
            ),
            _stray(
                "member",
                hex_of("x.id"),
                6,
                "no event tells that its status changed",
                joined="",
                wrong="x.status <> 'active' and not exists (select from event s where"
                " s.bucket = x.bucket and s.programme_id = x.programme_id and s.member_id = x.id and s.type ="
                " case x.status when 'closed' then 'member.closed' else 'member.status_changed' end)",
            ),
            _stray("person", _OF_MEMBER, 6, "belongs to no member", joined=_MEMBER, wrong="m.id is null"),
            _stray("consent", hex_of("x.id"), 6, "belongs to no member", joined=_MEMBER, wrong="m.id is null"),
            _stray(
                "identity",
                "x.channel || ' ' || x.type || ' of ' || x.member_id",
                7,
                "belongs to no member, or is not its card",
                joined=" cross join lateral (select get_byte(uuid_send(x.member_id), 15)::smallint as bucket"
                " offset 0) its left join member m on m.bucket = its.bucket and m.programme_id = x.programme_id"
                " and m.id = x.member_id",
                wrong=f"m.id is null or (x.channel, x.type) = ('{CARD_CHANNEL}', '{CARD_TYPE}')"
                " and x.lookup <> convert_to(m.number, 'UTF8')",
            ),
            _stray(
                "reference",
                "x.source || ' ' || x.reference || ' ' || x.kind",
                7,
                "was taken for no entry, or for one of another source, reference or kind",
                joined=_CLAIMING,
                wrong="(e.id is null and a.id is null) or coalesce(e.source, a.source) is distinct from x.source"
                " or coalesce(e.reference, a.reference) is distinct from x.reference"
                f" or x.business_date <> '' and (x.business_date in ({_ITS_DAYS})) is not true"
                f" or x.kind <> case e.kind {_TAKEN_BY} else case when a.id is null then '' else 'adjustment' end end",
            ),
        ]
    )
).bindparams(*_KEYS, bindparam("fixed_now", type_=TIMESTAMPTZ), _AT_MOST)
