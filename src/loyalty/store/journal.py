"""The journal: entries, their postings and draws, and the events that tell of them. Only ever inserted."""

from collections.abc import Iterable, Sequence

from loyalty.domain.entries import Entry
from loyalty.domain.ids import bucket_of
from loyalty.domain.journal import Event
from loyalty.store.parts import Insert, Write
from loyalty.store.schema import (
    BIGINT,
    BYTEA,
    DATE,
    INTEGER,
    JSON,
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
