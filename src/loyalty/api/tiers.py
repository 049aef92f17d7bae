"""Tiers: the ladder; where a member stands on it and what comes next; tiers given by hand; how members moved."""

from datetime import date, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from loyalty.api import answers, paging
from loyalty.api.access import MEMBERS_MANAGE, MEMBERS_READ
from loyalty.api.answers import Answer, WriteAnswer, to_json
from loyalty.api.bodies import Body, Instant, Label, Reason, Text, path_member
from loyalty.api.documented import reads, writes
from loyalty.api.lean import Calling, StrictRoute
from loyalty.api.members import check_exists, standing, whom
from loyalty.api.paging import Cursor, Limit
from loyalty.api.writing import write
from loyalty.domain.calendar import Calendar
from loyalty.domain.climbing import Judged, Outlook, Tenure
from loyalty.domain.entries import Because
from loyalty.domain.ids import MemberId
from loyalty.domain.ladder import Down, Ladder, Pending, Period, Returns, Steps, Up
from loyalty.domain.members import Member
from loyalty.domain.tiers import TierGrant, next_change
from loyalty.operations.command import Receipt
from loyalty.operations.grant_tier import EndTierGrant, GrantTier
from loyalty.store import transitions
from loyalty.store.balances import Standing
from loyalty.store.members import exists
from loyalty.store.transitions import AFTER_ALL_STEPS, Caused, StepPlace

router = APIRouter(tags=["tiers"], route_class=StrictRoute)

Score = Annotated[int, Field(description="What the ladder's metric adds up: minor units, where it is net spend.")]


class RungAnswer(Answer):
    """A tier of the ladder."""

    tier: str = Field(examples=["silver"])
    reached_at: Score
    kept_at: Score


class WindowAnswer(Answer):
    """The days that the score adds up."""

    period: Period
    months: int | None = Field(description="Of a rolling window; null of others.")


class TiersAnswer(Answer):
    """The programme's ladder and how members climb and fall, in the words of its settings."""

    ladder: list[RungAnswer] = Field(description="Lowest first.")
    metric: dict[str, int] = Field(
        description="What the score adds up, each times its weight: `net_spend` in minor units, `visits`,"
        " `points.<wallet>`.",
        examples=[{"net_spend": 1}],
    )
    window: WindowAnswer
    up: Up
    up_steps: Steps
    down: Down
    grace_days: int = Field(description="Business days between a period that did not keep the tier and the fall.")
    returns: Returns
    pending_points: Pending = Field(description="When points that are pending first count as earned.")


class NextTierAnswer(Answer):
    """The tier above, and what is missing."""

    tier: str
    reached_at: Score
    missing: Score


class StayAnswer(Answer):
    """What keeps the tier."""

    through: date = Field(description="The last day of the tier unless more is counted.")
    missing: int = Field(description="The score that is still missing at the review that it would not survive.")


class GivenTierAnswer(Answer):
    """A tier that was given by hand."""

    tier: str
    until: datetime | None = Field(description="Null: until it is taken back.")
    locked: bool = Field(description="Whether it holds both ways.")
    earned: str = Field(description="The tier by what was counted alone.")


class TierAnswer(Answer):
    """The member's tier, and where it stands on the programme's ladder."""

    tier: str
    since: datetime
    valid_through: date | None = Field(description="The last day of the tier as things are; null: for ever.")
    review_at: datetime | None = Field(description="When it is looked at next; null: never by itself.")
    then: str = Field(description="The tier after that if nothing changes.")
    score: Score
    window_from: date = Field(description="The first day that the score adds up.")
    window_through: date = Field(description="The last.")
    next: NextTierAnswer | None = Field(description="Null at the top, and where the tier is locked.")
    stay: StayAnswer | None = Field(description="Null for a tier that cannot be lost by itself, or that is given.")
    granted: GivenTierAnswer | None


class DecidedAnswer(Answer):
    """The window that decided a step."""

    window_from: date = Field(description="The first day that the score adds up.")
    window_through: date = Field(description="The last.")
    score: Score = Field(description="What the window came to by then.")
    needed: Score = Field(description="To rise to the new tier, or to keep the old one.")


