"""A member's statement of account: opening balance, entries by business day, closing balance."""

from datetime import date, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from loyalty.api import answers, paging
from loyalty.api.access import MEMBERS_READ
from loyalty.api.answers import Answer, BalanceAnswer, EntryAnswer, to_json
from loyalty.api.bodies import Day, path_member
from loyalty.api.documented import reads
from loyalty.api.lean import Calling, StrictRoute
from loyalty.api.paging import Cursor, Limit
from loyalty.api.problems import Problem
from loyalty.domain.books import Balance
from loyalty.domain.bounds import EARLIEST, LATEST
from loyalty.domain.entries import Entry
from loyalty.domain.programme import Programme
from loyalty.domain.refusals import MemberNotFound
from loyalty.store import statements
from loyalty.store.history import entries_between
from loyalty.store.past import Left, left_by
from loyalty.store.statements import Span, Total

router = APIRouter(tags=["members"], route_class=StrictRoute)

_DAY = timedelta(days=1)


class StatementEntryAnswer(EntryAnswer):
    """An entry and the day it is stated under."""

    business_date: date = Field(description="The programme's business day of effective_at.")


class ChangeAnswer(Answer):
    """Points that each account gained or, negative, lost."""

    pending: int = Field(examples=[199])
    available: int = Field(examples=[-100])
    held: int = Field(examples=[0])
    owed: int = Field(examples=[0])


class TotalAnswer(Answer):
    """What all entries of one kind did in the span."""

    kind: str = Field(examples=["earn"])
    entries: int = Field(description="How many there are.", examples=[3])
    changes: dict[str, ChangeAnswer] = Field(description="By wallet.")


class StatementAnswer(Answer):
    """A page of a statement. All but `items` and `next_cursor` concern the whole span, on every page alike.

    `opening` + all `changes` = `closing`, by wallet and account.
    """

    member: str = Field(examples=["mem_019ab2c3d4e5f60718293a4b5c6d7e8f"])
    from_: date = Field(alias="from", description="First business day of the span.")
    to: date = Field(description="Last business day of the span.")
    opening: dict[str, BalanceAnswer] = Field(description="By wallet, before the first entry of the span.")
    closing: dict[str, BalanceAnswer] = Field(description="By wallet, after the last entry of the span.")
    totals: list[TotalAnswer] = Field(description="By kind of entry.")
    items: list[StatementEntryAnswer] = Field(description="The entries of the span, oldest first.")
    next_cursor: str | None


From = Annotated[Day, Query(alias="from", description="First business day.", examples=["2026-11-01"])]
To = Annotated[Day, Query(description="Last business day, inclusive.", examples=["2026-11-30"])]


@router.get(
    "/v1/members/{id}/statement",
    summary="Statement of account",
    **reads(MEMBERS_READ, StatementAnswer, 404),
)
async def read(
    call: Calling,
    id: str,  # noqa: A002 - the path's own word
    from_: From,
    to: To,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """As written so far: what falls due in the span enters it when the member is next settled, by a write or the sweep.

    The pages of one statement tell of the same entries, whatever is written meanwhile.
    """
    programme, member = call.caller.programme, path_member(id)
    _check_days(from_, to)
    calendar, place = programme.calendar, paging.opened(cursor, int, int)
    async with call.service.database.snapshot(programme.id) as connection:
        span = await statements.span(
            connection,
            programme.id,
            member,
            begins_at=calendar.day_start(from_),
            ends_at=calendar.day_start(to + _DAY),
        )
        if span is None:
            raise MemberNotFound("There is no such member in this programme.")
        shown = _rest(span, place)
        span = span._replace(through=shown.through)
        opening = await left_by(connection, programme.id, member, span.after)
        closing = await left_by(connection, programme.id, member, span.through)
        totals = await statements.totals(connection, programme.id, member, span)
        found = await entries_between(
            connection, programme.id, member, after=shown.after, through=shown.through, limit=limit + 1
        )
    page = paging.page([_entry(programme, one) for one in found], limit, lambda last: [last["sequence"], span.through])
    document = {
        "member": f"mem_{member}",
        "from": from_,
        "to": to,
        "opening": _balances(programme, opening),
        "closing": _balances(programme, closing),
        "totals": [_total(kind, total) for kind, total in totals.items()],
        **page,
    }
    return Response(to_json(document), media_type="application/json")


def _check_days(first: date, last: date) -> None:
    """Raises Problem `invalid_request`."""
    if not EARLIEST.date() < first <= last < LATEST.date() - _DAY:
        detail = "from is not after to, and both lie between the years 2000 and 2200."
        raise Problem("invalid_request", detail, errors=[{"field": "query.from", "problem": detail}])


def _rest(span: Span, place: list[Any] | None) -> Span:
    """What remains to be shown of the statement that the first page began."""
    if place is None:
        return span
    after, through = paging.whole(place[0]), paging.whole(place[1])
    if not span.after < after < through <= span.through:
        raise Problem("invalid_cursor", "The cursor is of another statement.")
    return Span(after, through)


def _balances(programme: Programme, left: Left | None) -> dict[str, dict[str, int]]:
    """By wallet as the entry left them; those that had no points yet included."""
    return answers.balances({**dict.fromkeys(programme.wallets, Balance()), **(left.balances if left else {})})


def _entry(programme: Programme, of: Entry) -> dict[str, Any]:
    return {**answers.entry(of), "business_date": programme.calendar.business_date(of.effective_at)}


def _total(kind: str, of: Total) -> dict[str, Any]:
    return {"kind": kind, "entries": of.entries, "changes": answers.balances(of.changes)}
