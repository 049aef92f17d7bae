"""Channels: the platforms that the programme is connected to, their settings, and the secrets they sign with."""

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import AfterValidator, Field, model_validator
from starlette.responses import Response

from loyalty.api import paging
from loyalty.api.access import CHANNELS_READ, CHANNELS_WRITE
from loyalty.api.answers import Answer, to_json
from loyalty.api.bodies import Body, Instant, Label, WalletName, not_ours
from loyalty.api.documented import reads, writes
from loyalty.api.lean import Call, Calling, StrictRoute
from loyalty.api.paging import Cursor, Limit
from loyalty.api.problems import Problem
from loyalty.api.service import new_fact
from loyalty.api.writing import known, write
from loyalty.domain.channels import CHANNEL_NAME, MAX_POINTS_PER_UNIT, Channel, ChannelSettings, PointsMaster
from loyalty.domain.ids import MemberId
from loyalty.domain.programme import Programme
from loyalty.domain.refusals import ChannelNotFound
from loyalty.operations.command import Command, Receipt
from loyalty.operations.connect import ChangeChannel, Connect, RotateSecret
from loyalty.store import channels

router = APIRouter(tags=["channels"], route_class=StrictRoute)

ChannelName = Annotated[
    str,
    Field(pattern=f"^{CHANNEL_NAME}$", description="As in the identities of its members.", examples=["tmall"]),
    AfterValidator(not_ours),
]
Secret = Annotated[
    Label,
    Field(
        min_length=16,
        max_length=256,
        description="What the platform signs its messages with. It is kept sealed, and never shown.",
        examples=["given-to-us-by-the-platform"],
    ),
]
Master = Annotated[
    PointsMaster, Field(description="Whose figure stands where two differ: ours is told, the channel's is listed.")
]
PointsPerUnit = Annotated[
    int,
    Field(
        strict=True,
        ge=1,
        le=MAX_POINTS_PER_UNIT,
        description="The channel shows points divided by this, rounded down.",
        examples=[1],
    ),
]
PhonesVerified = Annotated[
    bool,
    Field(strict=True, description="Whether the platform vouches that who joins has proven the phone it sends."),
]


class ConnectBody(Body):
    """A platform that is to send us messages."""

    name: ChannelName
    adapter: Annotated[str, Field(min_length=1, max_length=32, description="Which platform.", examples=["tmall"])]
    secret: Secret
    points_master: Master = PointsMaster.OURS
    wallet: WalletName = "points"
    points_per_unit: PointsPerUnit = 1
    phones_verified: PhonesVerified = False


class SettingsBody(Body):
    """What changes; the rest stays."""

    points_master: Master | None = None
    wallet: WalletName | None = None
    points_per_unit: PointsPerUnit | None = None
    phones_verified: PhonesVerified | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "SettingsBody":
        if not self.model_fields_set or any(getattr(self, name) is None for name in self.model_fields_set):
            raise ValueError("name at least one setting, and a value for each")
        return self


class SecretBody(Body):
    """The secret that the platform signs with from now on."""

    secret: Secret
    former_until: Annotated[
        Instant | None, Field(description="Until when the one of now is good as well; without it, it ends at once.")
    ] = None


class ChannelAnswer(Answer):
    """A platform that the programme is connected to. Its secrets are never shown."""

    name: str = Field(examples=["tmall"])
    adapter: str = Field(examples=["tmall"])
    points_master: Literal["ours", "channel"]
    wallet: str = Field(examples=["points"])
    points_per_unit: int = Field(examples=[1])
    phones_verified: bool
    path: str = Field(
        description="Where the platform sends its messages: this and a message's name.",
        examples=["/v1/inbound/demo/tmall/"],
    )
    messages: list[str] = Field(description="Their names.", examples=[["points", "register"]])
    secret_since: datetime
    former_secret_until: datetime | None = Field(description="Until when the secret before is good; null: it is not.")
    connected_at: datetime
    connected_by: str = Field(description="The API client.")


class ChannelsPage(Answer):
    """A page of channels, by name."""

    items: list[ChannelAnswer]
    next_cursor: str | None