class TierStepAnswer(Answer):
    """A member moved from one tier to another."""

    before: str = Field(examples=["silver"])
    after: str = Field(examples=["gold"])
    occurred_at: datetime
    recorded_at: datetime
    cause: str = Field(
        description="The kind of the entry, or review: also of the end of a tier given by hand.", examples=["earn"]
    )
    entry: str | None = Field(description="Null of a review.")
    decided_by: DecidedAnswer | None = Field(
        description="Null where no window decided: a tier given by hand, or carried by a merge; and of steps that"
        " were recorded before this was kept."
    )
    event: str = Field(description="The event that told of it.")


class TierHistoryPage(Answer):
    """A page of a member's tier history, newest first."""

    items: list[TierStepAnswer]
    next_cursor: str | None


class TierGrantBody(Body):
    """A tier whatever is earned: at least that, or exactly that where it is locked."""

    tier: Annotated[Label, Field(min_length=1, max_length=64, examples=["gold"])]
    until: Instant | None = None
    locked: Annotated[bool, Field(strict=True, description="Not even what is earned lifts the member above it.")] = (
        False
    )
    fires_benefits: Annotated[
        bool, Field(strict=True, description="False for what another system gave before: no gifts come of it.")
    ] = True
    reason: Reason
    approved_by: Annotated[Text, Field(min_length=1, max_length=64, description="Who agreed.", examples=["desk-7"])]


class EndTierGrantBody(Body):
    """The end of a tier that was given by hand."""

    reason: Reason
    approved_by: Annotated[Text, Field(min_length=1, max_length=64, description="Who agreed.", examples=["desk-7"])]


class TierGrantAnswer(WriteAnswer):
    """The member's tier from now on."""

    tier: str
    review_at: datetime | None = Field(description="When it is looked at next; null: never by itself.")


@router.get("/v1/tiers", summary="The ladder of tiers", **reads(MEMBERS_READ, TiersAnswer))
async def ladder(call: Calling) -> Response:
    """What reaches and what keeps each tier: settings of the programme, which it was set up with."""
    return Response(to_json(_ladder(call.caller.programme.ladder)), media_type="application/json")


@router.get("/v1/members/{id}/tier", summary="Tier and progress", **reads(MEMBERS_READ, TierAnswer, 404))
async def tier(call: Calling, id: str) -> Response:  # noqa: A002 - the path's own word
    """As if every review that is due were done."""
    found = await standing(call, path_member(id))
    return Response(to_json(_tier(call.caller.programme.calendar, found)), media_type="application/json")


