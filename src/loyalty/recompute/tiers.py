"""One member's tier history, replayed: what its entries count, and what reviews and grants make of that."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import NamedTuple

from loyalty.domain import tiers
from loyalty.domain.calculations import Appointed, HandedOver, Sold, TakenBack, read
from loyalty.domain.climbing import Climber, Judged, Tenure
from loyalty.domain.entries import Entry, Kind
from loyalty.domain.ids import EntryId
from loyalty.domain.ladder import NET_SPEND
from loyalty.domain.merges import as_given
from loyalty.domain.programme import Programme
from loyalty.domain.returns import bought_on
from loyalty.domain.tiers import (
    Brought,
    Count,
    Given,
    TierGrant,
    apart,
    as_counts,
    buckets,
    counts_of_purchase,
    counts_of_ripe,
    given,
    handed_over,
    in_force,
    judged_by,
    parted,
    resumed,
    taken_over,
    together,
    with_count,
)
from loyalty.store.verify import MemberRows


class ReplayedTiers:
    """A member's tier, replayed. Reviews leave no entry: they come in before the next thing that takes effect."""

    def __init__(self, programme: Programme, rows: MemberRows) -> None:
        self._programme = programme
        self._rows = rows
        self._counts: dict[str, Sequence[tuple[date, int]]] = {}
        begin = Tenure(programme.ladder.rungs[0].tier, rows.member.enrolled_at, None)
        self._earned = self._shown = begin
        self._grant: TierGrant | None = None
        self._is_granted = False
        self._steps: list[_Step] = []
        self._before: list[tuple[Tenure, datetime, Given | None, Given | None]] = []
        """What it had when others were merged into it, when that was, and what was given to it and to them.

        The last merge is reversed first."""
        self._own: Tenure | None = None
        """What it had when it was merged into another."""

    @property
    def tier(self) -> str:
        return self._shown.tier

    @property
    def has_bought(self) -> bool:
        return NET_SPEND in self._counts

    def review(self, until: datetime, *, inclusive: bool) -> datetime | None:
        """Review as often as that is due by then; the moment of the last review."""
        last = None
        while (due := self._shown.until) is not None and (due < until or (inclusive and due == until)):
            last = due
            earned = self._climber().reviewed(due) if self._earned.until == due else self._earned
            if self._grant is not None and self._grant.until == due:
                self._is_granted = False
            self._settle_on(earned, at=due, entry_id=None)
        return last

    def earn(self, entry: Entry, counts: Sequence[Count]) -> None:
        """Something was counted: it may lift the tier or prolong it."""
        if counts:
            self._count(counts)
            first = min(count.day for count in counts)
            self._settle_on(self._climber().gained(entry.effective_at, first), at=entry.effective_at, entry_id=entry.id)

    def take_back(self, entry: Entry, counts: Sequence[Count]) -> None:
        """Something came back: it counts less in the window of its purchase."""
        was_carried = self._climber().is_carried(entry.effective_at)
        self._count(counts)
        earned = self._climber().lost(entry.effective_at, was_carried=was_carried)
        self._settle_on(earned, at=entry.effective_at, entry_id=entry.id)

    def grant(self, entry: Entry) -> None:
        """A tier was given by hand, or what was given is taken back."""
        stored = read(entry, Appointed)
        tier, ends = stored["tier"], stored["until"]
        self._is_granted = tier is not None
        if tier is not None:
            until = None if ends is None else datetime.fromisoformat(ends)
            self._grant = TierGrant(tier, until, stored["locked"], self._earned)
        self._settle_on(self._earned, at=entry.effective_at, entry_id=entry.id)

    def merge(self, entry: Entry) -> None:
        """Either side of a merge, of its reversal, or of what was carried on or called back between."""
        stored = read(entry, HandedOver)
        self._keep(one._replace(amount=-one.amount) for one in as_counts(stored.get("ripe", ())))
        if "counts" not in stored:
            return  # called back for a moment: points alone
        counts, gives, now = as_counts(stored["counts"]), "to" in stored, entry.effective_at
        if entry.kind == Kind.MERGE and gives:
            self._keep(one._replace(amount=-one.amount) for one in counts)
            self._own = self._own or self._earned
            earned = handed_over(self._climber())
        elif entry.kind == Kind.MERGE:
            was_carried, brought = self._climber().is_carried(now), None
            if "since" in stored:
                theirs = as_given(stored.get("given"))
                brought = Brought(stored["tier"], datetime.fromisoformat(stored["since"]), theirs)
                self._before.append((self._earned, now, self._given, theirs))
                self._give(together(self._programme.ladder, self._given, theirs))
            self._keep(counts)
            earned = taken_over(self._climber(), counts, now=now, brought=brought, was_carried=was_carried)
        elif gives:
            self._keep(one._replace(amount=-one.amount) for one in counts)
            before, began, own, theirs = self._before.pop()
            self._give(apart(self._programme.ladder, self._given, own, theirs, now=now))
            earned = parted(self._climber(), before, began=began, now=now)
        else:
            self._keep(counts)
            until, self._own = None if self._own is None else self._own.until, None
            earned = resumed(self._climber(), counts, until=until, now=now)
        self._settle_on(earned, at=now, entry_id=entry.id)

    def differences(self) -> Iterable[tuple[str, str, str]]:
        """What differs from what is kept: the table, the row, and what is wrong with it."""
        member, kept = self._rows.member, self._rows.steps
        for mine, its in zip(self._steps, kept, strict=False):
            if its.judged is None:  # nobody kept it before
                mine = mine._replace(judged=None)
            if mine != (its.from_tier, its.to_tier, its.occurred_at, its.entry_id, its.judged):
                problem = f"it says {its.from_tier} to {its.to_tier} at {its.occurred_at}; its history says {mine}"
                yield "tier_step", its.id, problem
        for its in kept[len(self._steps) :]:
            yield "tier_step", its.id, "no entry and no review accounts for it"
        for missed in self._steps[len(kept) :]:
            yield "member", member.id, f"its tier history lacks {missed}"
        shown = (member.tier, member.tier_since, member.tier_until, member.tier_granted)
        if shown != (*self._shown, self._is_granted):
            yield (
                "member",
                member.id,
                f"its tier is {member.tier} from {member.tier_since} until {member.tier_until}; its history says"
                f" {self._shown.tier} from {self._shown.since} until {self._shown.until}",
            )
        if self._rows.grant != self._grant:
            yield "tier_grant", member.id, f"it is {self._rows.grant}; its history says {self._grant}"
        yield from self._miscounted()

    def _miscounted(self) -> Iterable[tuple[str, str, str]]:
        mine = {(name, first): amount for name, series in self._counts.items() for first, amount in series}
        kept = self._rows.counts
        for place in sorted({*kept, *mine}):
            if kept.get(place) != mine.get(place):
                metric, first = place
                is_spend = metric == NET_SPEND
                row = f"{self._rows.member.id} {first}" if is_spend else f"{self._rows.member.id} {metric} {first}"
                problem = f"it is {kept.get(place)}; the calculations come to {mine.get(place)}"
                yield "net_spend" if is_spend else "tier_count", row, problem

    @property
    def _given(self) -> Given | None:
        return given(self._grant) if self._is_granted else None

    def _give(self, what: Given | None) -> None:
        if what is not None and what != self._given:
            self._grant = TierGrant(*what, self._earned)
        self._is_granted = what is not None

    def _climber(self) -> Climber:
        counts = {name: self._counts.get(name, ()) for name in self._programme.ladder.metrics}
        member = self._rows.member
        return Climber(self._programme.ladder, self._programme.calendar, counts, member.enrolled_at, self._earned)

    def _count(self, counts: Sequence[Count]) -> None:
        self._keep(buckets(self._programme.ladder, counts))

    def _keep(self, counts: Iterable[Count]) -> None:
        for metric, first, amount in counts:
            self._counts[metric] = with_count(self._counts.get(metric, ()), first, amount)

    def _settle_on(self, earned: Tenure, *, at: datetime, entry_id: EntryId | None) -> None:
        climbed_from, was = self._earned, self._shown
        self._earned = earned
        if self._grant is not None and self._is_granted:
            self._grant = self._grant._replace(earned=earned)
        grant = self._grant if self._is_granted else None
        self._shown = in_force(self._programme.ladder, earned, grant, since=was.since, was=was.tier, at=at)
        if self._shown.tier != was.tier:
            climber = self._climber().at(climbed_from)
            judged = judged_by(climber, earned, self._shown.tier, at=at, on_review=entry_id is None)
            self._steps.append(_Step(was.tier, self._shown.tier, at, entry_id, judged))


