"""Entries by their own id."""

from fastapi import APIRouter
from starlette.responses import Response

from loyalty.api import answers
from loyalty.api.access import MEMBERS_READ
from loyalty.api.answers import EntryAnswer, to_json
from loyalty.api.bodies import entry_id
from loyalty.api.documented import reads
from loyalty.api.lean import Calling, StrictRoute
from loyalty.domain.refusals import EntryNotFound
from loyalty.store import history

router = APIRouter(tags=["entries"], route_class=StrictRoute)


@router.get("/v1/entries/{id}", summary="One entry", **reads(MEMBERS_READ, EntryAnswer, 404))
async def read(call: Calling, id: str) -> Response:  # noqa: A002 - the path's own word
    try:
        wanted = entry_id(id)
    except ValueError:
        raise EntryNotFound("There is no such entry in this programme.") from None
    programme = call.caller.programme
    async with call.service.database.snapshot(programme.id) as connection:
        entry = await history.entry(connection, programme.id, wanted)
    if entry is None:
        raise EntryNotFound("There is no such entry in this programme.")
    return Response(to_json(answers.entry(entry)), media_type="application/json")