@router.get(
    "/v1/members/{id}/tier/history",
    summary="How a member came to its tier, newest first",
    **reads(MEMBERS_READ, TierHistoryPage, 404),
)
async def history(
    call: Calling,
    id: str,  # noqa: A002 - the path's own word
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Every step and what decided it. A review that is due stands there once it is done: by the next write or sweep."""
    member = path_member(id)
    place = paging.opened(cursor, str, str)
    before = AFTER_ALL_STEPS if place is None else StepPlace(paging.instant(place[0]), paging.digits(place[1]))
    programme_id = call.caller.programme.id
    async with call.service.database.snapshot(programme_id) as connection:
        check_exists(exists=await exists(connection, programme_id, member))
        found = await transitions.of_member(connection, programme_id, member, before=before, limit=limit + 1)
    page = paging.page([_step(one) for one in found], limit, _place)
    return Response(to_json(page), media_type="application/json")


@router.post(
    "/v1/members/{id}/tier-grants",
    summary="Give a tier by hand",
    **writes(MEMBERS_MANAGE, 201, TierGrantAnswer, 404, 409),
)
async def grant(call: Calling, id: str, body: TierGrantBody) -> Response:  # noqa: A002 - the path's own word
    """It replaces what was given before. What the member earns goes on beside it, and counts alone when it ends."""
    calendar = call.caller.programme.calendar

    def command(member_id: MemberId, at: datetime) -> GrantTier:
        return GrantTier(
            member_id,
            tier=body.tier,
            until=body.until,
            locked=body.locked,
            approved_by=body.approved_by,
            fires_benefits=body.fires_benefits,
            because=Because(reason=body.reason),
            business_date=calendar.business_date(at),
        )

    return await write(call, body, find=whom(id), command=command, say=_said)


@router.post(
    "/v1/members/{id}/tier-grants/end",
    summary="Take back a tier that was given by hand",
    **writes(MEMBERS_MANAGE, 201, TierGrantAnswer, 404, 409),
)
async def end(call: Calling, id: str, body: EndTierGrantBody) -> Response:  # noqa: A002 - the path's own word
    calendar = call.caller.programme.calendar
    return await write(
        call,
        body,
        find=whom(id),
        command=lambda member_id, at: EndTierGrant(
            member_id, body.approved_by, Because(reason=body.reason), calendar.business_date(at)
        ),
        say=_said,
    )


def _said(receipt: Receipt) -> tuple[int, bytes]:
    member: Member = receipt.said
    return 201, to_json({**answers.written(receipt), "tier": member.tier, "review_at": member.tier_until})


def _step(of: Caused) -> dict[str, Any]:
    step = of.step
    return {
        "before": step.from_tier,
        "after": step.to_tier,
        "occurred_at": step.occurred_at,
        "recorded_at": step.recorded_at,
        "cause": of.cause,
        "entry": None if step.entry_id is None else f"ent_{step.entry_id}",
        "decided_by": None if step.judged is None else _decided(step.judged),
        "event": f"evt_{step.id}",
    }


def _place(step: dict[str, Any]) -> list[Any]:
    return [step["occurred_at"], step["event"].removeprefix("evt_")]


def _decided(judged: Judged) -> dict[str, Any]:
    return {
        "window_from": judged.begins,
        "window_through": judged.ends - timedelta(days=1),
        "score": judged.score,
        "needed": judged.needed,
    }


def _ladder(of: Ladder) -> dict[str, Any]:
    return {
        "ladder": [{"tier": one.tier, "reached_at": one.reached_at, "kept_at": one.kept_at} for one in of.rungs],
        "metric": dict(of.metric),
        "window": {
            "period": of.window.period,
            "months": of.window.months if of.window.period == Period.ROLLING else None,
        },
        "up": of.up,
        "up_steps": of.up_steps,
        "down": of.down,
        "grace_days": of.grace_days,
        "returns": of.returns,
        "pending_points": of.pending,
    }


def _tier(calendar: Calendar, found: Standing) -> dict[str, Any]:
    member, grant, outlook = found.member, found.grant, found.climber.outlook(found.at)
    shown = Tenure(member.tier, member.tier_since, member.tier_until)
    until, then = next_change(found.climber, grant, shown)
    return {
        "tier": member.tier,
        "since": member.tier_since,
        "valid_through": _last_day(calendar, until),
        "review_at": member.tier_until,
        "then": then,
        "score": outlook.score,
        "window_from": outlook.begins,
        "window_through": outlook.ends - timedelta(days=1),
        "next": None if grant is not None and grant.locked else _next(found.climber.ladder, member.tier, outlook.score),
        "stay": _stay(calendar, outlook) if grant is None or _is_earned(grant, member.tier) else None,
        "granted": None if grant is None else _granted(grant),
    }


def _next(ladder: Ladder, tier: str, score: int) -> dict[str, Any] | None:
    """The tier above the one that is shown, be it earned or given."""
    above = next(iter(ladder.rungs[ladder.place(tier) + 1 :]), None)
    if above is None:
        return None
    return {"tier": above.tier, "reached_at": above.reached_at, "missing": max(0, above.reached_at - score)}


def _stay(calendar: Calendar, outlook: Outlook) -> dict[str, Any] | None:
    if outlook.kept_until is None:
        return None
    return {"through": calendar.last_valid_date(outlook.kept_until), "missing": outlook.missing_to_stay}


def _granted(grant: TierGrant) -> dict[str, Any]:
    return {"tier": grant.tier, "until": grant.until, "locked": grant.locked, "earned": grant.earned.tier}


def _is_earned(grant: TierGrant, tier: str) -> bool:
    """Whether the tier that is shown is there without the grant, too."""
    return not grant.locked and grant.earned.tier == tier


def _last_day(calendar: Calendar, until: datetime | None) -> date | None:
    return None if until is None else calendar.last_valid_date(until)
