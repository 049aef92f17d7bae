"""Holds: points set aside at a till, then captured or released."""

from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from loyalty.api import answers
from loyalty.api.access import MEMBERS_READ, REDEMPTIONS_WRITE
from loyalty.api.answers import Answer, WriteAnswer, to_json
from loyalty.api.bodies import Body, MemberName, NoBody, Points, Reference, Source, Store, Text, WalletName
from loyalty.api.documented import reads, writes
from loyalty.api.lean import Call, Calling, LeanRoute
from loyalty.api.service import wall_clock
from loyalty.api.writing import Find, by_id, spender, taken, write
from loyalty.domain.claims import ReferenceKind
from loyalty.domain.entries import Because
from loyalty.domain.holds import LONGEST, Hold
from loyalty.domain.ids import MemberId
from loyalty.domain.programme import Programme
from loyalty.domain.refusals import HoldNotFound
from loyalty.operations.command import Receipt
from loyalty.operations.hold import Capture, OpenHold, Release
from loyalty.store import holds

router = APIRouter(tags=["holds"], route_class=LeanRoute)

LONGEST_S = int(LONGEST.total_seconds())
USUAL_S = 600


class HoldBody(Body):
    """Points to set aside. The earliest to expire go first."""

    member: MemberName
    points: Points
    expires_in: Annotated[
        int, Field(strict=True, ge=1, le=LONGEST_S, description="Seconds until it is released by itself.")
    ] = USUAL_S
    source: Source
    reference: Reference
    store: Store | None = None
    wallet: WalletName = "points"
    reason: Annotated[Text | None, Field(max_length=200)] = None


class CaptureBody(Body):
    """How much of the hold to redeem; the rest is released."""

    points: Annotated[Points | None, Field(description="All of it when absent.")] = None


class HoldAnswer(Answer):
    """A hold."""

    id: str = Field(examples=["hld_019ab2c3d4e5f60718293a4b5c6d7e8f"])
    member: str = Field(examples=["mem_019ab2c3d4e5f60718293a4b5c6d7e8f"])
    wallet: str = Field(examples=["points"])
    points: int = Field(description="Set aside when it was opened.", examples=[500])
    status: str = Field(description="open, captured, released, expired", examples=["open"])
    captured: int = Field(description="Redeemed of it.")
    opened_at: datetime
    expires_at: datetime


class HoldWriteAnswer(WriteAnswer):
    """What has become of the hold."""

    hold: HoldAnswer


class CaptureAnswer(HoldWriteAnswer):
    """The capture; its redemption can be refunded."""

    redemption: str = Field(examples=["red_019ab2c3d4e5f60718293a4b5c6d7e8f"])


@router.post("/v1/holds", summary="Set points aside", **writes(REDEMPTIONS_WRITE, 201, HoldWriteAnswer, 404, 409))
async def open_(call: Calling, body: HoldBody) -> Response:
    return await write(
        call,
        body,
        find=spender(body.member),
        command=lambda member_id, at: _opening(call.caller.programme, body, member_id, at),
        say=lambda receipt: (201, to_json(_said(receipt))),
    )


@router.post(
    "/v1/holds/{id}/capture",
    summary="Redeem held points",
    **writes(REDEMPTIONS_WRITE, 201, CaptureAnswer, 404, 409),
)
async def capture(call: Calling, id: str, body: CaptureBody) -> Response:  # noqa: A002 - the path's own word
    """A hold that has ended can be captured within the programme's grace, if the points suffice."""
    return await write(
        call,
        body,
        find=_found(id),
        carries=True,
        command=lambda hold, at: Capture(hold, body.points, call.caller.programme.calendar.business_date(at)),
        say=lambda receipt: (201, to_json({**_said(receipt), "redemption": f"red_{receipt.entries[0].id}"})),
    )


@router.post(
    "/v1/holds/{id}/release",
    summary="Give held points back",
    **writes(REDEMPTIONS_WRITE, 201, HoldWriteAnswer, 404, 409),
)
async def release(call: Calling, id: str, body: NoBody) -> Response:  # noqa: A002 - the path's own word
    return await write(
        call,
        body,
        find=_found(id),
        carries=True,
        command=lambda hold, at: Release(hold, call.caller.programme.calendar.business_date(at)),
        say=lambda receipt: (201, to_json(_said(receipt))),
    )


@router.get("/v1/holds/{id}", summary="One hold", **reads(MEMBERS_READ, HoldAnswer, 404))
async def read(call: Calling, id: str) -> Response:  # noqa: A002 - the path's own word
    """As of now: a hold whose time is over has expired, even before a write or the sweep has settled it."""
    hold = await _found(id)(call)
    return Response(to_json(_hold(hold.by(call.caller.programme.now(wall_clock())))), media_type="application/json")


def _found(id_: str) -> Find[Hold]:
    """Finds a hold that is to be spent. Raises HoldNotFound."""
    missing = "There is no such hold in this programme."

    async def find(call: Call) -> Hold:
        hold = await by_id("hld", id_, holds.find, lambda: HoldNotFound(missing))(call)
        if hold.reserved is not None:
            raise HoldNotFound(missing)
        return hold

    return find


def _opening(programme: Programme, body: HoldBody, member_id: MemberId, at: datetime) -> OpenHold:
    reference, day = taken(programme, ReferenceKind.HOLD, body, at)
    return OpenHold(
        member_id=member_id,
        points=body.points,
        wallet=body.wallet,
        lasts=timedelta(seconds=body.expires_in),
        because=Because(body.source, body.reference, body.store, body.reason),
        reference=reference,
        business_date=day,
    )


def _said(receipt: Receipt) -> dict[str, Any]:
    return {**answers.written(receipt), "hold": _hold(receipt.said)}


def _hold(of: Hold) -> dict[str, Any]:
    return {
        "id": f"hld_{of.id}",
        "member": f"mem_{of.member_id}",
        "wallet": of.wallet,
        "points": of.points,
        "status": of.status,
        "captured": of.captured,
        "opened_at": of.opened_at,
        "expires_at": of.expires_at,
    }
