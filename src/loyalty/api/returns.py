"""Returns: a purchase comes back, and takes back what it earned."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field, model_validator
from starlette.responses import Response

from loyalty.api import answers, parked
from loyalty.api.access import ACCRUALS_WRITE, MEMBERS_READ
from loyalty.api.answers import Answer, WriteAnswer, main_wallet, to_json
from loyalty.api.bodies import Amount, Body, Instant, Label, NoBody, Quantity, Reference, Source, Store, Text
from loyalty.api.documented import reads, writes
from loyalty.api.holds import LONGEST_S, USUAL_S
from loyalty.api.lean import Call, Calling, LeanRoute
from loyalty.api.parked import ParkedAnswer
from loyalty.api.purchases import PurchaseName, find_purchase, find_purchase_if_known, reference_of
from loyalty.api.redemptions import MoneyAnswer
from loyalty.api.service import new_fact, wall_clock
from loyalty.api.writing import Find, by_id, taken, write
from loyalty.domain.bounds import MAX_LINES
from loyalty.domain.claims import ReferenceKind
from loyalty.domain.entries import Because, Entry
from loyalty.domain.holds import Hold, HoldStatus
from loyalty.domain.ids import MemberId
from loyalty.domain.parked import AskedReturn, ParkedEvent
from loyalty.domain.programme import Programme
from loyalty.domain.refusals import ReservationNotFound
from loyalty.domain.reservations import Reservation, reservation_of
from loyalty.domain.returns import ReturnedLine, bought_on
from loyalty.operations.command import Receipt
from loyalty.operations.park import Park
from loyalty.operations.reserve import Cancel, Confirm, Reserve, Reserved
from loyalty.operations.returns import Return, Returned
from loyalty.store import holds, journal

router = APIRouter(tags=["returns"], route_class=LeanRoute)


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


class ReserveBody(ReturnBody):
    """What is about to come back of a purchase."""

    expires_in: Annotated[
        int, Field(strict=True, ge=1, le=LONGEST_S, description="Seconds until it is cancelled by itself.")
    ] = USUAL_S


class WithheldAnswer(Answer):
    """What to keep from the money refunded, because the points for it were spent."""

    points: int = Field(description="In the wallet `points`, or in the first.")
    points_by_wallet: dict[str, int]
    value: MoneyAnswer = Field(description="What they are worth, those of all wallets together.")


class ReservationAnswer(Answer):
    """A return in two steps."""

    id: str = Field(examples=["rsv_019ab2c3d4e5f60718293a4b5c6d7e8f"])
    member: str = Field(examples=["mem_019ab2c3d4e5f60718293a4b5c6d7e8f"])
    status: str = Field(description="reserved, confirmed, cancelled, expired", examples=["reserved"])
    opened_at: datetime
    expires_at: datetime = Field(description="When it is cancelled by itself.")


class CancelAnswer(WriteAnswer):
    """The return will not be: its points are where they were."""

    reservation: ReservationAnswer


class ReturnAnswer(WriteAnswer):
    """The return, and what it took."""

    points: int = Field(description="Taken back in the wallet `points`, or in the first.", examples=[50])
    points_by_wallet: dict[str, int]
    owed: int = Field(description="The part of them that the member now owes; would owe, of a return that is reserved.")
    owed_by_wallet: dict[str, int]
    withhold: WithheldAnswer | None


class ReservedAnswer(ReturnAnswer):
    """A return in two steps, and what it takes: once it is confirmed, or now that it is."""

    reservation: ReservationAnswer


@router.post(
    "/v1/returns",
    summary="Return a purchase",
    **writes(
        *(ACCRUALS_WRITE, 201, ReturnAnswer, 404, 409),
        otherwise=(202, ParkedAnswer, "Its sale is not known yet: it waits for it."),
    ),
)
async def take_back(call: Calling, body: ReturnBody) -> Response:
    """Small returns add up to what one big one takes; a full return leaves nothing of what the purchase earned.

    One whose sale is named by a reference that nobody has taken yet is answered 202 and done once the sale comes.
    """
    return await write(
        call,
        body,
        find=find_purchase_if_known(body.accrual),
        carries=True,
        occurred_at=body.occurred_at,
        command=lambda entry, at: _command(call.caller.programme, body, entry, at),
        say=lambda receipt: _say(call.caller.programme, receipt),
    )


@router.post(
    "/v1/returns/reserve",
    summary="Return a purchase in two steps",
    **writes(ACCRUALS_WRITE, 201, ReservedAnswer, 404, 409),
)
async def reserve(call: Calling, body: ReserveBody) -> Response:
    """What the return takes is held, pending points too, until it is confirmed, cancelled or ends by itself.

    Until then its lines are not left for other returns of the purchase. What it takes is settled when it is confirmed:
    by what has come back by then, and out of what there is by then before anything is owed. A reservation never waits:
    a sale that is not known is 404, even where a return would be 202. Its reference stays taken, whatever becomes of
    it.
    """
    return await write(
        call,
        body,
        find=find_purchase(body.accrual),
        carries=True,
        occurred_at=body.occurred_at,
        command=lambda entry, at: _reserving(call.caller.programme, body, entry, at),
        say=lambda receipt: (201, to_json(_reserved(call.caller.programme, receipt))),
    )


@router.post(
    "/v1/returns/{id}/confirm", summary="Do a reserved return", **writes(ACCRUALS_WRITE, 201, ReservedAnswer, 404, 409)
)
async def confirm(call: Calling, id: str, body: NoBody) -> Response:  # noqa: A002 - the path's own word
    """The money has been refunded: the points that were held for it are taken back."""
    calendar = call.caller.programme.calendar

    async def reservation_and_sale(call: Call) -> tuple[Hold, Entry]:
        hold, reservation = await _found(id)(call)
        async with call.service.database.snapshot(call.caller.programme.id) as connection:
            sale = await journal.find(connection, call.caller.programme.id, reservation.sale)
        assert sale is not None, "a return was reserved of a sale that is there"
        return hold, sale

    return await write(
        call,
        body,
        find=reservation_and_sale,
        carries=True,
        command=lambda found, at: Confirm(*found, calendar.business_date(at), bought_on(calendar, found[1])),
        say=lambda receipt: (201, to_json(_reserved(call.caller.programme, receipt))),
    )


@router.post(
    "/v1/returns/{id}/cancel",
    summary="Give up a reserved return",
    **writes(ACCRUALS_WRITE, 201, CancelAnswer, 404, 409),
)
async def cancel(call: Calling, id: str, body: NoBody) -> Response:  # noqa: A002 - the path's own word
    """Its points go back to the lots they came from."""
    calendar = call.caller.programme.calendar
    return await write(
        call,
        body,
        find=_found(id),
        carries=True,
        command=lambda found, at: Cancel(found[0], calendar.business_date(at)),
        say=lambda receipt: (
            201,
            to_json({**answers.written(receipt), "reservation": _reservation(receipt.said)}),
        ),
    )


@router.get("/v1/returns/{id}", summary="One reserved return", **reads(MEMBERS_READ, ReservationAnswer, 404))
async def read(call: Calling, id: str) -> Response:  # noqa: A002 - the path's own word
    """As of now: one whose time is over has expired, even before a write or the sweep has settled it."""
    hold, _ = await _found(id)(call)
    return Response(
        to_json(_reservation(hold.by(call.caller.programme.now(wall_clock())))), media_type="application/json"
    )


def _found(id_: str) -> Find[tuple[Hold, Reservation]]:
    """Finds a reserved return. Raises ReservationNotFound."""
    missing = "There is no such reserved return in this programme."

    async def find(call: Call) -> tuple[Hold, Reservation]:
        hold = await by_id("rsv", id_, holds.find, lambda: ReservationNotFound(missing))(call)
        reservation = reservation_of(hold)
        if reservation is None:
            raise ReservationNotFound(missing)
        return hold, reservation

    return find


def _command(programme: Programme, body: ReturnBody, entry: Entry | None, at: datetime) -> Return | Park:
    reference, day = taken(programme, ReferenceKind.RETURN, body, at)
    because = Because(body.source, body.reference, body.store, body.reason)
    if entry is None:
        awaits, asked = reference_of(programme, body.accrual), AskedReturn(_lines(body))
        return Park(awaits, asked, because, reference, MemberId(new_fact()))
    return Return(entry, _lines(body), because, reference, day, bought_on(programme.calendar, entry))


def _reserving(programme: Programme, body: ReserveBody, entry: Entry, at: datetime) -> Reserve:
    reference, day = taken(programme, ReferenceKind.RETURN, body, at)
    return Reserve(
        purchase=entry,
        lines=_lines(body),
        lasts=timedelta(seconds=body.expires_in),
        because=Because(body.source, body.reference, body.store, body.reason),
        reference=reference,
        business_date=day,
        bought_on=bought_on(programme.calendar, entry),
    )


def _lines(body: ReturnBody) -> tuple[ReturnedLine, ...] | None:
    if body.lines is None:
        return None
    return tuple(ReturnedLine(line.line_id, line.quantity, line.amount) for line in body.lines)


def _say(programme: Programme, receipt: Receipt) -> tuple[int, bytes]:
    if isinstance(receipt.said, ParkedEvent):
        return parked.say(receipt.said)
    return 201, to_json({**answers.written(receipt), **_took(programme, receipt.said)})


def _reserved(programme: Programme, receipt: Receipt) -> dict[str, Any]:
    said: Reserved = receipt.said
    return {
        **answers.written(receipt),
        **_took(programme, said.returned),
        "reservation": _reservation(said.hold),
    }


def _took(programme: Programme, of: Returned) -> dict[str, Any]:
    wallet = main_wallet(of.points)
    kept: dict[str, Any] | None = None
    if any(of.withheld.values()):
        worth = sum(points * programme.wallets[name].point_value for name, points in of.withheld.items())
        value = {"currency": programme.currency, "amount": worth}
        kept = {"points": of.withheld[wallet], "points_by_wallet": of.withheld, "value": value}
    return {
        "points": of.points[wallet],
        "points_by_wallet": of.points,
        "owed": of.owed[wallet],
        "owed_by_wallet": of.owed,
        "withhold": kept,
    }


_STATUS = {
    HoldStatus.OPEN: "reserved",
    HoldStatus.CAPTURED: "confirmed",
    HoldStatus.RELEASED: "cancelled",
    HoldStatus.EXPIRED: "expired",
}


def _reservation(of: Hold) -> dict[str, Any]:
    return {
        "id": f"rsv_{of.id}",
        "member": f"mem_{of.member_id}",
        "status": _STATUS[HoldStatus(of.status)],
        "opened_at": of.opened_at,
        "expires_at": of.expires_at,
    }
