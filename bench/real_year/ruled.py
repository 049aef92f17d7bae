"""The year by rules: two published versions, two wallets, tiers by growth; and what must come of it, by month.

The second half of this module shares no code with the service: it works everything out again from the data set, by sums
over lines and a walk over months.

python -m bench.real_year.ruled --households 400 --months 2
"""

import asyncio
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
from sqlalchemy import text

from bench.real_year import convert
from bench.real_year.compare import Comparison, LookupOf, compare, members_of
from bench.real_year.dataset import table
from bench.real_year.expected import Expected, business_date, expected_of, instants
from bench.rules import publish_from
from loyalty.cli.import_ import import_baskets, told
from loyalty.demo import REAL_YEAR
from loyalty.domain.expiry import Expiry, Lifespan
from loyalty.domain.ladder import Ladder, Period, Rung, Window
from loyalty.domain.programme import Programme, Wallet
from loyalty.domain.rules import Base, Exclusion, Multiplier, Rule
from loyalty.embedded import EmbeddedPostgres
from loyalty.recompute.verify import verify
from loyalty.store import migrations, programmes, seeding
from loyalty.store.database import Database
from loyalty.store.sealing import Sealer

SECRET = b"only for a database that lives as long as this command"
CHANGE = date(2017, 7, 1)
DOUBLED = ({"SOFT DRINKS": 200, "FLUID MILK PRODUCTS": 150}, {"BEEF": 200, "CHEESE": 300})
"""Percent by category, in the first half of the year and in the second."""
EARNS_NOTHING = "CIGARETTES"
MONTHS = [f"2017-{month:02}" for month in range(1, 13)]


@dataclass(frozen=True)
class Climb:
    """The choices of the ladder: a rolling window, what reaches and what keeps a tier, and the grace."""

    months: int
    grace_days: int
    reached_at: Mapping[str, int]
    kept_at: Mapping[str, int]


LONG = Climb(12, 30, {"silver": 1_000, "gold": 3_000}, {"silver": 700, "gold": 2_000})
SHORT = Climb(2, 10, {"silver": 400, "gold": 900}, {"silver": 250, "gold": 600})
"""In which households fall, too."""


def programme_of(climb: Climb) -> Programme:
    """The real year's programme with growth value beside points, and tiers by growth."""
    growth = Wallet("growth", 1, 100, timedelta(0), Expiry(Lifespan.NEVER_ENDS), 0)
    rungs = (Rung(tier, score, climb.kept_at[tier]) for tier, score in climb.reached_at.items())
    return REAL_YEAR._replace(
        code="real-year-by-rules",
        wallets={**REAL_YEAR.wallets, "growth": growth},
        ladder=Ladder(
            (Rung("member", 0), *rungs),
            metric=(("points.growth", 1),),
            window=Window(Period.ROLLING, climb.months),
            grace_days=climb.grace_days,
        ),
    )


def version(percents: Mapping[str, int]) -> tuple[Rule, ...]:
    """A version of the rules: a point and one of growth for each dollar; more points by category; no cigarettes."""
    more = (
        Multiplier(f"m{n}", "points", percent, f"line.category == '{category}'")
        for n, (category, percent) in enumerate(percents.items())
    )
    nothing = Exclusion("nothing", None, f"line.category == '{EARNS_NOTHING}'")
    return (Base("points", "points", 1, 100), Base("growth", "growth", 1, 100), *more, nothing)


# --- what must come of it, from the data set alone -----------------------------------------------------------


@dataclass(frozen=True)
class ByMonth:
    """household, month ("2017-03"): `points` and `growth` earned, and the `tier` at the end of the month."""

    year: Expected
    months: pl.DataFrame


def expected_by_rules(file: Path, climb: Climb, households: Sequence[str]) -> ByMonth:
    """What must follow from the purchases of the data set, by these rules, and from the redemptions of `file`."""
    purchases = _purchases(pl.Series(households))
    walked = _walked(purchases, climb)
    earned = (
        purchases.with_columns(month=pl.col("day").dt.strftime("%Y-%m"))
        .group_by("household", "month")
        .agg(pl.col("points").sum(), pl.col("growth").sum())
    )
    months = walked.join(earned, on=["household", "month"], how="left").fill_null(0).sort("household", "month")
    year = expected_of(purchases.select("household", "occurred_at", "amount", "points"), file)
    at_the_end = months.filter(pl.col("month") == MONTHS[-1]).select("household", "tier")
    standing = year.households.drop("tier").join(at_the_end, on="household", how="left")
    growth = int(purchases["growth"].sum())
    issued, available = year.trial_balance["issued"], year.trial_balance["available"]
    more = {"issued": (issued[0] + growth, issued[1]), "available": (available[0], available[1] + growth)}
    balance = {**year.trial_balance, **more}
    return ByMonth(Expected(standing, year.redemptions, year.earned_by_month, balance), months)


