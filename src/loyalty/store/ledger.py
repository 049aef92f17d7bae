"""Finance's sums over the journal."""

from datetime import date
from typing import NamedTuple

from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from loyalty.domain.books import ACCOUNTS
from loyalty.domain.programme import Programme
from loyalty.store.parts import PROGRAMME
from loyalty.store.schema import DATE, INTEGER


class AccountSum(NamedTuple):
    """One account over all members and wallets, in points."""

    account: str
    debit: int
    credit: int
    balance: int
    """Debit minus credit."""


class TrialBalance(NamedTuple):
    """Every account of a programme; `debit_total` equals `credit_total` (invariant 1)."""

    accounts: list[AccountSum]
    debit_total: int
    credit_total: int


_SUMS = text(
    f"""
    select side.account, sum(side.debit), sum(side.credit)
      from (select p.debit, p.credit, sum(p.points) as points
              from posting p
             where p.programme_id = :{PROGRAMME} and p.accounting_date <= :the_day
             group by p.debit, p.credit) s
     cross join lateral (values (s.debit, s.points, 0), (s.credit, 0, s.points)) as side (account, debit, credit)
     group by side.account
    """  # noqa: S608 - only our own constants
).bindparams(bindparam(PROGRAMME, type_=INTEGER), bindparam("the_day", type_=DATE))


async def trial_balance(connection: AsyncConnection, programme: Programme, as_of: date) -> TrialBalance:
    """Every account's sums over postings dated up to `as_of`, inclusive. Reads all of them; locks nothing."""
    rows = await connection.execute(_SUMS, {PROGRAMME: programme.id, "the_day": as_of})
    sums = {account: (int(debit), int(credit)) for account, debit, credit in rows}  # numeric: no sum is too large
    accounts = [
        AccountSum(one, debit, credit, debit - credit) for one in ACCOUNTS for debit, credit in [sums.get(one, (0, 0))]
    ]
    return TrialBalance(accounts, sum(one.debit for one in accounts), sum(one.credit for one in accounts))
