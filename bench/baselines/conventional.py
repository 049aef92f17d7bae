"""P2, frozen: the conventional service. FastAPI, an ORM session per request, one transaction per request.

What a good team usually writes, on the same tables: an async driver, a sized pool, the member's row locked, every
row read by its key, each table's rows written once by the unit of work, and an answer that leaves after the commit.
HTTP is that of P3. In its favour: it runs as the owner (no row-level security), has no tiers and settles nothing.
"""

import hashlib
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

import orjson
import uuid_utils
from fastapi import Depends, FastAPI, Header, HTTPException, Response
from sqlalchemy import JSON, BigInteger, DateTime, Select, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from bench.baselines.ordinary_route import Accrued, Balance, Entry, Order, Posting, Receipt, client

PROGRAMME = int(os.environ.get("BENCH_PROGRAMME", "1"))
ZONE = ZoneInfo("Asia/Shanghai")
PENDING = timedelta(days=7)
ACCOUNTS = (
    *("pending", "available", "held", "owed"),
    *("issued", "redeemed", "expired", "forfeited", "adjusted", "transferred"),
)


class Row(DeclarativeBase):
    """Every table of the ledger is led by its bucket and belongs to a programme."""

    type_annotation_map = {datetime: DateTime(timezone=True), int: BigInteger, dict[str, object]: JSON}  # noqa: RUF012


class Keyed:
    bucket: Mapped[int] = mapped_column(primary_key=True, sort_order=-2)
    programme_id: Mapped[int] = mapped_column(primary_key=True, default=PROGRAMME, sort_order=-1)


class IdentityRow(Keyed, Row):
    __tablename__ = "identity"
    channel: Mapped[str] = mapped_column(primary_key=True)
    type: Mapped[str] = mapped_column(primary_key=True)
    lookup: Mapped[bytes] = mapped_column(primary_key=True)
    member_id: Mapped[uuid.UUID]


class MemberRow(Keyed, Row):
    __tablename__ = "member"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    status: Mapped[str]
    sequence: Mapped[int]
    head: Mapped[bytes]
    effective_at: Mapped[datetime]
    recorded_at: Mapped[datetime]
    due_at: Mapped[datetime | None]


class BookRow(Keyed, Row):
    __tablename__ = "book"
    member_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    wallet: Mapped[str] = mapped_column(primary_key=True)
    pending: Mapped[int]
    available: Mapped[int]
    held: Mapped[int]
    owed: Mapped[int]
    issued: Mapped[int]
    redeemed: Mapped[int]
    expired: Mapped[int]
    forfeited: Mapped[int]
    adjusted: Mapped[int]
    transferred: Mapped[int]


class LotRow(Keyed, Row):
    __tablename__ = "lot"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    member_id: Mapped[uuid.UUID]
    wallet: Mapped[str]
    state: Mapped[str]
    points: Mapped[int]
    drawn: Mapped[int] = mapped_column(default=0)
    restored: Mapped[int] = mapped_column(default=0)
    earned_at: Mapped[datetime]
    matures_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    entry_id: Mapped[uuid.UUID]
    source: Mapped[str | None]
    store: Mapped[str | None]


class EntryRow(Keyed, Row):
    __tablename__ = "entry"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    member_id: Mapped[uuid.UUID]
    sequence: Mapped[int]
    kind: Mapped[str]
    fact_id: Mapped[uuid.UUID]
    occurred_at: Mapped[datetime]
    effective_at: Mapped[datetime]
    recorded_at: Mapped[datetime]
    accounting_date: Mapped[date]
    source: Mapped[str | None]
    reference: Mapped[str | None]
    store: Mapped[str | None]
    balances: Mapped[dict[str, object]]
    calculation: Mapped[dict[str, object]]
    hash: Mapped[bytes]


class PostingRow(Keyed, Row):
    __tablename__ = "posting"
    entry_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    member_id: Mapped[uuid.UUID]
    wallet: Mapped[str]
    debit: Mapped[str]
    credit: Mapped[str]
    points: Mapped[int]
    store: Mapped[str | None]
    accounting_date: Mapped[date]


class EventRow(Keyed, Row):
    __tablename__ = "event"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    member_id: Mapped[uuid.UUID]
    sequence: Mapped[int]
    type: Mapped[str]
    recorded_at: Mapped[datetime]


class ReplayRow(Keyed, Row):
    __tablename__ = "replay"
    client_id: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[bytes]
    status: Mapped[int]
    body: Mapped[bytes]
    recorded_at: Mapped[datetime]