def _purchases(households: pl.Series) -> pl.DataFrame:
    """Every basket: household, occurred_at, business day, amount, and what it earns, rounded down once."""
    category = pl.read_parquet(table("products"), columns=["product_id", "product_category"])
    lines = (
        pl.read_parquet(table("transactions"))
        .with_columns(household=pl.col("household_id").cast(pl.String))
        .filter(pl.col("household").is_in(households.implode()))
        .join(category, on="product_id", how="left")
        .with_columns(amount=(pl.col("sales_value") * 100).round().cast(pl.Int64))
    )
    baskets = lines.group_by("household", "basket_id").agg(
        pl.col("transaction_timestamp").first().cast(pl.Datetime("us")).alias("local")
    )
    moments = pl.Series(instants(baskets["local"].to_list()), dtype=pl.Datetime("us", "UTC"))
    baskets = baskets.with_columns(occurred_at=moments).with_columns(day=business_date(pl.col("occurred_at")))
    early = pl.col("day") < CHANGE
    percent = pl.when(early).then(_percent(DOUBLED[0])).otherwise(_percent(DOUBLED[1]))
    earning = pl.when(pl.col("product_category").eq_missing(EARNS_NOTHING)).then(0).otherwise(pl.col("amount"))
    return (
        lines.join(baskets.drop("local"), on=["household", "basket_id"])
        .with_columns(earning=earning, percent=percent)
        .group_by("household", "basket_id")
        .agg(
            pl.col("occurred_at").first(),
            pl.col("day").first(),
            amount=pl.col("amount").sum(),
            points=(pl.col("earning") * pl.col("percent")).sum() // 10_000,
            growth=pl.col("earning").sum() // 100,
        )
        .sort("household", "occurred_at")
    )


def _percent(by_category: Mapping[str, int]) -> pl.Expr:
    found = pl.lit(100, dtype=pl.Int64)
    for category, percent in by_category.items():
        found = pl.when(pl.col("product_category").eq_missing(category)).then(percent).otherwise(found)
    return found


def _walked(purchases: pl.DataFrame, climb: Climb) -> pl.DataFrame:
    """household, month, tier: each household walked through its year, day by day as far as something happens."""
    rows = []
    for (household,), theirs in purchases.group_by("household", maintain_order=True):
        happened = list(theirs.select("day", "growth").iter_rows())
        rows += [(household, month, tier) for month, tier in zip(MONTHS, _tiers(happened, climb), strict=True)]
    return pl.DataFrame(rows, schema=["household", "month", "tier"], orient="row")


def _tiers(happened: Sequence[tuple[date, int]], climb: Climb) -> Iterator[str]:
    """The tier at the end of each month of 2017."""
    names = ["member", *climb.reached_at]
    reach, keep = [0, *climb.reached_at.values()], [0, *climb.kept_at.values()]
    sums = [0] * 24  # of 2016, in which nothing happened, and of 2017
    place, falls_on, failed = 0, date.max, 0

    def window(month: int) -> int:
        """What the months up to this one come to."""
        return sum(sums[month - climb.months + 1 : month + 1])

    waiting = list(reversed(happened))
    for number in range(12):
        month = 12 + number
        first = date(2017, number + 1, 1)
        if place and falls_on == date.max and window(month - 1) < keep[place]:
            falls_on, failed = first + timedelta(days=climb.grace_days), window(month - 1)
        end = date(2018, 1, 1) if number == 11 else date(2017, number + 2, 1)
        day = first
        while day < end:
            if day == falls_on:
                if window(month) < keep[place]:
                    best = max(failed, window(month))
                    place = max(lower for lower in range(place) if best >= keep[lower])
                falls_on = date.max
            while waiting and waiting[-1][0] == day:
                sums[month] += waiting.pop()[1]
                reached = max(one for one in range(len(reach)) if window(month) >= reach[one])
                if reached > place:
                    place, falls_on = reached, date.max
            day += timedelta(days=1)
        yield names[place]


# --- what the ledger holds -----------------------------------------------------------------------------------


