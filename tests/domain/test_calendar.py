"""Business days: zones, daylight saving, the cut-over hour, and months of different lengths."""

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loyalty.domain.calendar import Calendar, add_months, first_of_month
from loyalty.domain.persons import age
from tests.makers import a_calendar, at, day

ZONES = ["UTC", "Asia/Shanghai", "Europe/Berlin", "America/New_York", "America/Havana", "Africa/Cairo"]


@pytest.mark.parametrize(
    ("zone", "cutover_hours", "instant", "expected"),
    [
        ("Asia/Shanghai", 0, "2026-03-01 15:59:59", "2026-03-01"),
        ("Asia/Shanghai", 0, "2026-03-01 16:00", "2026-03-02"),
        ("Asia/Shanghai", 4, "2026-03-01 19:59:59", "2026-03-01"),
        ("Asia/Shanghai", 4, "2026-03-01 20:00", "2026-03-02"),
        ("UTC", 18, "2026-03-02 10:00", "2026-03-01"),  # a night's day: further from midnight than half a day
        ("Europe/Berlin", 0, "2026-03-28 22:59:59", "2026-03-28"),
        ("Europe/Berlin", 0, "2026-03-28 23:00", "2026-03-29"),  # the day the clocks go forward
        ("Europe/Berlin", 0, "2026-03-29 22:00", "2026-03-30"),
        ("Europe/Berlin", 4, "2026-03-29 01:59:59", "2026-03-28"),
        ("Europe/Berlin", 4, "2026-03-29 02:00", "2026-03-29"),
        ("Europe/Berlin", 4, "2026-10-25 02:59:59", "2026-10-24"),  # the day they go back
        ("Europe/Berlin", 4, "2026-10-25 03:00", "2026-10-25"),
        ("UTC", 0, "2027-12-31 23:59:59.999999", "2027-12-31"),
    ],
)
def test_a_business_day_is_the_local_day_from_its_cut_over(
    zone: str, cutover_hours: float, instant: str, expected: str
) -> None:
    assert a_calendar(zone, cutover_hours).business_date(at(instant)) == day(expected)


@pytest.mark.parametrize(
    ("zone", "cutover_hours", "which", "expected"),
    [
        ("Asia/Shanghai", 0, "2026-03-01", "2026-02-28 16:00"),
        ("Asia/Shanghai", 4, "2026-03-01", "2026-02-28 20:00"),
        ("Europe/Berlin", 0, "2026-03-29", "2026-03-28 23:00"),
        ("Europe/Berlin", 0, "2026-03-30", "2026-03-29 22:00"),
        ("Europe/Berlin", 4, "2026-10-25", "2026-10-25 03:00"),
        ("Africa/Cairo", 0, "2026-04-24", "2026-04-23 22:00"),  # there is no midnight that day: it begins at one
    ],
)
def test_a_business_day_begins_at_its_cut_over(zone: str, cutover_hours: float, which: str, expected: str) -> None:
    assert a_calendar(zone, cutover_hours).day_start(day(which)) == at(expected)


@given(
    zone=st.sampled_from(ZONES),
    cutover_hours=st.integers(0, 12),
    which=st.dates(day("2015-01-01"), day("2035-12-31")),
)
def test_a_business_day_begins_with_its_first_instant_and_not_before(
    zone: str, cutover_hours: int, which: object
) -> None:
    assert_day_begins_where_it_says(a_calendar(zone, cutover_hours), str(which))


@pytest.mark.parametrize("which", ["2026-03-29", "2026-10-25"])
def test_a_cut_over_inside_the_hour_that_the_clocks_skip_or_repeat_still_parts_two_days(which: str) -> None:
    calendar = a_calendar("Europe/Berlin", 2.5)
    assert_day_begins_where_it_says(calendar, which)
    instants = [calendar.day_start(day(which)) + timedelta(minutes=minutes) for minutes in range(-120, 121)]
    dates = [calendar.business_date(instant) for instant in instants]
    assert dates == sorted(dates)


def assert_day_begins_where_it_says(calendar: Calendar, which: str) -> None:
    start = calendar.day_start(day(which))
    assert calendar.business_date(start) == day(which)
    assert calendar.business_date(start - timedelta(microseconds=1)) == day(which) - timedelta(days=1)


def test_the_last_valid_date_of_what_ends_at_midnight_is_the_day_before() -> None:
    calendar = a_calendar("Asia/Shanghai")
    assert calendar.last_valid_date(calendar.day_start(day("2027-01-01"))) == day("2026-12-31")
    assert calendar.last_valid_date(at("2026-06-01 04:00")) == day("2026-06-01")


@pytest.mark.parametrize(
    ("start", "months", "expected"),
    [
        ("2026-01-31", 1, "2026-02-28"),
        ("2024-01-31", 1, "2024-02-29"),
        ("2024-02-29", 12, "2025-02-28"),
        ("2026-08-31", 1, "2026-09-30"),
        ("2026-12-31", 2, "2027-02-28"),
        ("2026-11-30", 13, "2027-12-30"),
        ("2026-05-15", 0, "2026-05-15"),
        ("2026-12-01", 1, "2027-01-01"),
    ],
)
def test_months_later_is_the_same_day_or_the_last_of_a_shorter_month(start: str, months: int, expected: str) -> None:
    assert add_months(day(start), months) == day(expected)


def test_a_month_is_known_by_its_first_day() -> None:
    assert first_of_month(day("2026-02-28")) == day("2026-02-01")


@pytest.mark.parametrize(
    ("birthday", "today", "expected"),
    [
        ("2012-03-01", "2026-02-28", 13),
        ("2012-03-01", "2026-03-01", 14),
        ("2012-02-29", "2026-02-27", 13),
        ("2012-02-29", "2026-02-28", 14),  # no 29th that year
        ("2012-02-29", "2028-02-28", 15),
        ("2012-02-29", "2028-02-29", 16),
        ("2096-02-29", "2100-02-28", 4),
        ("1996-02-29", "2000-02-28", 3),
    ],
)
def test_someone_born_on_29_february_grows_older_on_the_28th(birthday: str, today: str, expected: int) -> None:
    assert age(day(birthday), day(today)) == expected


def test_what_ends_an_instant_after_midnight_is_still_valid_on_that_day() -> None:
    calendar = a_calendar("Asia/Shanghai")
    end = calendar.day_start(day("2027-01-01")) + timedelta(microseconds=1)
    assert calendar.last_valid_date(end) == day("2027-01-01")


def test_days_begin_at_midnight_unless_told_otherwise() -> None:
    plain = Calendar(ZoneInfo("Asia/Shanghai"))
    assert plain.day_start(day("2026-03-01")) == at("2026-02-28 16:00")
