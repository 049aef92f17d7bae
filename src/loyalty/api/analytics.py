"""Marketing's view: how members moved between tiers, and how alive they are."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from loyalty.api.access import ANALYTICS_READ
from loyalty.api.answers import Answer, to_json
from loyalty.api.bodies import Day
from loyalty.api.documented import reads
from loyalty.api.lean import Calling, StrictRoute
from loyalty.api.problems import Problem
from loyalty.domain.activity import STATES
from loyalty.domain.bounds import EARLIEST, LATEST
from loyalty.store import transitions
from loyalty.store.transitions import Transition

router = APIRouter(tags=["analytics"], route_class=StrictRoute)

CAUSES_SHOWN = 3


class CauseAnswer(Answer):
    """What moved members last."""

    cause: str = Field(description="The kind of the entry, or review.", examples=["earn"])
    members: int


class TransitionAnswer(Answer):
    """Members who were in one state when the span began, and in another, or the same, when it ended."""

    before: str | None = Field(description="Null: they joined within the span.", examples=["silver"])
    after: str = Field(examples=["gold"])
    members: int
    percent: float = Field(description="Of all who were in the same state before; two decimals.", examples=[12.5])
    causes: list[CauseAnswer] = Field(description="The main ones, at most 3; empty where nobody moved.")


class TransitionsAnswer(Answer):
    """Every member who had joined by the end of the span stands in each of the two matrices once.

    Whoever was merged into another since is the survivor.
    """

    members: int
    tiers: list[TransitionAnswer]
    activity: list[TransitionAnswer] = Field(description="new, active, dormant, lapsed: by settings of the programme.")


@router.get(
    "/v1/analytics/tier-transitions",
    summary="How members moved between tiers",
    **reads(ANALYTICS_READ, TransitionsAnswer),
)
async def read(
    call: Calling,
    begins: Annotated[Day, Query(alias="from", description="The first business day.")],
    through: Annotated[Day, Query(alias="to", description="The last.")],
) -> Response:
    """From the beginning of the first day to the end of the last. Reads every member: seconds on a large programme."""
    programme = call.caller.programme
    if not EARLIEST.date() < begins <= through < LATEST.date():
        problem = "must not lie after `to`, and both in the years 2000 to 2200"
        raise Problem("invalid_request", "That is no span.", errors=[{"field": "query.from", "problem": problem}])
    ends = through + timedelta(days=1)
    day_start = programme.calendar.day_start
    async with call.service.sums, call.service.database.snapshot(programme.id) as connection:
        tiers = await transitions.of_tiers(connection, programme, begins=day_start(begins), ends=day_start(ends))
        activity = await transitions.of_activity(connection, programme, begins=begins, ends=ends)
    document = {
        "members": sum(one.members for one in tiers),
        "tiers": _matrix(tiers, [rung.tier for rung in programme.ladder.rungs]),
        "activity": _matrix(activity, STATES),
    }
    return Response(to_json(document), media_type="application/json")


def _matrix(found: Sequence[Transition], states: Sequence[str]) -> list[dict[str, Any]]:
    """The transitions by their causes, in the order of the states; who joined within the span last."""
    places = {state: place for place, state in enumerate(states)}
    last = len(places)
    pairs = sorted(
        {(one.before, one.after) for one in found},
        key=lambda pair: (last + 1 if pair[0] is None else places.get(pair[0], last), places.get(pair[1], last)),
    )
    of_before: dict[str | None, int] = {}
    for one in found:
        of_before[one.before] = of_before.get(one.before, 0) + one.members
    matrix = []
    for before, after in pairs:
        these = [one for one in found if (one.before, one.after) == (before, after)]
        members = sum(one.members for one in these)
        share = round(100 * members / of_before[before], 2)
        matrix.append(
            {"before": before, "after": after, "members": members, "percent": share, "causes": _causes(these)}
        )
    return matrix


def _causes(these: Iterable[Transition]) -> list[dict[str, Any]]:
    known = sorted((one for one in these if one.cause is not None), key=lambda one: (-one.members, one.cause))
    return [{"cause": one.cause, "members": one.members} for one in known[:CAUSES_SHOWN]]
