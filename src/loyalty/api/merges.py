"""Merges: two members who are one person become one, and two again where that was wrong."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from loyalty.api import answers
from loyalty.api.access import MEMBERS_MANAGE
from loyalty.api.answers import WriteAnswer, to_json
from loyalty.api.bodies import Body, MemberName, Reason
from loyalty.api.documented import writes
from loyalty.api.lean import Call, Calling, LeanRoute
from loyalty.api.writing import Find, by_id, resolve, write
from loyalty.domain.entries import Because
from loyalty.domain.ids import MemberId
from loyalty.domain.merges import Merge
from loyalty.domain.refusals import MergeNotFound
from loyalty.operations.command import Receipt
from loyalty.operations.merge import MergeInto, Unmerge
from loyalty.store import merges

router = APIRouter(tags=["members"], route_class=LeanRoute)


class MergeBody(Body):
    """Two members who are the same person. Whoever was merged before stands for its survivor."""

    survivor: MemberName
    absorbed: MemberName
    reason: Annotated[Reason, Field(examples=["joined twice"])]


class ReverseBody(Body):
    """Why they are two after all."""

    reason: Annotated[Reason, Field(examples=["mother and daughter"])]


class MergeAnswer(WriteAnswer):
    """The survivor as it is now: its entry first, then the other's."""

    merge: str = Field(examples=["mrg_019ab2c3d4e5f60718293a4b5c6d7e82"], description="The merge.")
    survivor: str = Field(examples=["mem_019ab2c3d4e5f60718293a4b5c6d7e8f"])
    absorbed: str = Field(examples=["mem_019ab2c3d4e5f60718293a4b5c6d7e80"])
    tier: str = Field(description="The survivor's; once it is reversed, that of who had been absorbed.")


@router.post("/v1/merges", summary="Merge two members", **writes(MEMBERS_MANAGE, 201, MergeAnswer, 404, 409))
async def merge(call: Calling, body: MergeBody) -> Response:
    """The lots of who is absorbed, with their dates, its debts, its identities and what counts towards its tier are the
    survivor's.

    The higher of the two tiers that were earned stays; one that was given by hand goes with it, with its end and
    its lock, unless the survivor was given a higher one or is locked. What it had used of caps is used. Its cards
    and identities name the survivor from now on. What it holds at a till stays there until it is captured or
    released; returns and refunds of what it bought and spent go on as ever, and what they leave is carried on.
    Conflicting identities are refused: unbind one of them first.
    """
    programme = call.caller.programme

    def command(both: tuple[MemberId, MemberId], at: datetime) -> MergeInto:
        day = programme.calendar.business_date(at)
        return MergeInto(*both, tuple(programme.wallets), Because(reason=body.reason), day)

    async def both(call: Call) -> tuple[MemberId, MemberId]:
        return await resolve(call, body.survivor), await resolve(call, body.absorbed)

    def say(receipt: Receipt) -> tuple[int, bytes]:
        taken, given = receipt.entries
        return _say(receipt, given.id, survivor=taken.member_id, absorbed=given.member_id)

    return await write(call, body, find=both, command=command, say=say)


@router.post("/v1/merges/{id}/reverse", summary="Reverse a merge", **writes(MEMBERS_MANAGE, 201, MergeAnswer, 404, 409))
async def reverse(call: Calling, id: str, body: ReverseBody) -> Response:  # noqa: A002 - the path's own word
    """Who was absorbed is itself again: its identities, its tier, and what remains of what it brought.

    What has been spent of that since is gone. A merge is reversed once, and before those into the same survivor that
    came earlier. The tier of each is what it would be by what counted for it alone.
    """
    programme = call.caller.programme

    def command(merge: Merge, at: datetime) -> Unmerge:
        day = programme.calendar.business_date(at)
        return Unmerge(merge, tuple(programme.wallets), Because(reason=body.reason), day)

    def say(receipt: Receipt) -> tuple[int, bytes]:
        taken, given = receipt.entries
        return _say(receipt, id.removeprefix("mrg_"), survivor=given.member_id, absorbed=taken.member_id)

    return await write(call, body, find=_found(id), command=command, say=say)


def _found(id_: str) -> Find[Merge]:
    """Finds a merge that is in force. Raises MergeNotFound."""
    return by_id("mrg", id_, merges.find, lambda: MergeNotFound("No such merge is in force."))


def _say(receipt: Receipt, id_: str, *, survivor: MemberId, absorbed: MemberId) -> tuple[int, bytes]:
    who = {"merge": f"mrg_{id_}", "survivor": f"mem_{survivor}", "absorbed": f"mem_{absorbed}"}
    return 201, to_json({**answers.written(receipt), **who, "tier": receipt.said.tier})
