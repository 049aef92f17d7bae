"""Returns: a purchase comes back, and takes back what it earned."""

from datetime import date, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field, model_validator
from starlette.responses import Response

from loyalty.api import answers, parked
from loyalty.api.access import ACCRUALS_WRITE
from loyalty.api.answers import Answer, WriteAnswer, to_json
from loyalty.api.bodies import (
    Amount,
    Body,
    Day,
    Instant,
    Label,
    Quantity,
    Reference,
    Source,
    Store,
    Text,
    parse_id,
)
from loyalty.api.documented import writes
from loyalty.api.lean import Call, Calling, LeanRoute
from loyalty.api.parked import ParkedAnswer
from loyalty.api.problems import Problem
from loyalty.api.redemptions import MoneyAnswer
from loyalty.api.service import new_fact
from loyalty.api.writing import Find, taken, write
from loyalty.domain.bounds import MAX_LINES
from loyalty.domain.claims import ReferenceKey, ReferenceKind, reference_key
from loyalty.domain.entries import Because, Entry
from loyalty.domain.ids import EntryId, MemberId
from loyalty.domain.parked import AskedReturn, ParkedEvent
from loyalty.domain.programme import Programme
from loyalty.domain.refusals import EntryNotFound
from loyalty.domain.returns import ReturnedLine
from loyalty.operations.command import Receipt
from loyalty.operations.park import Park
from loyalty.operations.returns import Return, Returned
from loyalty.store import claims, journal

router = APIRouter(tags=["returns"], route_class=LeanRoute)


class PurchaseName(Body):
    """A purchase, by its entry or by the source and reference it was reported under."""

    entry: Annotated[str | None, Field(max_length=40, examples=["ent_019a"])] = None
    source: Source | None = None
    reference: Reference | None = None
    business_date: Annotated[
        Day | None, Field(description="Of a source whose numbers begin again: the day of the purchase.")
    ] = None

    @model_validator(mode="after")
    def _named_once(self) -> "PurchaseName":
        by_reference = self.source is not None and self.reference is not None
        if (self.entry is not None) == (self.source is not None or self.reference is not None):
            raise ValueError("name the purchase either by entry or by source and reference")
        if self.entry is None and not by_reference:
            raise ValueError("a source and a reference go together")
        if self.entry is not None:
            parse_id("ent", self.entry)
        return self


class ReturnedLineBody(Body):
    """A part of a line. Quantity 0 with an amount is a refund without the goods."""

    line_id: Annotated[Label, Field(min_length=1, max_length=64, examples=["1"])]
    quantity: Quantity
    amount: Amount

    @model_validator(mode="after")
    def _something_comes_back(self) -> "ReturnedLineBody":
        if not (self.quantity or self.amount):
            raise ValueError("a line that comes back has a quantity, an amount or both")
        return self


class ReturnBody(Body):
    """What comes back of a purchase: lines, or all that is left of it."""

    accrual: PurchaseName
    lines: Annotated[list[ReturnedLineBody] | None, Field(min_length=1, max_length=MAX_LINES)] = None
    full: Literal[True] | None = None
    source: Source
    reference: Reference
    store: Store | None = None
    occurred_at: Instant | None = None
    reason: Annotated[Text | None, Field(max_length=200)] = None

    @model_validator(mode="after")
    def _either_lines_or_all(self) -> "ReturnBody":
        if (self.lines is None) == (self.full is None):
            raise ValueError("say either which lines come back, or full: true")
        lines = self.lines or ()
        if len({line.line_id for line in lines}) < len(lines):
            raise ValueError("a line comes back once in a return")
        return self


class WithheldAnswer(Answer):
    """What to keep from the money refunded, because the points for it were spent."""

    points: int
    value: MoneyAnswer


class ReturnAnswer(WriteAnswer):
    """The return, and what it took."""

    points: int = Field(description="Taken back in the wallet `points`, or in the first.", examples=[50])
    points_by_wallet: dict[str, int]
    owed: int = Field(description="The part of them that the member now owes.")
    withhold: WithheldAnswer | None


@router.post(
    "/v1/returns",
    summary="Return a purchase",
    **writes(
        *(ACCRUALS_WRITE, 201, ReturnAnswer, 404, 409),
        waiting=(ParkedAnswer, "Its sale is not known yet: it waits for it."),
    ),
)
async def take_back(call: Calling, body: ReturnBody) -> Response:
    """Small returns add up to what one big one takes; a full return leaves nothing of what the purchase earned.

    One whose sale is named by a reference that nobody has taken yet is answered 202 and done once the sale comes.
    """
    return await write(
        call,
        body,
        find=_purchase(body.accrual),
        occurred_at=body.occurred_at,
        command=lambda entry, at: _command(call.caller.programme, body, entry, at),
        say=lambda receipt: _say(call.caller.programme, receipt),
    )


def _purchase(name: PurchaseName) -> Find[Entry | None]:
    """Finds the entry of the purchase; None while nobody has taken its reference. Raises EntryNotFound."""

    async def find(call: Call) -> Entry | None:
        programme = call.caller.programme
        async with call.service.database.snapshot(programme.id) as connection:
            if name.entry is not None:
                id_: EntryId | None = EntryId(parse_id("ent", name.entry))
            else:
                key = _reference(programme, name)
                id_ = (await claims.find_references(connection, programme.id, [key])).get(key)
            if id_ is None:
                return None
            entry = await journal.find(connection, programme.id, id_)
        if entry is None:
            raise EntryNotFound("There is no such purchase in this programme.")
        return entry

    return find


def _reference(programme: Programme, name: PurchaseName) -> ReferenceKey:
    """The reference that the purchase took. Raises Problem `invalid_request` where it needs its day."""
    source, reference = name.source or "", name.reference or ""
    if source in programme.restarting_sources and name.business_date is None:
        detail = "The numbers of this source begin again: say the business_date of the purchase."
        raise Problem("invalid_request", detail, errors=[{"field": "body.accrual.business_date", "problem": detail}])
    day = name.business_date or date.min
    return reference_key(programme, ReferenceKind.ACCRUAL, source=source, reference=reference, day=day)


def _command(programme: Programme, body: ReturnBody, entry: Entry | None, at: datetime) -> Return | Park:
    reference, day = taken(programme, ReferenceKind.RETURN, body, at)
    lines = None
    if body.lines is not None:
        lines = tuple(ReturnedLine(line.line_id, line.quantity, line.amount) for line in body.lines)
    because = Because(body.source, body.reference, body.store, body.reason)
    if entry is None:
        awaits, asked = _reference(programme, body.accrual), AskedReturn(lines)
        return Park(awaits, asked, because, reference, MemberId(new_fact()))
    return Return(
        purchase=entry,
        lines=lines,
        because=because,
        reference=reference,
        business_date=day,
        bought_on=programme.calendar.business_date(entry.occurred_at),
    )


def _say(programme: Programme, receipt: Receipt) -> tuple[int, bytes]:
    if isinstance(receipt.said, ParkedEvent):
        return parked.say(receipt.said)
    said: Returned = receipt.said
    wallet = "points" if "points" in said.points else next(iter(said.points))
    withheld = said.withheld[wallet]
    kept: dict[str, Any] | None = None
    if withheld:
        worth = withheld * programme.wallets[wallet].point_value
        kept = {"points": withheld, "value": {"currency": programme.currency, "amount": worth}}
    return 201, to_json(
        {
            **answers.written(receipt),
            "points": said.points[wallet],
            "points_by_wallet": said.points,
            "owed": said.owed[wallet],
            "withhold": kept,
        }
    )
