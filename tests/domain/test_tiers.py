"""The ladder: up at once, kept to the end of the next year, then whatever that year earned."""

import pytest

from loyalty.domain.ids import EntryId, MemberId
from loyalty.domain.members import MEMBERS
from loyalty.domain.programme import Programme, Rung
from loyalty.domain.state import Need, State
from loyalty.domain.tiers import (
    NET_SPEND,
    TierStep,
    add_net_spend,
    kept_until,
    lapse,
    net_spend,
    place_of,
    reached,
    rise,
)
from tests.makers import NEVER, Desk, a_calendar, a_draft, a_member_id, a_programme, a_wallet, at, day, days

LADDER = (Rung("member", 0), Rung("silver", 1000_00), Rung("gold", 3000_00))


def climbing(**wallet: object) -> Programme:
    return a_programme(a_wallet(**wallet), ladder=LADDER)  # type: ignore[arg-type]


def told(steps: list[TierStep]) -> list[tuple[str, str, str]]:
    return [(step.from_tier, step.to_tier, step.occurred_at.date().isoformat()) for step in steps]


@pytest.mark.parametrize(
    ("spent", "tier"),
    [
        (-1, "member"),
        (0, "member"),
        (999_99, "member"),
        (1000_00, "silver"),
        (2999_99, "silver"),
        (3000_00, "gold"),
        (10**12, "gold"),
    ],
)
def test_net_spend_reaches_a_tier_at_its_exact_amount(spent: int, tier: str) -> None:
    assert LADDER[reached(LADDER, spent)].tier == tier


def test_a_tier_that_left_the_ladder_counts_as_the_lowest() -> None:
    assert place_of(LADDER, "gold") == 2
    assert place_of(LADDER, "platinum") == 0


def test_a_tier_is_kept_to_the_end_of_the_next_year_of_business_days() -> None:
    programme = a_programme(calendar=a_calendar("Asia/Shanghai", 4))
    assert kept_until(programme, 2026) == at("2027-12-31 20:00")


def test_a_member_rises_with_the_purchase_that_reaches_the_tier() -> None:
    desk = Desk(climbing())
    anna = desk.enrols()
    desk.buys(anna, 999_99, "2026-02-01")
    assert desk.steps(anna) == []
    desk.buys(anna, 1, "2026-03-01")
    [step] = desk.steps(anna)
    assert (step.from_tier, step.to_tier, step.occurred_at) == ("member", "silver", at("2026-03-01"))
    assert step.entry_id == desk.entries(anna)[-1].id
    member = desk.member(anna)
    assert (member.tier, member.tier_since, member.tier_until) == ("silver", at("2026-03-01"), at("2028-01-01 00:00"))


def test_one_large_purchase_passes_a_rung() -> None:
    desk = Desk(climbing())
    anna = desk.enrols()
    desk.buys(anna, 5000_00, "2026-02-01")
    assert told(desk.steps(anna)) == [("member", "gold", "2026-02-01")]


def test_spend_counts_in_the_calendar_year_of_its_business_day() -> None:
    desk = Desk(climbing()._replace(calendar=a_calendar("Asia/Shanghai")))
    anna = desk.enrols("2025-01-01")
    desk.buys(anna, 600_00, "2025-12-31 15:59")  # still the 31st there
    desk.buys(anna, 600_00, "2025-12-31 16:00")  # the new year
    assert desk.steps(anna) == []
    desk.buys(anna, 400_00, "2026-12-31 15:59")
    assert told(desk.steps(anna)) == [("member", "silver", "2026-12-31")]


def test_grants_do_not_count_towards_a_tier() -> None:
    desk = Desk(climbing())
    anna = desk.enrols()
    desk.gives(anna, 10_000, "2026-02-01")
    assert desk.steps(anna) == []


def test_a_refused_purchase_does_not_count_towards_a_tier() -> None:
    desk = Desk(climbing())
    anna = desk.enrols()
    desk.buys(anna, 900_00, "2026-02-01", ref="a")
    desk.buys(anna, 900_00, "2026-02-01", ref="a")
    assert desk.steps(anna) == []


def test_reaching_the_same_tier_in_the_next_year_prolongs_it() -> None:
    desk = Desk(climbing())
    anna = desk.enrols()
    desk.buys(anna, 1000_00, "2026-02-01")
    desk.buys(anna, 1000_00, "2027-02-01")
    assert told(desk.steps(anna)) == [("member", "silver", "2026-02-01")]
    assert desk.member(anna).tier_until == at("2029-01-01 00:00")
    assert desk.member(anna).tier_since == at("2026-02-01")


def test_a_lower_tier_reached_in_the_next_year_waits_until_the_higher_lapses() -> None:
    desk = Desk(climbing(pending=days(7)))
    anna = desk.enrols()
    desk.buys(anna, 3000_00, "2026-02-01")
    desk.buys(anna, 1000_00, "2027-02-01")
    assert desk.member(anna).tier == "gold"
    desk.settles(anna, "2027-12-31 23:59")
    assert desk.member(anna).tier == "gold"
    desk.settles(anna, "2028-01-01 00:00")
    assert told(desk.steps(anna)) == [("member", "gold", "2026-02-01"), ("gold", "silver", "2028-01-01")]
    assert desk.member(anna).tier_until == at("2029-01-01 00:00")


