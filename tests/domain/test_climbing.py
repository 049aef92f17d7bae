"""Climbing and falling: every choice of the ladder, and all of them together against a naive twin."""

import random
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from loyalty.domain.calendar import Calendar
from loyalty.domain.climbing import Climber, Judged, Tenure
from loyalty.domain.ladder import NET_SPEND, Down, Ladder, Period, Returns, Rung, Steps, Up, Window
from loyalty.domain.tiers import Count, buckets, with_count
from tests.ladder_twin import Happening, Walker
from tests.makers import a_calendar, at, day

RUNGS = (Rung("member", 0), Rung("silver", 100, 60), Rung("gold", 300, 200), Rung("black", 600))
JOINED = "2024-02-29"


class Life:
    """A member on a ladder, reviewed whenever that is due: as the ledger does it, without a ledger."""

    def __init__(self, ladder: Ladder, calendar: Calendar, joined: date) -> None:
        self._counts: dict[str, Any] = {}
        self.steps: list[tuple[str, str, datetime]] = []
        self.judged: list[Judged | None] = []
        """What decided each of them."""
        enrolled_at = calendar.day_start(joined) + timedelta(hours=1)
        self.climber = Climber(ladder, calendar, {}, enrolled_at, Tenure("member", enrolled_at, None))

    def live(self, happenings: list[Happening], until: date) -> None:
        for happening in happenings:
            if happening.lived < until:
                now = self.climber.calendar.day_start(happening.lived) + timedelta(hours=12)
                self.reviews(now)
                self.happens(happening, now)
        self.reviews(self.climber.calendar.day_start(until))

    def happens(self, happening: Happening, now: datetime) -> None:
        carried = self.climber.is_carried(now)
        for metric, first, amount in buckets(self.climber.ladder, [Count(NET_SPEND, happening.of, happening.amount)]):
            self._counts[metric] = with_count(self._counts.get(metric, ()), first, amount)
        one = self.climber
        self.climber = Climber(one.ladder, one.calendar, dict(self._counts), one.enrolled_at, one.tenure)
        if happening.amount < 0:
            self.settle(self.climber.lost(now, was_carried=carried), now, on_review=False)
        else:
            self.settle(self.climber.gained(now, happening.of), now, on_review=False)

    def reviews(self, now: datetime) -> None:
        while (due := self.climber.tenure.until) is not None and due <= now:
            before = due
            self.settle(self.climber.reviewed(due), due, on_review=True)
            after = self.climber.tenure.until
            assert after is None or after > before, "a review looks ahead"

    def settle(self, tenure: Tenure, now: datetime, *, on_review: bool) -> None:
        if tenure.tier != self.climber.tenure.tier:
            assert tenure.since == now
            self.steps.append((self.climber.tenure.tier, tenure.tier, now))
            self.judged.append(self.climber.judged(tenure.tier, now, on_review=on_review))
        self.climber = self.climber.at(tenure)


def some_ladder(dice: random.Random) -> Ladder:
    return Ladder(
        RUNGS,
        window=Window(dice.choice(list(Period)), dice.choice([1, 2, 3, 12, 14])),
        up=dice.choice(list(Up)),
        up_steps=dice.choice(list(Steps)),
        down=dice.choice(list(Down)),
        grace_days=dice.choice([0, 0, 1, 10, 30, 45, 100]),
        returns=dice.choice(list(Returns)),
    )


