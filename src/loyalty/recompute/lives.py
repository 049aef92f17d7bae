"""One member, lived through twice: as it was, and as it would have been under other rules."""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Final

from loyalty.domain.calculations import HandedOver, TakenBack, is_purchase, read
from loyalty.domain.caps import key_of
from loyalty.domain.conditions import NONE_OF, OF_THE_LINE, VARIABLES
from loyalty.domain.earning import Facts, earned
from loyalty.domain.entries import Entry, Kind
from loyalty.domain.ladder import POINTS
from loyalty.domain.programme import Programme
from loyalty.domain.returns import Bought, Plan, ReturnedLine, bought, bought_on, with_plan
from loyalty.domain.reversals import Done
from loyalty.domain.rules import Cap, InForce
from loyalty.domain.tiers import counts_of_purchase
from loyalty.recompute.tally import Question, Tally, follows_rules
from loyalty.recompute.tiers import ReplayedTiers, counts_of_points, counts_of_return
from loyalty.store.verify import MemberRows

FROM_THE_ORDER: Final = OF_THE_LINE | {"order.net_spend", "order.lines", "order.skus", "order.categories"}
"""Variables that follow from the lines."""


class _Sale:
    """A purchase as it earned, and as it would have."""

    __slots__ = ("by", "done", "facts", "now", "purchase", "then", "within")

    def __init__(self, purchase: Bought, by: InForce, facts: Facts, now: dict[str, int], *, within: bool) -> None:
        self.purchase = purchase
        self.by = by
        self.facts = facts
        self.then = dict(purchase.points)
        self.now = now
        self.within = within
        self.done: Done = {}


