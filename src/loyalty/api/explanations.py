"""Why a purchase earned what it did, rule by rule: replayed for an entry, foretold for an order."""

from datetime import datetime
from fractions import Fraction
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from loyalty.api.access import MEMBERS_READ
from loyalty.api.accruals import OrderBody, ReceiptAnswer, order_of, printed
from loyalty.api.answers import Answer, main_wallet, to_json
from loyalty.api.bodies import Reference, parse_id
from loyalty.api.documented import asks, reads
from loyalty.api.lean import Call, Calling, StrictRoute
from loyalty.api.writing import by_id, learn, named, response, submission, submit
from loyalty.domain.calculations import is_purchase, of_entry
from loyalty.domain.earning import Earned, Facts, Order, Step
from loyalty.domain.entries import Because
from loyalty.domain.programme import Programme
from loyalty.domain.publishing import RulesId
from loyalty.domain.refusals import EntryNotFound, RulesNotFound
from loyalty.domain.returns import bought
from loyalty.domain.rules import Base, RuleSet, shown
from loyalty.operations.accrue import Preview, Previewed
from loyalty.operations.command import Receipt
from loyalty.operations.door import Answer as Decided
from loyalty.store import journal
from loyalty.store import rules as store

router = APIRouter(tags=["earning rules"], route_class=StrictRoute)


class PreviewBody(OrderBody):
    """An order that has not happened. `rules` asks what it would earn by a draft, or by a version of another time."""

    reference: Reference = "preview"
    rules: Annotated[str | None, Field(max_length=40, examples=["erl_019ab2c3d4e5f60718293a4b5c6d7e8f"])] = None


class RulesNamed(Answer):
    """The rules that decided."""

    id: str | None = Field(description="Null: the programme had published none; the settings of its wallets decided.")
    version: int | None = Field(description="0: those settings. Null: a draft.")


class InputsAnswer(Answer):
    """What the rules looked at; derived facts, never personal data."""

    occurred_at: datetime
    currency: str
    net_spend: int = Field(description="Minor units.")
    lines: list[dict[str, Any]]
    tenders: list[dict[str, Any]]
    values: dict[str, Any] = Field(
        description="Variables of the conditions that do not follow from the lines.",
        examples=[{"member.tier": "gold"}],
    )
    room: dict[str, int] = Field(description="Points that were left under each cap.")


class StepAnswer(Answer):
    """What one rule did."""

    rule: dict[str, Any] = Field(description="The rule as it was published.")
    fired: bool
    why: str | None = Field(description="Why it did not fire.")
    amount: int | None = Field(description="Minor units it applied to; pieces, for a bonus per piece.")
    points: int | None = Field(description="What a bonus gave, or a cap cut off.")


class WalletGain(Answer):
    """What one wallet gains."""

    wallet: str
    exact: str = Field(description="By the base and the multipliers, before rounding.", examples=["199.5"])
    rounding: str = Field(examples=["floor"])
    rounded: int
    points: int = Field(description="With the bonuses, within the caps.")


class WorkedOut(Answer):
    """How points were worked out: by which rules, from what, rule by rule."""

    rules: RulesNamed
    inputs: InputsAnswer
    wallets: list[WalletGain]
    steps: list[StepAnswer]


class ExplanationAnswer(Answer):
    """Why an entry is what it is."""

    entry: str
    kind: str = Field(examples=["earn"])
    reason: str | None = Field(description="In the words of who asked for it.")
    of: str | None = Field(description="The earlier entry that this one takes back, resolves or moves.")
    earning: WorkedOut | None = Field(description="How a purchase's points were worked out; null of any other entry.")


class PreviewAnswer(WorkedOut):
    """What an order would earn now."""

    points: int = Field(examples=[199])
    points_by_wallet: dict[str, int] = Field(examples=[{"points": 199}])
    receipt: ReceiptAnswer


