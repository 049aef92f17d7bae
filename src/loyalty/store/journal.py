"""The journal: entries, their postings and draws, and the events that tell of them. Only ever inserted."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from loyalty.domain.books import Balance
from loyalty.domain.entries import Because, Birth, Draw, Entry, Posting
from loyalty.domain.events import Event
from loyalty.domain.ids import EntryId, LotId, bucket_of
from loyalty.store.parts import PROGRAMME, Insert, Write
from loyalty.store.schema import (
    BIGINT,
    BYTEA,
    DATE,
    INTEGER,
    JSON,
    SMALLINT,
    TEXT,
    TIMESTAMPTZ,
    UUID,
    ledger_table,
)

entry = ledger_table(
    "entry",
    id=UUID,
    member_id=UUID,
    sequence=BIGINT,
    kind=TEXT,
    fact_id=UUID,
    occurred_at=TIMESTAMPTZ,
    effective_at=TIMESTAMPTZ,
    recorded_at=TIMESTAMPTZ,
    accounting_date=DATE,
    source=TEXT,
    reference=TEXT,
    store=TEXT,
    reason=TEXT,
    balances=JSON,
    calculation=JSON,
    hash=BYTEA,
)
posting = ledger_table(
    "posting",
    entry_id=UUID,
    number=INTEGER,
    member_id=UUID,
    wallet=TEXT,
    debit=TEXT,
    credit=TEXT,
    points=BIGINT,
    funder=TEXT,
    store=TEXT,
    accounting_date=DATE,
)
draw = ledger_table("draw", entry_id=UUID, number=INTEGER, lot_id=UUID, wallet=TEXT, points=BIGINT)
event = ledger_table("event", id=UUID, member_id=UUID, sequence=BIGINT, type=TEXT, recorded_at=TIMESTAMPTZ)

_INSERT_ENTRY = Insert(entry)
_INSERT_POSTING = Insert(posting)
_INSERT_DRAW = Insert(draw)
_INSERT_EVENT = Insert(event)


class LotRow(NamedTuple):
    """A lot as its table has it: how it was born, and its counters now."""

    birth: Birth
    state: str
    drawn: int
    restored: int
    lapsed: int


class EntryRows(NamedTuple):
    """An entry with its postings and draws; `lots` are those it gave birth to, as they are now."""

    entry: Entry
    lots: tuple[LotRow, ...]
    beside: "Beside | None" = None
    """What else is kept of it, where that was read."""


class Beside(NamedTuple):
    """The rows that change beside an entry: its hold, what was taken back of it, the adjustment that it answers."""

    hold: tuple[str, int, datetime] | None
    """Status, points captured, when it ends."""
    reversal: tuple[int, str, str | None] | None
    """Points taken back, of what (JSON text), and the entry that a purchase was reassigned to."""
    adjustment: str | None
    """Its status."""


def hex_of(column: str) -> str:
    """An id as we write it. Postgres does it faster than Python."""
    return f"encode(uuid_send({column}), 'hex')"


# The lots an entry gave birth to have ids of the same fact: that range of the primary key is all that is read.
WHOLE_ENTRY = f"""
           {hex_of("e.id")}, {hex_of("e.member_id")}, e.sequence, e.kind, {hex_of("e.fact_id")},
           e.occurred_at, e.effective_at, e.recorded_at, e.accounting_date,
           e.source, e.reference, e.store, e.reason, e.balances::text, e.calculation::text, e.hash,
           (select array_agg(row(p.wallet, p.debit, p.credit, p.points, p.funder) order by p.number)
              from posting p
             where p.bucket = e.bucket and p.programme_id = e.programme_id and p.entry_id = e.id),
           (select array_agg(row({hex_of("d.lot_id")}, d.wallet, d.points) order by d.number)
              from draw d
             where d.bucket = e.bucket and d.programme_id = e.programme_id and d.entry_id = e.id),
           (select array_agg(row({hex_of("l.id")}, l.wallet, l.points, l.earned_at, l.matures_at,
                                 l.expires_at, l.funder, l.state, l.drawn, l.restored, l.lapsed) order by l.id)
              from lot l
             where l.bucket = e.bucket and l.programme_id = e.programme_id and l.entry_id = e.id
               and l.id between (left({hex_of("e.fact_id")}, 26) || '000000')::uuid
                            and (left({hex_of("e.fact_id")}, 26) || 'ffffff')::uuid)
