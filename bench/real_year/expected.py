"""What the ledger must hold after the grocery year, worked out a second way: by cumulative sums, not lots.

In the programme `real-year` points mature and expire in the order in which they were earned, so they also
leave in that order, whether spent or expired. Then a book is three marks on one line of points: how many have
matured, how many have lapsed, and how many are gone. This module shares no code with the service.

python -m bench.real_year.expected year.csv prints the totals.
"""

from argparse import ArgumentParser
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl

from bench.real_year.dataset import table

ZONE = "America/New_York"
CUT_OVER = timedelta(hours=5)
NOW = datetime(2018, 1, 1, 4, 59, 59, tzinfo=ZoneInfo(ZONE))
SPENDING_YEAR = 2017  # the last business day is still 2017-12-31
CENTS_A_POINT = 100
RETURN_WINDOW = timedelta(days=7)
LIFETIME = "3mo"
LADDER = {"member": 0, "silver": 100_000, "gold": 300_000}

FACT = {
    "kind": pl.String,
    "member": pl.String,
    "source": pl.String,
    "reference": pl.String,
    "occurred_at": pl.String,
}
POINTS = {"points": pl.Int64}
AMOUNT = {"amount": pl.Int64}
LINES = {"lines": pl.List(pl.Struct(AMOUNT))}


@dataclass(frozen=True, slots=True)
class Expected:
    """What must be true at NOW, when everything due at or before NOW has happened. All points are integers.

    households: `household` (text), in points `earned, spent, expired, pending, available`, `refused` (how
        many redemptions were), `tier`, `net_spend` (cents in SPENDING_YEAR); sorted by household.
    redemptions: `household, reference, occurred_at` (UTC), `points`, `available` (just before), `accepted`;
        in file order.
    earned_by_month: `household, month` ("2017-03", by business date), `earned`; months with purchases only.
    trial_balance: account to (debit, credit), gross, over issued, pending, available, redeemed, expired.
    """

    households: pl.DataFrame
    redemptions: pl.DataFrame
    earned_by_month: pl.DataFrame
    trial_balance: dict[str, tuple[int, int]]


def expected(file: Path) -> Expected:
    """What must follow from a basket file (.csv, .jsonl, .parquet; README.md describes it).

    ValueError if a household's facts are not in the order of time, lie after NOW, or cost less than nothing.
    """
    facts = _facts(file)
    return _expected(_purchases(facts), _redemptions(facts))


def expected_from_original(file: Path) -> Expected:
    """As `expected`, but believing `file` only about its redemptions and which households are in it.

    The purchases are read from the installed data set, so a mistake of the converter shows as a difference.
    """
    facts = _facts(file)
    return _expected(_original_purchases(facts["household"].unique()), _redemptions(facts))


def expected_of(purchases: pl.DataFrame, file: Path) -> Expected:
    """As `expected` of these purchases (household, occurred_at, amount, points) and of the redemptions of `file`."""
    return _expected(purchases, _redemptions(_facts(file)))


def _expected(purchases: pl.DataFrame, redemptions: pl.DataFrame) -> Expected:
    earnings = _earnings(purchases)
    decided = _decided(redemptions, earnings)
    households = _households(earnings, decided)
    return Expected(
        households=households,
        redemptions=decided.select("household", "reference", "occurred_at", "points", "available", "accepted"),
        earned_by_month=_earned_by_month(earnings),
        trial_balance=_trial_balance(households),
    )


# What each purchase earns, and when.


