"""The ladder: up at once, kept to the end of the next year, then whatever that year earned."""

from typing import Any

import pytest

from loyalty.domain.climbing import Tenure
from loyalty.domain.entries import Because
from loyalty.domain.ids import MemberId
from loyalty.domain.ladder import Ladder, Pending, Returns, Rung
from loyalty.domain.programme import Programme
from loyalty.domain.refusals import DatesContradict, NoTierGranted, Refusal, UnknownTier
from loyalty.domain.state import State
from loyalty.domain.tiers import (
    COUNTS,
    HAS_BOUGHT,
    Count,
    TierGrant,
    TierStep,
    buckets,
    climber_of,
    keep_counts,
    next_change,
    review,
)
from loyalty.operations.command import Receipt
from loyalty.operations.door import Answer
from loyalty.operations.grant_tier import EndTierGrant, GrantTier
from tests.makers import NEVER, Desk, a_calendar, a_draft, a_member_id, a_programme, a_wallet, at, day, days

LADDER = Ladder((Rung("member", 0), Rung("silver", 1000_00), Rung("gold", 3000_00)))


def climbing(**wallet: object) -> Programme:
    return a_programme(a_wallet(**wallet), ladder=LADDER)  # type: ignore[arg-type]


def told(steps: list[TierStep]) -> list[tuple[str, str, str]]:
    return [(step.from_tier, step.to_tier, step.occurred_at.date().isoformat()) for step in steps]


def test_a_tier_that_left_the_ladder_counts_as_the_lowest() -> None:
    assert LADDER.place("gold") == 2
    assert LADDER.place("platinum") == 0


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


def test_a_return_brings_the_next_review_forward() -> None:
    desk = Desk(climbing())
    anna = desk.enrols()
    bought = desk.buys(anna, 1000_00, "2026-02-01")
    assert desk.member(anna).tier_until == at("2028-01-01 00:00")
    desk.returns(bought, "2026-03-01")
    assert desk.member(anna).tier == "silver"
    assert desk.member(anna).tier_until == at("2027-01-01 00:00")


def test_a_review_is_a_fact_of_the_members_history_and_nothing_takes_effect_before_it() -> None:
    desk = Desk(climbing(pending=days(0)))
    anna = desk.enrols()
    desk.buys(anna, 1000_00, "2026-02-01")
    desk.settles(anna, "2028-01-05")
    assert desk.member(anna).effective_at == at("2028-01-01 00:00")
    desk.buys(anna, 10_00, "2027-12-31")
    assert desk.entries(anna)[-1].effective_at == at("2028-01-01 00:00")


def test_a_step_is_recorded_no_earlier_than_what_the_member_knows() -> None:
    late = at("2028-02-01")
    draft = a_draft(programme=climbing(), tier="silver", tier_until=at("2028-01-01 00:00"), recorded_at=late)
    review(draft, a_member_id(1), at("2028-01-01 00:00"))
    assert [fact.recorded_at for fact in draft.facts] == [late, late]


def test_what_is_counted_is_kept_by_metric_and_bucket() -> None:
    state, anna = State(), a_member_id(1)
    counts = [Count("net_spend", day(text), amount) for text, amount in (("2026-01-31", 100), ("2026-02-01", 3))]
    keep_counts(state, anna, buckets(LADDER, [*counts, Count("net_spend", day("2026-01-01"), 20)]))
    assert state.get(COUNTS, (anna, "net_spend")) == ((day("2026-01-01"), 120), (day("2026-02-01"), 3))
    assert state.get(HAS_BOUGHT, anna)


# --- what counts ---------------------------------------------------------------------------------------------


def on(metric: str, **choices: object) -> Programme:
    """Silver at 10 of the metric, gold at 30; points of two wallets, a unit each."""
    ladder = Ladder((Rung("member", 0), Rung("silver", 10), Rung("gold", 30)), metric=((metric, 1),), **choices)  # type: ignore[arg-type]
    return a_programme(a_wallet(pending=days(7)), a_wallet("growth", unit=1000), ladder=ladder)


