"""Member codes: the app asks for one to show, as digits, QR code or barcode; a till names the member by it.

A code is the card number and a one-time password (TOTP, RFC 6238, SHA-256) for 30 seconds. Its secret is derived and
never leaves the service. Behind the door a code is used once; whoever guesses is slowed.
"""

import io
from datetime import datetime
from enum import StrEnum
from typing import Annotated

import segno
from barcode import Code128
from barcode.writer import SVGWriter
from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from loyalty.api.access import CODES_READ
from loyalty.api.answers import Answer, to_json
from loyalty.api.bodies import path_member
from loyalty.api.documented import reads, shows
from loyalty.api.lean import Call, Calling, StrictRoute
from loyalty.api.members import standing
from loyalty.api.service import wall_clock
from loyalty.domain.codes import STEP, moment_of, step_of
from loyalty.domain.members import Status
from loyalty.domain.refusals import MemberClosed, MemberMerged

router = APIRouter(tags=["members"], route_class=StrictRoute)
SVG = "image/svg+xml"


class Shape(StrEnum):
    """How a code is drawn."""

    QR = "qr"
    BARCODE = "barcode"


class CodeAnswer(Answer):
    """What the app shows."""

    code: str = Field(
        description="Digits: the card number, and eight for the moment.", examples=["621234567890123212345678"]
    )
    shown_until: datetime = Field(description="When to ask for the next. It is good for 30 seconds more.")


@router.get(
    "/v1/members/{id}/code", summary="The member's code of the moment", **reads(CODES_READ, CodeAnswer, 404, 409)
)
async def code(call: Calling, id: str) -> Response:  # noqa: A002 - the path's own word
    """For the app to show; a till names the member by it, once. Never keep it, never log it."""
    digits, until = await _now(call, id)
    return Response(to_json({"code": digits, "shown_until": until}), media_type="application/json")


@router.get("/v1/members/{id}/code/image", summary="The same as an image", **shows(CODES_READ, SVG, 404, 409))
async def image(
    call: Calling,
    id: str,  # noqa: A002 - the path's own word
    shape: Annotated[Shape, Query(description="QR code, or a Code 128 barcode.")] = Shape.QR,
) -> Response:
    digits, until = await _now(call, id)
    drawn = io.BytesIO()
    if shape == Shape.QR:
        segno.make_qr(digits, error="m").save(drawn, kind="svg", scale=8)
    else:
        Code128(digits, writer=SVGWriter()).write(drawn, {"write_text": False})
    return Response(drawn.getvalue(), media_type=SVG, headers={"Loyalty-Shown-Until": until.isoformat()})


async def _now(call: Call, id_: str) -> tuple[str, datetime]:
    """The code of this moment, and until when to show it. Raises MemberNotFound, MemberClosed, MemberMerged."""
    member = (await standing(call, path_member(id_))).member
    if member.status == Status.MERGED:
        raise MemberMerged("The member was merged into another: the code is the survivor's.")
    if member.status == Status.CLOSED:
        raise MemberClosed("The member has closed its account.")
    step = step_of(wall_clock())
    one_time = call.service.sealer.one_time(call.caller.programme.id, member.id, step)
    return member.number + one_time, moment_of(step) + STEP
