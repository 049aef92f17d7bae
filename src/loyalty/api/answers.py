"""What the API says of entries, balances and lots: as schemas for strangers, and as the bytes we send.

The bytes are made straight from the domain's values (one serialisation, no model in between); a test holds
every answer against its schema.
"""

import json
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field

from loyalty.domain.books import Balance
from loyalty.domain.entries import Entry
from loyalty.domain.lots import Lot
from loyalty.domain.programme import Programme
from loyalty.operations.command import Receipt


class Answer(BaseModel):
    """An answer's schema."""

    model_config = ConfigDict(extra="forbid")


class BalanceAnswer(Answer):
    """Points of one wallet; none of the four is ever negative."""

    pending: int = Field(description="Earned, still inside the return window.", examples=[199])
    available: int = Field(description="Can be spent now.", examples=[900])
    held: int = Field(description="Set aside at a till.", examples=[0])
    owed: int = Field(description="To be repaid by the next points.", examples=[0])


class PostingAnswer(Answer):
    """One movement of points between two accounts."""

    wallet: str = Field(examples=["points"])
    debit: str = Field(examples=["issued"])
    credit: str = Field(examples=["pending"])
    points: int = Field(examples=[199])


class EntryAnswer(Answer):
    """One business fact of one member."""

    id: str = Field(examples=["ent_019ab2c3d4e5f60718293a4b5c6d7e8f"])
    kind: str = Field(description="earn, mature, spend, expire ...", examples=["earn"])
    member: str = Field(examples=["mem_019ab2c3d4e5f60718293a4b5c6d7e8f"])
    sequence: int = Field(description="The member's entries are numbered 1 ... n.", examples=[3])
    occurred_at: datetime = Field(description="When it happened.")
    effective_at: datetime = Field(description="Its place in the member's history; never runs backwards.")
    recorded_at: datetime = Field(description="When we learnt of it.")
    accounting_date: date = Field(description="Finance's day.")
    source: str | None
    reference: str | None
    store: str | None
    reason: str | None
    postings: list[PostingAnswer]
    balances: dict[str, BalanceAnswer] = Field(description="By wallet, after this entry.")


class EntriesAnswer(Answer):
    """A page of entries, newest first."""

    items: list[EntryAnswer]
    next_cursor: str | None


class WriteAnswer(Answer):
    """What every write says."""

    entry: EntryAnswer = Field(description="The first entry.")
    entries: list[EntryAnswer] = Field(description="All entries of the fact.")
    balances: dict[str, BalanceAnswer] = Field(description="By wallet, as of the fact.")


class LotAnswer(Answer):
    """Points earned together, expiring together."""

    id: str = Field(examples=["lot_019ab2c3d4e5f60718293a4b5c6d7e8f"])
    wallet: str
    state: str = Field(description="pending or available")
    points: int
    remaining: int
    earned_at: datetime
    matures_at: datetime | None
    expires_at: datetime | None = Field(description="The first instant at which the points are gone.")
    valid_through: date | None = Field(description="The last business day they can be spent; null: for ever.")
    entry: str = Field(description="The entry that earned them.")
    source: str | None
    store: str | None


class ProblemAnswer(BaseModel):
    """RFC 9457, with a stable code and the facts that explain it."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["urn:loyalty:problem:insufficient_points"])
    title: str
    status: int
    detail: str
    code: str = Field(examples=["insufficient_points"])
    retryable: bool = Field(description="Whether to send the same request again after a moment (429, 503).")
    request_id: str | None = None


def to_json(document: Any) -> bytes:
    """The document as JSON; times in UTC with a Z."""
    try:
        return orjson.dumps(document, option=orjson.OPT_UTC_Z)
    except orjson.JSONEncodeError:  # a sum over many members may need more than 64 bits
        plain = json.dumps(document, default=lambda value: orjson.loads(to_json(value)), separators=(",", ":"))
        return plain.encode()


def main_wallet(wallets: Mapping[str, Any]) -> str:
    """The wallet whose figure stands for all where one has to: `points`, or the first."""
    return "points" if "points" in wallets else next(iter(wallets))


def balance(of: Balance) -> dict[str, int]:
    return {"pending": of[0], "available": of[1], "held": of[2], "owed": of[3]}


def balances(of: Mapping[str, Balance]) -> dict[str, dict[str, int]]:
    return {wallet: balance(one) for wallet, one in of.items()}


def entry(of: Entry) -> dict[str, Any]:
    """An entry as every answer shows it."""
    because = of.because
    return {
        "id": f"ent_{of.id}",
        "kind": of.kind,
        "member": f"mem_{of.member_id}",
        "sequence": of.sequence,
        "occurred_at": of.occurred_at,
        "effective_at": of.effective_at,
        "recorded_at": of.recorded_at,
        "accounting_date": of.accounting_date,
        "source": because.source,
        "reference": because.reference,
        "store": because.store,
        "reason": because.reason,
        "postings": [
            {"wallet": p.wallet, "debit": p.debit, "credit": p.credit, "points": p.points} for p in of.postings
        ],
        "balances": balances(of.balances),
    }


def written(receipt: Receipt) -> dict[str, Any]:
    """What every write says: its entries, the first of them, and the balances by wallet."""
    entries = [entry(one) for one in receipt.entries]
    return {"entry": entries[0] if entries else None, "entries": entries, "balances": balances(receipt.balances)}


def lot(programme: Programme, of: Lot, expires_at: datetime | None) -> dict[str, Any]:
    """A lot as lists show it, and when it expires as things are."""
    return {
        "id": f"lot_{of.id}",
        "wallet": of.wallet,
        "state": of.state,
        "points": of.points,
        "remaining": of.remaining,
        "earned_at": of.earned_at,
        "matures_at": of.matures_at,
        "expires_at": expires_at,
        "valid_through": None if expires_at is None else programme.calendar.last_valid_date(expires_at),
        "entry": f"ent_{of.entry_id}",
        "source": of.source,
        "store": of.store,
    }
