"""What a day is to a person: the month of their birthday, or the day itself."""

import orjson
import pytest

from loyalty.domain.persons import BIRTHDAYS, Birthday, birthday_of, birthday_on
from loyalty.domain.rules import Base, Bonus, Multiplier, RuleSet
from tests.makers import Desk, a_calendar, a_programme, accepted, at, day

RULES = RuleSet(
    "1" * 32,
    1,
    at("2025-01-01"),
    (
        Base("base", "points", 1, 100),
        Multiplier("month", "points", 200, "member.birthday_month"),
        Bonus("day", "points", 50, "member.birthday"),
    ),
)


@pytest.mark.parametrize(
    ("born", "today", "is_month", "is_day"),
    [
        ("1990-05-01", "2026-05-01", True, True),
        ("1990-05-01", "2026-05-02", True, False),
        ("1990-05-01", "2026-04-30", False, False),
        ("1990-05-01", "2026-06-01", False, False),
        ("1992-02-29", "2026-02-28", True, True),  # no 29th that year
        ("1992-02-29", "2026-03-01", False, False),
        ("1992-02-29", "2028-02-28", True, False),
        ("1992-02-29", "2028-02-29", True, True),
        ("1992-02-29", "2100-02-28", True, True),
        ("1990-02-28", "2028-02-29", True, False),
    ],
)
def test_a_birthday_has_its_month_and_its_day(born: str, today: str, is_month: bool, is_day: bool) -> None:
    assert birthday_on(day(born), day(today)) == (is_month, is_day)


def test_a_birthday_that_is_not_known_is_never() -> None:
    desk = Desk()
    anna = desk.enrols()
    assert birthday_of(desk.state, anna, day("2026-05-01")) == Birthday(is_month=False, is_day=False)


def test_what_is_bought_in_the_month_of_the_birthday_earns_by_it_and_only_the_truth_is_kept() -> None:
    desk = Desk(a_programme(rule_sets=(RULES,)))
    anna = desk.enrols()
    desk.state.put(BIRTHDAYS, (anna, day("2026-05-02")), birthday_on(day("1990-05-01"), day("2026-05-02")))
    said = [accepted(desk.buys(anna, 10_000, when)).said.points["points"] for when in ("2026-05-02", "2026-06-02")]
    assert said == [200, 100]
    first, _ = desk.entries(anna)
    values = orjson.loads(first.calculation or "")["facts"]["values"]
    assert values == {"member.birthday": False, "member.birthday_month": True}


def test_the_day_of_a_birthday_ends_with_the_business_day() -> None:
    calendar = a_calendar("Asia/Shanghai", cutover_hours=4)
    desk = Desk(a_programme(rule_sets=(RULES,), calendar=calendar))
    anna = desk.enrols()
    for today in ("2026-05-01", "2026-05-02"):
        desk.state.put(BIRTHDAYS, (anna, day(today)), birthday_on(day("1990-05-01"), day(today)))
    late, later = "2026-05-02T03:59:00+08:00", "2026-05-02T04:00:00+08:00"
    said = [accepted(desk.buys(anna, 10_000, when)).said.points["points"] for when in (late, later)]
    assert said == [250, 200]
