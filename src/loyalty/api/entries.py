"""Entries by their own id, or by the reference they took."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from loyalty.api import answers, paging
from loyalty.api.access import MEMBERS_READ
from loyalty.api.answers import EntriesAnswer, EntryAnswer, to_json
from loyalty.api.bodies import AnySource, Label, Reference
from loyalty.api.documented import reads
from loyalty.api.lean import Calling, StrictRoute
from loyalty.api.paging import Cursor, Limit
from loyalty.api.writing import by_id
from loyalty.domain.ids import EntryId
from loyalty.domain.refusals import EntryNotFound
from loyalty.store import history

router = APIRouter(tags=["entries"], route_class=StrictRoute)


Kind = Annotated[
    Label | None,
    Field(min_length=1, max_length=32),
    Query(description="What took the reference: accrual, redemption ...; anything without it.", examples=["accrual"]),
]


@router.get("/v1/entries", summary="Entries by the reference they took", **reads(MEMBERS_READ, EntriesAnswer))
async def under(
    call: Calling,
    source: Annotated[AnySource, Query()],
    reference: Annotated[Reference, Query()],
    kind: Kind = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Newest first. Several where one reference served several kinds, or the source's numbers began again."""
    programme_id = call.caller.programme.id
    before = _before(cursor)
    async with call.service.database.snapshot(programme_id) as connection:
        found = await history.entries_under(
            connection, programme_id, source=source, reference=reference, kind=kind, before=before, limit=limit + 1
        )
    page = paging.page([answers.entry(one) for one in found], limit, lambda last: [last["id"].removeprefix("ent_")])
    return Response(to_json(page), media_type="application/json")


@router.get("/v1/entries/{id}", summary="One entry", **reads(MEMBERS_READ, EntryAnswer, 404))
async def read(call: Calling, id: str) -> Response:  # noqa: A002 - the path's own word
    missing = "There is no such entry in this programme."
    entry = await by_id("ent", id, history.entry, lambda: EntryNotFound(missing))(call)
    return Response(to_json(answers.entry(entry)), media_type="application/json")


def _before(cursor: str | None) -> EntryId:
    place = paging.opened(cursor, str)
    return history.AFTER_ALL_ENTRIES if place is None else EntryId(paging.digits(place[0]))
