"""Transfers: one member gives points to another."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from loyalty.api import answers
from loyalty.api.access import TRANSFERS_WRITE
from loyalty.api.answers import WriteAnswer, to_json
from loyalty.api.bodies import Body, MemberName, Points, Reference, Source, Store, Text, WalletName
from loyalty.api.documented import writes
from loyalty.api.lean import Call, Calling, LeanRoute
from loyalty.api.writing import resolve, taken, write
from loyalty.domain.claims import ReferenceKind
from loyalty.domain.entries import Because
from loyalty.domain.ids import MemberId
from loyalty.domain.programme import Programme
from loyalty.operations.transfer import Transfer

router = APIRouter(tags=["transfers"], route_class=LeanRoute)


class TransferBody(Body):
    """Points to give away. They keep their dates."""

    from_: Annotated[MemberName, Field(alias="from")]
    to: MemberName
    points: Points
    source: Source
    reference: Reference
    store: Store | None = None
    wallet: WalletName = "points"
    reason: Annotated[Text | None, Field(max_length=200)] = None


class TransferAnswer(WriteAnswer):
    """The transfer: an entry for each member; the balances are those of who gave."""

    points: int


@router.post("/v1/transfers", summary="Give points away", **writes(TRANSFERS_WRITE, 201, TransferAnswer, 404, 409))
async def transfer(call: Calling, body: TransferBody) -> Response:
    async def both(call: Call) -> tuple[MemberId, MemberId]:
        return await resolve(call, body.from_), await resolve(call, body.to)

    return await write(
        call,
        body,
        find=both,
        command=lambda members, at: _command(call.caller.programme, body, members, at),
        say=lambda receipt: (201, to_json({**answers.written(receipt), "points": body.points})),
    )


def _command(programme: Programme, body: TransferBody, members: tuple[MemberId, MemberId], at: datetime) -> Transfer:
    reference, day = taken(programme, ReferenceKind.TRANSFER, body, at)
    giver, taker = members
    return Transfer(
        member_id=giver,
        to=taker,
        points=body.points,
        wallet=body.wallet,
        because=Because(body.source, body.reference, body.store, body.reason),
        reference=reference,
        business_date=day,
    )
