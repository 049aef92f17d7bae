"""Drift: a channel's own copy of balances and tiers, held against ours; what differs is explained or to be repaired."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from loyalty.api import bulk, paging
from loyalty.api.access import DRIFT_READ, DRIFT_WRITE
from loyalty.api.answers import Answer, ProblemAnswer, to_json
from loyalty.api.bodies import Body, Instant, Label
from loyalty.api.channels import channel_of
from loyalty.api.documented import KEY_PER_ITEM, reads, writes
from loyalty.api.lean import Call, Calling, StrictRoute
from loyalty.api.members import standing
from loyalty.api.paging import Cursor, Limit
from loyalty.api.service import wall_clock
from loyalty.api.writing import blind, by_id, claim_of, is_dry_run, known, replayed_or_refused, submission
from loyalty.domain.bounds import MAX_POINTS
from loyalty.domain.calendar import FOREVER
from loyalty.domain.channels import Channel
from loyalty.domain.drift import Difference, DifferenceId, Figures, shows
from loyalty.domain.identities import Identity
from loyalty.domain.ids import MemberId
from loyalty.domain.refusals import DifferenceNotFound, MemberNotFound
from loyalty.operations.command import Receipt
from loyalty.operations.compare import Compare, Compared
from loyalty.store import drift
from loyalty.store.balances import read_past
from loyalty.store.drift import AFTER_ALL_DIFFERENCES

router = APIRouter(tags=["drift"], route_class=StrictRoute)

MAX_COPIES = 1_000
"""Most copies of one call."""


class ChannelsIdentity(Body):
    """What the channel knows the member by."""

    type: Annotated[Label, Field(min_length=1, max_length=32, examples=["ouid"])]
    value: Annotated[Label, Field(min_length=1, max_length=256, examples=["t-1"])]


class CopyBody(Body):
    """What the channel shows one member, and when it did."""

    identity: ChannelsIdentity
    as_of: Instant
    points: Annotated[
        int, Field(strict=True, ge=0, le=MAX_POINTS, description="In the channel's units.", examples=[900])
    ]
    tier: Annotated[
        Label | None, Field(min_length=1, max_length=64, description="As we call it; without it, it is not compared.")
    ] = None


class DriftBody(Body):
    """A channel's own copy, each member by itself."""

    copies: Annotated[list[CopyBody], Field(min_length=1, max_length=MAX_COPIES)]


class FiguresAnswer(Answer):
    """Points that can be spent, and a tier."""

    points: int = Field(examples=[900])
    tier: str | None = Field(description="Null: the channel shows none.", examples=["member"])


class ComparedAnswer(Answer):
    """What came of a copy."""

    member: str = Field(examples=["mem_019ab2c3d4e5f60718293a4b5c6d7e8f"])
    verdict: Literal["agrees", "rounded", "later_entries", "differs"] = Field(
        description="agrees; explained: rounded (the channel shows whole units), later_entries (it was right then); or"
        " differs: to be repaired, or listed where the channel is the points master."
    )
    shown: FiguresAnswer = Field(description="By the channel, in its units.")
    ours: FiguresAnswer = Field(description="As of the copy; as of now where that is what the channel shows.")
    difference: str | None = Field(
        description="What is open between the channel and us.", examples=["dif_019ab2c3d4e5f60718293a4b5c6d7e8f"]
    )


class DriftResult(Answer):
    """One copy's answer."""

    status: int
    body: ComparedAnswer | ProblemAnswer


class DriftAnswer(Answer):
    """An answer for every copy, in the order of the copies."""

    results: list[DriftResult]


class DifferenceAnswer(Answer):
    """A channel showed a member something else than there was. Nothing here is personal data."""

    difference: str = Field(
        description="Its event in the feed bears the same digits.", examples=["dif_019ab2c3d4e5f60718293a4b5c6d7e8f"]
    )
    channel: str = Field(examples=["tmall"])
    member: str = Field(examples=["mem_019ab2c3d4e5f60718293a4b5c6d7e8f"])
    points_master: Literal["ours", "channel"] = Field(
        description="ours: the channel is told, by the event channel.balance_differs; channel: finance looks at it."
    )
    shown: FiguresAnswer = Field(description="By the channel, in its units.")
    ours: FiguresAnswer = Field(description="As of the copy.")
    as_of: datetime = Field(description="When the channel took its copy.")
    found_at: datetime
    status: Literal["open", "settled", "replaced"] = Field(
        description="settled: a later copy agreed or is explained; replaced: it differed as well."
    )
    ended_at: datetime | None


class DifferencesPage(Answer):
    """A page of open differences, the last found first."""

    items: list[DifferenceAnswer]
    next_cursor: str | None


@router.post(
    "/v1/channels/{id}/drift",
    summary="Hold a channel's copy of balances and tiers against ours",
    **writes(DRIFT_WRITE, 200, DriftAnswer, 404, key=KEY_PER_ITEM, replayed=False),
)
async def compare(call: Calling, id: str, body: DriftBody) -> Response:  # noqa: A002 - the path's own word
    """Each copy has a key of its own, its identity and its moment: sent again, it is answered the same.

    Where ours is the figure that stands, a difference is told in the event feed (`channel.balance_differs`): whoever
    delivers to the channel then sends it our figure. A later copy that agrees settles it.
    """
    bulk.check_room(call, len(body.copies))
    channel = await channel_of(call, id)
    dry_run = is_dry_run(call)
    holders = await asyncio.gather(*(_holder(call, channel, copy) for copy in body.copies))
    commands = await _commands(call, channel, body.copies, holders)
    return await bulk.answered(
        call,
        await asyncio.gather(
            *(_item(call, channel, copy, command, dry_run) for copy, command in zip(body.copies, commands, strict=True))
        ),
    )