def test_a_member_who_stays_away_falls_a_term_at_a_time_to_the_lowest() -> None:
    desk = Desk(climbing(pending=days(7)))
    anna = desk.enrols()
    desk.buys(anna, 3000_00, "2026-02-01")
    desk.buys(anna, 1000_00, "2027-02-01")
    desk.settles(anna, "2035-01-01")
    assert told(desk.steps(anna))[1:] == [("gold", "silver", "2028-01-01"), ("silver", "member", "2029-01-01")]
    assert desk.member(anna).tier_until is None


def test_a_tier_lapses_on_its_day_although_no_point_ever_falls_due() -> None:
    desk = Desk(climbing(pending=days(0), expiry=NEVER))
    anna = desk.enrols()
    desk.buys(anna, 3000_00, "2026-02-01")
    assert desk.member(anna).due_at == at("2028-01-01 00:00")
    desk.settles(anna, "2028-01-01 00:00")
    assert desk.member(anna).tier == "member"


def test_a_late_purchase_of_an_earlier_year_lifts_as_of_the_members_present() -> None:
    desk = Desk(climbing(pending=days(7)))
    anna = desk.enrols("2025-01-01")
    desk.buys(anna, 100_00, "2026-01-10")
    desk.buys(anna, 1000_00, "2025-12-20")
    member = desk.member(anna)
    assert (member.tier, member.tier_since) == ("silver", at("2026-01-10"))
    assert member.tier_until == at("2027-01-01 00:00"), "kept until the end of the year after 2025"


@pytest.mark.parametrize("present", ["2026-01-01 00:00", "2026-01-10"], ids=["at its very end", "later"])
def test_a_purchase_too_late_for_its_tiers_term_lifts_nobody(present: str) -> None:
    desk = Desk(climbing())
    anna = desk.enrols("2024-01-01")
    desk.buys(anna, 100_00, present)
    desk.buys(anna, 3000_00, "2024-06-01")
    assert desk.steps(anna) == []
    assert desk.member(anna).tier == "member"


def test_a_tier_step_is_told_to_those_who_follow_along() -> None:
    desk = Desk(climbing())
    anna = desk.enrols()
    desk.buys(anna, 1000_00, "2026-02-01")
    assert events_of(desk, anna)[-2:] == ["entry.earn", "member.tier_changed"]


def events_of(desk: Desk, member_id: MemberId) -> list[str]:
    return [fact.type for fact in desk.state.facts if hasattr(fact, "type") and fact.member_id == member_id]


def test_net_spend_is_counted_in_its_month_and_in_its_year() -> None:
    state, anna = State(), a_member_id(1)
    assert net_spend(state, anna, 2026) == 0
    for when, amount in (("2026-01-31", 100), ("2026-01-01", 20), ("2026-02-01", 3), ("2027-01-01", 4000)):
        add_net_spend(state, anna, day(when), amount)
    assert state.own(NET_SPEND) == [
        ((anna, day("2026-01-01")), 120),
        ((anna, day("2026-02-01")), 3),
        ((anna, day("2027-01-01")), 4000),
    ]
    assert [net_spend(state, anna, year) for year in (2025, 2026, 2027)] == [0, 123, 4000]


def test_a_need_that_names_no_points_asks_for_no_lots() -> None:
    assert Need(NET_SPEND, (a_member_id(1), day("2026-01-01"))).points == 0


@pytest.mark.parametrize(
    ("year", "spent", "place"),
    [
        (2025, 1000_00, "2026-06-01"),  # its term would end before the one that runs
        (2026, 1000_00, "2028-01-01 00:00"),  # its term would end in this very instant
        (2026, 999_99, "2026-06-01"),
    ],
)
def test_spend_that_brings_no_later_term_changes_nothing(year: int, spent: int, place: str) -> None:
    until = at("2028-01-01 00:00")
    below = a_draft(
        programme=climbing(), tier="silver", effective_at=at(place), tier_until=until, due_at=at("2026-07-01")
    )
    add_net_spend(below, a_member_id(1), day(f"{year}-05-01"), spent)
    draft = below.over()
    rise(draft, a_member_id(1), year=year, entry_id=EntryId("e"))
    assert (draft.rows, draft.facts) == ({}, [])


def test_a_member_on_the_lowest_rung_has_no_term_to_be_watched_for() -> None:
    draft = a_draft(programme=climbing())
    rise(draft, a_member_id(1), year=2026, entry_id=EntryId("e"))
    assert draft.rows[MEMBERS, a_member_id(1)].due_at is None


def test_a_tier_that_the_last_year_earned_again_goes_on_without_a_step() -> None:
    draft = a_draft(programme=climbing(), tier="silver", tier_until=at("2028-01-01 00:00"))
    add_net_spend(draft, a_member_id(1), day("2027-05-01"), 1000_00)
    lapse(draft, a_member_id(1))
    assert draft.rows[MEMBERS, a_member_id(1)].tier_until == at("2029-01-01 00:00")
    assert draft.facts == []


def test_a_step_is_recorded_no_earlier_than_what_the_member_knows() -> None:
    late = at("2028-02-01")
    draft = a_draft(programme=climbing(), tier="silver", tier_until=at("2028-01-01 00:00"), recorded_at=late)
    lapse(draft, a_member_id(1))
    assert [fact.recorded_at for fact in draft.facts] == [late, late]
