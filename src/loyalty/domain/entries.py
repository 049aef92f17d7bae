"""Entries: business facts made of postings, each sealed to the one before it.

The hash of an entry is SHA-256 over the hash before it (32 zero bytes for the first) followed by a JSON
array, without spaces, of the fields in `content`. `docs/hash-chain.md` publishes that layout.
"""

import hashlib
from collections.abc import Mapping
from datetime import date, datetime
from enum import StrEnum
from typing import NamedTuple

import orjson

from loyalty.domain.books import ACCOUNTS, Balance
from loyalty.domain.ids import EntryId, FactId, LotId, MemberId

LAYOUT = 1
"""The version of the hashed bytes; it leads them, so a later layout can never be mistaken for this one."""


class Kind(StrEnum):
    """What happened. Each kind's accounts are listed in `docs/ARCHITECTURE.md`."""

    EARN = "earn"
    MATURE = "mature"
    SPEND = "spend"
    EXPIRE = "expire"
    HOLD = "hold"
    CAPTURE = "capture"
    RELEASE = "release"
    RESERVE = "reserve"
    RETURN = "return"
    REASSIGN = "reassign"
    UNSPEND = "unspend"
    FORFEIT = "forfeit"
    ADJUST = "adjust"
    TRANSFER = "transfer"
    TIER = "tier"
    MERGE = "merge"
    UNMERGE = "unmerge"


class Posting(NamedTuple):
    """One movement of points between two accounts of a member's book. Build it with `posting`."""

    wallet: str
    debit: str
    credit: str
    points: int
    funder: str | None = None


def posting(wallet: str, *, debit: str, credit: str, points: int, funder: str | None = None) -> Posting:
    """A posting that keeps invariant 1: two different accounts and a positive number of points."""
    assert debit != credit, "invariant 1: debit and credit are the same account"
    assert debit in ACCOUNTS and credit in ACCOUNTS, "a posting names known accounts"
    assert type(points) is int and points > 0, "invariant 1: points are a positive integer"
    return Posting(wallet, debit, credit, points, funder)


class Draw(NamedTuple):
    """Points a debit takes from a lot; negative when a correction puts them back."""

    lot_id: LotId
    wallet: str
    points: int


class Birth(NamedTuple):
    """The lot an entry opened, as far as it never changes."""

    lot_id: LotId
    wallet: str
    points: int
    earned_at: datetime
    matures_at: datetime | None
    expires_at: datetime | None
    funder: str | None


class Because(NamedTuple):
    """Where an entry comes from, as its sender named it."""

    source: str | None = None
    reference: str | None = None
    store: str | None = None
    reason: str | None = None


NO_CAUSE = Because()
"""Of what happens by itself: maturing, expiring."""


class Entry(NamedTuple):
    """One business fact of one member. Never changes (invariant 6)."""

    id: EntryId
    member_id: MemberId
    sequence: int
    kind: str
    fact_id: FactId
    occurred_at: datetime
    effective_at: datetime
    recorded_at: datetime
    accounting_date: date
    because: Because
    postings: tuple[Posting, ...]
    draws: tuple[Draw, ...]
    births: tuple[Birth, ...]
    balances: Mapping[str, Balance]
    """Every wallet of the member as this entry left it."""
    calculation: str | None
    """What the entry was calculated from, as JSON text: the order, the rule, the value of a discount."""
    hash: bytes = b""


def content(programme_id: int, entry: Entry) -> bytes:
    """The bytes that an entry's hash covers, beside the hash before it."""
    return orjson.dumps(
        [
            LAYOUT,
            programme_id,
            entry.member_id,
            entry.sequence,
            entry.id,
            entry.kind,
            entry.fact_id,
            entry.occurred_at,
            entry.effective_at,
            entry.recorded_at,
            entry.accounting_date,
            list(entry.because),
            [list(posting) for posting in entry.postings],
            [list(draw) for draw in entry.draws],
            [list(birth) for birth in entry.births],
            [[wallet, *balance] for wallet, balance in sorted(entry.balances.items())],
            entry.calculation,
        ]
    )


def sealed(programme_id: int, entry: Entry, *, head: bytes) -> Entry:
    """The entry with its hash, chained to the member's head."""
    return entry._replace(hash=hashlib.sha256(head + content(programme_id, entry)).digest())