@router.get(
    "/v1/channels/{id}/drift",
    summary="Open differences of a channel, the last found first",
    **reads(DRIFT_READ, DifferencesPage, 404),
)
async def page(
    call: Calling,
    id: str,  # noqa: A002 - the path's own word
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    channel, programme_id = await channel_of(call, id), call.caller.programme.id
    async with call.service.database.snapshot(programme_id) as connection:
        found = await drift.open_page(
            connection, programme_id, channel=channel.name, before=_before(cursor), limit=limit + 1
        )
    items = [_shown(one) for one in found]
    shown = paging.page(items, limit, lambda last: [last["difference"].removeprefix("dif_")])
    return Response(to_json(shown), media_type="application/json")


@router.get("/v1/drift/{id}", summary="One difference", **reads(DRIFT_READ, DifferenceAnswer, 404))
async def read(call: Calling, id: str) -> Response:  # noqa: A002 - the path's own word
    """Open or not: what an event tells of may have been settled since."""
    missing = "There is no such difference in this programme."
    found = await by_id("dif", id, drift.find, lambda: DifferenceNotFound(missing))(call)
    return Response(to_json(_shown(found)), media_type="application/json")


def _identity(call: Call, channel: Channel, copy: CopyBody) -> Identity:
    return blind(call, channel.name, copy.identity.type, copy.identity.value)


async def _holder(call: Call, channel: Channel, copy: CopyBody) -> MemberId | None:
    """Whose copy it is; None: nobody is known by that."""
    try:
        return await call.service.resolver.member(call.caller.programme, _identity(call, channel, copy))
    except MemberNotFound:
        return None


async def _commands(
    call: Call, channel: Channel, copies: Sequence[CopyBody], holders: Sequence[MemberId | None]
) -> list[Compare | None]:
    """What each copy asks for. The past is only read where the copy does not show what there is now."""
    programme, wallet = call.caller.programme, channel.settings.wallet
    now = programme.now(wall_clock())
    members = list({holder for holder in holders if holder is not None})
    standings = dict(zip(members, await asyncio.gather(*(standing(call, one, now) for one in members)), strict=True))
    ours = {id_: Figures(one.balances[wallet].available, one.member.tier) for id_, one in standings.items()}
    found: list[Compare | None] = []
    async with call.service.database.snapshot(programme.id) as connection:
        asked = [(holder, copy.as_of) for holder, copy in zip(holders, copies, strict=True) if holder is not None]
        tiers = await drift.tiers_as_of(connection, programme.id, asked)
        for holder, copy in zip(holders, copies, strict=True):
            if holder is None:
                found.append(None)
                continue
            shown, then = Figures(copy.points, copy.tier), ours[holder]
            if not shows(shown, then, channel.settings.points_per_unit):
                past = await read_past(connection, programme, holder, as_of=copy.as_of, known_at=FOREVER)
                points = then.points if past is None else past.balances[wallet].available
                due = [one.to_tier for one in standings[holder].unwritten if one.occurred_at <= copy.as_of]
                then = Figures(points, due[-1] if due else tiers[holder, copy.as_of])
            found.append(Compare(holder, channel, shown, then, ours[holder], copy.as_of))
    return found


async def _item(call: Call, channel: Channel, copy: CopyBody, command: Compare | None, dry_run: bool) -> bulk.Ask:
    """The copy as the door takes it, or its refusal where nobody is known by the identity."""
    of = _identity(call, channel, copy)
    key = f"drift\x1f{of.id}\x1f{copy.as_of.isoformat()}"  # no client's own key can hold this separator
    claim = None if dry_run else claim_of(call, key, copy)
    if command is None:
        refusal = MemberNotFound("Nobody is known by that identity of the channel.")
        answer = await replayed_or_refused(call, claim, refusal)
        return answer.status, answer.body
    return await submission(
        call,
        find=known(command),
        occurred_at=None,
        command=lambda found, _: found,
        say=_say,
        claim=claim,
        dry_run=dry_run,
    )


def _say(receipt: Receipt) -> tuple[int, bytes]:
    said: Compared = receipt.said
    return 200, to_json(
        {
            "member": f"mem_{said.member_id}",
            "verdict": said.verdict,
            "shown": said.shown._asdict(),
            "ours": said.ours._asdict(),
            "difference": None if said.difference is None else f"dif_{said.difference.id}",
        }
    )


def _shown(of: Difference) -> dict[str, Any]:
    return {
        "difference": f"dif_{of.id}",
        "channel": of.channel,
        "member": f"mem_{of.member_id}",
        "points_master": of.points_master,
        "shown": of.shown._asdict(),
        "ours": of.ours._asdict(),
        "as_of": of.as_of,
        "found_at": of.found_at,
        "status": of.status,
        "ended_at": of.ended_at,
    }


def _before(cursor: str | None) -> DifferenceId:
    place = paging.opened(cursor, str)
    return AFTER_ALL_DIFFERENCES if place is None else DifferenceId(paging.digits(place[0]))