async def compare_months(
    database: Database, programme: Programme, must: ByMonth, *, lookup_of: LookupOf
) -> tuple[int, list[str]]:
    """How many figures were compared, and those that differ, each in a sentence."""
    households = must.months["household"].unique().to_list()
    async with database.snapshot(programme.id) as connection:
        members = await members_of(connection, programme, households, lookup_of)
        earned = await connection.execute(
            text(
                "select p.member_id, to_char(p.accounting_date, 'YYYY-MM'), p.wallet, sum(p.points)::bigint"
                "  from posting p where p.programme_id = :the_programme and p.debit = 'issued' group by 1, 2, 3"
            ),
            {"the_programme": programme.id},
        )
        given = {(members[id_.hex], month, wallet): points for id_, month, wallet, points in earned}
        steps = await connection.execute(
            text(
                "select s.member_id, s.occurred_at, s.to_tier from tier_step s where s.programme_id = :the_programme"
                " order by s.occurred_at, s.id"
            ),
            {"the_programme": programme.id},
        )
        history: dict[str, list[tuple[datetime, str]]] = {}
        for id_, occurred_at, tier in steps:
            history.setdefault(members[id_.hex], []).append((occurred_at, tier))
    ends = {month: _end(programme, month) for month in MONTHS}
    wrong = []
    for row in must.months.iter_rows(named=True):
        household, month = row["household"], row["month"]
        tiers = [tier for at, tier in history.get(household, ()) if at < ends[month]]
        has = {
            "points": given.get((household, month, "points"), 0),
            "growth": given.get((household, month, "growth"), 0),
            "tier": tiers[-1] if tiers else "member",
        }
        wrong += [
            f"household {household}, {month}: {name} {has[name]} instead of {row[name]}"
            for name in has
            if has[name] != row[name]
        ]
    return 3 * must.months.height, wrong


def _end(programme: Programme, month: str) -> datetime:
    year, number = int(month[:4]), int(month[5:])
    return programme.calendar.day_start(date(year + number // 12, number % 12 + 1, 1))


# --- the story -----------------------------------------------------------------------------------------------


async def live_the_year(
    postgres: EmbeddedPostgres, file: Path, climb: Climb
) -> tuple[Comparison, int, list[str], bool]:
    """Publish, import, verify, compare."""
    runner = postgres.url("loyalty_runner")
    await migrations.upgrade(postgres.url(), ("loyalty_run", runner))
    programme = await seeding.ensure_programme(postgres.url(), programme_of(climb))
    database = Database(runner)
    lookup_of = Sealer(SECRET).lookup
    try:
        for since, percents in zip((date(2017, 1, 1), CHANGE), DOUBLED, strict=True):
            await publish_from(database, programme, programme.calendar.day_start(since), *version(percents))
        ruled = await programmes.read(database.reads, programme.code)
        assert ruled is not None, "it was made above"
        print(told(await import_baskets(database, ruled, file, lookup_of=lookup_of, enrol=True)))
        sound = (await verify(database, ruled)).sound
        households = [one.removeprefix("store:household:") for one in _households_of(file)]
        must = await asyncio.to_thread(expected_by_rules, file, climb, households)
        comparison = await compare(database, ruled, file, lookup_of=lookup_of, must=must.year)
        compared, wrong = await compare_months(database, ruled, must, lookup_of=lookup_of)
        return comparison, compared, wrong, sound
    finally:
        await database.close()


def _households_of(file: Path) -> list[str]:
    members: Any = pl.read_parquet(file, columns=["member"])["member"].unique()
    return [str(one) for one in members]


def main() -> None:
    """Prints what was compared; exits with 1 if anything differs."""
    parser = ArgumentParser(prog="python -m bench.real_year.ruled", description=__doc__)
    parser.add_argument("--households", type=int, default=None, help="how many, or all (default)")
    parser.add_argument("--months", type=int, choices=(2, 12), default=12, help="of the rolling window")
    asked = parser.parse_args()
    climb = LONG if asked.months == LONG.months else SHORT
    began = datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix="ruled-year-") as scratch:
        place = Path(scratch)
        place.chmod(0o755)  # under root, Postgres runs as a user of its own
        file = place / "year.parquet"
        convert.write(convert.basket_rows(households=asked.households), file)
        with EmbeddedPostgres.start(place / "postgres") as postgres:
            try:
                comparison, compared, wrong, sound = asyncio.run(live_the_year(postgres, file, climb))
            finally:
                postgres.discard()
    print(comparison)
    print(f"{compared:,} figures by household and month: {f'{len(wrong):,} differ' if wrong else 'all agree'}")
    print("\n".join(wrong[:20]))
    print(f"verify: {'sound' if sound else 'NOT sound'}; {(datetime.now(UTC) - began).total_seconds():.0f} s in all")
    sys.exit(0 if sound and not wrong and not comparison.differences else 1)


if __name__ == "__main__":
    main()
