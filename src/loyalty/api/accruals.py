"""Accruals: an order that earns by rule, or explicit points with a reason; one, or a thousand in a call."""

import asyncio
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Discriminator, Field, Tag, model_validator
from starlette.responses import Response

from loyalty.api import answers, bulk, parked, problems
from loyalty.api.access import ACCRUALS_WRITE
from loyalty.api.answers import Answer, ProblemAnswer, WriteAnswer, to_json
from loyalty.api.bodies import (
    Amount,
    Body,
    Currency,
    Instant,
    Label,
    MemberName,
    OwnKey,
    Points,
    Quantity,
    Reference,
    Source,
    Store,
    Text,
    WalletName,
)
from loyalty.api.documented import KEY_PER_ITEM, writes
from loyalty.api.lean import Call, Calling, LeanRoute
from loyalty.api.parked import ParkedAnswer
from loyalty.api.service import new_fact, wall_clock
from loyalty.api.writing import (
    claim_of,
    is_dry_run,
    named_or_awaited,
    replayed_or_refused,
    submission,
    taken,
    write,
)
from loyalty.domain.bounds import MAX_LINES
from loyalty.domain.claims import ReferenceKind
from loyalty.domain.earning import Order
from loyalty.domain.entries import Because
from loyalty.domain.identities import Identity
from loyalty.domain.ids import MemberId
from loyalty.domain.parked import AskedPoints, ParkedEvent
from loyalty.domain.programme import Programme
from loyalty.domain.refusals import FieldRequired, MemberNotFound
from loyalty.domain.terms import Term
from loyalty.operations.accrue import Accrued, Grant, Purchase
from loyalty.operations.command import Command, Receipt
from loyalty.operations.park import Park

router = APIRouter(tags=["accruals"], route_class=LeanRoute)

MAX_ITEMS = 1_000
"""Most accruals of one bulk call."""


class LineBody(Body):
    """One line of an order."""

    line_id: Annotated[Label, Field(min_length=1, max_length=64, examples=["1"])]
    sku: Annotated[Label, Field(min_length=1, max_length=64, examples=["LEGO-1"])]
    category: Annotated[Label | None, Field(max_length=64, examples=["toys"])] = None
    quantity: Quantity
    amount: Amount
    discount: Amount | None = None
    tax_amount: Amount | None = None
    tax_included: Annotated[bool | None, Field(strict=True)] = None
    kind: Literal["goods", "gift_card", "shipping"] | None = None


class TenderBody(Body):
    """How a part of the order was paid."""

    type: Literal["cash", "card", "gift_card", "points", "voucher"]
    amount: Amount
    redemption: Annotated[Text | None, Field(max_length=40)] = None


class OrderBody(Body):
    """A purchase; every line's amount is what it costs after discounts and before points, tax included."""

    member: MemberName
    source: Source
    reference: Reference
    store: Store | None = None
    occurred_at: Instant | None = None
    currency: Currency
    lines: Annotated[list[LineBody], Field(min_length=1, max_length=MAX_LINES)]
    tenders: Annotated[list[TenderBody] | None, Field(max_length=20)] = None

    @model_validator(mode="after")
    def _lines_can_be_told_apart(self) -> "OrderBody":
        if len({line.line_id for line in self.lines}) < len(self.lines):
            raise ValueError("every line needs a line_id of its own")
        return self


class GrantBody(Body):
    """Explicit points with a reason, available at once unless `pending_until`."""

    member: MemberName
    points: Points
    reason: Annotated[Text, Field(min_length=1, max_length=200, examples=["welcome"])]
    source: Source
    reference: Reference
    store: Store | None = None
    occurred_at: Instant | None = None
    wallet: WalletName = "points"
    expires_at: Instant | None = None
    pending_until: Instant | None = None


def _which(body: Any) -> str:
    """A body with points grants them; any other is an order."""
    has_points = "points" in body if isinstance(body, dict) else isinstance(body, GrantBody)
    return "points" if has_points else "order"


AccrualBody = Annotated[Annotated[OrderBody, Tag("order")] | Annotated[GrantBody, Tag("points")], Discriminator(_which)]


class BulkOrderBody(OrderBody):
    """An order of a bulk call, with a key of its own if it likes."""

    idempotency_key: OwnKey | None = None


class BulkGrantBody(GrantBody):
    """Explicit points of a bulk call, with a key of their own if they like."""

    idempotency_key: OwnKey | None = None


BulkItem = Annotated[
    Annotated[BulkOrderBody, Tag("order")] | Annotated[BulkGrantBody, Tag("points")], Discriminator(_which)
]


class BulkBody(Body):
    """Accruals, each decided by itself."""

    items: Annotated[list[BulkItem], Field(min_length=1, max_length=MAX_ITEMS)]

    @model_validator(mode="after")
    def _no_codes(self) -> "BulkBody":
        if any(item.member.code is not None for item in self.items):
            raise ValueError("a member code is good for one request: name the members of a bulk call otherwise")
        return self


class ReceiptAnswer(Answer):
    """What the till prints."""

    earned: int = Field(description="Points of the wallet `points`, or of the first wallet.")
    available_from: datetime | None = Field(description="When they can be spent; null: at once.")
    valid_through: str | None = Field(description="The last business day they can be spent; null: for ever.")
    balance: int = Field(description="Points available as of the accrual.")