class _Step(NamedTuple):
    """A step as a replay makes it."""

    from_tier: str
    to_tier: str
    occurred_at: datetime
    entry_id: EntryId | None
    judged: Judged | None


def counts_of_sale(programme: Programme, entry: Entry, points: Mapping[str, int]) -> list[Count]:
    """What a purchase counts that earns so many points by wallet."""
    day, net_spend = bought_on(programme.calendar, entry), read(entry, Sold)["net_spend"]
    return counts_of_purchase(programme.ladder, day=day, net_spend=net_spend, points=points, births=entry.births)


def counts_of_return(entry: Entry) -> list[Count]:
    """What a return said that it counts: its net spend, and what else the tier goes by."""
    stored = read(entry, TakenBack)
    plain = [[NET_SPEND, stored["bought_on"], -stored["net_spend"]]]
    return as_counts(stored.get("counts", plain))


def counts_of_points(programme: Programme, entry: Entry) -> list[Count]:
    """What an entry that is no purchase counts: explicit points, or those that are ripe now."""
    if entry.kind == Kind.MATURE:
        ripe = [p for p in entry.postings if p.debit == "pending"]
        return counts_of_ripe(programme.ladder, day=entry.accounting_date, postings=ripe)
    if entry.kind != Kind.EARN:
        return []
    points = {birth.wallet: birth.points for birth in entry.births}
    day = programme.calendar.business_date(entry.occurred_at)
    return tiers.counts_of_points(programme.ladder, day=day, points=points, births=entry.births)