def some_happenings(dice: random.Random, joined: date, *, years: int) -> list[Happening]:
    """Purchases, some told late, and returns of some of them; in the order in which they are lived through."""
    found: list[Happening] = []
    for _ in range(dice.randint(1, 14)):
        of = joined + timedelta(days=dice.randint(0, 365 * years))
        late = dice.choice([0, 0, 0, 0, 1, 20, 90, 400])
        amount = dice.choice([10, 40, 60, 100, 140, 200, 320, 600])
        bought = Happening(of + timedelta(days=late), of, amount)
        found.append(bought)
        if dice.random() < 0.3:
            back = dice.choice([amount, amount // 2])
            found.append(Happening(bought.lived + timedelta(days=dice.randint(0, 300)), of, -back))
    return sorted(found, key=lambda one: one.lived)


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_the_ladder_and_its_naive_twin_take_the_same_steps_whatever_the_choices(zone: str) -> None:
    dice = random.Random(20261123)
    calendar, joined = a_calendar(zone, 4), day(JOINED)
    climbed = 0
    for number in range(60):
        ladder = some_ladder(dice)
        happenings = some_happenings(dice, joined, years=3)
        end = joined + timedelta(days=365 * 5)
        life, walker = Life(ladder, calendar, joined), Walker(ladder, calendar, joined)
        life.live(happenings, end)
        walker.live(happenings, end)
        assert life.steps == walker.steps, (number, ladder, happenings)
        for step, judged, then in zip(life.steps, life.judged, walker.before_steps, strict=True):
            assert_says_why(step, judged, then)
        climbed += len(life.steps)
    assert climbed > 200


def assert_says_why(step: tuple[str, str, datetime], judged: Judged | None, then: Walker) -> None:
    """What is said to have decided is a window of the member's of then, and what the twin adds up over its days."""
    assert judged is not None, (step, then.ladder)
    before, after = (then.ladder.place(tier) for tier in step[:2])
    assert judged.begins == then.start(judged.ends)
    if after > before:
        assert judged.score == then.score(judged.ends) >= judged.needed == RUNGS[after].reached_at
    else:
        assert judged.score == then.score_to_keep(judged.ends) < judged.needed == RUNGS[before].kept_at


def test_reading_ahead_says_what_will_have_happened() -> None:
    """What is told of the next review is what it brings, if nothing more is counted."""
    dice = random.Random(7)
    for _ in range(150):
        ladder, joined = some_ladder(dice), day(JOINED)
        life = Life(ladder, a_calendar("Asia/Shanghai"), joined)
        life.live(some_happenings(dice, joined, years=2), day("2026-06-15"))
        now = life.climber.calendar.day_start(day("2026-06-15")) + timedelta(hours=12)
        life.reviews(now)
        outlook, tier = life.climber.outlook(now), life.climber.tenure.tier
        if outlook.kept_until is None:
            assert outlook.missing_to_stay == 0
            life.reviews(at("2040-01-01"))
            assert ladder.place(life.climber.tenure.tier) >= ladder.place(tier)
            continue
        assert outlook.missing_to_stay > 0
        life.reviews(outlook.kept_until - timedelta(microseconds=1))
        if life.climber.tenure.tier == tier:
            life.reviews(outlook.kept_until)
            assert ladder.place(life.climber.tenure.tier) < ladder.place(tier)


def a_life(joined: str = JOINED, **choices: Any) -> Life:
    return Life(Ladder(RUNGS, **choices), a_calendar(), day(joined))


def spends(life: Life, when: str, amount: int, of: str | None = None) -> str:
    """The tier after it."""
    now = at(when)
    life.reviews(now)
    life.happens(Happening(day(when), day(of or when), amount), now)
    return life.climber.tenure.tier


def falls(life: Life) -> list[tuple[str, str, str]]:
    life.reviews(at("2050-01-01"))
    return [(old, new, when.date().isoformat()) for old, new, when in life.steps if new != "gold"]


def test_a_rolling_window_keeps_a_tier_as_long_as_its_months_add_up() -> None:
    life = a_life(window=Window(Period.ROLLING, 3))
    assert spends(life, "2026-01-20", 150) == "silver"
    assert spends(life, "2026-03-05", 150) == "gold"
    # On 1 April January to March keep it; on 1 May February to April come to 150, less than 200.
    assert falls(life) == [
        ("member", "silver", "2026-01-20"), ("gold", "silver", "2026-05-01"), ("silver", "member", "2026-07-01")
    ]  # fmt: skip


def test_a_month_is_judged_by_itself() -> None:
    life = a_life(window=Window(Period.CALENDAR_MONTH))
    assert spends(life, "2026-01-20", 100) == "silver"
    assert spends(life, "2026-02-20", 59) == "silver"
    assert falls(life)[-1] == ("silver", "member", "2026-03-01")


def test_years_from_joining_end_on_the_anniversary_and_on_28_february_where_there_is_no_29th() -> None:
    life = a_life(window=Window(Period.JOIN_ANNIVERSARY))
    assert spends(life, "2025-02-27", 60) == "member"
    assert spends(life, "2025-02-28", 60) == "member"  # a new year of the member's
    assert spends(life, "2026-02-27", 60) == "silver"
    assert falls(life)[-1] == ("silver", "member", "2027-02-28")


def test_years_from_reaching_a_tier_begin_on_the_day_after() -> None:
    life = a_life(window=Window(Period.TIER_ANNIVERSARY))
    assert spends(life, "2026-01-20", 110) == "silver"
    assert spends(life, "2026-06-01", 60) == "silver"
    assert falls(life)[-1] == ("silver", "member", "2028-01-21"), "kept by the first year, lost by the second"


def test_a_period_that_ends_lifts_where_rising_waits_for_it() -> None:
    life = a_life(up=Up.NEXT_PERIOD)
    assert spends(life, "2026-05-01", 700) == "member"
    life.reviews(at("2027-01-01 00:00"))
    assert life.steps == [("member", "black", at("2027-01-01 00:00"))]


def test_a_return_takes_back_the_rise_that_was_to_come() -> None:
    life = a_life(up=Up.NEXT_PERIOD)
    spends(life, "2026-05-01", 700)
    spends(life, "2026-06-01", -650, of="2026-05-01")
    assert falls(life) == []


def test_rungs_are_climbed_one_at_a_time_where_the_ladder_says_so() -> None:
    life = a_life(up_steps=Steps.ONE)
    assert [spends(life, f"2026-05-0{n}", 700) for n in (1, 2, 3, 4)] == ["silver", "gold", "black", "black"]


def test_a_tier_falls_a_step_at_a_time_or_never_where_the_ladder_says_so() -> None:
    life = a_life(down=Down.ONE_STEP)
    spends(life, "2026-05-01", 700)
    life.reviews(at("2050-01-01"))
    assert [(new, when.year) for _, new, when in life.steps] == [
        ("black", 2026), ("gold", 2028), ("silver", 2029), ("member", 2030)
    ]  # fmt: skip
    life = a_life(down=Down.NEVER)
    spends(life, "2026-05-01", 700)
    assert life.climber.tenure.until is None


def test_a_grace_lets_a_member_catch_up() -> None:
    life = a_life(grace_days=60)
    spends(life, "2026-05-01", 100)
    life.reviews(at("2028-02-01"))
    assert life.climber.tenure == Tenure("silver", at("2026-05-01"), at("2028-03-01 00:00"))
    assert spends(life, "2028-02-10", 60) == "silver"
    assert falls(life)[-1] == ("silver", "member", "2030-03-02")


def test_a_tier_is_kept_for_less_than_it_is_reached_for() -> None:
    life = a_life()
    spends(life, "2026-05-01", 300)
    spends(life, "2027-05-01", 200)
    assert life.climber.tenure.until == at("2029-01-01 00:00")
    assert falls(life)[-1] == ("gold", "member", "2029-01-01")


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"rungs": ()}, "lowest rung"),
        ({"rungs": (Rung("member", 0), Rung("silver", 100, 101))}, "keeps"),
        ({"rungs": (Rung("member", 0), Rung("silver", 100, 0))}, "keeps"),
        ({"rungs": (Rung("member", 0), Rung("silver", 100), Rung("gold", 200, 99))}, "keeping a rung"),
        ({"rungs": tuple(Rung(str(n), n) for n in range(21))}, "at most 20"),
        ({"rungs": (Rung("member", 0), Rung("silver", 10**15 + 1))}, "no rung"),
        ({"metric": ()}, "needs a metric"),
        ({"metric": (("balance", 1),)}, "no metric 'balance'"),
        ({"metric": (("points.miles", 1),)}, "no metric"),
        ({"metric": (("visits", 0),)}, "weight"),
        ({"metric": (("visits", 1), ("visits", 2))}, "once"),
        ({"window": Window(Period.ROLLING, 0)}, "1 to 60"),
        ({"window": Window(Period.ROLLING, 61)}, "1 to 60"),
        ({"grace_days": -1}, "grace"),
        ({"grace_days": 367}, "grace"),
    ],
)
def test_choices_that_contradict_each_other_are_refused(choices: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Ladder(**{"rungs": RUNGS, **choices}).check(frozenset({"points"}))


def test_choices_at_their_bounds_agree() -> None:
    rungs = (Rung("member", 0), *(Rung(str(n), 10**15 - 20 + n, 1) for n in range(19)))
    metric = (("net_spend", 1), ("visits", 1_000_000), ("points.points", 5))
    Ladder(rungs, metric=metric, window=Window(Period.ROLLING, 60), grace_days=366).check(frozenset({"points"}))
