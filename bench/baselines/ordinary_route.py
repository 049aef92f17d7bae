"""P3, frozen: an ordinary FastAPI route. It authenticates, validates an accrual, and answers without a database.

What HTTP usually costs. Its models and its answer have the shape and the size of the service's; nothing of the
service is imported.
"""

import hashlib
import os
from datetime import date, datetime
from typing import Annotated, Literal

from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class MemberName(Body):
    id: Annotated[str | None, Field(max_length=40)] = None
    number: Annotated[str | None, Field(pattern="^[0-9]{6,24}$")] = None
    phone: Annotated[str | None, Field(max_length=32)] = None

    @model_validator(mode="after")
    def named_once(self) -> "MemberName":
        if len(self.model_fields_set) != 1:
            raise ValueError("name the member by exactly one of id, number, phone")
        return self


class Line(Body):
    line_id: Annotated[str, Field(min_length=1, max_length=64)]
    sku: Annotated[str, Field(min_length=1, max_length=64)]
    category: Annotated[str | None, Field(max_length=64)] = None
    quantity: Annotated[int, Field(strict=True, ge=0)]
    amount: Annotated[int, Field(strict=True, ge=0)]
    discount: Annotated[int | None, Field(strict=True, ge=0)] = None
    tax_amount: Annotated[int | None, Field(strict=True, ge=0)] = None
    kind: Literal["goods", "gift_card", "shipping"] | None = None


class Tender(Body):
    type: Literal["cash", "card", "gift_card", "points", "voucher"]
    amount: Annotated[int, Field(strict=True, ge=0)]
    redemption: Annotated[str | None, Field(max_length=40)] = None


class Order(Body):
    member: MemberName
    source: Annotated[str, Field(min_length=1, max_length=64)]
    reference: Annotated[str, Field(min_length=1, max_length=128)]
    store: Annotated[str | None, Field(max_length=64)] = None
    occurred_at: AwareDatetime | None = None
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")]
    lines: Annotated[list[Line], Field(min_length=1, max_length=500)]
    tenders: Annotated[list[Tender] | None, Field(max_length=20)] = None


class Balance(BaseModel):
    pending: int
    available: int
    held: int
    owed: int


class Posting(BaseModel):
    wallet: str
    debit: str
    credit: str
    points: int


class Entry(BaseModel):
    id: str
    kind: str
    member: str
    sequence: int
    occurred_at: datetime
    effective_at: datetime
    recorded_at: datetime
    accounting_date: date
    source: str | None
    reference: str | None
    store: str | None
    reason: str | None
    postings: list[Posting]
    balances: dict[str, Balance]


class Receipt(BaseModel):
    earned: int
    available_from: datetime | None
    valid_through: date | None
    balance: int


class Accrued(BaseModel):
    entry: Entry
    entries: list[Entry]
    balances: dict[str, Balance]
    points: int
    points_by_wallet: dict[str, int]
    receipt: Receipt


KNOWN_KEYS = {hashlib.sha256(os.environ.get("BENCH_KEY", "").encode()).digest(): "till"}


def client(authorization: Annotated[str, Header()]) -> str:
    """Who calls: the key is looked up in memory by its hash."""
    scheme, _, key = authorization.partition(" ")
    known = KNOWN_KEYS.get(hashlib.sha256(key.encode()).digest())
    if scheme.lower() != "bearer" or known is None:
        raise HTTPException(401, "unknown key")
    return known


app = FastAPI()


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/v1/accruals", status_code=201)
async def accrue(
    order: Order, client_id: Annotated[str, Depends(client)], idempotency_key: Annotated[str, Header()]
) -> Accrued:
    return answer_to(order)


def answer_to(order: Order) -> Accrued:
    """An answer as long as the service's."""
    at = order.occurred_at or datetime.fromisoformat("2026-11-22T02:00:00.123456Z")
    points = sum(line.amount for line in order.lines) // 100
    balances = {"points": Balance(pending=points, available=600, held=0, owed=0)}
    entry = Entry(
        id="ent_019ab2c3d4e5f60718293a4b5c6d7e8f",
        kind="earn",
        member="mem_019ab2c3d4e5f60718293a4b5c6d7e8f",
        sequence=1,
        occurred_at=at,
        effective_at=at,
        recorded_at=at,
        accounting_date=at.date(),
        source=order.source,
        reference=order.reference,
        store=order.store,
        reason=None,
        postings=[Posting(wallet="points", debit="issued", credit="pending", points=points)],
        balances=balances,
    )
    return Accrued(
        entry=entry,
        entries=[entry],
        balances=balances,
        points=points,
        points_by_wallet={"points": points},
        receipt=Receipt(earned=points, available_from=at, valid_through=at.date(), balance=600),
    )
