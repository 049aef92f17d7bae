"""The ladder of a programme: its tiers, what reaches and what keeps them. Every choice is a setting."""

from datetime import date, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Final, NamedTuple

from loyalty.domain.calendar import add_months, first_of_month

NET_SPEND: Final = "net_spend"
VISITS: Final = "visits"
POINTS: Final = "points."
"""A metric of points is called this and the wallet that they are earned in."""
TAKEN_BACK: Final = "-"
"""Ends the name under which what returns took off a metric is kept, where the ladder protects from returns."""

EVER: Final = date(1900, 1, 1)
"""Before anything was counted."""
MOST_MONTHS: Final = 60
MOST_RUNGS: Final = 20
MOST_WEIGHT: Final = 1_000_000
MOST_SCORE: Final = 10**15
MOST_GRACE_DAYS: Final = 366
_YEAR: Final = 12


class Rung(NamedTuple):
    """One tier, the score that reaches it, and the one that keeps it: the same where `keeps_at` is None."""

    tier: str
    reached_at: int
    keeps_at: int | None = None

    @property
    def kept_at(self) -> int:
        return self.reached_at if self.keeps_at is None else self.keeps_at


class Period(StrEnum):
    """What the metric is summed over, and when tiers are reviewed."""

    CALENDAR_YEAR = "calendar_year"
    CALENDAR_MONTH = "calendar_month"
    ROLLING = "rolling"
    """The last months, this one included; reviewed at the end of each month over those that are full."""
    JOIN_ANNIVERSARY = "join_anniversary"
    TIER_ANNIVERSARY = "tier_anniversary"
    """A year from the day after the tier was reached; from joining, as long as none was."""


class Up(StrEnum):
    AT_ONCE = "at_once"
    NEXT_PERIOD = "next_period"


class Steps(StrEnum):
    """How many rungs a member climbs at a time."""

    ALL = "all"
    ONE = "one"


class Down(StrEnum):
    """What becomes of a tier that a review finds not kept."""

    NEVER = "never"
    ONE_STEP = "one_step"
    REASSESS = "reassess"
    """The highest tier that the same window keeps."""


class Returns(StrEnum):
    """What a return, which always counts against the window of its purchase, does to a tier."""

    DEMOTE = "demote"
    """The tier goes at once, where nothing else carries it."""
    NEXT_REVIEW = "next_review"
    PROTECT = "protect"
    """Keeping a tier is judged on what was bought; reaching one, on what was not returned."""


class Pending(StrEnum):
    """When points that are pending first count as earned."""

    EARNING = "earning"
    MATURING = "maturing"


class Window(NamedTuple):
    """The days over which the metric is summed. Days are business days, periods end where the next begins."""

    period: Period = Period.CALENDAR_YEAR
    months: int = _YEAR
    """Of a rolling window."""

    @property
    def is_anchored(self) -> bool:
        """Whether every member has periods of its own."""
        return self.period in (Period.JOIN_ANNIVERSARY, Period.TIER_ANNIVERSARY)

    def bucket(self, day: date) -> date:
        """The first day of the bucket that a day is counted in: its month, or the day where periods are a member's."""
        return day if self.is_anchored else first_of_month(day)

    def periods(self, day: date, anchor: date) -> tuple[date, date]:
        """First day of the period that contains `day`, and of the one that follows."""
        match self.period:
            case Period.CALENDAR_YEAR:
                return date(day.year, 1, 1), date(day.year + 1, 1, 1)
            case Period.CALENDAR_MONTH | Period.ROLLING:
                return first_of_month(day), add_months(first_of_month(day), 1)
            case Period.JOIN_ANNIVERSARY | Period.TIER_ANNIVERSARY:
                years = day.year - anchor.year
                years -= add_months(anchor, _YEAR * years) > day
                return add_months(anchor, _YEAR * years), add_months(anchor, _YEAR * (years + 1))

    def start(self, end: date, anchor: date) -> date:
        """First day of what is summed when the period ends that is followed by `end`."""
        if self.period == Period.ROLLING:
            return add_months(end, -self.months)
        return self.periods(end - timedelta(days=1), anchor)[0]

    @property
    def longest(self) -> int:
        """Months that a window spans at most."""
        return {Period.CALENDAR_MONTH: 1, Period.ROLLING: self.months}.get(self.period, _YEAR)