"""  # noqa: S608 - only our own constants
"""An entry `e` with its postings, its draws and the lots it gave birth to."""
_FIND = text(
    f"""
    select {WHOLE_ENTRY}
      from entry e
     where e.bucket = :the_bucket and e.programme_id = :{PROGRAMME} and e.id = :the_entry
    """  # noqa: S608 - only our own constants
).bindparams(
    bindparam("the_bucket", type_=SMALLINT), bindparam(PROGRAMME, type_=INTEGER), bindparam("the_entry", type_=UUID)
)


async def find(connection: AsyncConnection, programme_id: int, id_: EntryId) -> Entry | None:
    """One entry, whole. It never changes, so it may be read outside the door. Locks nothing."""
    found = await connection.execute(_FIND, {"the_bucket": bucket_of(id_), PROGRAMME: programme_id, "the_entry": id_})
    row = found.one_or_none()
    return None if row is None else whole_entry(row).entry


def whole_entry(row: Sequence[Any]) -> EntryRows:
    """An entry and its lots from the columns of `WHOLE_ENTRY`."""
    *facts, source, reference, store, reason, balances, calculation, hash_, postings, draws, born = row
    lots = tuple(LotRow(Birth(LotId(one[0]), *one[1:7]), *one[7:11]) for one in born or ())
    entry = Entry._make(
        (
            *facts,
            Because(source, reference, store, reason),
            tuple(map(Posting._make, postings or ())),
            tuple(map(Draw._make, draws or ())),
            tuple(lot.birth for lot in lots),
            {wallet: Balance._make(four) for wallet, four in orjson.loads(balances).items()},
            calculation,
            hash_,
        )
    )
    return EntryRows(entry, lots)


def write_entries(entries: Sequence[Entry]) -> Iterable[Write]:
    """The part of the write that entries, postings and draws contribute."""
    if not entries:
        return
    yield _INSERT_ENTRY.write([_entry_row(e) for e in entries])
    postings = [
        (bucket_of(e.id), e.id, number, e.member_id, *p, e.because.store, e.accounting_date)
        for e in entries
        for number, p in enumerate(e.postings)
    ]
    if postings:
        yield _INSERT_POSTING.write(postings)
    draws = [(bucket_of(e.id), e.id, number, *d) for e in entries for number, d in enumerate(e.draws)]
    if draws:
        yield _INSERT_DRAW.write(draws)


def write_events(events: Sequence[Event]) -> Iterable[Write]:
    """The part of the write that events contribute; Postgres adds the transaction they belong to."""
    if events:
        yield _INSERT_EVENT.write([(bucket_of(e.member_id), *e) for e in events])


def _entry_row(e: Entry) -> tuple[object, ...]:
    return (
        bucket_of(e.id),
        e.id,
        e.member_id,
        e.sequence,
        e.kind,
        e.fact_id,
        e.occurred_at,
        e.effective_at,
        e.recorded_at,
        e.accounting_date,
        *e.because,
        balances_json(e),
        e.calculation,
        e.hash,
    )


def balances_json(e: Entry) -> str:
    """`{"points": [pending, available, held, owed], ...}`: every wallet as the entry left it."""
    wallets = (f'"{wallet}":[{b[0]},{b[1]},{b[2]},{b[3]}]' for wallet, b in e.balances.items())
    return "{" + ",".join(wallets) + "}"
