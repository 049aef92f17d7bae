"""Finance's view: the trial balance."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from loyalty.api.access import LEDGER_READ
from loyalty.api.answers import Answer, to_json
from loyalty.api.bodies import Day
from loyalty.api.documented import reads
from loyalty.api.lean import Calling, StrictRoute
from loyalty.api.service import wall_clock
from loyalty.store.ledger import trial_balance

router = APIRouter(tags=["ledger"], route_class=StrictRoute)


class AccountAnswer(Answer):
    """One account of the programme, over all members and wallets."""

    account: str = Field(examples=["available"])
    debit: int
    credit: int
    balance: int = Field(description="Debit minus credit.")


class TrialBalanceAnswer(Answer):
    """Every account; debits equal credits."""

    as_of: date
    accounts: list[AccountAnswer]
    debit_total: int
    credit_total: int


@router.get("/v1/ledger/trial-balance", summary="Trial balance", **reads(LEDGER_READ, TrialBalanceAnswer))
async def read(
    call: Calling,
    as_of: Annotated[Day | None, Query(description="Accounting days up to this one; today by default.")] = None,
) -> Response:
    """Sums every posting of the programme: exact, and slow on a large ledger until days are rolled up."""
    programme = call.caller.programme
    day = as_of or programme.calendar.business_date(programme.now(wall_clock()))
    async with call.service.sums, call.service.database.snapshot(programme.id) as connection:
        balance = await trial_balance(connection, programme, day)
    document = {
        "as_of": day,
        "accounts": [row._asdict() for row in balance.accounts],
        "debit_total": balance.debit_total,
        "credit_total": balance.credit_total,
    }
    return Response(to_json(document), media_type="application/json")
