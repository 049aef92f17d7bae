"""For how long points are good."""

from datetime import timedelta

import pytest

from loyalty.domain.expiry import Expiry, Lifespan
from loyalty.domain.refusals import DatesContradict
from loyalty.domain.rules import Base
from loyalty.domain.terms import earned_term, explicit_term
from tests.makers import NEVER, a_calendar, a_wallet, at, day, days

BASE = Base("base", "points", 1, 100)
MONTHS_12 = Expiry(Lifespan.MONTHS, 12)
NEXT_YEAR_END = Expiry(Lifespan.YEAR_END, 1)


@pytest.mark.parametrize(
    ("policy", "earned_on", "last_valid_day"),
    [
        (NEVER, "2026-05-05", None),
        (MONTHS_12, "2026-05-05", "2027-05-05"),
        (MONTHS_12, "2024-02-29", "2025-02-28"),
        (Expiry(Lifespan.MONTHS, 1), "2026-01-31", "2026-02-28"),
        (NEXT_YEAR_END, "2026-01-01", "2027-12-31"),
        (NEXT_YEAR_END, "2026-12-31", "2027-12-31"),
        (Expiry(Lifespan.YEAR_END, 2), "2026-07-01", "2028-12-31"),
    ],
)
def test_an_expiry_policy_names_the_last_valid_day(policy: Expiry, earned_on: str, last_valid_day: str | None) -> None:
    assert policy.valid_through(day(earned_on)) == (day(last_valid_day) if last_valid_day else None)


def test_points_are_good_until_the_end_of_their_last_business_day() -> None:
    calendar = a_calendar("Asia/Shanghai", cutover_hours=4)
    term = earned_term(calendar, a_wallet(expiry=MONTHS_12), BASE, at("2026-05-05 19:59"))  # still the 5th
    assert term.expires_at == at("2027-05-05 20:00")
    assert calendar.last_valid_date(term.expires_at) == day("2027-05-05")


def test_points_of_a_purchase_are_pending_for_the_time_of_their_wallet() -> None:
    bought_at = at("2026-03-27 12:00")  # the clocks go forward in between: seven times 24 hours all the same
    term = earned_term(a_calendar("Europe/Berlin"), a_wallet(pending=days(7)), BASE, bought_at)
    assert term.matures_at == bought_at + timedelta(hours=168)
    assert earned_term(a_calendar(), a_wallet(pending=days(0)), BASE, bought_at).matures_at is None


@pytest.mark.parametrize(
    ("base", "matures_at", "expires_at"),
    [
        (BASE, "2026-05-12", "2027-05-06 00:00"),
        (BASE._replace(pending=0), None, "2027-05-06 00:00"),
        (BASE._replace(pending=86_400), "2026-05-06", "2027-05-06 00:00"),
        (BASE._replace(expiry=NEVER), "2026-05-12", None),
        (BASE._replace(pending=0, expiry=NEXT_YEAR_END), None, "2028-01-01 00:00"),
        (BASE._replace(pending=86_400, expiry=Expiry(Lifespan.MONTHS, 0)), "2026-05-06", "2026-05-07 00:00"),
    ],
)
def test_the_base_rule_may_give_its_own_terms(base: Base, matures_at: str | None, expires_at: str | None) -> None:
    term = earned_term(a_calendar(), a_wallet(expiry=MONTHS_12, pending=days(7)), base, at("2026-05-05"))
    assert term == (at(matures_at) if matures_at else None, at(expires_at) if expires_at else None)


@pytest.mark.parametrize("policy", [Expiry(Lifespan.YEAR_END, 0), Expiry(Lifespan.MONTHS, 0)])
def test_points_of_a_purchase_never_expire_before_they_mature(policy: Expiry) -> None:
    term = earned_term(a_calendar(), a_wallet(pending=days(7), expiry=policy), BASE, at("2026-12-30"))
    assert term.matures_at is not None
    assert term.expires_at is not None
    assert term.expires_at >= term.matures_at


@pytest.mark.parametrize(
    ("pending_until", "expires", "matures_at", "expires_at"),
    [
        (None, None, None, "2027-05-06 00:00"),  # the wallet's policy
        (None, "2026-06-01", None, "2026-06-01"),
        ("2026-05-20", None, "2026-05-20", "2027-05-06 00:00"),
        ("2026-05-20", "2026-06-01", "2026-05-20", "2026-06-01"),
        ("2026-05-05", None, None, "2027-05-06 00:00"),  # pending until now is not pending
        ("2026-01-01", None, None, "2027-05-06 00:00"),
    ],
)
def test_a_grant_may_name_its_own_dates(
    pending_until: str | None, expires: str | None, matures_at: str | None, expires_at: str
) -> None:
    term = explicit_term(
        a_calendar(),
        a_wallet(expiry=MONTHS_12, pending=days(7)),
        at("2026-05-05"),
        pending_until=at(pending_until) if pending_until else None,
        expires_at=at(expires) if expires else None,
    )
    assert term == (at(matures_at) if matures_at else None, at(expires_at))


@pytest.mark.parametrize(
    ("pending_until", "expires"),
    [(None, "2026-05-05"), (None, "2026-05-04"), ("2026-06-01", "2026-06-01"), ("2027-05-06 00:00", None)],
)
def test_a_grant_that_would_expire_before_it_can_be_spent_is_refused(
    pending_until: str | None, expires: str | None
) -> None:
    with pytest.raises(DatesContradict) as caught:
        explicit_term(
            a_calendar(),
            a_wallet(expiry=MONTHS_12),
            at("2026-05-05"),
            pending_until=at(pending_until) if pending_until else None,
            expires_at=at(expires) if expires else None,
        )
    assert caught.value.facts == {
        "begins_at": at(pending_until or "2026-05-05"),
        "expires_at": at(expires or "2027-05-06 00:00"),
    }