def _earnings(purchases: pl.DataFrame) -> pl.DataFrame:
    """`purchases` (household, occurred_at, amount) with points, business date, matures_at and expires_at.

    What earns by rules brings its points with it.
    """
    if "points" not in purchases.columns:
        purchases = purchases.with_columns(points=pl.col("amount") // CENTS_A_POINT)
    return purchases.with_columns(
        business_date=business_date(pl.col("occurred_at")),
        matures_at=pl.col("occurred_at") + RETURN_WINDOW,
    ).with_columns(expires_at=_end_of_business(pl.col("business_date").dt.offset_by(LIFETIME)))


def business_date(instant: pl.Expr) -> pl.Expr:
    wall_clock = instant.dt.convert_time_zone(ZONE).dt.replace_time_zone(None)
    return (wall_clock - CUT_OVER).dt.date()


def _end_of_business(date: pl.Expr) -> pl.Expr:
    """The cut-over that ends a business date: on the next calendar day, local time."""
    wall_clock = date.cast(pl.Datetime("us")) + timedelta(days=1) + CUT_OVER
    return wall_clock.dt.replace_time_zone(ZONE).dt.convert_time_zone("UTC")


# Which redemptions are accepted.


def _decided(redemptions: pl.DataFrame, earnings: pl.DataFrame) -> pl.DataFrame:
    """`redemptions` in file order with matured, lapsed, available, accepted, and `gone` thereafter.

    Whether a redemption is accepted depends on those before it, so this is a loop: over redemptions only.
    """
    due = _with_due(redemptions, earnings)
    gone_so_far: dict[str, int] = defaultdict(int)
    decisions = []
    for household, points, matured, lapsed in due.select("household", "points", "matured", "lapsed").iter_rows():
        gone = max(gone_so_far[household], lapsed)
        available = matured - gone
        accepted = points <= available
        gone_so_far[household] = gone + points if accepted else gone
        decisions.append((available, accepted, gone_so_far[household]))
    schema = {"available": pl.Int64, "accepted": pl.Boolean, "gone": pl.Int64}
    return due.hstack(pl.DataFrame(decisions, schema=schema, orient="row"))


def _with_due(moments: pl.DataFrame, earnings: pl.DataFrame) -> pl.DataFrame:
    """`moments` (household, occurred_at) with its household's points matured and lapsed by then."""
    matured = _with_points_by(moments, earnings, due="matures_at", name="matured")
    return _with_points_by(matured, earnings, due="expires_at", name="lapsed")


def _with_points_by(moments: pl.DataFrame, earnings: pl.DataFrame, *, due: str, name: str) -> pl.DataFrame:
    """`moments` with, as `name`, the points whose `due` is at or before each; the order is kept."""
    running = (
        earnings.group_by("household", due)
        .agg(pl.col("points").sum())
        .sort(due)
        .select("household", due, pl.col("points").cum_sum().over("household").alias(name))
    )
    return (
        moments.with_row_index("place")
        .sort("occurred_at")
        .join_asof(running, left_on="occurred_at", right_on=due, by="household", check_sortedness=False)
        .sort("place")
        .drop("place", due)
        .with_columns(pl.col(name).fill_null(0))
    )


# Where every household stands at NOW.


def _households(earnings: pl.DataFrame, decided: pl.DataFrame) -> pl.DataFrame:
    """The frame `households` of Expected."""
    everyone = pl.concat([earnings.select("household"), decided.select("household")]).unique()
    at_now = everyone.with_columns(occurred_at=pl.lit(NOW.astimezone(UTC)))
    gone = pl.max_horizontal("gone", "lapsed")
    return (
        _with_due(at_now, earnings)
        .join(_earned(earnings), on="household", how="left")
        .join(_spent(decided), on="household", how="left")
        .with_columns(pl.col("earned", "net_spend", "spent", "refused", "gone").fill_null(0))
        .select(
            "household",
            "earned",
            "spent",
            "refused",
            expired=gone - pl.col("spent"),
            pending=pl.col("earned") - pl.col("matured"),
            available=pl.col("matured") - gone,
            tier=_tier(pl.col("net_spend")),
            net_spend="net_spend",
        )
        .sort("household")
    )


def _earned(earnings: pl.DataFrame) -> pl.DataFrame:
    in_year = pl.col("business_date").dt.year() == SPENDING_YEAR
    return earnings.group_by("household").agg(
        earned=pl.col("points").sum(), net_spend=pl.col("amount").filter(in_year).sum()
    )


def _spent(decided: pl.DataFrame) -> pl.DataFrame:
    return decided.group_by("household", maintain_order=True).agg(
        spent=pl.col("points").filter("accepted").sum(),
        refused=pl.col("accepted").not_().sum().cast(pl.Int64),
        gone=pl.col("gone").last(),
    )


def _tier(net_spend: pl.Expr) -> pl.Expr:
    tier = pl.lit(None, dtype=pl.String)
    for name, threshold in LADDER.items():
        tier = pl.when(net_spend >= threshold).then(pl.lit(name)).otherwise(tier)
    return tier


def _earned_by_month(earnings: pl.DataFrame) -> pl.DataFrame:
    month = pl.col("business_date").dt.strftime("%Y-%m").alias("month")
    by_month = earnings.group_by("household", month).agg(earned=pl.col("points").sum())
    return by_month.sort("household", "month")


def _trial_balance(households: pl.DataFrame) -> dict[str, tuple[int, int]]:
    """Account to (debit, credit): earn, mature, spend and expire, each moving points from one to the next."""
    earned, spent, expired, pending = (
        int(households[column].sum()) for column in ("earned", "spent", "expired", "pending")
    )
    matured = earned - pending
    return {
        "issued": (earned, 0),
        "pending": (matured, earned),
        "available": (spent + expired, matured),
        "redeemed": (0, spent),
        "expired": (0, expired),
    }


# Reading.


def _facts(file: Path) -> pl.DataFrame:
    """One row per fact, in file order: household, kind, reference, occurred_at (UTC), amount, points."""
    if file.suffix == ".jsonl":
        facts = _facts_of_objects(pl.read_ndjson(file, schema={**FACT, **LINES, **POINTS}))
    elif file.suffix == ".csv":
        columns = {**FACT, **AMOUNT, **POINTS}
        facts = _facts_of_lines(pl.read_csv(file, columns=list(columns), schema_overrides=columns))
    else:
        facts = _facts_of_lines(pl.read_parquet(file, columns=[*FACT, *AMOUNT, *POINTS]))
    facts = facts.with_columns(
        household=pl.col("member").str.strip_prefix("store:household:"),
        occurred_at=pl.col("occurred_at").str.to_datetime("%Y-%m-%dT%H:%M:%S%:z", time_unit="us"),
    )
    _check(facts)
    return facts


def _facts_of_objects(objects: pl.DataFrame) -> pl.DataFrame:
    amounts = pl.col("lines").list.eval(pl.element().struct.field("amount"))
    return objects.with_columns(amount=amounts.list.sum())


def _facts_of_lines(lines: pl.DataFrame) -> pl.DataFrame:
    return lines.group_by(*FACT, maintain_order=True).agg(pl.col("amount").sum(), pl.col("points").first())


def _check(facts: pl.DataFrame) -> None:
    """ValueError naming the facts for which these rules say nothing: a return, a late arrival, a future."""
    earlier = pl.col("occurred_at").shift(1).over("household")
    late = pl.col("occurred_at") < earlier
    wrong = facts.filter(late | (pl.col("occurred_at") > NOW.astimezone(UTC)) | (pl.col("amount") < 0))
    if wrong.height:
        raise ValueError(f"out of order, after the end or negative: {wrong['reference'].head(5).to_list()}")


def _purchases(facts: pl.DataFrame) -> pl.DataFrame:
    return facts.filter(pl.col("kind") == "purchase").select("household", "occurred_at", "amount")


def _redemptions(facts: pl.DataFrame) -> pl.DataFrame:
    asked = facts.filter(pl.col("kind") == "redemption")
    return asked.select("household", "reference", "occurred_at", "points")


def _original_purchases(households: pl.Series) -> pl.DataFrame:
    """The baskets of `households` (ids as text) from the data set, without the converter's help."""
    cents = (pl.col("sales_value") * 100).round().cast(pl.Int64)
    baskets = (
        pl.scan_parquet(table("transactions"))
        .with_columns(household=pl.col("household_id").cast(pl.String))
        .filter(pl.col("household").is_in(households.implode()))
        .group_by("household", "basket_id")
        .agg(amount=cents.sum(), local=pl.col("transaction_timestamp").first().cast(pl.Datetime("us")))
        .collect()
    )
    moments = pl.Series(instants(baskets["local"].to_list()), dtype=pl.Datetime("us", "UTC"))
    return baskets.select("household", "amount", occurred_at=moments)


def instants(local: Sequence[datetime]) -> list[datetime]:
    """Python's own reading of wall time (fold 0): the earlier of two instants, or onward over a gap."""
    zone = ZoneInfo(ZONE)
    return [moment.replace(tzinfo=zone).astimezone(UTC) for moment in local]


def _summary(result: Expected) -> str:
    households = result.households
    points = households.select(pl.col("earned", "spent", "expired", "pending", "available").sum())
    accepted = int(result.redemptions["accepted"].sum())
    tiers = {tier: int((households["tier"] == tier).sum()) for tier in LADDER}
    return "\n".join(
        [
            f"households  {households.height} {tiers}",
            f"points      {points.row(0, named=True)}",
            f"redemptions {accepted} accepted, {result.redemptions.height - accepted} refused",
            f"accounts    {result.trial_balance}",
        ]
    )


if __name__ == "__main__":
    parser = ArgumentParser(prog="python -m bench.real_year.expected")
    parser.add_argument("file", type=Path, help="a basket file: .csv, .jsonl or .parquet")
    print(_summary(expected(parser.parse_args().file)))