def test_visits_count_purchases_and_one_that_came_back_whole_was_none() -> None:
    desk = Desk(
        on("visits")._replace(ladder=on("visits").ladder._replace(rungs=(Rung("member", 0), Rung("silver", 2))))
    )
    anna = desk.enrols()
    first = desk.buys(anna, 10, "2026-02-01")
    desk.returns(first, "2026-02-02")
    desk.buys(anna, 10, "2026-02-03")
    assert desk.member(anna).tier == "member"
    desk.buys(anna, 10, "2026-02-04")
    assert desk.member(anna).tier == "silver"


def test_growth_value_lifts_and_points_to_spend_do_not() -> None:
    desk = Desk(on("points.growth"))
    anna = desk.enrols()
    desk.buys(anna, 99_99, "2026-02-01")
    assert desk.member(anna).tier == "member"
    desk.gives(anna, 1_000, "2026-02-01")
    assert desk.member(anna).tier == "member"
    desk.buys(anna, 10_00, "2026-02-02")
    assert desk.member(anna).tier == "silver"


def test_explicit_points_count_where_the_tier_goes_by_them() -> None:
    desk = Desk(on("points.points"))
    anna = desk.enrols()
    desk.gives(anna, 10, "2026-02-01")
    assert desk.member(anna).tier == "silver"


@pytest.mark.parametrize(("pending", "lifted"), [(Pending.EARNING, "2026-02-01"), (Pending.MATURING, "2026-02-08")])
def test_pending_points_count_on_earning_or_on_maturing(pending: Pending, lifted: str) -> None:
    desk = Desk(on("points.points", pending=pending))
    anna = desk.enrols()
    desk.buys(anna, 10_00, "2026-02-01")
    desk.settles(anna, "2026-03-01")
    assert told(desk.steps(anna)) == [("member", "silver", lifted)]
    assert desk.steps(anna)[0].entry_id in {entry.id for entry in desk.entries(anna)}


def test_what_came_back_before_it_matured_never_counts() -> None:
    desk = Desk(on("points.points", pending=Pending.MATURING))
    anna = desk.enrols()
    bought = desk.buys(anna, 10_00, "2026-02-01")
    desk.returns(bought, "2026-02-03")
    desk.buys(anna, 9_00, "2026-02-03")
    desk.settles(anna, "2026-03-01")
    assert desk.member(anna).tier == "member"
    assert desk.state.get(COUNTS, (anna, "points.points")) == ((day("2026-02-01"), 9),)


def test_what_came_back_after_it_matured_counts_less_in_the_month_in_which_it_did() -> None:
    desk = Desk(on("points.points", pending=Pending.MATURING))
    anna = desk.enrols()
    bought = desk.buys(anna, 10_00, "2026-01-28")
    desk.settles(anna, "2026-03-01")
    assert desk.state.get(COUNTS, (anna, "points.points")) == ((day("2026-02-01"), 10),)
    desk.returns(bought, "2026-03-02")
    assert desk.state.get(COUNTS, (anna, "points.points")) == ((day("2026-02-01"), 0),)


def test_a_mix_weighs_what_it_adds_up() -> None:
    programme = on("visits")
    ladder = programme.ladder._replace(metric=(("visits", 5), ("points.growth", 2)))
    desk = Desk(programme._replace(ladder=ladder))
    anna = desk.enrols()
    desk.buys(anna, 10_00, "2026-02-01")  # 5 + 2
    assert desk.member(anna).tier == "member"
    desk.buys(anna, 0, "2026-02-02")  # 5 more
    assert desk.member(anna).tier == "silver"


def test_a_ladder_that_protects_keeps_what_was_bought_but_does_not_lift_by_what_came_back() -> None:
    desk = Desk(on("net_spend", returns=Returns.PROTECT))
    anna = desk.enrols()
    bought = desk.buys(anna, 10, "2026-02-01")
    desk.returns(bought, "2026-03-01")
    assert desk.member(anna).tier_until == at("2028-01-01 00:00"), "kept as if nothing had come back"
    desk.buys(anna, 25, "2026-04-01")
    assert desk.member(anna).tier == "silver"


def test_a_ladder_that_demotes_takes_the_tier_with_the_return() -> None:
    desk = Desk(on("net_spend", returns=Returns.DEMOTE))
    anna = desk.enrols()
    desk.buys(anna, 12, "2026-02-01")
    bought = desk.buys(anna, 20, "2026-02-02")
    assert desk.member(anna).tier == "gold"
    desk.returns(bought, "2026-03-01")
    assert told(desk.steps(anna))[-1] == ("gold", "silver", "2026-03-01")
    assert desk.steps(anna)[-1].entry_id == desk.entries(anna)[-1].id


