"""Everything that happened in the programme, for those who follow along."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from loyalty.api import paging
from loyalty.api.access import EVENTS_READ
from loyalty.api.answers import Answer, to_json
from loyalty.api.documented import reads
from loyalty.api.lean import Calling, StrictRoute
from loyalty.api.paging import Limit
from loyalty.domain.events import OF_ENTRIES, Event
from loyalty.domain.ids import MemberId
from loyalty.store.events import BEFORE_ALL, EventPlace, events

router = APIRouter(tags=["events"], route_class=StrictRoute)

After = Annotated[
    str | None, Query(max_length=512, description="`next_cursor` of an earlier page; from the beginning without it.")
]


class EventAnswer(Answer):
    """Something that happened to a member."""

    id: str = Field(examples=["evt_019ab2c3d4e5f60718293a4b5c6d7e8f"])
    type: str = Field(description="entry.earn, entry.spend, member.enrolled ...", examples=["entry.earn"])
    member: str = Field(examples=["mem_019ab2c3d4e5f60718293a4b5c6d7e8f"])
    sequence: int = Field(description="The member's newest entry at that moment; a member's own never run backwards.")
    entry: str | None = Field(
        description="The entry that happened; null for what is not an entry.",
        examples=["ent_019ab2c3d4e5f60718293a4b5c6d7e8f"],
    )
    recorded_at: datetime = Field(description="When we learnt of it.")


class EventsAnswer(Answer):
    """What happened next: each event once, in an order that never changes."""

    items: list[EventAnswer]
    next_cursor: str | None = Field(
        description="Ask again with it, at once or later, for what follows; an empty page gives back the one it was"
        " asked with. Null: nothing has happened yet."
    )


@router.get("/v1/events", summary="Everything that happened, in order", **reads(EVENTS_READ, EventsAnswer))
async def follow(call: Calling, after: After = None, limit: Limit = 50) -> Response:
    """No gaps: what a running transaction may still put before an event holds that event back until it has ended."""
    programme_id = call.caller.programme.id
    async with call.service.database.snapshot(programme_id) as connection:
        found = await events(connection, programme_id, after=_place(after), limit=limit)
    cursor = paging.sealed(list(found[-1][1])) if found else after
    document = {"items": [_event(event) for event, _ in found], "next_cursor": cursor}
    return Response(to_json(document), media_type="application/json")


def _event(of: Event) -> dict[str, Any]:
    return {
        "id": f"evt_{of.id}",
        "type": of.type,
        "member": f"mem_{of.member_id}",
        "sequence": of.sequence,
        "entry": f"ent_{of.id}" if of.type.startswith(OF_ENTRIES) else None,
        "recorded_at": of.recorded_at,
    }


def _place(cursor: str | None) -> EventPlace:
    found = paging.opened(cursor, int, str, int, bool, str)
    if found is None:
        return BEFORE_ALL
    xid, member_id, sequence, beside, id_ = found
    member = MemberId(paging.digits(member_id))
    return EventPlace(paging.whole(xid), member, paging.whole(sequence), beside, paging.digits(id_))
