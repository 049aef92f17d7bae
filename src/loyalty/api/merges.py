"""Merges: two members who are one person become one, and two again where that was wrong."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from loyalty.api import answers
from loyalty.api.access import MEMBERS_MANAGE
from loyalty.api.answers import WriteAnswer, to_json
from loyalty.api.bodies import Body, MemberName, Reason, path_member
from loyalty.api.documented import writes
from loyalty.api.lean import Call, Calling, LeanRoute
from loyalty.api.writing import resolve, write
from loyalty.domain.entries import Because
from loyalty.domain.ids import MemberId
from loyalty.domain.merges import Merge
from loyalty.domain.refusals import MergeNotFound
from loyalty.operations.command import Receipt
from loyalty.operations.merge import MergeInto, Unmerge
from loyalty.store import merges

router = APIRouter(tags=["members"], route_class=LeanRoute)


class MergeBody(Body):
    """The other member, who is the same person."""

    member: MemberName
    reason: Annotated[Reason, Field(examples=["joined twice"])]


class UnmergeBody(Body):
    """Why they are two after all."""

    reason: Annotated[Reason, Field(examples=["mother and daughter"])]


class MergeAnswer(WriteAnswer):
    """The survivor as it is now: its entry first, then the other's."""

    survivor: str = Field(examples=["mem_019ab2c3d4e5f60718293a4b5c6d7e8f"])
    absorbed: str = Field(examples=["mem_019ab2c3d4e5f60718293a4b5c6d7e80"])
    tier: str = Field(description="The survivor's; of an unmerged member, its own.")


@router.post(
    "/v1/members/{id}/merge",
    summary="Merge a member into this one",
    **writes(MEMBERS_MANAGE, 201, MergeAnswer, 404, 409),
)
async def merge(call: Calling, id: str, body: MergeBody) -> Response:  # noqa: A002 - the path's own word
    """Its lots with their dates, its debts, its identities and what counts towards its tier are this member's.

    The higher of the two tiers that were earned stays; one that was given by hand to the merged member is kept until
    the survivor's next review, and is the member's again should they part. Caps go on by card. Its cards and
    identities name this member from now on. What it holds at a till stays there until it is captured or released;
    returns and refunds of what it bought and spent go on as ever, and what they leave is carried on. Conflicting
    identities are refused: unbind one of them first.
    """
    programme, survivor = call.caller.programme, path_member(id)

    def command(absorbed: MemberId, at: datetime) -> MergeInto:
        day = programme.calendar.business_date(at)
        return MergeInto(survivor, absorbed, tuple(programme.wallets), Because(reason=body.reason), day)

    async def other(call: Call) -> MemberId:
        return await resolve(call, body.member)

    return await write(call, body, find=other, command=command, say=_say_merged)


@router.post(
    "/v1/members/{id}/unmerge", summary="Reverse a merge", **writes(MEMBERS_MANAGE, 201, MergeAnswer, 404, 409)
)
async def unmerge(call: Calling, id: str, body: UnmergeBody) -> Response:  # noqa: A002 - the path's own word
    """The member that was merged is itself again: its identities, its tier, and what remains of what it brought.

    What has been spent of that since is gone.
    """
    programme, absorbed = call.caller.programme, path_member(id)

    async def found(call: Call) -> Merge:
        async with call.service.database.snapshot(programme.id) as connection:
            there = await merges.in_force(connection, programme.id, [absorbed])
        if absorbed not in there:
            raise MergeNotFound("No such member is merged into another.")
        return there[absorbed]

    def command(merge: Merge, at: datetime) -> Unmerge:
        day = programme.calendar.business_date(at)
        return Unmerge(merge, tuple(programme.wallets), Because(reason=body.reason), day)

    return await write(call, body, find=found, command=command, say=_say_unmerged)


def _say_merged(receipt: Receipt) -> tuple[int, bytes]:
    taken, given = receipt.entries
    return _say(receipt, survivor=taken.member_id, absorbed=given.member_id)


def _say_unmerged(receipt: Receipt) -> tuple[int, bytes]:
    taken, given = receipt.entries
    return _say(receipt, survivor=given.member_id, absorbed=taken.member_id)


def _say(receipt: Receipt, *, survivor: MemberId, absorbed: MemberId) -> tuple[int, bytes]:
    who = {"survivor": f"mem_{survivor}", "absorbed": f"mem_{absorbed}", "tier": receipt.said.tier}
    return 201, to_json({**answers.written(receipt), **who})
