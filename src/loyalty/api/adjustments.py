"""Adjustments: corrections with a reason; above the programme's limit a second person approves."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import AfterValidator, Field
from starlette.responses import Response

from loyalty.api import answers
from loyalty.api.access import ADJUSTMENTS_WRITE
from loyalty.api.answers import Answer, BalanceAnswer, EntryAnswer, to_json
from loyalty.api.bodies import Body, MemberName, NoBody, Reason, Reference, Source, WalletName
from loyalty.api.documented import writes
from loyalty.api.lean import Call, Calling, LeanRoute
from loyalty.api.writing import Find, by_id, named, taken, write
from loyalty.domain.adjustments import Adjustment
from loyalty.domain.bounds import MAX_POINTS
from loyalty.domain.claims import ReferenceKind
from loyalty.domain.entries import Because
from loyalty.domain.ids import MemberId
from loyalty.domain.refusals import AdjustmentNotFound
from loyalty.operations.adjust import Adjust, Decide
from loyalty.operations.command import Receipt
from loyalty.store import adjustments

router = APIRouter(tags=["adjustments"], route_class=LeanRoute)


def _not_zero(points: int) -> int:
    if points == 0:
        raise ValueError("must not be zero")
    return points


class AdjustmentBody(Body):
    """Points to give (positive) or take (negative)."""

    member: MemberName
    points: Annotated[int, Field(strict=True, ge=-MAX_POINTS, le=MAX_POINTS, examples=[-20]), AfterValidator(_not_zero)]
    reason: Annotated[Reason, Field(examples=["counted twice"])]
    source: Source
    reference: Reference
    wallet: WalletName = "points"


class AdjustmentAnswer(Answer):
    """What became of the adjustment. While it waits, there is no entry."""

    adjustment: str = Field(examples=["adj_019ab2c3d4e5f60718293a4b5c6d7e8f"])
    status: str = Field(description="approved, awaiting_approval, rejected", examples=["approved"])
    entry: EntryAnswer | None
    entries: list[EntryAnswer]
    balances: dict[str, BalanceAnswer]


_DOCUMENTED = writes(ADJUSTMENTS_WRITE, 201, AdjustmentAnswer, 404, 409)


@router.post(
    "/v1/adjustments",
    summary="Correct a balance",
    **writes(
        *(ADJUSTMENTS_WRITE, 201, AdjustmentAnswer, 404, 409),
        otherwise=(202, AdjustmentAnswer, "Above the limit: it awaits approval."),
    ),
)
async def adjust(call: Calling, body: AdjustmentBody) -> Response:
    return await write(
        call,
        body,
        find=named(body.member),
        command=lambda member_id, at: _command(call, body, member_id, at),
        say=_say,
    )


@router.post("/v1/adjustments/{id}/approve", summary="Approve an adjustment", **_DOCUMENTED)
async def approve(call: Calling, id: str, body: NoBody) -> Response:  # noqa: A002 - the path's own word
    """By another API client than the one that asked for it."""
    return await _decide(call, id, body, approve=True)


@router.post("/v1/adjustments/{id}/reject", summary="Reject an adjustment", **_DOCUMENTED)
async def reject(call: Calling, id: str, body: NoBody) -> Response:  # noqa: A002 - the path's own word
    """By another API client than the one that asked for it."""
    return await _decide(call, id, body, approve=False)


async def _decide(call: Call, id_: str, body: NoBody, *, approve: bool) -> Response:
    calendar, client = call.caller.programme.calendar, call.caller.client_id
    return await write(
        call,
        body,
        find=_found(id_),
        command=lambda waiting, at: Decide(waiting, approve, client, calendar.business_date(at)),
        say=lambda receipt: (201, to_json(_said(receipt, id_.removeprefix("adj_"), receipt.said))),
        carries=True,
    )


def _found(id_: str) -> Find[Adjustment]:
    """Finds an adjustment. Raises AdjustmentNotFound."""
    missing = "There is no such adjustment in this programme."
    return by_id("adj", id_, adjustments.find, lambda: AdjustmentNotFound(missing))


def _command(call: Call, body: AdjustmentBody, member_id: MemberId, at: datetime) -> Adjust:
    programme = call.caller.programme
    reference, day = taken(programme, ReferenceKind.ADJUSTMENT, body, at)
    return Adjust(
        member_id=member_id,
        points=body.points,
        wallet=body.wallet,
        because=Because(body.source, body.reference, None, body.reason),
        reference=reference,
        business_date=day,
        requested_by=call.caller.client_id,
    )


def _say(receipt: Receipt) -> tuple[int, bytes]:
    """201 with the entry, or 202 while it waits."""
    if isinstance(receipt.said, Adjustment):
        return 202, to_json(_said(receipt, receipt.said.id, receipt.said.status))
    return 201, to_json(_said(receipt, receipt.entries[0].id, receipt.said))


def _said(receipt: Receipt, id_: str, status: str) -> dict[str, Any]:
    return {"adjustment": f"adj_{id_}", "status": status, **answers.written(receipt)}
