"""Compares what the ledger holds after an import with what it must hold: household by household, to the point.

python -m bench.real_year.compare year.csv --programme real-year, with LOYALTY_DATABASE_URL and LOYALTY_SECRET set.
"""

import asyncio
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from bench.real_year.expected import SPENDING_YEAR, Expected, expected_from_original
from loyalty.config import load_settings
from loyalty.domain.identities import Identity
from loyalty.domain.programme import Programme
from loyalty.store import programmes
from loyalty.store.database import Database
from loyalty.store.identities import holders
from loyalty.store.ledger import trial_balance
from loyalty.store.sealing import Sealer

SOURCE = "generated-redemptions"
FIGURES = ("earned", "spent", "refused", "expired", "pending", "available", "tier", "net_spend")
SHOWN = 20

LookupOf = Callable[[str, str, str], bytes]


@dataclass
class Comparison:
    """How many figures were compared, and those that differ, each in a sentence."""

    households: int
    redemptions: int
    differences: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        figures = f"{self.households:,} households x {len(FIGURES)} figures"
        compared = f"{figures}, {self.redemptions:,} redemptions, trial balance"
        if not self.differences:
            return f"{compared}: all agree"
        more = [f"... and {len(self.differences) - SHOWN:,} more"] if len(self.differences) > SHOWN else []
        return "\n".join([f"{compared}: {len(self.differences):,} differ", *self.differences[:SHOWN], *more])


async def compare(
    database: Database, programme: Programme, file: Path, *, lookup_of: LookupOf, must: Expected | None = None
) -> Comparison:
    """Compare the programme, into which `file` was imported, with the independent computation, or with another one."""
    if must is None:
        must = await asyncio.to_thread(expected_from_original, file)
    async with database.snapshot(programme.id) as connection:
        members = await members_of(connection, programme, must.households["household"].to_list(), lookup_of)
        refused = await _refused(connection, programme)
        has = await _households(connection, programme, members, must, refused)
        balance = await trial_balance(connection, programme, programme.calendar.business_date(_now(programme)))
    result = Comparison(must.households.height, must.redemptions.height)
    result.differences.extend(_of_households(must, has))
    result.differences.extend(_of_redemptions(must, refused))
    result.differences.extend(_of_accounts(must, {one.account: (one.debit, one.credit) for one in balance.accounts}))
    return result


def _now(programme: Programme) -> Any:
    assert programme.fixed_now is not None, "an imported year has a clock that stands still"
    return programme.fixed_now


async def members_of(
    connection: AsyncConnection, programme: Programme, households: Sequence[str], lookup_of: LookupOf
) -> dict[str, str]:
    """Household by member id."""
    identities = {Identity("store", "household", lookup_of("store", "household", one)): one for one in households}
    found = await holders(connection, programme.id, list(identities))
    return {holder.member_id: identities[identity] for identity, holder in found.items()}


async def _refused(connection: AsyncConnection, programme: Programme) -> set[str]:
    """The references of redemptions that the ledger refused for want of points: their answers are kept."""
    rows = await connection.execute(
        text(
            "select split_part(key, chr(31), 2) from replay"
            " where programme_id = :the_programme and split_part(key, chr(31), 1) = :the_source"
            "   and body = convert_to('insufficient_points', 'UTF8')"
        ),
        {"the_programme": programme.id, "the_source": SOURCE},
    )
    return set(rows.scalars())


async def _households(
    connection: AsyncConnection,
    programme: Programme,
    members: dict[str, str],
    must: Expected,
    refused: set[str],
) -> pl.DataFrame:
    """What the ledger holds, in the columns of FIGURES."""
    rows = await connection.execute(
        text(
            "select m.id, coalesce(b.issued, 0), coalesce(b.redeemed, 0), coalesce(b.expired, 0),"
            "       coalesce(b.pending, 0), coalesce(b.available, 0), m.tier,"
            "       coalesce((select sum(s.amount) from net_spend s"
            "                  where s.bucket = m.bucket and s.programme_id = m.programme_id"
            "                    and s.member_id = m.id and extract(year from s.month) = :the_year), 0)::bigint"
            "  from member m left join book b"
            "    on b.bucket = m.bucket and b.programme_id = m.programme_id and b.member_id = m.id"
            "   and b.wallet = 'points'"
            " where m.programme_id = :the_programme"
        ),
        {"the_programme": programme.id, "the_year": SPENDING_YEAR},
    )
    columns = ("household", "earned", "spent", "expired", "pending", "available", "tier", "net_spend")
    held = pl.DataFrame(
        [(members.get(id_.hex, id_.hex), *figures) for id_, *figures in rows],
        schema=dict.fromkeys(columns, pl.Int64) | {"household": pl.String, "tier": pl.String},
        orient="row",
    )
    counts = (
        must.redemptions.filter(pl.col("reference").is_in(list(refused)))
        .group_by("household")
        .agg(refused=pl.len().cast(pl.Int64))
    )
    return held.join(counts, on="household", how="left").with_columns(pl.col("refused").fill_null(0))


def _of_households(must: Expected, has: pl.DataFrame) -> Iterable[str]:
    both = must.households.join(has, on="household", how="full", suffix="_has", coalesce=True).sort("household")
    for row in both.iter_rows(named=True):
        wrong = [
            f"{figure} {row[f'{figure}_has']} instead of {row[figure]}"
            for figure in FIGURES
            if row[figure] != row[f"{figure}_has"]
        ]
        if wrong:
            yield f"household {row['household']}: {', '.join(wrong)}"


def _of_redemptions(must: Expected, refused: set[str]) -> Iterable[str]:
    for row in must.redemptions.iter_rows(named=True):
        if row["accepted"] == (row["reference"] in refused):
            did, should = ("refused", "accepted") if row["accepted"] else ("accepted", "refused")
            yield (
                f"redemption {row['reference']} of household {row['household']} at {row['occurred_at']}:"
                f" {did} instead of {should}, {row['points']} points of {row['available']} available"
            )


def _of_accounts(must: Expected, has: dict[str, tuple[int, int]]) -> Iterable[str]:
    for account, sums in sorted({**dict.fromkeys(has, (0, 0)), **must.trial_balance}.items()):
        if has.get(account) != sums:
            yield f"trial balance, {account}: debit and credit {has.get(account)} instead of {sums}"


async def _main(file: Path, code: str) -> Comparison:
    settings = load_settings()
    database = Database(settings.database_url)
    try:
        programme = await programmes.read(database.reads, code)
        if programme is None:
            sys.exit(f"There is no programme {code!r}.")
        sealer = Sealer(settings.secret.get_secret_value().encode())
        return await compare(database, programme, file, lookup_of=sealer.lookup)
    finally:
        await database.close()


if __name__ == "__main__":
    parser = ArgumentParser(prog="python -m bench.real_year.compare")
    parser.add_argument("file", type=Path, help="the basket file that was imported")
    parser.add_argument("--programme", default="real-year", help="the code of the programme it was imported into")
    asked = parser.parse_args()
    found = asyncio.run(_main(asked.file, asked.programme))
    print(found)
    sys.exit(1 if found.differences else 0)