@router.post("/v1/channels", summary="Connect a channel", **writes(CHANNELS_WRITE, 201, ChannelAnswer, 409))
async def connect(call: Calling, body: ConnectBody) -> Response:
    """Its platform may send messages to `path` from now on, signed with the secret."""
    if body.adapter not in call.service.inbound.adapters:
        detail = f"is none of {', '.join(sorted(call.service.inbound.adapters))}"
        raise Problem("invalid_request", f"adapter {detail}.", errors=[{"field": "body.adapter", "problem": detail}])
    settings = ChannelSettings(body.points_master.value, body.wallet, body.points_per_unit, body.phones_verified)
    sealed = call.service.sealer.seal_secret(call.caller.programme.id, body.name, body.secret)
    command = Connect(body.name, body.adapter, settings, sealed, call.caller.client_id, MemberId(new_fact()))
    return await _write(call, body, command, 201)


@router.patch(
    "/v1/channels/{id}", summary="Change a channel's settings", **writes(CHANNELS_WRITE, 200, ChannelAnswer, 404)
)
async def change(call: Calling, id: str, body: SettingsBody) -> Response:  # noqa: A002 - the path's own word
    """Messages are heard by them from now on, within seconds by every process."""
    changes = body.model_dump(mode="json", exclude_unset=True)
    return await _write(call, body, ChangeChannel(_name(id), changes, MemberId(new_fact())), 200)


@router.post(
    "/v1/channels/{id}/secret",
    summary="Replace the secret that a channel signs with",
    **writes(CHANNELS_WRITE, 201, ChannelAnswer, 404),
)
async def rotate(call: Calling, id: str, body: SecretBody) -> Response:  # noqa: A002 - the path's own word
    """Every process knows it within seconds. The one before is good until `former_until`; any before that are not."""
    name = _name(id)
    sealed = call.service.sealer.seal_secret(call.caller.programme.id, name, body.secret)
    return await _write(call, body, RotateSecret(name, sealed, body.former_until, MemberId(new_fact())), 201)


@router.get("/v1/channels", summary="Channels, by name", **reads(CHANNELS_READ, ChannelsPage))
async def page(call: Calling, limit: Limit = 50, cursor: Cursor = None) -> Response:
    programme = call.caller.programme
    async with call.service.database.snapshot(programme.id) as connection:
        found = await channels.page(connection, programme.id, after=_after(cursor), limit=limit + 1)
    items = [_shown(call, one) for one in found]
    return Response(to_json(paging.page(items, limit, lambda last: [last["name"]])), media_type="application/json")


@router.get("/v1/channels/{id}", summary="One channel", **reads(CHANNELS_READ, ChannelAnswer, 404))
async def read(call: Calling, id: str) -> Response:  # noqa: A002 - the path's own word
    return Response(to_json(_shown(call, await channel_of(call, id))), media_type="application/json")


async def channel_of(call: Call, id_: str) -> Channel:
    """The channel that a path names. Raises ChannelNotFound."""
    name, programme_id = _name(id_), call.caller.programme.id
    async with call.service.database.snapshot(programme_id) as connection:
        found = await channels.find(connection, programme_id, name)
    if found is None:
        raise _missing()
    return found


async def _write(call: Call, body: Body, command: Command, status: int) -> Response:
    answer = await write(
        call, body, find=known(command), command=lambda found, _: found, say=lambda receipt: _say(call, status, receipt)
    )
    call.service.inbound.connections.forget()
    return answer


def _say(call: Call, status: int, receipt: Receipt) -> tuple[int, bytes]:
    return status, to_json(_shown(call, receipt.said))


def _name(id_: str) -> str:
    """Raises ChannelNotFound for what is no name of a channel."""
    if not re.fullmatch(CHANNEL_NAME, id_):
        raise _missing()
    return id_


def _missing() -> ChannelNotFound:
    return ChannelNotFound("The programme is not connected to such a channel.")


def _shown(call: Call, of: Channel) -> dict[str, Any]:
    programme: Programme = call.caller.programme
    adapter = call.service.inbound.adapters.get(of.adapter)
    return {
        "name": of.name,
        "adapter": of.adapter,
        **of.settings._asdict(),
        "path": f"/v1/inbound/{programme.code}/{of.name}/",
        "messages": [] if adapter is None else sorted(adapter.MESSAGES),
        "secret_since": of.secret_since,
        "former_secret_until": of.former_until,
        "connected_at": of.connected_at,
        "connected_by": of.connected_by,
    }


def _after(cursor: str | None) -> str:
    place = paging.opened(cursor, str)
    return "" if place is None else paging.label(place[0])
