"""Earning rules: drafted, looked at, published as a version that takes effect at a moment and never changes."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Discriminator, Field
from starlette.responses import Response

from loyalty.api import paging
from loyalty.api.access import RULES_READ, RULES_WRITE
from loyalty.api.answers import Answer, to_json
from loyalty.api.bodies import Body, Instant, Text, WalletName, parse_id
from loyalty.api.documented import reads, writes
from loyalty.api.lean import Call, Calling, StrictRoute
from loyalty.api.paging import Cursor, Limit
from loyalty.api.service import new_fact
from loyalty.api.writing import known, write
from loyalty.domain.bounds import MAX_POINTS
from loyalty.domain.conditions import MAX_CONDITION, VARIABLES
from loyalty.domain.expiry import Expiry, Lifespan
from loyalty.domain.ids import MemberId
from loyalty.domain.publishing import RulesId, ends
from loyalty.domain.refusals import RulesNotFound
from loyalty.domain.rules import (
    MOST_RULES,
    Base,
    Bonus,
    Cap,
    CapPer,
    Exclusion,
    GiftCards,
    Multiplier,
    OnReturn,
    Per,
    Rounding,
    Rule,
    Span,
    Stacking,
    Tax,
    shown,
)
from loyalty.operations.command import Receipt
from loyalty.operations.publish import DraftRules, Publish, RulesSaid
from loyalty.store import rules
from loyalty.store.rules import AFTER_ALL_RULES

router = APIRouter(tags=["earning rules"], route_class=StrictRoute)

RuleId = Annotated[
    str, Field(pattern="^[a-z0-9][a-z0-9_-]{0,63}$", description="The set's own name of the rule.", examples=["gold"])
]
Condition = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_CONDITION,
        description="A condition (CEL, https://cel.dev) over "
        + "; ".join(f"`{name}` ({type_}: {what.rstrip('.')})" for name, (type_, what) in VARIABLES.items())
        + ".",
        examples=["member.tier == 'gold' && line.category == 'toys'"],
    ),
]
Group = Annotated[
    str,
    Field(
        pattern="^[a-z0-9][a-z0-9_-]{0,63}$",
        description="Of the rules of a group that apply, only the one of the highest priority does.",
    ),
]
Priority = Annotated[int, Field(strict=True, ge=0, le=1_000)]
RulePoints = Annotated[int, Field(strict=True, ge=0, le=MAX_POINTS, description="Whole points.", examples=[1])]


class RuleBody(Body):
    """What every rule has: a name, and a time within that of its set."""

    id: RuleId
    from_: Annotated[Instant | None, Field(alias="from", description="Applies to what occurs from then on.")] = None
    until: Annotated[Instant | None, Field(description="Applies to what occurs before.")] = None

    @property
    def span(self) -> Span:
        return Span(self.from_, self.until)


class ExpiryBody(Body):
    """How long points last, counted from the business day they are earned on."""

    lifespan: Literal["never", "months", "year_end"]
    periods: Annotated[int, Field(strict=True, ge=0, le=1_200, description="Months; or which next year's end.")] = 0

    def expiry(self) -> Expiry:
        return Expiry(Lifespan(self.lifespan), self.periods)


class BaseBody(RuleBody):
    """What a wallet gains for money: `points` for every `per` minor units. Every wallet that earns has one."""

    kind: Literal["base"]
    wallet: WalletName
    points: RulePoints
    per: Annotated[int, Field(strict=True, ge=1, le=10**9, description="Minor units.", examples=[100])]
    rounding: Rounding = Rounding.FLOOR
    tax: Tax = Tax.AS_SENT
    shipping: Annotated[bool, Field(strict=True)] = True
    gift_cards: Annotated[Literal["on_sale", "on_use"], Field(description="A gift card earns once.")] = "on_sale"
    paid_with_points: Annotated[bool, Field(strict=True, description="Whether the part paid with points earns.")] = (
        False
    )
    pending_seconds: Annotated[
        int | None,
        Field(
            strict=True,
            ge=0,
            le=366 * 86_400,
            description="Before what a purchase earns in the wallet can be spent. Left out: as the wallet has it.",
            examples=[604_800],
        ),
    ] = None
    expiry: Annotated[
        ExpiryBody | None, Field(description="How long what a purchase earns lasts. Left out: as the wallet has it.")
    ] = None

    def rule(self) -> Rule:
        gift_cards = GiftCards(self.gift_cards)
        return Base(
            self.id,
            self.wallet,
            self.points,
            self.per,
            self.rounding,
            self.tax,
            self.shipping,
            gift_cards,
            self.paid_with_points,
            self.pending_seconds,
            None if self.expiry is None else self.expiry.expiry(),
            self.span,
        )


class MultiplierBody(RuleBody):
    """Lines, or whole orders, earn `percent` of the base: 200 is double."""

    kind: Literal["multiplier"]
    wallet: WalletName
    percent: Annotated[int, Field(strict=True, ge=0, le=10_000, examples=[200])]
    when: Condition | None = None
    stacking: Annotated[
        Stacking, Field(description="A line earns (100 % + extras that add + the best extra) x what multiplies.")
    ] = Stacking.ADD
    group: Group | None = None
    priority: Priority = 0

    def rule(self) -> Rule:
        return Multiplier(
            self.id, self.wallet, self.percent, self.when, self.stacking, self.group, self.priority, self.span
        )


class BonusBody(RuleBody):
    """Fixed points for an order, or for every piece."""

    kind: Literal["bonus"]
    wallet: WalletName
    points: Annotated[RulePoints, Field(ge=1)]
    when: Condition | None = None
    per: Per = Per.ORDER
    on_return: Annotated[
        OnReturn,
        Field(description="When a part comes back: recomputed for what remains, or reduced in proportion."),
    ] = OnReturn.RECOMPUTE
    group: Group | None = None
    priority: Priority = 0

    def rule(self) -> Rule:
        return Bonus(
            self.id,
            self.wallet,
            self.points,
            self.when,
            self.per,
            self.on_return,
            self.group,
            self.priority,
            self.span,
        )


class ExclusionBody(RuleBody):
    """Lines, or whole orders, that earn nothing, in one wallet or in all."""

    kind: Literal["exclusion"]
    wallet: WalletName | None = None
    when: Condition

    def rule(self) -> Rule:
        return Exclusion(self.id, self.wallet, self.when, self.span)


class CapBody(RuleBody):
    """The most points a member earns in a wallet over a time. What a return frees is not earned again."""

    kind: Literal["cap"]
    wallet: WalletName
    points: RulePoints
    per: CapPer

    def rule(self) -> Rule:
        return Cap(self.id, self.wallet, self.points, self.per, self.span)


AnyRule = Annotated[BaseBody | MultiplierBody | BonusBody | ExclusionBody | CapBody, Discriminator("kind")]
Note = Annotated[Text | None, Field(min_length=1, max_length=500, examples=["Double toys in December"])]


class RulesBody(Body):
    """A whole set of rules: what is not in it does not apply once it is in force."""

    rules: Annotated[list[AnyRule], Field(min_length=1, max_length=MOST_RULES)]
    note: Note = None


class PublishBody(Body):
    """When the rules take effect: for everything that occurs from then on, until the next version does."""

    effective_from: Instant


class RulesAnswer(Answer):
    """A set of rules, and what it was published as."""

    id: str = Field(examples=["erl_019ab2c3d4e5f60718293a4b5c6d7e8f"])
    status: Literal["draft", "published"]
    version: int | None = Field(description="1, 2 ... in the order of publication; null of a draft.", examples=[2])
    effective_from: datetime | None
    effective_until: datetime | None = Field(
        description="When others take effect; null: none do. The moment they were for, if they were replaced before it."
    )
    rules: list[dict[str, Any]] = Field(description="The rules, as they were drafted, with every choice spelt out.")
    note: str | None
    drafted_at: datetime
    drafted_by: str = Field(description="The API client.")
    published_at: datetime | None
    published_by: str | None = Field(description="The API client.")


class RulesPage(Answer):
    """A page of rule sets, the last drafted first."""

    items: list[RulesAnswer]
    next_cursor: str | None


@router.post("/v1/earning-rules", summary="Draft earning rules", **writes(RULES_WRITE, 201, RulesAnswer))
async def draft(call: Calling, body: RulesBody) -> Response:
    """They are checked; every fault is named with its rule and place. A draft never changes: draft again instead."""
    return await write(
        call,
        body,
        find=known(tuple(one.rule() for one in body.rules)),
        command=lambda found, _: DraftRules(found, body.note, call.caller.client_id, MemberId(new_fact())),
        say=_said,
    )


@router.post(
    "/v1/earning-rules/{id}/publish",
    summary="Publish earning rules as the next version",
    **writes(RULES_WRITE, 201, RulesAnswer, 404, 409),
)
async def publish(call: Calling, id: str, body: PublishBody) -> Response:  # noqa: A002 - the path's own word
    """They take effect some minutes ahead at the earliest, and hold until those of a later moment do.

    What others were published for a moment that has not come is replaced by what is published for that moment.
    """
    answer = await write(
        call,
        body,
        find=draft_id(id),
        command=lambda found, _: Publish(found, body.effective_from, call.caller.client_id),
        say=_said,
    )
    call.service.keys.forget()
    return answer


@router.get("/v1/earning-rules", summary="Rule sets, the last drafted first", **reads(RULES_READ, RulesPage))
async def page(call: Calling, limit: Limit = 50, cursor: Cursor = None) -> Response:
    place = paging.opened(cursor, str)
    before = AFTER_ALL_RULES if place is None else RulesId(paging.digits(place[0]))
    programme_id = call.caller.programme.id
    async with call.service.database.snapshot(programme_id) as connection:
        found = await rules.page(connection, programme_id, before=before, limit=limit + 1)
        until = ends(await rules.versions(connection, programme_id))
    items = [_shown(RulesSaid(*one, until.get(one[0].id))) for one in found]
    shown = paging.page(items, limit, lambda last: [last["id"].removeprefix("erl_")])
    return Response(to_json(shown), media_type="application/json")


@router.get("/v1/earning-rules/{id}", summary="One set of rules", **reads(RULES_READ, RulesAnswer, 404))
async def read(call: Calling, id: str) -> Response:  # noqa: A002 - the path's own word
    wanted = await draft_id(id)(call)
    programme_id = call.caller.programme.id
    async with call.service.database.snapshot(programme_id) as connection:
        found = (await rules.find_drafts(connection, programme_id, [wanted])).get(wanted)
        versions = await rules.versions(connection, programme_id)
    if found is None:
        raise _missing()
    version = next((one for one in versions if one.draft_id == wanted), None)
    return Response(
        to_json(_shown(RulesSaid(found, version, ends(versions).get(wanted)))), media_type="application/json"
    )


def draft_id(id_: str) -> Any:
    """Finds the draft that a path names; whether there is one is seen behind the door."""

    async def find(_: Call) -> RulesId:
        try:
            return RulesId(parse_id("erl", id_))
        except ValueError:
            raise _missing() from None

    return find


def _missing() -> RulesNotFound:
    return RulesNotFound("There are no such earning rules in this programme.")


def _said(receipt: Receipt) -> tuple[int, bytes]:
    return 201, to_json(_shown(receipt.said))


def _shown(said: RulesSaid) -> dict[str, Any]:
    drafted, version, until = said
    return {
        "id": f"erl_{drafted.id}",
        "status": "draft" if version is None else "published",
        "version": None if version is None else version.version,
        "effective_from": None if version is None else version.effective_from,
        "effective_until": until,
        "rules": [shown(rule) for rule in drafted.rules],
        "note": drafted.note,
        "drafted_at": drafted.drafted_at,
        "drafted_by": drafted.drafted_by,
        "published_at": None if version is None else version.published_at,
        "published_by": None if version is None else version.published_by,
    }
