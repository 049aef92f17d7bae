"""Redemptions: points are spent, as a discount at the till or against a reference."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from loyalty.api import answers
from loyalty.api.access import REDEMPTIONS_WRITE
from loyalty.api.answers import Answer, WriteAnswer, to_json
from loyalty.api.bodies import (
    Body,
    Currency,
    MemberName,
    Points,
    Reference,
    Source,
    Store,
    Text,
    WalletName,
)
from loyalty.api.documented import writes
from loyalty.api.lean import Calling, LeanRoute
from loyalty.api.writing import write
from loyalty.domain.claims import reference_key
from loyalty.domain.entries import Because
from loyalty.domain.ids import MemberId
from loyalty.domain.programme import Programme
from loyalty.operations.command import Receipt
from loyalty.operations.redeem import Redeem, Redeemed

router = APIRouter(tags=["redemptions"], route_class=LeanRoute)

KIND = "redemption"


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


@router.post("/v1/redemptions", summary="Spend points", **writes(REDEMPTIONS_WRITE, 201, RedemptionAnswer, 404, 409))
async def redeem(call: Calling, body: RedemptionBody) -> Response:
    return await write(
        call,
        body,
        member=body.member,
        occurred_at=None,
        command=lambda member_id, at: _command(call.caller.programme, body, member_id, at),
        say=_say,
    )


def _command(programme: Programme, body: RedemptionBody, member_id: MemberId, at: datetime) -> Redeem:
    day = programme.calendar.business_date(at)
    return Redeem(
        member_id=member_id,
        points=body.points,
        wallet=body.wallet,
        because=Because(body.source, body.reference, body.store, body.reason),
        reference=reference_key(programme, KIND, source=body.source, reference=body.reference, day=day),
        business_date=day,
        discount_currency=None if body.as_discount is None else body.as_discount.currency,
    )


def _say(receipt: Receipt) -> tuple[int, bytes]:
    said: Redeemed = receipt.said
    entries = [answers.entry(entry) for entry in receipt.entries]
    redemption: dict[str, Any] = {
        "id": f"red_{receipt.entries[0].id}",
        "points": said.points,
        "value": said.value and said.value._asdict(),
    }
    return 201, to_json(
        {
            "entry": entries[0],
            "entries": entries,
            "balances": answers.balances(receipt.balances),
            "redemption": redemption,
        }
    )
