"""Redemptions: points are spent, as a discount at the till or against a reference."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field, model_validator
from starlette.responses import Response

from loyalty.api import answers
from loyalty.api.access import REDEMPTIONS_WRITE
from loyalty.api.answers import Answer, WriteAnswer, to_json
from loyalty.api.bodies import (
    Body,
    Currency,
    Instant,
    MemberName,
    Points,
    Reference,
    Source,
    Store,
    Text,
    WalletName,
)
from loyalty.api.documented import writes
from loyalty.api.lean import Call, Calling, LeanRoute
from loyalty.api.writing import Find, by_id, forcing, spender, taken, write
from loyalty.domain.claims import ReferenceKind
from loyalty.domain.entries import Because, Entry
from loyalty.domain.ids import MemberId
from loyalty.domain.programme import Programme
from loyalty.domain.refusals import RedemptionNotFound
from loyalty.operations.command import Receipt
from loyalty.operations.redeem import Redeem, Redeemed
from loyalty.operations.refund import Redemption, Refund, redemption
from loyalty.store import journal

router = APIRouter(tags=["redemptions"], route_class=LeanRoute)


class DiscountBody(Body):
    """The points are a discount in this currency."""

    currency: Currency


class RedemptionBody(Body):
    """Points to spend. The earliest to expire go first."""

    member: MemberName
    points: Points
    source: Source
    reference: Reference
    store: Store | None = None
    wallet: WalletName = "points"
    reason: Annotated[Text | None, Field(max_length=200)] = None
    as_discount: DiscountBody | None = None
    forced: Annotated[bool, Field(strict=True, description="It happened offline: a shortage is owed.")] = False
    occurred_at: Annotated[Instant | None, Field(description="When a forced redemption happened.")] = None

    @model_validator(mode="after")
    def _only_what_was_forced_lies_back(self) -> "RedemptionBody":
        if self.occurred_at is not None and not self.forced:
            raise ValueError("only a forced redemption has an occurred_at: any other happens now")
        return self


class RefundBody(Body):
    """How much of a redemption to undo."""

    points: Annotated[Points | None, Field(description="All that is left when absent.")] = None
    source: Source
    reference: Reference
    store: Store | None = None
    reason: Annotated[Text | None, Field(max_length=200)] = None


class MoneyAnswer(Answer):
    """An amount in minor units."""

    currency: str = Field(examples=["CNY"])
    amount: int = Field(examples=[100])


class RedeemedAnswer(Answer):
    """What was spent, and what it is worth as a discount."""

    id: str = Field(examples=["red_019ab2c3d4e5f60718293a4b5c6d7e8f"])
    points: int
    value: MoneyAnswer | None


class RedemptionAnswer(WriteAnswer):
    """The redemption."""

    redemption: RedeemedAnswer


class RefundAnswer(WriteAnswer):
    """What was given back."""

    points: int = Field(description="Points given back.", examples=[40])


@router.post("/v1/redemptions", summary="Spend points", **writes(REDEMPTIONS_WRITE, 201, RedemptionAnswer, 404, 409))
async def redeem(call: Calling, body: RedemptionBody) -> Response:
    return await write(
        call,
        body,
        find=forcing(body.member) if body.forced else spender(body.member),
        occurred_at=body.occurred_at,
        command=lambda member_id, at: _command(call.caller.programme, body, member_id, at),
        say=_say,
    )


@router.post(
    "/v1/redemptions/{id}/refund",
    summary="Undo a redemption, whole or in part",
    **writes(REDEMPTIONS_WRITE, 201, RefundAnswer, 404, 409),
)
async def refund(call: Calling, id: str, body: RefundBody) -> Response:  # noqa: A002 - the path's own word
    """Each point goes back to the lot it came from, with that lot's own expiry."""
    return await write(
        call,
        body,
        find=_found(id),
        carries=True,
        command=lambda found, at: _refund(call.caller.programme, body, found, at),
        say=lambda receipt: (201, to_json({**answers.written(receipt), "points": receipt.said})),
    )


def _found(id_: str) -> Find[tuple[Entry, Redemption]]:
    """Finds the entry of a redemption. Raises RedemptionNotFound."""
    missing = "There is no such redemption in this programme."
    entry_of = by_id("red", id_, journal.find, lambda: RedemptionNotFound(missing))

    async def find(call: Call) -> tuple[Entry, Redemption]:
        entry = await entry_of(call)
        return entry, redemption(entry)

    return find


def _refund(programme: Programme, body: RefundBody, found: tuple[Entry, Redemption], at: datetime) -> Refund:
    reference, day = taken(programme, ReferenceKind.REFUND, body, at)
    entry, what = found
    return Refund(
        entry=entry,
        redemption=what,
        points=body.points,
        because=Because(body.source, body.reference, body.store, body.reason),
        reference=reference,
        business_date=day,
    )


def _command(programme: Programme, body: RedemptionBody, member_id: MemberId, at: datetime) -> Redeem:
    reference, day = taken(programme, ReferenceKind.REDEMPTION, body, at)
    return Redeem(
        member_id=member_id,
        points=body.points,
        wallet=body.wallet,
        because=Because(body.source, body.reference, body.store, body.reason),
        reference=reference,
        business_date=day,
        discount_currency=None if body.as_discount is None else body.as_discount.currency,
        forced=body.forced,
    )


def _say(receipt: Receipt) -> tuple[int, bytes]:
    said: Redeemed = receipt.said
    redeemed: dict[str, Any] = {
        "id": f"red_{receipt.entries[0].id}",
        "points": said.points,
        "value": said.value and said.value._asdict(),
    }
    return 201, to_json({**answers.written(receipt), "redemption": redeemed})
