"""Identities: what a member is known by on every channel; bind, unbind, list, and find a member by one."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter
from pydantic import Field, model_validator
from starlette.responses import Response

from loyalty.api import answers
from loyalty.api.access import IDENTITIES_WRITE, MEMBERS_READ
from loyalty.api.answers import Answer, BalanceAnswer, EntryAnswer, to_json
from loyalty.api.bodies import Body, Channelled, MemberName, NoBody, Phone, PhoneVerified, parse_id, path_member
from loyalty.api.documented import asks, reads, writes
from loyalty.api.lean import Call, Calling, StrictRoute
from loyalty.api.members import MemberAnswer, check_exists, member_answer, standing
from loyalty.api.writing import Find, blind, blinded, known, resolve, write
from loyalty.domain.identities import PHONE, Binding, Identity
from loyalty.domain.ids import MemberId
from loyalty.domain.refusals import IdentityNotFound
from loyalty.operations.command import Receipt
from loyalty.operations.identify import Bind, Unbind
from loyalty.store import identities
from loyalty.store.members import exists

router = APIRouter(tags=["identities"], route_class=StrictRoute)


class BindBody(Body):
    """What a member is to be known by: a channel's identity, or a phone. Personal data."""

    identity: Channelled | None = None
    phone: Phone | None = None
    phone_verified: PhoneVerified = False

    @model_validator(mode="after")
    def _one_of_them(self) -> "BindBody":
        if (self.identity is None) == (self.phone is None):
            raise ValueError("name exactly one of identity, phone")
        if self.identity is not None and self.phone_verified:
            raise ValueError("phone_verified says something about a phone")
        return self


class ResolveBody(Body):
    """Who is meant."""

    member: MemberName


class IdentityAnswer(Answer):
    """An identity; what it says is personal and is not repeated."""

    id: str = Field(examples=["idn_019ab2c3d4e5f60718293a4b5c6d7e8f"])
    channel: str = Field(description="`programme` for the card number, `phone` for phones.", examples=["wechat"])
    type: str = Field(examples=["openid"])
    bound_at: datetime


class IdentitiesAnswer(Answer):
    """All that the member is known by."""

    items: list[IdentityAnswer]
    next_cursor: None = Field(default=None, description="There are few: they fit on one page.")


class BoundAnswer(IdentityAnswer):
    """The identity, as it was bound; `entry` is null, for it moves no points."""

    member: str = Field(examples=["mem_019ab2c3d4e5f60718293a4b5c6d7e8f"])
    entry: None = Field(default=None, description="Being known by something moves no points.")
    entries: list[EntryAnswer]
    balances: dict[str, BalanceAnswer]


@router.get(
    "/v1/members/{id}/identities", summary="What a member is known by", **reads(MEMBERS_READ, IdentitiesAnswer, 404)
)
async def page(call: Calling, id: str) -> Response:  # noqa: A002 - the path's own word
    programme_id, member = call.caller.programme.id, path_member(id)
    async with call.service.database.snapshot(programme_id) as connection:
        check_exists(exists=await exists(connection, programme_id, member))
        found = await identities.of_member(connection, programme_id, member)
    items = [_answer(identity, binding) for identity, binding in found.items()]
    return Response(to_json({"items": items, "next_cursor": None}), media_type="application/json")


@router.post(
    "/v1/members/{id}/identities", summary="Bind an identity", **writes(IDENTITIES_WRITE, 201, BoundAnswer, 404, 409)
)
async def bind(call: Calling, id: str, body: BindBody) -> Response:  # noqa: A002 - the path's own word
    """The member is known by it from now on. What waited for it is done soon after.

    One that is the member's already is answered as it is. Somebody else's has to be unbound first.
    """
    member, identity = path_member(id), _meant(call, body)
    verified = body.phone is None or body.phone_verified
    return await write(
        call,
        body,
        find=known(identity),
        command=lambda identity, _: Bind(member, identity, verified=verified),
        say=lambda receipt: _say(201, receipt),
    )


@router.delete(
    "/v1/members/{id}/identities/{identity}",
    summary="Unbind an identity",
    **writes(IDENTITIES_WRITE, 200, BoundAnswer, 404, 409),
)
async def unbind(call: Calling, id: str, identity: str) -> Response:  # noqa: A002 - the path's own word
    """The member is not known by it any more, and somebody else may be. Points, tier and all else stay."""
    member = path_member(id)
    return await write(
        call,
        NoBody(),
        find=_theirs(member, identity),
        command=lambda found, _: Unbind(member, found),
        say=lambda receipt: _say(200, receipt),
    )


@router.post("/v1/members/resolve", summary="Find a member", **asks(MEMBERS_READ, MemberAnswer, 404))
async def find(call: Calling, body: ResolveBody) -> Response:
    """Whoever is known by that. A phone or a platform's identity travels in the body: it is personal."""
    found = await standing(call, await resolve(call, body.member))
    return Response(to_json(member_answer(found.member)), media_type="application/json")


def _meant(call: Call, body: BindBody) -> Identity:
    """The identity of a body, blinded."""
    if body.phone is not None:
        return blind(call, PHONE, PHONE, body.phone)
    assert body.identity is not None, "exactly one of them is named"
    return blinded(call, body.identity)


def _theirs(member_id: MemberId, text: str) -> Find[Identity]:
    """Finds the identity of an id among those of the member. Raises IdentityNotFound."""

    async def find(call: Call) -> Identity:
        missing = IdentityNotFound("The member is not known by that identity.")
        try:
            wanted = parse_id("idn", text)
        except ValueError:
            raise missing from None
        programme_id = call.caller.programme.id
        async with call.service.database.snapshot(programme_id) as connection:
            found = await identities.of_member(connection, programme_id, member_id)
        for identity in found:
            if identity.id == wanted:
                return identity
        raise missing

    return find


def _say(status: int, receipt: Receipt) -> tuple[int, bytes]:
    document = {**_answer(*receipt.said), "member": f"mem_{receipt.member_id}", **answers.written(receipt)}
    return status, to_json(document)


def _answer(identity: Identity, binding: Binding) -> dict[str, Any]:
    return {
        "id": f"idn_{identity.id}",
        "channel": identity.channel,
        "type": identity.type,
        "bound_at": binding.since,
    }