class Life:
    """One member, lived through twice: as it was, and as it would have been."""

    def __init__(self, programme: Programme, rows: MemberRows, question: Question) -> None:
        self.member_id = rows.member.id
        self._programme = programme
        self._rows = rows
        self._question = question
        self._until = programme.calendar.day_start(question.ends)
        self._was = ReplayedTiers(programme, rows)
        self._would = ReplayedTiers(programme, rows) if follows_rules(programme) else self._was
        self._sales: dict[str, _Sale] = {}
        self._used: dict[tuple[str, str], int] = {}
        self._then: dict[str, int] = {}
        self._now: dict[str, int] = {}
        self._counted = Tally()

    @property
    def _tiers(self) -> Iterable[ReplayedTiers]:
        return (self._was,) if self._would is self._was else (self._was, self._would)

    def take(self, entry: Entry) -> None:
        """The next entry of the member; what takes effect after the days that are asked about is left out."""
        if entry.effective_at >= self._until:
            return
        for tiers in self._tiers:
            tiers.review(entry.effective_at, inclusive=entry.kind != Kind.MATURE)
        if is_purchase(entry):
            self._sell(entry)
        elif entry.kind in (Kind.RETURN, Kind.REASSIGN):
            self._take_back(entry)
        else:
            self._share_caps(entry)
            for tiers in self._tiers:
                if entry.kind == Kind.TIER:
                    tiers.grant(entry)
                elif entry.kind in (Kind.MERGE, Kind.UNMERGE):
                    tiers.merge(entry)
                else:
                    tiers.earn(entry, counts_of_points(self._programme, entry))

    def end(self, tally: Tally) -> None:
        """The days are over: what the member comes to."""
        if self._rows.member.enrolled_at >= self._until:
            return
        for tiers in self._tiers:
            tiers.review(self._until, inclusive=False)
        counted = self._counted
        counted.members = 1
        counted.tiers = {f"{self._was.tier}\x1f{self._would.tier}": 1}
        for wallet in {**self._then, **self._now}:
            then, now = self._then.get(wallet, 0), self._now.get(wallet, 0)
            counted.count(wallet, then=then, now=now, members_more=now > then, members_less=now < then)
            counted.wallets[wallet].update(largest_gain=max(0, now - then), largest_loss=min(0, now - then))
        tally.add(counted)

    def _share_caps(self, entry: Entry) -> None:
        """What somebody who was merged into the member had used of caps, as it was, counts here until they part."""
        if entry.kind not in (Kind.MERGE, Kind.UNMERGE):
            return
        stored = read(entry, HandedOver)
        if ("of" if entry.kind == Kind.MERGE else "to") in stored:
            for cap, over, points in stored.get("caps", ()):
                more = points if entry.kind == Kind.MERGE else -points
                self._used[cap, over] = self._used.get((cap, over), 0) + more

    def _sell(self, entry: Entry) -> None:
        purchase = bought(self._programme, entry)
        day = bought_on(self._programme.calendar, entry)
        by = self._question.rules.at(purchase.facts.occurred_at)
        within = self._question.begins <= day < self._question.ends
        anew = entry.kind == Kind.EARN  # what was reassigned was decided at its first sale, and fills no cap
        facts = self._facts(entry, purchase, by, day) if anew else purchase.facts._replace(kept=None)
        now = dict(purchase.points)
        if within:
            unknown = by.names.difference(facts.values, FROM_THE_ORDER)
            for name in unknown:
                self._counted.unknown[name] = self._counted.unknown.get(name, 0) + 1
            # Not left open: a condition that excludes would have no answer, and so hold for everybody.
            facts = facts._replace(values={**{name: NONE_OF[VARIABLES[name][0]] for name in unknown}, **facts.values})
            result = earned(by, purchase.order, facts, explained=True, reasons=False)
            now = result.points
            facts = facts._replace(kept=result.proportional)
            for step in result.steps:
                if step.fired:
                    told = self._counted.rules.setdefault(step.rule.id, {"purchases": 0, "points": 0, "amount": 0})
                    told["purchases"] += 1
                    told["points"] += step.points or 0
                    told["amount"] += step.amount or 0
            if anew:
                self._use(by, day, now)
            self._counted.purchases += 1
            for wallet in {**purchase.points, **now}:
                before, after = purchase.points.get(wallet, 0), now.get(wallet, 0)
                self._counted.count(wallet, purchases_more=after > before, purchases_less=after < before)
            _add(self._then, purchase.points, 1)
            _add(self._now, now, 1)
        elif anew:  # a cap that goes on under its id has let this through
            self._use(purchase.decided_by.at(purchase.facts.occurred_at), day, purchase.points)
        self._sales[entry.id] = _Sale(purchase, by, facts, now, within=within)
        for tiers, points in zip(self._tiers, (purchase.points, now), strict=False):
            counts = counts_of_purchase(
                self._programme.ladder,
                day=day,
                net_spend=purchase.order.net_spend,
                points=points,
                births=entry.births,
            )
            tiers.earn(entry, counts)

    def _take_back(self, entry: Entry) -> None:
        stored = read(entry, TakenBack)
        counts = counts_of_return(entry)
        self._was.take_back(entry, counts)
        sale = self._sales.get(stored["of"])
        if sale is not None and sale.within:
            lines = [ReturnedLine(**line) for line in stored["lines"]]
            sale.done = with_plan(sale.done, Plan(lines, stored["points"]))
            lines_left = sale.purchase.left(sale.done)
            then_gone, sale.then = _less(sale.then, sale.purchase.earned(lines_left).points)
            gone, sale.now = _less(sale.now, earned(sale.by, sale.purchase.order, sale.facts, lines_left).points)
            _add(self._then, then_gone, -1)
            _add(self._now, gone, -1)
            more = {POINTS + wallet: points - then_gone.get(wallet, 0) for wallet, points in gone.items()}
            counts = [one._replace(amount=one.amount - more.get(one.metric, 0)) for one in counts]
        if self._would is not self._was:
            self._would.take_back(entry, counts)

    def _facts(self, entry: Entry, purchase: Bought, by: InForce, day: date) -> Facts:
        """What the rules would have looked at."""
        known = {
            **purchase.facts.values,
            "order.source": entry.because.source or "",
            "order.store": entry.because.store or "",
            "order.day": day.isoformat(),
            "order.month": day.month,
            "order.weekday": day.isoweekday(),
            "member.tier": self._would.tier,
            "member.store": self._rows.member.store or "",
            "member.first_purchase": not self._was.has_bought,
        }
        values = {name: known[name] for name in by.names if name in known}
        return Facts(purchase.facts.occurred_at, values, self._room(by, day), purchase.facts.net_spend)

    def _room(self, by: InForce, day: date) -> dict[str, int]:
        return {cap.id: max(0, cap.points - self._used.get(place, 0)) for cap, place in self._places(by, day)}

    def _use(self, by: InForce, day: date, points: Mapping[str, int]) -> None:
        for cap, place in self._places(by, day):
            self._used[place] = self._used.get(place, 0) + points.get(cap.wallet, 0)

    def _places(self, by: InForce, day: date) -> list[tuple[Cap, tuple[str, str]]]:
        """Where the use of each cap is counted."""
        keys = ((cap, key_of(cap, self.member_id, day)) for cap in by.caps)
        return [(cap, (key.cap, key.over)) for cap, key in keys if key is not None]


def _less(points: Mapping[str, int], left: Mapping[str, int]) -> tuple[dict[str, int], dict[str, int]]:
    """What of the points goes where so much is left, and what stays. What lapsed meanwhile is not told apart."""
    gone = {wallet: max(0, had - left.get(wallet, 0)) for wallet, had in points.items()}
    return gone, {wallet: had - gone[wallet] for wallet, had in points.items()}


def _add(sums: dict[str, int], points: Mapping[str, int], sign: int) -> None:
    for wallet, amount in points.items():
        sums[wallet] = sums.get(wallet, 0) + sign * amount