class AccrualAnswer(WriteAnswer):
    """The accrual, what it earned and what the till prints."""

    points: int = Field(description="Points earned in the receipt's wallet.", examples=[199])
    points_by_wallet: dict[str, int] = Field(examples=[{"points": 199}])
    receipt: ReceiptAnswer


class BulkResult(Answer):
    """One item's answer: its status, and what a call for it alone would have said."""

    status: int
    body: AccrualAnswer | ParkedAnswer | ProblemAnswer


class BulkAnswer(Answer):
    """An answer for every item, in the order of the items."""

    results: list[BulkResult]


@router.post(
    "/v1/accruals",
    summary="Earn points",
    **writes(
        *(ACCRUALS_WRITE, 201, AccrualAnswer, 404, 409),
        otherwise=(202, ParkedAnswer, "Nobody is known by the identity yet: it waits for whoever will be."),
    ),
)
async def accrue(call: Calling, body: AccrualBody) -> Response:
    """One for an identity that nobody is known by yet is answered 202, and done once somebody is."""
    return await write(
        call,
        body,
        find=named_or_awaited(body.member),
        occurred_at=body.occurred_at,
        command=lambda found, at: command_of(call.caller.programme, body, found, at),
        say=lambda receipt: say(call.caller.programme, receipt),
    )


@router.post(
    "/v1/accruals/bulk",
    summary="Earn points, many at once",
    **writes(ACCRUALS_WRITE, 200, BulkAnswer, key=KEY_PER_ITEM, replayed=False),
)
async def accrue_in_bulk(call: Calling, body: BulkBody) -> Response:
    """Each item has a key of its own (its source, reference and kind by default): a retry replays item by item."""
    bulk.check_room(call, len(body.items))
    dry_run = is_dry_run(call)
    asks = await asyncio.gather(*(_item(call, item, dry_run) for item in body.items))
    return await bulk.answered(call, asks, again=lambda place: _item(call, body.items[place], dry_run))


def command_of(programme: Programme, body: OrderBody | GrantBody, found: MemberId | Identity, at: datetime) -> Command:
    """The command that a body asks for: it is parked while nobody is known by the identity."""
    reference, day = taken(programme, ReferenceKind.ACCRUAL, body, at)
    reason = body.reason if isinstance(body, GrantBody) else None
    because = Because(body.source, body.reference, body.store, reason)
    if isinstance(found, Identity):
        return Park(found, _asked(body), because, reference, MemberId(new_fact()))
    if isinstance(body, GrantBody):
        return Grant(found, body.points, body.wallet, because, reference, day, body.pending_until, body.expires_at)
    return Purchase(found, order_of(body), because, reference, day, programme.rules_at(at))


def _asked(body: OrderBody | GrantBody) -> Order | AskedPoints:
    """What is kept of a body that waits."""
    if isinstance(body, GrantBody):
        return AskedPoints(body.points, body.wallet, body.pending_until, body.expires_at)
    return order_of(body)


def order_of(body: OrderBody) -> Order:
    """The order as the rules see it."""
    net_spend = 0
    lines = []
    for line in body.lines:
        net_spend += line.amount
        lines.append({name: getattr(line, name) for name in line.model_fields_set})
    tenders = [{name: getattr(tender, name) for name in tender.model_fields_set} for tender in body.tenders or ()]
    return Order(body.currency, net_spend, lines, tenders)


def say(programme: Programme, receipt: Receipt) -> tuple[int, bytes]:
    """201, with the entry, the balances and what the till prints; or 202 while it waits."""
    if isinstance(receipt.said, ParkedEvent):
        return parked.say(receipt.said)
    said: Accrued = receipt.said
    wallet = "points" if "points" in said.points else next(iter(said.points))
    return 201, to_json(
        {
            **answers.written(receipt),
            "points": said.points[wallet],
            "points_by_wallet": said.points,
            "receipt": printed(programme, said.points[wallet], said.terms[wallet], receipt.balances[wallet].available),
        }
    )


def printed(programme: Programme, earned: int, term: Term, available: int) -> dict[str, Any]:
    """What the till prints of points that are earned."""
    expires_at = term.expires_at
    return {
        "earned": earned,
        "available_from": term.matures_at,
        "valid_through": None if expires_at is None else programme.calendar.last_valid_date(expires_at),
        "balance": available,
    }


async def _item(call: Call, item: BulkOrderBody | BulkGrantBody, dry_run: bool) -> bulk.Ask:
    """The item as the door takes it, or its refusal when its member is unknown."""
    programme = call.caller.programme
    if item.source in programme.restarting_sources and item.occurred_at is None and item.idempotency_key is None:
        detail = "The receipt numbers of this source begin again: say when it happened, or give the item a key."
        refusal = FieldRequired(detail, missing=["occurred_at"])
        return problems.body_of_refusal(refusal, call.request_id)
    at = item.occurred_at or programme.now(wall_clock())
    reference, _ = taken(programme, ReferenceKind.ACCRUAL, item, at)
    key = item.idempotency_key or "\x1f".join(reference)  # no client's own key can hold this separator
    claim = None if dry_run else claim_of(call, key, item)
    try:
        return await submission(
            call,
            find=named_or_awaited(item.member),
            occurred_at=item.occurred_at,
            command=lambda found, at: command_of(programme, item, found, at),
            say=lambda receipt: say(programme, receipt),
            claim=claim,
            dry_run=dry_run,
        )
    except MemberNotFound as refusal:
        answer = await replayed_or_refused(call, claim, refusal)
        return answer.status, answer.body