class ReferenceRow(Keyed, Row):
    __tablename__ = "reference"
    source: Mapped[str] = mapped_column(primary_key=True)
    reference: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    business_date: Mapped[str] = mapped_column(primary_key=True)
    entry_id: Mapped[uuid.UUID]


class NetSpendRow(Keyed, Row):
    __tablename__ = "net_spend"
    member_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    month: Mapped[date] = mapped_column(primary_key=True)
    amount: Mapped[int]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    engine = create_async_engine(os.environ["BENCH_DATABASE_URL"], pool_size=20, max_overflow=0, pool_timeout=30)
    app.state.sessions = async_sessionmaker(engine, expire_on_commit=False, autoflush=False)
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/v1/accruals", status_code=201, response_model=Accrued)
async def accrue(
    order: Order, client_id: Annotated[str, Depends(client)], idempotency_key: Annotated[str, Header()]
) -> Response:
    async with app.state.sessions() as session:
        try:
            async with session.begin():
                status, body = await accrued(session, order, client_id=client_id, key=idempotency_key)
        except IntegrityError:
            raise HTTPException(409, "the key or the reference was used before") from None
    return Response(body, status, media_type="application/json")


async def accrued(session: AsyncSession, order: Order, *, client_id: str, key: str) -> tuple[int, bytes]:
    """The accrual is in the session, to be committed by the caller; or what was answered the first time."""
    fingerprint = hashlib.sha256(order.model_dump_json(exclude_unset=True).encode()).digest()
    replay_key = (bucket_of_key(client_id, "", key), PROGRAMME, client_id, "", key)
    kept = await session.get(ReplayRow, replay_key)
    if kept is not None:
        if kept.fingerprint != fingerprint:
            raise HTTPException(422, "this key came with another request before")
        return kept.status, kept.body
    member = await session.scalar(_member_to_lock(order.member.number or ""))
    if member is None or member.status not in ("active", "earn_only"):
        raise HTTPException(404, "no such member, or not one that may earn")
    answer = await _earn(session, order, member)
    body = answer.model_dump_json().encode()
    session.add(
        ReplayRow(
            bucket=replay_key[0],
            client_id=client_id,
            subject="",
            key=key,
            fingerprint=fingerprint,
            status=201,
            body=body,
            recorded_at=member.recorded_at,
        )
    )
    return 201, body


def _member_to_lock(number: str) -> Select[MemberRow]:
    """The member of the card, locked FOR NO KEY UPDATE, in one statement."""
    card = number.encode()
    return (
        select(MemberRow)
        .join(
            IdentityRow,
            (MemberRow.bucket == func.get_byte(func.uuid_send(IdentityRow.member_id), 15))
            & (MemberRow.programme_id == IdentityRow.programme_id)
            & (MemberRow.id == IdentityRow.member_id),
        )
        .where(
            IdentityRow.bucket == bucket_of_key("programme", "number", card.hex()),
            IdentityRow.programme_id == PROGRAMME,
            IdentityRow.channel == "programme",
            IdentityRow.type == "number",
            IdentityRow.lookup == card,
        )
        .with_for_update(of=MemberRow, key_share=True)
    )