@router.get(
    "/v1/entries/{id}/explanation", summary="Why an entry is what it is", **reads(MEMBERS_READ, ExplanationAnswer, 404)
)
async def explain(call: Calling, id: str) -> Response:  # noqa: A002 - the path's own word
    """The stored calculation of a purchase is replayed: what fired, what did not and why, rounding, caps."""
    missing = "There is no such entry in this programme."
    entry = await by_id("ent", id, journal.find, lambda: EntryNotFound(missing))(call)
    programme, earning = call.caller.programme, None
    if is_purchase(entry):
        purchase = bought(programme, entry)
        earning = _worked_out(purchase.decided_by, purchase.order, purchase.facts, purchase.explained())
    earlier = of_entry(entry)
    answer = {
        "entry": f"ent_{entry.id}",
        "kind": entry.kind,
        "reason": entry.because.reason,
        "of": None if earlier is None else f"ent_{earlier}",
        "earning": earning,
    }
    return Response(to_json(answer), media_type="application/json")


@router.post(
    "/v1/accruals/preview",
    summary="What an order would earn",
    **asks(MEMBERS_READ, PreviewAnswer, 404, 409),
)
async def preview(call: Calling, body: PreviewBody) -> Response:
    """Decided as the accrual would be, for this member now, then dropped: nothing is written and no cap is used."""
    programme = call.caller.programme
    drafted = None if body.rules is None else await _draft(call, body.rules)

    def command(member_id: Any, at: datetime) -> Preview:
        rules = drafted or programme.rules_at(at)
        because = Because(body.source, body.reference, body.store)
        return Preview(member_id, order_of(body), because, programme.calendar.business_date(at), rules)

    async def ask() -> Decided:
        asked = await submission(
            call,
            find=named(body.member),
            occurred_at=body.occurred_at,
            command=command,
            say=lambda receipt: (200, to_json(_foretold(programme, receipt))),
            claim=None,
            dry_run=True,
        )
        return await submit(call, asked)

    answer = await ask()
    return response(await ask() if learn(call, answer.outcome) else answer)


async def _draft(call: Call, id_: str) -> RuleSet:
    """The rules of a draft. Raises RulesNotFound."""
    missing = RulesNotFound("There are no such earning rules in this programme.")
    try:
        wanted = RulesId(parse_id("erl", id_))
    except ValueError:
        raise missing from None
    programme_id = call.caller.programme.id
    async with call.service.database.snapshot(programme_id) as connection:
        found = (await store.find_drafts(connection, programme_id, [wanted])).get(wanted)
    if found is None:
        raise missing
    known = {one.id: one for one in call.caller.programme.rule_sets}
    return known.get(wanted) or RuleSet(wanted, None, None, found.rules)


def _foretold(programme: Programme, receipt: Receipt) -> dict[str, Any]:
    said: Previewed = receipt.said
    points = said.given.points
    wallet = main_wallet(points)
    return {
        "points": points[wallet],
        "points_by_wallet": points,
        "receipt": printed(programme, points[wallet], said.terms[wallet], receipt.balances[wallet].available),
        **_worked_out(said.rules, said.order, said.facts, said.given),
    }


def _worked_out(rules: RuleSet, order: Order, facts: Facts, given: Earned) -> dict[str, Any]:
    rounding = {step.rule.wallet: step.rule.rounding for step in given.steps if isinstance(step.rule, Base)}
    return {
        "rules": {"id": f"erl_{rules.id}" if rules.id else None, "version": rules.version},
        "inputs": {
            "occurred_at": facts.occurred_at,
            "currency": order.currency,
            "net_spend": order.net_spend,
            "lines": order.lines,
            "tenders": list(order.tenders),
            "values": dict(facts.values),
            "room": dict(facts.room),
        },
        "wallets": [
            {
                "wallet": wallet,
                "exact": _decimal(*gain.exact),
                "rounding": rounding[wallet],
                "rounded": gain.rounded,
                "points": gain.points,
            }
            for wallet, gain in given.gains.items()
        ],
        "steps": [_step(step) for step in given.steps],
    }


def _step(step: Step) -> dict[str, Any]:
    return {
        "rule": shown(step.rule),
        "fired": step.fired,
        "why": step.why,
        "amount": step.amount,
        "points": step.points,
    }


def _decimal(numerator: int, denominator: int) -> str:
    """A fraction as people write it: decimals where six are enough, else both its numbers."""
    exact = Fraction(numerator, denominator)
    millionths = exact * 1_000_000
    if millionths.denominator != 1:
        return f"{exact.numerator}/{exact.denominator}"
    whole, part = divmod(millionths.numerator, 1_000_000)
    return f"{whole}.{part:06d}".rstrip("0").rstrip(".")
