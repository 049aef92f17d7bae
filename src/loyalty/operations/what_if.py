"""What if other rules had held: past orders earn by them, member by member, and what that changes is added up.

Nothing is written. Returns take back by the same rules; caps, first purchases and, where the ladder goes by points,
tiers are as they would have been. Redemptions and expiries are not lived through again: liability is what was given.
"""

import asyncio
import multiprocessing
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import date, timedelta
from typing import Any, Final, NamedTuple

import orjson

from loyalty.domain.caps import key_of
from loyalty.domain.conditions import NONE_OF, OF_THE_LINE, VARIABLES
from loyalty.domain.earning import Facts, earned
from loyalty.domain.entries import Entry, Kind
from loyalty.domain.ids import BUCKETS
from loyalty.domain.ladder import POINTS, Pending
from loyalty.domain.programme import Programme
from loyalty.domain.returns import Bought, Plan, ReturnedLine, bought, bought_on, is_purchase, with_plan
from loyalty.domain.reversals import Done
from loyalty.domain.rules import Cap, InForce, RuleSet, rule_of, rules_json
from loyalty.domain.tiers import counts_of_purchase
from loyalty.memory import relax_collector
from loyalty.operations.replayed_tiers import ReplayedTiers, counts_of_points, counts_of_return
from loyalty.store import programmes
from loyalty.store import verify as store
from loyalty.store.database import Database
from loyalty.store.verify import MemberRows

AT_A_TIME: Final = 4
"""Buckets that are worked on before progress is told."""

Progress = Callable[[int], None]
"""Hears how many of the 256 buckets are done."""


class Question(NamedTuple):
    """By which rules, and over which business days."""

    rules: RuleSet
    begins: date
    ends: date
    """The first day after the last."""


class Tally:
    """What was given, and what would have been. Tallies of different members add up."""

    def __init__(self) -> None:
        self.members = 0
        self.purchases = 0
        self.wallets: dict[str, dict[str, int]] = {}
        self.rules: dict[str, dict[str, int]] = {}
        self.tiers: dict[str, int] = {}
        """Members by the tier they are of and the one they would be of."""
        self.unknown: dict[str, int] = {}
        """Purchases of which nobody knows any more what a variable was: none, or false, as far as this goes."""

    def add(self, other: "Tally") -> None:
        """Take over what another tally counted."""
        self.members += other.members
        self.purchases += other.purchases
        for mine, theirs in ((self.wallets, other.wallets), (self.rules, other.rules)):
            for name, figures in theirs.items():
                known = mine.setdefault(name, {})
                for figure, value in figures.items():
                    pick = {"largest_gain": max, "largest_loss": min}.get(figure, _sum)
                    known[figure] = pick(known.get(figure, 0), value)
        for counts, more in ((self.tiers, other.tiers), (self.unknown, other.unknown)):
            for name, number in more.items():
                counts[name] = counts.get(name, 0) + number

    def count(self, wallet: str, **figures: int) -> None:
        """Add to a wallet's figures."""
        known = self.wallets.setdefault(wallet, {})
        for figure, value in figures.items():
            known[figure] = known.get(figure, 0) + value


def _sum(one: int, other: int) -> int:
    return one + other


async def what_if(
    database_url: str,
    code: str,
    question: Question,
    *,
    processes: int,
    progress: Progress = lambda buckets: None,
) -> Tally:
    """What the programme of that code would have given, over all its members. Changes and locks nothing.

    Reads every entry of the programme, a bucket in a snapshot of its own; its memory is that of the members of one
    bucket for each process. Cancelled, it leaves the buckets that are being worked on to end by themselves.
    """
    asked = (question.rules.id, orjson.loads(rules_json(question.rules.rules)), question.begins, question.ends)
    parts = [range(first, min(first + AT_A_TIME, BUCKETS)) for first in range(0, BUCKETS, AT_A_TIME)]
    tally, done = Tally(), 0
    # Not forked: a copy of an event loop and of its connections is good for nothing.
    pool = ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn"))
    try:
        loop = asyncio.get_running_loop()
        waiting = [loop.run_in_executor(pool, _work, database_url, code, asked, part) for part in parts]
        for part in asyncio.as_completed(waiting):
            tally.add(await part)
            done += AT_A_TIME
            progress(min(done, BUCKETS))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # to wait would hold up everything else in this process
    return tally


