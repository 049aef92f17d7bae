"""How a member climbs and falls: pure, from what was counted by day. The same for deciding, for showing and for proof.

One rule gives every term: a tier lasts until the first review that what has been counted so far does not satisfy. So a
member is reviewed when something happens to its tier, and at no other time.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple

from loyalty.domain.bounds import MAX_POINTS
from loyalty.domain.calendar import FOREVER, INSTANT, Calendar
from loyalty.domain.ladder import TAKEN_BACK, Down, Ladder, Period, Returns, Steps, Up

Counts = Mapping[str, Sequence[tuple[date, int]]]
"""What was counted of each metric, by the first day of its bucket, ascending."""
_DAY = timedelta(days=1)


class Tenure(NamedTuple):
    """The tier that a member has by what was counted."""

    tier: str
    since: datetime
    until: datetime | None
    """When it is reviewed next; None: never, unless something is counted."""


class Outlook(NamedTuple):
    """What a member is shown of its climb."""

    begins: date
    """First day of the window that runs."""
    ends: date
    """First day after it."""
    score: int
    kept_until: datetime | None
    """When the tier is lost if nothing more is counted; None: never."""
    missing_to_stay: int
    """At the review that it would not survive as things are."""


class Judged(NamedTuple):
    """What decided that a member rose or fell."""

    begins: date
    """First day of the window."""
    ends: date
    """First day after it."""
    score: int
    needed: int
    """To rise to the new tier, or to keep the old one."""


class Climber:
    """A member on the ladder, with what was counted. It never changes."""

    __slots__ = ("_anchor", "_place", "calendar", "counts", "enrolled_at", "ladder", "tenure")

    def __init__(
        self, ladder: Ladder, calendar: Calendar, counts: Counts, enrolled_at: datetime, tenure: Tenure
    ) -> None:
        self.ladder = ladder
        self.calendar = calendar
        self.counts = counts
        self.enrolled_at = enrolled_at
        self.tenure = tenure
        self._place = ladder.place(tenure.tier)
        self._anchor = self._years_begin() if ladder.window.is_anchored else date.min

    def at(self, tenure: Tenure) -> "Climber":
        """The same member at another place."""
        return Climber(self.ladder, self.calendar, self.counts, self.enrolled_at, tenure)

    # --- what happens ---

    def gained(self, now: datetime, day: date) -> Tenure:
        """After something was counted on `day`: risen to what that reaches, or kept for longer."""
        place = self._place
        highest = place + 1 if self.ladder.up_steps == Steps.ONE else len(self.ladder.rungs) - 1
        for above in range(min(highest, len(self.ladder.rungs) - 1), place, -1):
            if self._attains(above, now, day):
                return self._at(above, now)
        return self.kept(now)

    def kept(self, now: datetime) -> Tenure:
        """The same tier, for as long as what is counted by now keeps it."""
        return self.tenure._replace(until=self._next_review(now))

    def lost(self, now: datetime, *, was_carried: bool) -> Tenure:
        """After something was counted less: fallen at once where the ladder says so and nothing else carries it."""
        place = self._place
        demotes = self.ladder.returns == Returns.DEMOTE and self.ladder.down != Down.NEVER
        if demotes and was_carried and not self.is_carried(now):
            below = range(place - 1, -1, -1)
            return self._at(self._lower(below, lambda rung: self._carries(rung, now)), now)
        return self.kept(now)

    def raised(self, tier: str, since: datetime, now: datetime) -> Tenure:
        """At that tier at least, as one who has had it `since` then: what it has to keep it by has not begun anew."""
        place = self.ladder.place(tier)
        return (self.at(Tenure(tier, since, None)) if place > self._place else self).kept(now)

    def settled(self, now: datetime) -> "Climber":
        """The member after every review that is due by now."""
        climber = self
        while (due := climber.tenure.until) is not None and due <= now:
            climber = climber.at(climber.reviewed(due))
        return climber

    def lived(self, began: datetime, now: datetime) -> Tenure:
        """What becomes of the tenure between two moments by what is counted: risen bucket by bucket, and reviewed."""
        ladder = self.ladder._replace(up_steps=Steps.ALL)  # a bucket does not tell how often it was counted into
        climber = Climber(ladder, self.calendar, self.counts, self.enrolled_at, self.tenure)
        first = ladder.window.bucket(self.calendar.business_date(began))
        counted = (pair for name in ladder.metrics for pair in self.counts.get(name, ()))
        for day in sorted({day for day, amount in counted if amount > 0 and day >= first}):
            moment = min(max(began, self.calendar.day_start(day)), now)
            climber = climber.settled(moment)
            climber = climber.at(climber.gained(moment, day))
        return self.at(climber.settled(now).tenure).kept(now)

    def is_carried(self, now: datetime) -> bool:
        """Whether the window that runs, or the one that ended last, keeps the tier."""
        return self._carries(self._place, now)

    def reviewed(self, at: datetime) -> Tenure:
        """After the review at the end of the tenure: risen, fallen, or looked at again later."""
        today = self.calendar.business_date(at)
        if (risen := self._promoted(today)) is not None:
            return self._at(risen, at)
        kept_until = self._kept_until(self._place, at - INSTANT)
        if kept_until is None or kept_until > at:
            return self.kept(at)
        found = today - timedelta(days=self.ladder.grace_days)
        ends = [found, *self._ends(found, self._end(today))]
        below = range(self._place - 1, -1, -1)
        return self._at(self._lower(below, lambda rung: any(self._keeps(rung, end) for end in ends)), at)

    # --- what is shown ---

    def outlook(self, now: datetime) -> Outlook:
        """Where the member stands as of `now`."""
        place, end = self._place, self._end(self.calendar.business_date(now))
        score = self.score(end)
        kept_until, missing_to_stay = self._kept_until(place, now), 0
        if kept_until is not None:
            judged = self.calendar.business_date(kept_until) - timedelta(days=self.ladder.grace_days)
            missing_to_stay = self.ladder.rungs[place].kept_at - self._score_to_keep(judged)
        return Outlook(
            begins=self.ladder.window.start(end, self._anchor),
            ends=end,
            score=score,
            kept_until=kept_until,
            missing_to_stay=missing_to_stay,
        )

    def score(self, end: date) -> int:
        """What counts towards rising, over the window that ends where `end` begins."""
        return _bounded(self._sum(end, ""))

    def judged(self, tier: str, now: datetime, *, on_review: bool) -> Judged | None:
        """The window that brought the member to that `tier` at `now`; None where none did, but a merge or a person."""
        place, (began, ends) = self.ladder.place(tier), self._period(self.calendar.business_date(now))
        if place > self._place:
            return self._rise(place, now, began if self.ladder.up == Up.NEXT_PERIOD else ends)
        if on_review:
            began = ends = self.calendar.business_date(now) - timedelta(days=self.ladder.grace_days)
        end = max((ends, began), key=self._score_to_keep)
        found = self._judged(end, self._score_to_keep(end), self.ladder.rungs[self._place].kept_at)
        return found if found.score < found.needed else None

    # --- how it is decided ---

    def _rise(self, place: int, now: datetime, last: date) -> Judged | None:
        """The newest window, up to that which ends `last`, that reaches a place and does not lose it again by now."""
        days = sorted(day for name in self.ladder.metrics for day, _ in self.counts.get(name, ()))
        needed = self.ladder.rungs[place].reached_at
        if not days or self.ladder.window.period == Period.TIER_ANNIVERSARY:
            ends = [last]
        else:
            if self.ladder.up == Up.AT_ONCE:
                last = max(last, self._end(days[-1]))
            ends = [*self._ends(days[0], last)]
        for end in reversed(ends):
            if (score := self.score(end)) >= needed and self._outlasts(place, end, now):
                return self._judged(end, score, needed)
        return None

    def _judged(self, end: date, score: int, needed: int) -> Judged:
        return Judged(self.ladder.window.start(end, self._anchor), end, score, needed)

    def _years_begin(self) -> date:
        """From where a member's own years are counted: the first whole day in the tier, or the day of joining."""
        if self.ladder.window.period == Period.TIER_ANNIVERSARY and self.tenure.since != self.enrolled_at:
            day = self.calendar.business_date(self.tenure.since)
            return day if self.calendar.day_start(day) == self.tenure.since else day + _DAY
        return self.calendar.business_date(self.enrolled_at)

    def _at(self, place: int, now: datetime) -> Tenure:
        """The tenure that begins now."""
        begun = self.at(Tenure(self.ladder.rungs[place].tier, now, None))
        return begun.tenure._replace(until=begun._next_review(now))

    def _attains(self, place: int, now: datetime, day: date) -> bool:
        """Whether a window that contains `day` reaches a place, and it would not have been lost again by now."""
        today = self.calendar.business_date(now)
        begins, last = self._period(today)
        reached_at = self.ladder.rungs[place].reached_at
        if self.ladder.up == Up.NEXT_PERIOD:
            last = begins
        first = last if self.ladder.window.period == Period.TIER_ANNIVERSARY else self._end(day)
        if self.ladder.up == Up.AT_ONCE:
            last = max(last, first)
        return any(
            self.score(end) >= reached_at and self._outlasts(place, end, now)
            for end in (first, *self._ends(first, last))
            if end <= last
        )

    def _outlasts(self, place: int, end: date, now: datetime) -> bool:
        """Whether a tier reached in the window that ends at `end` lasts beyond now."""
        if self.ladder.down == Down.NEVER:
            return True
        while self._gone(end) <= now:
            if not self._keeps(place, end):
                return False
            end = self._end(end)
        return True

    def _promoted(self, today: date) -> int | None:
        """The place to which a period that ended before `today` lifts the member, where that waits for its end."""
        if self.ladder.up == Up.AT_ONCE:
            return None
        begins, _ = self._period(today)
        return self._reaches(begins) if begins == today else None

    def _reaches(self, end: date) -> int | None:
        """The higher place that the window reaches, by as many steps as the ladder allows."""
        score, place = self.score(end), self._place
        above = [n for n, rung in enumerate(self.ladder.rungs) if n > place and score >= rung.reached_at]
        if not above:
            return None
        return above[0] if self.ladder.up_steps == Steps.ONE else above[-1]

    def _next_review(self, now: datetime) -> datetime | None:
        """When the tier would be lost, or a period ends that lifts it."""
        found = self._kept_until(self._place, now)
        if self.ladder.up == Up.NEXT_PERIOD:
            end = self._end(self.calendar.business_date(now))
            if self._reaches(end) is not None:
                return min(found or FOREVER, self.calendar.day_start(end))
        return found

    def _kept_until(self, place: int, now: datetime) -> datetime | None:
        """When a place is lost unless more is counted: the first review that fails and whose grace is not over yet.

        Of the reviews since the tier was reached. It fails for good unless a window that has begun since keeps the
        place again.
        """
        if place == 0 or self.ladder.down == Down.NEVER:
            return None
        today = self.calendar.business_date(now)
        within_grace = today - timedelta(days=self.ladder.grace_days)
        end = self._end(max(within_grace, self.calendar.business_date(self.tenure.since)))
        last = self._end(today)
        while True:  # windows yet to come are empty, and keeping costs something: one of them fails
            if not self._keeps(place, end):
                again = next((later for later in self._ends(end, last) if self._keeps(place, later)), None)
                if again is None:
                    return self._gone(end)
                end = again
            end = self._end(end)

    def _carries(self, place: int, now: datetime) -> bool:
        return any(self._keeps(place, end) for end in self._period(self.calendar.business_date(now)))

    def _keeps(self, place: int, end: date) -> bool:
        return place == 0 or self._score_to_keep(end) >= self.ladder.rungs[place].kept_at

    def _score_to_keep(self, end: date) -> int:
        """As `score`, for keeping: returns count unless the ladder protects from them."""
        score = self._sum(end, "")
        return _bounded(score + self._sum(end, TAKEN_BACK) if self.ladder.returns == Returns.PROTECT else score)

    def _lower(self, below: Iterable[int], stays: Callable[[int], bool]) -> int:
        """Where a member falls to."""
        places = iter(below)
        if self.ladder.down == Down.ONE_STEP:
            return next(places, 0)
        return next((place for place in places if stays(place)), 0)

    def _gone(self, end: date) -> datetime:
        """When a tier goes that the review at `end` found not kept."""
        return self.calendar.day_start(end + timedelta(days=self.ladder.grace_days))

    def _sum(self, end: date, of: str) -> int:
        begin = self.ladder.window.start(end, self._anchor)
        total = 0
        for name, weight in self.ladder.metric:
            buckets = self.counts.get(name + of, ())
            total += weight * sum(amount for first, amount in buckets if begin <= first < end)
        return total

    def _period(self, day: date) -> tuple[date, date]:
        """First day of the period that a day belongs to, and of the next; no period is older than the anchor."""
        anchor = self._anchor
        if self.ladder.window.period == Period.TIER_ANNIVERSARY:
            day = max(day, anchor)
        return self.ladder.window.periods(day, anchor)

    def _end(self, day: date) -> date:
        return self._period(day)[1]

    def _ends(self, after: date, last: date) -> Iterator[date]:
        """The ends of periods later than `after`, up to `last`."""
        end = self._end(after)
        while end <= last:
            yield end
            end = self._end(end)


def _bounded(score: int) -> int:
    """A score that can be kept and shown; no rung is as far."""
    return max(-MAX_POINTS, min(score, MAX_POINTS))