# --- given by hand -------------------------------------------------------------------------------------------


def granted(desk: Desk, member_id: MemberId, when: str, tier: str, **how: Any) -> Answer:
    until = how.pop("until", None)
    command = GrantTier(
        member_id,
        tier,
        until=None if until is None else at(until),
        locked=how.pop("locked", False),
        approved_by="desk-7",
        fires_benefits=True,
        because=Because(reason="a good customer"),
        business_date=day(when[:10]),
    )
    return desk.does(command, at(when))


def ended(desk: Desk, member_id: MemberId, when: str) -> Any:
    return desk.does(EndTierGrant(member_id, "desk-7", Because(reason="over"), day(when[:10])), at(when)).outcome


def test_a_granted_tier_holds_whatever_is_earned_until_it_ends() -> None:
    desk = Desk(climbing())
    anna = desk.enrols()
    granted(desk, anna, "2026-02-01", "gold", until="2026-06-01 00:00")
    assert told(desk.steps(anna)) == [("member", "gold", "2026-02-01")]
    assert desk.steps(anna)[0].entry_id == desk.entries(anna)[-1].id
    desk.buys(anna, 1000_00, "2026-03-01")
    assert desk.member(anna).tier == "gold"
    desk.settles(anna, "2026-07-01")
    assert told(desk.steps(anna))[1:] == [("gold", "silver", "2026-06-01")]
    member = desk.member(anna)
    assert (member.tier_since, member.tier_until) == (at("2026-03-01"), at("2028-01-01 00:00"))


def test_a_granted_tier_is_no_ceiling_unless_it_is_locked() -> None:
    for locked, tier in ((False, "gold"), (True, "silver")):
        desk = Desk(climbing())
        anna = desk.enrols()
        granted(desk, anna, "2026-02-01", "silver", locked=locked)
        desk.buys(anna, 3000_00, "2026-03-01")
        assert desk.member(anna).tier == tier
        assert isinstance(ended(desk, anna, "2026-04-01"), Receipt)
        assert desk.member(anna).tier == "gold"


def test_a_member_can_be_locked_below_what_it_earns() -> None:
    desk = Desk(climbing())
    anna = desk.enrols()
    desk.buys(anna, 3000_00, "2026-03-01")
    granted(desk, anna, "2026-04-01", "member", locked=True, until="2026-05-01")
    assert desk.member(anna).tier == "member"
    desk.settles(anna, "2026-06-01")
    assert told(desk.steps(anna))[-1] == ("member", "gold", "2026-05-01")


def test_what_was_not_granted_cannot_end() -> None:
    desk = Desk(climbing())
    anna = desk.enrols()
    assert isinstance(ended(desk, anna, "2026-02-01"), NoTierGranted)
    granted(desk, anna, "2026-02-01", "gold", until="2026-03-01")
    assert isinstance(ended(desk, anna, "2026-04-01"), NoTierGranted)


@pytest.mark.parametrize(
    ("tier", "until", "refusal"), [("platinum", None, UnknownTier), ("gold", "2026-01-31", DatesContradict)]
)
def test_a_grant_that_makes_no_sense_is_refused(tier: str, until: str | None, refusal: type[Refusal]) -> None:
    desk = Desk(climbing())
    anna = desk.enrols()
    assert isinstance(granted(desk, anna, "2026-02-01", tier, until=until).outcome, refusal)


def test_what_comes_next_is_told_as_things_are() -> None:
    desk = Desk(climbing())
    anna = desk.enrols()
    desk.buys(anna, 3000_00, "2026-03-01")
    member = desk.member(anna)
    shown = Tenure(member.tier, member.tier_since, member.tier_until)
    climber = climber_of(desk.state, desk.programme, member)
    assert next_change(climber, None, shown) == (at("2028-01-01 00:00"), "member")
    grant = TierGrant("silver", at("2028-06-01"), locked=False, earned=shown)
    assert next_change(climber, grant, shown) == (at("2028-01-01 00:00"), "silver")
    lasting = TierGrant("gold", None, locked=False, earned=shown)
    assert next_change(climber, lasting, shown) == (None, "gold")
