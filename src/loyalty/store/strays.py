"""What `loyalty verify` finds beside the replay: rows that belong to nothing, or contradict what they belong to."""

from typing import Final, NamedTuple

from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from loyalty.domain.channels import PointsMaster
from loyalty.domain.claims import TAKEN_BY, ReferenceKind
from loyalty.domain.events import OF_ENTRIES, EventType
from loyalty.domain.identities import CARD_CHANNEL, CARD_TYPE
from loyalty.domain.programme import Programme
from loyalty.domain.reviews import ReviewKind
from loyalty.store.journal import hex_of
from loyalty.store.parts import PROGRAMME
from loyalty.store.schema import BIGINT, INTEGER, SMALLINT, TIMESTAMPTZ

SHOWN: Final = 100
"""Most rows that one check of one bucket names."""


class Stray(NamedTuple):
    """A row that has no place in the ledger, or contradicts the row it belongs to."""

    table: str
    row: str
    invariant: int
    problem: str


class Check(NamedTuple):
    """Selects the rows `x` of a table that lack what they are joined to, or contradict it."""

    table: str
    row: str
    """Names the row: SQL of a text."""
    invariant: int
    problem: str
    wrong: str
    """SQL of a condition on `x` and what is joined to it."""
    joined: str = ""

    def statement(self) -> str:
        return f"""
    (select '{self.table}', {self.row}, {self.invariant}, '{self.problem}'
       from {self.table} x {self.joined}
      where x.bucket = :the_bucket and x.programme_id = :{PROGRAMME} and ({self.wrong})
      limit :at_most)
    """  # noqa: S608 - only our own constants


async def strays(connection: AsyncConnection, programme: Programme, bucket: int) -> list[Stray]:
    """Rows of the bucket that belong to nothing, or contradict what they belong to. Locks nothing."""
    asked = {"the_bucket": bucket, PROGRAMME: programme.id, "fixed_now": programme.fixed_now, "at_most": SHOWN}
    rows = await connection.execute(_STRAYS, asked)
    return [Stray(*row) for row in rows]


# --- joins -----------------------------------------------------------------------------------------------------


def _with(table: str, on: str, *, bucket: str = "x.bucket") -> str:
    """Joins the row of a table, under the table's name, to `x`; nulls where there is none."""
    return f" left join {table} on {table}.bucket = {bucket} and {table}.programme_id = x.programme_id and {on}"


def _place(name: str, id_: str) -> str:
    """The bucket of an id that may lie in another bucket than `x`, as `<name>.bucket`.

    It is named within, as in `history._UNDER`: compared with a function's value it finds no rows from behind row-level
    security, and each row would look through all buckets.
    """
    return f" cross join lateral (select get_byte(uuid_send({id_}), 15)::smallint as bucket offset 0) {name}"


_ITS_MEMBER = _with("member", "member.id = x.member_id")
_ITS_ENTRY = _with("entry", "entry.id = x.entry_id")
_ITS_LOT = _with("lot", "lot.id = x.lot_id")
_ENTRY_OF_ITS_ID = _with("entry", "entry.id = x.id")
_EVENT_OF_ITS_ID = _with("event", "event.id = x.id")
_CHANGE_OF_ITS_ID = _with("tag_change", "tag_change.id = x.id")
_FIRST_POSTING_OF_ITS_ID = _with("posting", "posting.entry_id = x.id and posting.number = 0")
_DEBT_OF_ITS_ID = _with("posting", "posting.entry_id = x.id and posting.debit = 'owed' and posting.credit = 'redeemed'")
# What a parked event came to is a text: the id of an entry once it was cured.
_OUTCOME = (
    " left join lateral (select its.id, get_byte(uuid_send(its.id), 15)::smallint as bucket"
    " from (select case when x.outcome ~ '^[0-9a-f]{32}$' then x.outcome::uuid end as id) its offset 0) outcome on true"
)
_CURE = _OUTCOME + _with("entry", "entry.id = outcome.id", bucket="outcome.bucket")
_CLAIMED_FOR = (
    _place("claimed", "x.entry_id")
    + _with("entry", "entry.id = x.entry_id", bucket="claimed.bucket")
    + _with("adjustment", "adjustment.id = x.entry_id", bucket="claimed.bucket")
)

# --- conditions ------------------------------------------------------------------------------------------------

