"""Tags of a member: what the desk calls it, for earning rules to tell it by."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from loyalty.api import answers, paging
from loyalty.api.access import MEMBERS_MANAGE, MEMBERS_READ
from loyalty.api.answers import Answer, BalanceAnswer, EntryAnswer, to_json
from loyalty.api.bodies import Body, Reason, path_member
from loyalty.api.documented import reads, writes
from loyalty.api.lean import Calling, StrictRoute
from loyalty.api.members import TaggedAnswer, check_exists, member_answer, whom
from loyalty.api.paging import Cursor, Limit
from loyalty.api.writing import write
from loyalty.domain.bounds import MOST_TAGS
from loyalty.domain.tags import TAG, TagChange
from loyalty.operations.command import Receipt
from loyalty.operations.tag import SetTags, Tagged
from loyalty.store import tags as store
from loyalty.store.members import exists

router = APIRouter(tags=["members"], route_class=StrictRoute)

Tag = Annotated[
    str, Field(pattern=f"^{TAG.pattern}$", description="A word that says nothing personal.", examples=["staff"])
]


class TagsBody(Body):
    """All of them: what is left out is taken off."""

    tags: Annotated[list[Tag], Field(max_length=MOST_TAGS)]
    reason: Annotated[Reason, Field(examples=["on the staff list of November"])]


class TagsAnswer(TaggedAnswer):
    """The member with its tags as they are now."""

    entry: None = Field(default=None, description="A tag moves no points.")
    entries: list[EntryAnswer]
    balances: dict[str, BalanceAnswer]


class TagChangeAnswer(Answer):
    """What a member's tags were set to."""

    tags: list[str] = Field(examples=[["staff"]])
    reason: str | None
    changed_at: datetime
    changed_by: str | None = Field(description="The API client; null: a merge, or its reversal.")


class TagChangesAnswer(Answer):
    """A page of changes, the newest first."""

    items: list[TagChangeAnswer]
    next_cursor: str | None


@router.put("/v1/members/{id}/tags", summary="Set a member's tags", **writes(MEMBERS_MANAGE, 200, TagsAnswer, 404, 409))
async def set_(call: Calling, id: str, body: TagsBody) -> Response:  # noqa: A002 - the path's own word
    """Conditions of earning rules see them as `member.tags`, from the next purchase that is decided on."""
    return await write(
        call,
        body,
        find=whom(id),
        command=lambda member_id, _: SetTags(member_id, tuple(body.tags), body.reason, call.caller.client_id),
        say=_say,
    )


@router.get(
    "/v1/members/{id}/tags",
    summary="How a member's tags were changed, the newest first",
    **reads(MEMBERS_READ, TagChangesAnswer, 404),
)
async def changes(
    call: Calling,
    id: str,  # noqa: A002 - the path's own word
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    programme_id, member = call.caller.programme.id, path_member(id)
    before = paging.number(cursor, start=store.AFTER_ALL_CHANGES)
    async with call.service.database.snapshot(programme_id) as connection:
        check_exists(exists=await exists(connection, programme_id, member))
        found = await store.page(connection, programme_id, member, before=before, limit=limit + 1)
    page = paging.page(found, limit, lambda last: [last.number])
    return Response(to_json({**page, "items": [_shown(one) for one in page["items"]]}), media_type="application/json")


def _say(receipt: Receipt) -> tuple[int, bytes]:
    said: Tagged = receipt.said
    return 200, to_json({**member_answer(said.member), "tags": said.tags, **answers.written(receipt)})


def _shown(change: TagChange) -> dict[str, Any]:
    return {
        "tags": change.tags,
        "reason": change.reason,
        "changed_at": change.changed_at,
        "changed_by": change.changed_by,
    }