def report(programme: Programme, question: Question, tally: Tally) -> dict[str, Any]:
    """The answer, as it is kept and shown."""
    wallets = {}
    for name, figures in sorted(tally.wallets.items()):
        wallet = programme.wallets.get(name)
        difference = figures["now"] - figures["then"]
        wallets[name] = {
            "given": figures["then"],
            "would_be_given": figures["now"],
            "difference": difference,
            "liability": None if wallet is None else difference * wallet.point_value,
            **{figure: figures.get(figure, 0) for figure in _FIGURES},
        }
    return {
        "from": question.begins,
        "to": question.ends - timedelta(days=1),
        "members": tally.members,
        "purchases": tally.purchases,
        "wallets": wallets,
        "rules": [{"rule": id_, **figures} for id_, figures in sorted(tally.rules.items())],
        "unknown": [{"variable": name, "purchases": number} for name, number in sorted(tally.unknown.items())],
        "tiers_follow_rules": follows_rules(programme),
        "tiers": [
            {"is": move.split("\x1f")[0], "would_be": move.split("\x1f")[1], "members": members}
            for move, members in sorted(tally.tiers.items())
        ],
        "currency": programme.currency,
    }


def follows_rules(programme: Programme) -> bool:
    """Whether other rules would have made other tiers: the ladder goes by points as they are earned."""
    ladder = programme.ladder
    return any(name.startswith(POINTS) for name, _ in ladder.metric) and ladder.pending == Pending.EARNING


_FIGURES: Final = ("purchases_more", "purchases_less", "members_more", "members_less", "largest_gain", "largest_loss")


FROM_THE_ORDER: Final = OF_THE_LINE | {"order.net_spend", "order.lines", "order.skus", "order.categories"}
"""Variables that follow from the lines."""
_KINDS: Final = (Kind.EARN, Kind.RETURN, Kind.REASSIGN, Kind.TIER, Kind.MERGE, Kind.UNMERGE)
"""Entries that say what was earned, or what counts towards a tier."""


def _work(
    database_url: str, code: str, asked: tuple[str, list[dict[str, Any]], date, date], buckets: Sequence[int]
) -> Tally:
    """What some buckets come to. In a process of its own."""
    relax_collector()
    id_, rules, begins, ends = asked
    question = Question(RuleSet(id_, None, None, tuple(map(rule_of, rules))), begins, ends)
    return asyncio.run(_of_buckets(database_url, code, question, buckets))


async def _of_buckets(database_url: str, code: str, question: Question, buckets: Sequence[int]) -> Tally:
    database = Database(database_url, door_size=1, reads_size=1)
    tally = Tally()
    try:
        programme = await programmes.read(database.reads, code)
        assert programme is not None, "the caller has read it"
        for bucket in buckets:
            async with database.snapshot(programme.id) as connection:
                await store.take_time(connection)
                await _of_bucket(connection, programme, bucket, question, tally)
    finally:
        await database.close()
    return tally


async def _of_bucket(connection: Any, programme: Programme, bucket: int, question: Question, tally: Tally) -> None:
    """Every member of a bucket beside its entries, both in the order of their ids."""
    members = {
        rows.member.id: rows async for page in store.members_of(connection, programme.id, bucket) for rows in page
    }
    life, whose = None, ""
    kinds = (*_KINDS, Kind.MATURE) if programme.ladder.counts_what_matures else _KINDS
    async for slice_ in store.entries_of_kinds(connection, programme.id, bucket, kinds):
        for entry in slice_:
            if entry.member_id != whose:
                if life is not None:
                    life.end(tally)
                whose = entry.member_id
                rows = members.pop(whose, None)  # an entry of nobody's is for `verify` to find
                life = None if rows is None else _Life(programme, rows, question)
            if life is not None:
                life.take(entry)
    if life is not None:
        life.end(tally)
    for rows in members.values():
        _Life(programme, rows, question).end(tally)


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


class _Life:
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
        stored = orjson.loads(entry.calculation or "{}")
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