# A correction with a second person is taken on the day it is asked for: within a day of it, whatever the zone.
_DAYS_TO_CLAIM = ", ".join(
    ["case when adjustment.id is null then entry.accounting_date::text else '' end"]
    + [
        "to_char(coalesce(:fixed_now, adjustment.requested_at) at time zone 'UTC'"
        f" + case when adjustment.id is not null then interval '{days} day' end, 'YYYY-MM-DD')"
        for days in (-1, 0, 1)
    ]
)
_TAKEN_BY = " ".join(f"when '{kind}' then '{taken}'" for kind, taken in TAKEN_BY.items())
_KIND_TO_CLAIM = (
    f"case entry.kind {_TAKEN_BY} else case"
    f" when adjustment.id is null then '' else '{ReferenceKind.ADJUSTMENT}' end end"
)
_OF_THEMSELVES = ", ".join(
    f"'{type_}'" for type_ in (EventType.STATUS_CHANGED, EventType.IDENTITY_BOUND, EventType.IDENTITY_UNBOUND)
)
"""Events of what nothing else keeps."""
_UNTOLD = "no event tells of it"

_NUMBERED = f"{hex_of('x.entry_id')} || ' ' || x.number"
_OF_MEMBER = hex_of("x.member_id")
_ID = hex_of("x.id")

