"""Review items: what was taken as it came and has to be looked at; each is resolved once, with a reason."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from loyalty.api import paging
from loyalty.api.access import REVIEWS_READ, REVIEWS_WRITE
from loyalty.api.answers import Answer, to_json
from loyalty.api.bodies import Body, Text
from loyalty.api.documented import reads, writes
from loyalty.api.lean import Calling, LeanRoute
from loyalty.api.paging import Cursor, Limit
from loyalty.api.writing import Find, by_id, write
from loyalty.domain.ids import ReviewId
from loyalty.domain.refusals import ReviewNotFound
from loyalty.domain.reviews import Review, ReviewKind, ReviewStatus
from loyalty.operations.review import Resolve
from loyalty.store import reviews
from loyalty.store.reviews import ReviewPlace

router = APIRouter(tags=["reviews"], route_class=LeanRoute)


class ResolutionBody(Body):
    """What came of it."""

    reason: Annotated[Text, Field(min_length=1, max_length=200, examples=["The till was offline; the member repays."])]


class ReviewAnswer(Answer):
    """Something that somebody has to look at, or has looked at."""

    review: str = Field(examples=["rev_019ab2c3d4e5f60718293a4b5c6d7e8f"])
    kind: str = Field(
        description="redemption.not_covered, parked.refused, parked.lapsed", examples=["redemption.not_covered"]
    )
    status: str = Field(description="open, resolved", examples=["open"])
    member: str | None = Field(description="Whose redemption it was; null of a parked event, which belongs to nobody.")
    entry: str | None = Field(description="The redemption.")
    parked: str | None = Field(description="The parked event.")
    wallet: str | None
    points: int | None = Field(description="Points that were not covered.", examples=[100])
    source: str = Field(examples=["pos-offline"])
    reference: str
    opened_at: datetime
    resolved_by: str | None = Field(description="The API client that resolved it.")
    reason: str | None = Field(description="What came of it, in the words of who resolved it.")
    resolved_at: datetime | None


class ReviewsAnswer(Answer):
    """A page of review items, newest first."""

    items: list[ReviewAnswer]
    next_cursor: str | None


Status = Annotated[ReviewStatus | None, Query(description="Only those of this status.", examples=["open"])]


@router.get("/v1/reviews", summary="What has to be looked at, newest first", **reads(REVIEWS_READ, ReviewsAnswer))
async def page(call: Calling, status: Status = None, limit: Limit = 50, cursor: Cursor = None) -> Response:
    programme_id, before = call.caller.programme.id, _before(cursor)
    statuses = ReviewStatus if status is None else (status,)
    async with call.service.database.snapshot(programme_id) as connection:
        found = await reviews.page(connection, programme_id, statuses=statuses, before=before, limit=limit + 1)
    places = [[one.opened_at, one.id] for one in found]
    items = [_review(one) for one in found]
    shown = paging.page(items, limit, lambda last: places[items.index(last)])
    return Response(to_json(shown), media_type="application/json")


@router.get("/v1/reviews/{id}", summary="One review item", **reads(REVIEWS_READ, ReviewAnswer, 404))
async def read(call: Calling, id: str) -> Response:  # noqa: A002 - the path's own word
    return Response(to_json(_review(await _found(id)(call))), media_type="application/json")


@router.post(
    "/v1/reviews/{id}/resolve",
    summary="Resolve a review item",
    **writes(REVIEWS_WRITE, 201, ReviewAnswer, 404, 409),
)
async def resolve(call: Calling, id: str, body: ResolutionBody) -> Response:  # noqa: A002 - the path's own word
    """It moves no points: who corrects a balance adjusts it."""
    return await write(
        call,
        body,
        find=_found(id),
        command=lambda found, _: Resolve(found, body.reason, call.caller.client_id),
        say=lambda receipt: (201, to_json(_review(receipt.said))),
    )


def _found(id_: str) -> Find[Review]:
    """Finds a review item. Raises ReviewNotFound."""
    missing = "There is no such review item in this programme."
    return by_id("rev", id_, reviews.find, lambda: ReviewNotFound(missing))


def _review(of: Review) -> dict[str, Any]:
    about_an_entry = of.kind == ReviewKind.NOT_COVERED
    return {
        "review": f"rev_{of.id}",
        "kind": of.kind,
        "status": of.status,
        "member": None if of.member_id is None else f"mem_{of.member_id}",
        "entry": f"ent_{of.id}" if about_an_entry else None,
        "parked": None if about_an_entry else f"prk_{of.id}",
        "wallet": of.wallet,
        "points": of.points,
        "source": of.source,
        "reference": of.reference,
        "opened_at": of.opened_at,
        "resolved_by": of.resolved_by,
        "reason": of.reason,
        "resolved_at": of.resolved_at,
    }


def _before(cursor: str | None) -> ReviewPlace:
    place = paging.opened(cursor, str, str)
    if place is None:
        return reviews.AFTER_ALL_REVIEWS
    opened_at, id_ = place
    return ReviewPlace(paging.instant(opened_at), ReviewId(paging.digits(id_)))