class Ladder(NamedTuple):
    """The tiers of a programme and how members move between them."""

    rungs: tuple[Rung, ...]
    """Ascending; the first costs nothing."""
    metric: tuple[tuple[str, int], ...] = ((NET_SPEND, 1),)
    """What the score adds up, each times its weight: `net_spend`, `visits`, `points.<wallet>`."""
    window: Window = Window()
    up: Up = Up.AT_ONCE
    up_steps: Steps = Steps.ALL
    down: Down = Down.REASSESS
    grace_days: int = 0
    """Business days after a review that found the tier not kept, before it goes."""
    returns: Returns = Returns.NEXT_REVIEW
    pending: Pending = Pending.EARNING

    def place(self, tier: str) -> int:
        """The place of a tier; the lowest for one that is no longer on the ladder."""
        return next((place for place, rung in enumerate(self.rungs) if rung.tier == tier), 0)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names under which what the score adds up is kept."""
        names = tuple(name for name, _ in self.metric)
        return (*names, *(name + TAKEN_BACK for name in names)) if self.returns == Returns.PROTECT else names

    @property
    def beside_net_spend(self) -> tuple[str, ...]:
        """Those that are not kept for every programme."""
        return tuple(name for name in self.metrics if name != NET_SPEND)

    @property
    def counts_what_matures(self) -> bool:
        return self.pending == Pending.MATURING and any(name.startswith(POINTS) for name, _ in self.metric)

    def counts(self, metric: str) -> bool:
        return any(name == metric for name, _ in self.metric)

    def since(self, day: date) -> date:
        """The first day that can matter to what is decided about `day` or later."""
        if day.year <= EVER.year:
            return EVER
        back = self.window.longest * (1 if self.window.period == Period.ROLLING else 2)
        return first_of_month(add_months(day - timedelta(days=self.grace_days), -back))

    def check(self, wallets: frozenset[str]) -> None:
        """Raises ValueError, in a sentence, when the choices contradict each other."""
        if not self.rungs or self.rungs[0].reached_at != 0:
            raise ValueError("the ladder needs a lowest rung that costs nothing")
        if len(self.rungs) > MOST_RUNGS:
            raise ValueError(f"a ladder has at most {MOST_RUNGS} rungs")
        if any(above.reached_at <= below.reached_at for below, above in pairwise(self.rungs)):
            raise ValueError("each rung of the ladder must cost more than the one below")
        if self.rungs[-1].reached_at > MOST_SCORE:
            raise ValueError(f"no rung can cost more than {MOST_SCORE:,}")
        if len({rung.tier for rung in self.rungs}) < len(self.rungs):
            raise ValueError("every rung of the ladder needs a name of its own")
        for rung in self.rungs[1:]:
            if not 0 < rung.kept_at <= rung.reached_at:
                raise ValueError(f"what keeps {rung.tier!r} must be above 0 and no more than what reaches it")
        if any(above.kept_at < below.kept_at for below, above in pairwise(self.rungs[1:])):
            raise ValueError("keeping a rung cannot cost less than keeping the one below")
        known = {NET_SPEND, VISITS, *(POINTS + wallet for wallet in wallets)}
        for name, weight in self.metric:
            if name not in known:
                raise ValueError(f"there is no metric {name!r}; choose among {', '.join(sorted(known))}")
            if not 0 < weight <= MOST_WEIGHT:
                raise ValueError(f"the weight of {name!r} must be 1 to {MOST_WEIGHT:,}")
        if not self.metric or len(dict(self.metric)) < len(self.metric):
            raise ValueError("the ladder needs a metric, and each of them once")
        if not 1 <= self.window.months <= MOST_MONTHS:
            raise ValueError(f"a rolling window has 1 to {MOST_MONTHS} months")
        if not 0 <= self.grace_days <= MOST_GRACE_DAYS:
            raise ValueError(f"a grace is 0 to {MOST_GRACE_DAYS} days")