async def _earn(session: AsyncSession, order: Order, member: MemberRow) -> Accrued:
    """Put every row of the accrual on the session."""
    now = datetime.now(UTC)
    occurred_at = order.occurred_at or now
    day = occurred_at.astimezone(ZONE).date()
    spent = sum(line.amount for line in order.lines)
    points = spent // 100
    fact = uuid_utils.uuid7().hex
    entry_id, lot_id = (uuid.UUID(f"{fact[:26]}{ordinal:04x}{member.bucket:02x}") for ordinal in (1, 2))
    last_day = date(day.year + 1, 12, 31)
    expires_at = datetime.combine(last_day + timedelta(days=1), time(), tzinfo=ZONE)

    book = await _book(session, member)
    spend = await _net_spend(session, member, day.replace(day=1))
    book.pending += points
    book.issued += points
    spend.amount += spent

    entry = EntryRow(
        bucket=member.bucket,
        id=entry_id,
        member_id=member.id,
        sequence=member.sequence + 1,
        kind="earn",
        fact_id=uuid.UUID(fact),
        occurred_at=occurred_at,
        effective_at=max(occurred_at, member.effective_at),
        recorded_at=max(now, member.recorded_at),
        accounting_date=day,
        source=order.source,
        reference=order.reference,
        store=order.store,
        balances={"points": [book.pending, book.available, book.held, book.owed]},
        calculation={
            "rule": "base",
            "rates": {"points": [1, 100]},
            "currency": order.currency,
            "net_spend": spent,
            "lines": [line.model_dump(exclude_unset=True) for line in order.lines],
            "points": {"points": points},
        },
    )
    posting = PostingRow(
        bucket=member.bucket,
        entry_id=entry_id,
        number=0,
        member_id=member.id,
        wallet="points",
        debit="issued",
        credit="pending",
        points=points,
        store=order.store,
        accounting_date=day,
    )
    lot = LotRow(
        bucket=member.bucket,
        id=lot_id,
        member_id=member.id,
        wallet="points",
        state="pending",
        points=points,
        earned_at=occurred_at,
        matures_at=occurred_at + PENDING,
        expires_at=expires_at,
        entry_id=entry_id,
        source=order.source,
        store=order.store,
    )
    entry.hash = _hash(member.head, entry, posting, lot)
    event = EventRow(
        bucket=member.bucket,
        id=entry_id,
        member_id=member.id,
        sequence=entry.sequence,
        type="entry.earn",
        recorded_at=entry.recorded_at,
    )
    reference = ReferenceRow(
        bucket=bucket_of_key(order.source, order.reference, "accrual", ""),
        source=order.source,
        reference=order.reference,
        kind="accrual",
        business_date="",
        entry_id=entry_id,
    )
    session.add_all((reference, entry, posting, lot, event))
    member.sequence, member.head = entry.sequence, entry.hash
    member.effective_at, member.recorded_at = entry.effective_at, entry.recorded_at
    member.due_at = min(member.due_at or occurred_at + PENDING, occurred_at + PENDING)
    return _answer(entry, posting, book, available_from=occurred_at + PENDING, last_day=last_day)


async def _book(session: AsyncSession, member: MemberRow) -> BookRow:
    key = (member.bucket, PROGRAMME, member.id, "points")
    book = await session.get(BookRow, key)
    if book is None:
        accounts = dict.fromkeys(ACCOUNTS, 0)
        book = BookRow(bucket=member.bucket, member_id=member.id, wallet="points", **accounts)
        session.add(book)
    return book


async def _net_spend(session: AsyncSession, member: MemberRow, month: date) -> NetSpendRow:
    spend = await session.get(NetSpendRow, (member.bucket, PROGRAMME, member.id, month))
    if spend is None:
        spend = NetSpendRow(bucket=member.bucket, member_id=member.id, month=month, amount=0)
        session.add(spend)
    return spend


def _hash(head: bytes, entry: EntryRow, posting: PostingRow, lot: LotRow) -> bytes:
    """The hash covers the head before it and everything the entry says."""
    said = [
        *(entry.member_id, entry.sequence, entry.id, entry.kind, entry.fact_id, entry.occurred_at),
        *(entry.effective_at, entry.recorded_at, entry.accounting_date, entry.source, entry.reference),
        *(entry.store, entry.balances, entry.calculation),
        *(posting.wallet, posting.debit, posting.credit, posting.points),
        *(lot.id, lot.points, lot.earned_at, lot.matures_at, lot.expires_at),
    ]
    return hashlib.sha256(head + orjson.dumps(said, default=str)).digest()


def _answer(
    entry: EntryRow, posting: PostingRow, book: BookRow, *, available_from: datetime, last_day: date
) -> Accrued:
    balances = {"points": Balance(pending=book.pending, available=book.available, held=book.held, owed=book.owed)}
    told = Entry(
        id=f"ent_{entry.id.hex}",
        kind=entry.kind,
        member=f"mem_{entry.member_id.hex}",
        sequence=entry.sequence,
        occurred_at=entry.occurred_at,
        effective_at=entry.effective_at,
        recorded_at=entry.recorded_at,
        accounting_date=entry.accounting_date,
        source=entry.source,
        reference=entry.reference,
        store=entry.store,
        reason=None,
        postings=[Posting(wallet="points", debit=posting.debit, credit=posting.credit, points=posting.points)],
        balances=balances,
    )
    return Accrued(
        entry=told,
        entries=[told],
        balances=balances,
        points=posting.points,
        points_by_wallet={"points": posting.points},
        receipt=Receipt(
            earned=posting.points, available_from=available_from, valid_through=last_day, balance=book.available
        ),
    )


def bucket_of_key(*parts: str) -> int:
    """The bucket of a claim or an identity, from its own key."""
    return hashlib.blake2b("\x1f".join(parts).encode(), digest_size=1).digest()[0]