_CHECKS = (
    Check(
        "posting",
        _NUMBERED,
        6,
        "belongs to no entry, or names another member, store or accounting date than its entry",
        joined=_ITS_ENTRY,
        wrong="entry.id is null or entry.member_id <> x.member_id or entry.store is distinct from x.store"
        " or entry.accounting_date <> x.accounting_date",
    ),
    Check(
        "draw",
        _NUMBERED,
        5,
        "belongs to no entry, or draws on no lot of its member",
        joined=_ITS_ENTRY + _ITS_LOT,
        wrong="entry.id is null or lot.id is null or lot.member_id <> entry.member_id",
    ),
    Check(
        "lot",
        _ID,
        5,
        "was born of no entry, or names another member, source, store or fact than its entry",
        joined=_ITS_ENTRY,
        wrong="entry.id is null or entry.member_id <> x.member_id or entry.store is distinct from x.store"
        " or entry.source is distinct from x.source"
        f" or left({hex_of('entry.fact_id')}, 26) <> left({_ID}, 26)",
    ),
    Check(
        "book",
        f"{_OF_MEMBER} || ' ' || x.wallet",
        4,
        "belongs to no member",
        joined=_ITS_MEMBER,
        wrong="member.id is null",
    ),
    Check(
        "net_spend",
        f"{_OF_MEMBER} || ' ' || x.month",
        14,
        "belongs to no member",
        joined=_ITS_MEMBER,
        wrong="member.id is null",
    ),
    Check(
        "tier_count",
        f"{_OF_MEMBER} || ' ' || x.metric || ' ' || x.first_day",
        14,
        "belongs to no member",
        joined=_ITS_MEMBER,
        wrong="member.id is null",
    ),
    Check("merge", _OF_MEMBER, 15, "belongs to no member", joined=_ITS_MEMBER, wrong="member.id is null"),
    Check("tier_grant", _OF_MEMBER, 14, "belongs to no member", joined=_ITS_MEMBER, wrong="member.id is null"),
    Check(
        "cap_use",
        f"{_OF_MEMBER} || ' ' || x.cap || ' ' || x.over",
        14,
        "belongs to no member",
        joined=_ITS_MEMBER,
        wrong="member.id is null",
    ),
    Check(
        "hold",
        _ID,
        8,
        "was opened by no entry, or names another member, wallet, amount or return than its entry",
        joined=_ENTRY_OF_ITS_ID + _FIRST_POSTING_OF_ITS_ID,
        wrong="entry.id is null or entry.member_id <> x.member_id or x.opened_at <> entry.effective_at"
        " or entry.kind <> case when x.reserved is null then 'hold' else 'reserve' end"
        " or entry.calculation::jsonb -> 'reserved' is distinct from x.reserved::jsonb"
        " or posting.wallet <> x.wallet or x.points <> (select coalesce(sum(every.points), 0) from posting every"
        " where every.bucket = x.bucket and every.programme_id = x.programme_id and every.entry_id = x.id)",
    ),
    Check(
        "reversal",
        hex_of("x.entry_id"),
        5,
        "belongs to no entry that can be taken back, or names another member than its entry",
        joined=_ITS_ENTRY,
        wrong="entry.id is null or entry.kind not in ('earn', 'spend', 'capture', 'reassign')"
        " or entry.member_id <> x.member_id",
    ),
    Check(
        "adjustment",
        _ID,
        6,
        "says something else than its entry, or has one before it was approved",
        joined=_ENTRY_OF_ITS_ID + _FIRST_POSTING_OF_ITS_ID,
        wrong="(x.status = 'approved') <> (entry.id is not null) or (x.status = 'awaiting_approval')"
        " <> (x.decided_by is null) or entry.member_id <> x.member_id or posting.wallet <> x.wallet"
        " or posting.points <> abs(x.points) or (x.points > 0) <> (posting.debit = 'adjusted')"
        " or entry.reason <> x.reason or entry.source <> x.source or entry.reference <> x.reference",
    ),
    Check(
        "posting",
        _NUMBERED,
        6,
        "redeems what was not covered, and has no review item",
        joined=_with("review", "review.id = x.entry_id"),
        wrong="x.debit = 'owed' and x.credit = 'redeemed' and review.id is null",
    ),
    Check(
        "parked_event",
        _ID,
        6,
        "was cured by no such entry, or ended otherwise and has no review item",
        joined=_CURE + _with("review", "review.id = x.id"),
        wrong="(x.status in ('refused', 'lapsed')) <> (review.id is not null) or x.status = 'cured' and"
        " (entry.source, entry.reference, entry.occurred_at) is distinct from (x.source, x.reference, x.occurred_at)",
    ),
    Check(
        "review",
        _ID,
        6,
        "is about nothing that has to be reviewed, or says something else than that",
        joined=_ENTRY_OF_ITS_ID + _DEBT_OF_ITS_ID + _with("parked_event", "parked_event.id = x.id"),
        wrong=f"case when x.kind = '{ReviewKind.NOT_COVERED}' then (entry.member_id, posting.wallet, posting.points,"
        " entry.source, entry.reference, entry.recorded_at) is distinct from (x.member_id, x.wallet, x.points,"
        " x.source, x.reference, x.opened_at) else ('parked.' || parked_event.status, parked_event.source,"
        " parked_event.reference) is distinct from (x.kind, x.source, x.reference) end",
    ),
    Check("tier_step", _ID, 14, "belongs to no member", joined=_ITS_MEMBER, wrong="member.id is null"),
    Check(
        "event",
        _ID,
        6,
        "tells of nothing, or something else than there is",
        joined=_ITS_MEMBER
        + _ENTRY_OF_ITS_ID
        + _with("tier_step", "tier_step.id = x.id")
        + _with("adjustment", "adjustment.member_id = x.member_id and adjustment.requested_at = x.recorded_at")
        + _with(
            "review", "review.member_id = x.member_id and review.opened_at = x.recorded_at and review.kind = x.type"
        )
        + _with("difference", "difference.id = x.id")
        + _CHANGE_OF_ITS_ID,
        wrong="member.id is null or x.sequence > member.sequence"
        f" or case when starts_with(x.type, '{OF_ENTRIES}') then entry.id is null"
        f" or x.type <> '{OF_ENTRIES}' || entry.kind"
        " or (entry.member_id, entry.sequence, entry.recorded_at) <> (x.member_id, x.sequence, x.recorded_at)"
        f" when x.type = '{EventType.TIER_CHANGED}' then tier_step.id is null"
        " or (tier_step.member_id, tier_step.recorded_at) <> (x.member_id, x.recorded_at)"
        f" when x.type = '{EventType.ENROLLED}' then x.id <> member.id or x.sequence <> 0"
        f" when x.type = '{EventType.CLOSED}' then member.status <> 'closed'"
        f" when x.type = '{EventType.AWAITING_APPROVAL}' then adjustment.id is null"
        f" when x.type = '{EventType.NOT_COVERED}' then review.id is null"
        f" when x.type = '{EventType.BALANCE_DIFFERS}' then difference.id is null"
        " or (difference.member_id, difference.found_at) <> (x.member_id, x.recorded_at)"
        f" when x.type = '{EventType.TAGS_CHANGED}' then tag_change.id is null"
        " or (tag_change.member_id, tag_change.changed_at) <> (x.member_id, x.recorded_at)"
        f" else x.type not in ({_OF_THEMSELVES}) end",
    ),
    Check("entry", _ID, 6, _UNTOLD, joined=_EVENT_OF_ITS_ID, wrong="event.id is null"),
    Check("tier_step", _ID, 6, _UNTOLD, joined=_EVENT_OF_ITS_ID, wrong="event.id is null"),
    Check(
        "adjustment",
        _ID,
        6,
        _UNTOLD,
        joined=_with(
            "event",
            "event.member_id = x.member_id and event.recorded_at = x.requested_at"
            f" and event.type = '{EventType.AWAITING_APPROVAL}'",
        ),
        wrong="event.id is null",
    ),
    Check(
        "review",
        _ID,
        6,
        _UNTOLD,
        joined=_with(
            "event", "event.member_id = x.member_id and event.recorded_at = x.opened_at and event.type = x.kind"
        ),
        wrong=f"x.kind = '{ReviewKind.NOT_COVERED}' and event.id is null",
    ),
    Check(
        "member",
        _ID,
        6,
        "no event tells that its status changed",
        wrong="x.status <> 'active' and not exists (select from event where event.bucket = x.bucket"
        " and event.programme_id = x.programme_id and event.member_id = x.id and event.type ="
        f" case x.status when 'closed' then '{EventType.CLOSED}' else '{EventType.STATUS_CHANGED}' end)",
    ),
    Check("difference", _ID, 6, "belongs to no member", joined=_ITS_MEMBER, wrong="member.id is null"),
    Check(
        "difference",
        _ID,
        6,
        _UNTOLD,
        joined=_EVENT_OF_ITS_ID,
        wrong=f"x.points_master = '{PointsMaster.OURS}' and event.id is null",
    ),
    Check(
        "slide",
        f"{_OF_MEMBER} || ' ' || x.wallet || ' ' || x.sequence",
        11,
        "belongs to no member",
        joined=_ITS_MEMBER,
        wrong="member.id is null",
    ),
    Check(
        "tag_change",
        _ID,
        6,
        "belongs to no member, or the change before it is missing",
        joined=_ITS_MEMBER,
        wrong="member.id is null or x.number > 1 and not exists (select from tag_change before"
        " where before.bucket = x.bucket and before.programme_id = x.programme_id"
        " and before.member_id = x.member_id and before.number = x.number - 1)",
    ),
    Check("tag_change", _ID, 6, _UNTOLD, joined=_EVENT_OF_ITS_ID, wrong="event.id is null"),
    Check("person", _OF_MEMBER, 6, "belongs to no member", joined=_ITS_MEMBER, wrong="member.id is null"),
    Check("consent", _ID, 6, "belongs to no member", joined=_ITS_MEMBER, wrong="member.id is null"),
    Check(
        "identity",
        "x.channel || ' ' || x.type || ' of ' || x.member_id",
        7,
        "belongs to no member, or is not its card",
        joined=_place("whose", "x.member_id") + _with("member", "member.id = x.member_id", bucket="whose.bucket"),
        wrong=f"member.id is null and (x.member_id is not null or x.channel = '{CARD_CHANNEL}')"
        f" or (x.channel, x.type) = ('{CARD_CHANNEL}', '{CARD_TYPE}')"
        " and x.lookup <> convert_to(member.number, 'UTF8') and not exists (select from merge"
        " join member other on other.bucket = merge.bucket and other.programme_id = merge.programme_id"
        " and other.id = merge.member_id and other.status = 'merged'"
        " where merge.programme_id = x.programme_id and merge.survivor_id = x.member_id"
        " and x.lookup = convert_to(other.number, 'UTF8'))",
    ),
    Check(
        "reference",
        "x.source || ' ' || x.reference || ' ' || x.kind",
        7,
        "was taken for no entry, or for one of another source, reference or kind",
        joined=_CLAIMED_FOR,
        wrong="(entry.id is null and adjustment.id is null)"
        " or coalesce(entry.source, adjustment.source) is distinct from x.source"
        " or coalesce(entry.reference, adjustment.reference) is distinct from x.reference"
        f" or x.business_date <> '' and (x.business_date in ({_DAYS_TO_CLAIM})) is not true"
        f" or x.kind <> {_KIND_TO_CLAIM}",
    ),
)

_STRAYS = text(" union all ".join(check.statement() for check in _CHECKS)).bindparams(
    bindparam("the_bucket", type_=SMALLINT),
    bindparam(PROGRAMME, type_=INTEGER),
    bindparam("fixed_now", type_=TIMESTAMPTZ),
    bindparam("at_most", type_=BIGINT),
)
