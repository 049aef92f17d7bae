"""Curing what is parked: a return whose sale has come since is done; one whose time is over is given up."""

from datetime import UTC, datetime

import uuid_utils

from loyalty.domain.claims import ReferenceKind, reference_key
from loyalty.domain.entries import Entry
from loyalty.domain.ids import FactId
from loyalty.domain.parked import ParkedReturn, ParkedStatus
from loyalty.domain.programme import Programme
from loyalty.domain.refusals import Refusal
from loyalty.domain.returns import bought_on
from loyalty.domain.state import Moment
from loyalty.operations.command import Command, Receipt
from loyalty.operations.door import Answer, Submission
from loyalty.operations.lanes import Lanes
from loyalty.operations.park import Cure, GiveUp
from loyalty.operations.returns import Return
from loyalty.store import claims, parked, purchases
from loyalty.store.database import Database

AT_A_TIME = 100
_FIRST = (datetime(1, 1, 1, tzinfo=UTC), FactId("0" * 32))


async def cure_parked(database: Database, lanes: Lanes, programme: Programme) -> int:
    """Cure or give up every parked return that can be; how many there were. Two at once are harmless."""
    total, place = 0, _FIRST
    while True:
        async with database.snapshot(programme.id) as connection:
            found = await parked.waiting(connection, programme.id, after=place, at_most=AT_A_TIME)
            sales = await claims.find_references(connection, programme.id, [one.awaits for one in found])
            entries = {id_: await purchases.find(connection, programme.id, id_) for id_ in set(sales.values())}
        for one in found:
            sale = entries.get(sales[one.awaits]) if one.awaits in sales else None
            if sale is not None:
                answer = await _submit(lanes, programme, Cure(one, _asked(programme, one, sale)), one)
                refusal = answer.outcome
                if isinstance(refusal, Refusal) and not refusal.curable:
                    await _submit(lanes, programme, GiveUp(one, ParkedStatus.REFUSED, refusal.code), one)
                total += 1
            elif one.until <= datetime.now(UTC):
                await _submit(lanes, programme, GiveUp(one, ParkedStatus.LAPSED, None), one)
                total += 1
        if len(found) < AT_A_TIME:
            return total
        place = (found[-1].parked_at, found[-1].id)


def _asked(programme: Programme, one: ParkedReturn, sale: Entry) -> Return:
    day = programme.calendar.business_date(one.occurred_at)
    source, reference = one.because.source or "", one.because.reference or ""
    return Return(
        purchase=sale,
        lines=one.lines,
        because=one.because,
        reference=reference_key(programme, ReferenceKind.RETURN, source=source, reference=reference, day=day),
        business_date=day,
        bought_on=bought_on(programme.calendar, sale),
    )


async def _submit(lanes: Lanes, programme: Programme, command: Command, one: ParkedReturn) -> Answer:
    moment = Moment(FactId(uuid_utils.uuid7().hex), one.occurred_at, datetime.now(UTC))
    [answer] = lanes.submit_bulk([Submission(programme, command, moment, _say_nothing)])
    return await answer


def _say_nothing(_: Receipt | Refusal) -> tuple[int, bytes]:
    return 200, b""
