"""Reassignments: a purchase that was credited to the wrong person goes to the right one."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from loyalty.api import answers
from loyalty.api.access import ADJUSTMENTS_WRITE
from loyalty.api.answers import WriteAnswer, main_wallet, to_json
from loyalty.api.bodies import Body, MemberName, Reason, Reference, Source, Store
from loyalty.api.documented import writes
from loyalty.api.lean import Call, Calling, LeanRoute
from loyalty.api.purchases import PurchaseName, find_purchase
from loyalty.api.writing import resolve, taken, write
from loyalty.domain.claims import ReferenceKind
from loyalty.domain.entries import Because, Entry
from loyalty.domain.ids import MemberId
from loyalty.domain.programme import Programme
from loyalty.domain.returns import bought_on
from loyalty.operations.command import Receipt
from loyalty.operations.reassign import Reassign
from loyalty.operations.returns import Returned

router = APIRouter(tags=["reassignments"], route_class=LeanRoute)


class ReassignmentBody(Body):
    """A purchase, and the member who made it. Who earned by it so far is known from its entry."""

    accrual: PurchaseName
    to: MemberName
    source: Source
    reference: Reference
    store: Store | None = None
    reason: Annotated[Reason, Field(examples=["wrong card at the till"])]


class ReassignmentAnswer(WriteAnswer):
    """An entry for each member: what was taken back, then what was earned. The balances are those of the first."""

    points: int = Field(description="Taken back in the wallet `points`, or in the first.", examples=[50])
    points_by_wallet: dict[str, int] = Field(description="Taken back, what the member now owes included.")
    owed: int = Field(description="The part of them that the member now owes.")
    owed_by_wallet: dict[str, int]


@router.post(
    "/v1/reassignments",
    summary="Credit a purchase to another member",
    **writes(ADJUSTMENTS_WRITE, 201, ReassignmentAnswer, 404, 409),
)
async def reassign(call: Calling, body: ReassignmentBody) -> Response:
    """What is left of the purchase is taken back as a return would, and earned by the other member.

    The entries are dated now; the points mature and expire as they would have. Its receipt stays its own: what comes
    back under it later comes back from the other member.
    """

    async def purchase_and_member(call: Call) -> tuple[Entry, MemberId]:
        return await find_purchase(body.accrual)(call), await resolve(call, body.to)

    return await write(
        call,
        body,
        find=purchase_and_member,
        carries=True,
        command=lambda found, at: _command(call.caller.programme, body, *found, at),
        say=lambda receipt: (201, to_json(_said(receipt))),
    )


def _command(programme: Programme, body: ReassignmentBody, purchase: Entry, to: MemberId, at: datetime) -> Reassign:
    reference, day = taken(programme, ReferenceKind.REASSIGNMENT, body, at)
    return Reassign(
        purchase=purchase,
        to=to,
        because=Because(body.source, body.reference, body.store, body.reason),
        reference=reference,
        business_date=day,
        bought_on=bought_on(programme.calendar, purchase),
    )


def _said(receipt: Receipt) -> dict[str, Any]:
    returned: Returned = receipt.said
    wallet = main_wallet(returned.points)
    return {
        **answers.written(receipt),
        "points": returned.points[wallet],
        "points_by_wallet": returned.points,
        "owed": returned.owed[wallet],
        "owed_by_wallet": returned.owed,
    }
