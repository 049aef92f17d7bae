"""A naive twin of the ladder: it lives every single day, and on each asks every question anew."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import NamedTuple

from loyalty.domain.calendar import Calendar
from loyalty.domain.ladder import Down, Ladder, Period, Returns, Steps, Up

DAY = timedelta(days=1)


class Happening(NamedTuple):
    """On the business day `lived`, at noon, something of the day `of` is counted, or comes back."""

    lived: date
    of: date
    amount: int


class Walker:
    """A member, day by day."""

    def __init__(self, ladder: Ladder, calendar: Calendar, joined: date) -> None:
        self.ladder = ladder
        self.calendar = calendar
        self.joined = joined
        self.place = 0
        self.since: datetime | None = None
        self.days: list[tuple[date, int]] = []
        self.steps: list[tuple[str, str, datetime]] = []
        self.before_steps: list[Walker] = []
        """The member as it was when it took each of them."""

    def live(self, happenings: list[Happening], until: date) -> None:
        """From joining to the beginning of the day `until`."""
        today = self.joined
        while today <= until:
            if today > self.joined:
                self.morning(today)
            for happening in happenings:
                if happening.lived == today and today < until:
                    self.noon(today, happening)
            today += DAY

    def morning(self, today: date) -> None:
        if self.ladder.up == Up.NEXT_PERIOD and self.is_an_end(today):
            best = [n for n in self.higher() if self.score(today) >= self.ladder.rungs[n].reached_at]
            if best:
                self.move(best[-1] if self.ladder.up_steps == Steps.ALL else best[0], self.calendar.day_start(today))
                return
        judged = today - timedelta(days=self.ladder.grace_days)
        reached = self.joined if self.since is None else self.calendar.business_date(self.since)
        if self.place and self.ladder.down != Down.NEVER and self.is_an_end(judged) and judged > reached:
            ends = [judged, *self.ends_after(judged, self.period(today - DAY)[1])]
            if not any(self.keeps(self.place, end) for end in ends):
                ends = [judged, *self.ends_after(judged, self.period(today)[1])]
                self.fall(lambda n: any(self.keeps(n, end) for end in ends), self.calendar.day_start(today))

    def noon(self, today: date, happening: Happening) -> None:
        now = self.calendar.day_start(today) + timedelta(hours=12)
        carried = self.is_carried(self.place, today)
        self.days.append((happening.of, happening.amount))
        if happening.amount < 0:
            demotes = self.ladder.returns == Returns.DEMOTE and self.ladder.down != Down.NEVER
            if demotes and self.place and carried and not self.is_carried(self.place, today):
                self.fall(lambda n: self.is_carried(n, today), now)
            return
        begins, ends = self.period(today)
        last = ends if self.ladder.up == Up.AT_ONCE else begins
        first = last if self.ladder.window.period == Period.TIER_ANNIVERSARY else self.period(happening.of)[1]
        candidates = [end for end in [first, *self.ends_after(first, last)] if end <= last]
        for n in reversed(self.higher()[:1] if self.ladder.up_steps == Steps.ONE else self.higher()):
            for end in candidates:
                if self.score(end) >= self.ladder.rungs[n].reached_at and self.would_last(n, end, today):
                    self.move(n, now)
                    return

    def would_last(self, n: int, end: date, today: date) -> bool:
        reviews = [end, *self.ends_after(end, today)]
        over = [one for one in reviews if one + timedelta(days=self.ladder.grace_days) <= today]
        return self.ladder.down == Down.NEVER or all(self.keeps(n, one) for one in over)

    def is_carried(self, n: int, today: date) -> bool:
        return any(self.keeps(n, end) for end in self.period(today))

    def fall(self, stays: Callable[[int], bool], now: datetime) -> None:
        if self.ladder.down == Down.ONE_STEP:
            self.move(self.place - 1, now)
        else:
            self.move(max(n for n in range(self.place) if n == 0 or stays(n)), now)

    def higher(self) -> list[int]:
        return list(range(self.place + 1, len(self.ladder.rungs)))

    def move(self, n: int, now: datetime) -> None:
        self.steps.append((self.ladder.rungs[self.place].tier, self.ladder.rungs[n].tier, now))
        self.before_steps.append(self.as_now())
        self.place, self.since = n, now

    def as_now(self) -> "Walker":
        one = Walker(self.ladder, self.calendar, self.joined)
        one.place, one.since, one.days = self.place, self.since, list(self.days)
        return one

    def keeps(self, n: int, end: date) -> bool:
        return self.score_to_keep(end) >= self.ladder.rungs[n].kept_at

    def score_to_keep(self, end: date) -> int:
        protects = self.ladder.returns == Returns.PROTECT
        return sum(amount for day, amount in self.days if self.start(end) <= day < end and (amount > 0 or not protects))

    def score(self, end: date) -> int:
        return sum(amount for day, amount in self.days if self.start(end) <= day < end)

    # --- periods, found by walking ---

    def anchor(self) -> date:
        if self.ladder.window.period == Period.TIER_ANNIVERSARY and self.since is not None:
            day = self.calendar.business_date(self.since)
            return day if self.calendar.day_start(day) == self.since else day + DAY
        return self.joined

    def is_an_end(self, day: date) -> bool:
        """Whether a period begins on the day, so that the one before has ended."""
        match self.ladder.window.period:
            case Period.CALENDAR_YEAR:
                return (day.month, day.day) == (1, 1)
            case Period.CALENDAR_MONTH | Period.ROLLING:
                return day.day == 1
            case Period.TIER_ANNIVERSARY:
                return day > self.anchor() and day == self.anniversary(day.year)
            case Period.JOIN_ANNIVERSARY:
                return day == self.anniversary(day.year)

    def anniversary(self, year: int) -> date:
        anchor = self.anchor()
        try:
            return anchor.replace(year=year)
        except ValueError:
            return date(year, 2, 28)

    def period(self, day: date) -> tuple[date, date]:
        if self.ladder.window.period == Period.TIER_ANNIVERSARY and day < self.anchor():
            day = self.anchor()
        begins = day
        while not self.begins(begins):
            begins -= DAY
        ends = day + DAY
        while not self.begins(ends):
            ends += DAY
        return begins, ends

    def begins(self, day: date) -> bool:
        if self.ladder.window.is_anchored:
            return day == self.anniversary(day.year)
        return self.is_an_end(day)

    def ends_after(self, after: date, last: date) -> list[date]:
        found = []
        end = self.period(after)[1]
        while end <= last:
            found.append(end)
            end = self.period(end)[1]
        return found

    def start(self, end: date) -> date:
        months = self.ladder.window.months if self.ladder.window.period == Period.ROLLING else 1
        start = end
        for _ in range(months):
            start -= DAY
            while not self.begins(start):
                start -= DAY
        return start
