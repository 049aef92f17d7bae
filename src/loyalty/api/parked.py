"""Parked events: what came too early and was answered 202, and what became of it."""

from datetime import date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from loyalty.api import paging
from loyalty.api.access import MEMBERS_READ
from loyalty.api.answers import Answer, to_json
from loyalty.api.documented import reads
from loyalty.api.lean import Calling, StrictRoute
from loyalty.api.paging import Cursor, Limit
from loyalty.api.writing import by_id
from loyalty.domain.claims import ReferenceKey
from loyalty.domain.ids import FactId
from loyalty.domain.parked import Awaited, ParkedEvent, ParkedStatus
from loyalty.domain.refusals import ParkedNotFound
from loyalty.store import parked

router = APIRouter(tags=["parked"], route_class=StrictRoute)


class AwaitedSaleAnswer(Answer):
    """The sale that a return waits for."""

    source: str = Field(examples=["pos-1"])
    reference: str = Field(examples=["SH-001-000042"])
    business_date: date | None = Field(description="Of a source whose receipt numbers begin again.")


class AwaitedIdentityAnswer(Answer):
    """What somebody has to be known by for an accrual; its value is never repeated."""

    channel: str = Field(examples=["wechat"])
    type: str = Field(examples=["openid"])


class ParkedAnswer(Answer):
    """An event that came too early, and what became of it."""

    parked: str = Field(examples=["prk_019ab2c3d4e5f60718293a4b5c6d7e8f"])
    kind: str = Field(description="accrual, return", examples=["accrual"])
    status: str = Field(description="waiting, cured, refused, lapsed", examples=["waiting"])
    awaits: AwaitedSaleAnswer | AwaitedIdentityAnswer
    source: str = Field(description="Of the event itself.", examples=["pos-1"])
    reference: str = Field(description="Of the event itself; taken when it is cured.", examples=["SH-001-000043"])
    occurred_at: datetime = Field(description="When it happened: it is dated by this, whenever it is cured.")
    parked_at: datetime
    until: datetime = Field(description="When it is given up unless what it waits for has come.")
    entry: str | None = Field(description="Its entry, once it is cured.")
    code: str | None = Field(description="Why it was refused when what it waited for had come.")


class ParkedPageAnswer(Answer):
    """A page of parked events, newest first."""

    items: list[ParkedAnswer]
    next_cursor: str | None


Status = Annotated[ParkedStatus | None, Query(description="Only those of this status.", examples=["waiting"])]


@router.get("/v1/parked", summary="What came too early, newest first", **reads(MEMBERS_READ, ParkedPageAnswer))
async def page(call: Calling, status: Status = None, limit: Limit = 50, cursor: Cursor = None) -> Response:
    programme_id, before = call.caller.programme.id, _before(cursor)
    statuses = ParkedStatus if status is None else (status,)
    async with call.service.database.snapshot(programme_id) as connection:
        found = await parked.page(connection, programme_id, statuses=statuses, before=before, limit=limit + 1)
    items = [answer(one) for one in found]
    shown = paging.page(items, limit, lambda last: [last["parked"].removeprefix("prk_")])
    return Response(to_json(shown), media_type="application/json")


@router.get("/v1/parked/{id}", summary="What became of a parked event", **reads(MEMBERS_READ, ParkedAnswer, 404))
async def read(call: Calling, id: str) -> Response:  # noqa: A002 - the path's own word
    missing = "Nothing of that id was parked in this programme."
    found = await by_id("prk", id, parked.find, lambda: ParkedNotFound(missing))(call)
    return Response(to_json(answer(found)), media_type="application/json")


def say(of: ParkedEvent) -> tuple[int, bytes]:
    """202: it waits."""
    return 202, to_json(answer(of))


def answer(of: ParkedEvent) -> dict[str, Any]:
    """A parked event as the API shows it."""
    cured = of.status == ParkedStatus.CURED
    return {
        "parked": f"prk_{of.id}",
        "kind": of.kind,
        "status": of.status,
        "awaits": _awaited(of.awaits),
        "source": of.because.source,
        "reference": of.because.reference,
        "occurred_at": of.occurred_at,
        "parked_at": of.parked_at,
        "until": of.until,
        "entry": f"ent_{of.outcome}" if cured else None,
        "code": None if cured else of.outcome,
    }


def _awaited(awaits: Awaited) -> dict[str, str | None]:
    if isinstance(awaits, ReferenceKey):
        return {
            "source": awaits.source,
            "reference": awaits.reference,
            "business_date": awaits.business_date or None,
        }
    return {"channel": awaits.channel, "type": awaits.type}


def _before(cursor: str | None) -> FactId:
    place = paging.opened(cursor, str)
    return parked.AFTER_ALL_PARKED if place is None else FactId(paging.digits(place[0]))
