"""What if other rules had held: asked for, worked out by the worker, and read when it is done."""

from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter
from pydantic import Field, model_validator
from starlette.responses import Response

from loyalty.api.access import RULES_READ, RULES_WRITE
from loyalty.api.answers import Answer, to_json
from loyalty.api.bodies import Body, Day
from loyalty.api.documented import reads, writes
from loyalty.api.lean import Calling, StrictRoute
from loyalty.api.rules import draft_id
from loyalty.api.writing import by_id, write
from loyalty.domain.bounds import EARLIEST, LATEST
from loyalty.domain.ids import BUCKETS
from loyalty.domain.refusals import WhatIfNotFound
from loyalty.domain.what_ifs import WhatIf
from loyalty.operations.ask_what_if import AskWhatIf
from loyalty.store import what_ifs

router = APIRouter(tags=["earning rules"], route_class=StrictRoute)


class WhatIfBody(Body):
    """The business days over which purchases are looked at."""

    begins: Annotated[Day, Field(alias="from", examples=["2026-01-01"])]
    through: Annotated[Day, Field(alias="to", examples=["2026-06-30"])]

    @model_validator(mode="after")
    def _is_a_span(self) -> "WhatIfBody":
        if not EARLIEST.date() < self.begins <= self.through < LATEST.date():
            raise ValueError("`from` must not lie after `to`, and both in the years 2000 to 2200")
        return self


class WhatIfWalletAnswer(Answer):
    """Points of a wallet: as they were given, and as they would have been; what came back is taken off both."""

    given: int
    would_be_given: int
    difference: int
    liability: int | None = Field(description="What the difference is worth, in minor units: no redemption is guessed.")
    purchases_more: int
    purchases_less: int
    members_more: int
    members_less: int
    largest_gain: int = Field(description="Of one member.")
    largest_loss: int


class WhatIfRuleAnswer(Answer):
    """What one rule would have done."""

    rule: str
    purchases: int = Field(description="For how many it fires.")
    points: int = Field(description="What a bonus gives, or a cap cuts off, before anything comes back.")
    amount: int = Field(description="Minor units that earn by it; pieces, for a bonus per piece.")


class WhatIfTierAnswer(Answer):
    """Members who are of one tier at the end of the days, and would be of another, or the same."""

    now: str = Field(alias="is")
    would_be: str
    members: int


class WhatIfUnknownAnswer(Answer):
    """What rules ask of a member and the entries of then did not keep: it is taken as none, or as false."""

    variable: str = Field(examples=["member.tags"])
    purchases: int


class WhatIfReport(Answer):
    """What would have been."""

    begins: date = Field(alias="from")
    through: date = Field(alias="to")
    members: int
    purchases: int
    wallets: dict[str, WhatIfWalletAnswer]
    rules: list[WhatIfRuleAnswer]
    unknown: list[WhatIfUnknownAnswer]
    tiers_follow_rules: bool = Field(description="Whether the ladder goes by points as they are earned.")
    tiers: list[WhatIfTierAnswer]
    currency: str


class WhatIfAnswer(Answer):
    """A question, how far it has come, and its answer."""

    id: str = Field(examples=["wif_019ab2c3d4e5f60718293a4b5c6d7e8f"])
    rules: str = Field(examples=["erl_019ab2c3d4e5f60718293a4b5c6d7e8f"])
    status: Literal["waiting", "running", "done", "failed"]
    progress: float = Field(description="0 to 1.", examples=[0.25])
    asked_at: datetime
    asked_by: str = Field(description="The API client.")
    report: WhatIfReport | None = Field(description="Null until it is done: never half of it.")


@router.post(
    "/v1/earning-rules/{id}/what-if",
    summary="Ask what these rules would have given",
    **writes(RULES_WRITE, 202, WhatIfAnswer, 404, 409),
)
async def ask(call: Calling, id: str, body: WhatIfBody) -> Response:  # noqa: A002 - the path's own word
    """Drafts and published rules alike. The worker works it out; nothing of the ledger changes.

    Every purchase of the days is evaluated anew, member by member, with caps, first purchases and, where the ladder
    goes by points, tiers as they would have been. What came back takes back by the same rules.
    """
    return await write(
        call,
        body,
        find=draft_id(id),
        command=lambda found, _: AskWhatIf(found, body.begins, body.through + timedelta(days=1), call.caller.client_id),
        say=lambda receipt: (202, to_json(_shown(receipt.said))),
    )


@router.get("/v1/what-ifs/{id}", summary="How far a what-if has come", **reads(RULES_READ, WhatIfAnswer, 404))
async def read(call: Calling, id: str) -> Response:  # noqa: A002 - the path's own word
    missing = "There is no such what-if in this programme."
    found = await by_id("wif", id, what_ifs.find, lambda: WhatIfNotFound(missing))(call)
    return Response(to_json(_shown(found)), media_type="application/json")


def _shown(of: WhatIf) -> dict[str, Any]:
    return {
        "id": f"wif_{of.id}",
        "rules": f"erl_{of.draft_id}",
        "status": of.status,
        "progress": round(of.done / BUCKETS, 3),
        "asked_at": of.asked_at,
        "asked_by": of.asked_by,
        "report": None if of.report is None else orjson.loads(of.report),
    }
