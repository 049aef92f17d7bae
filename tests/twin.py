"""A naive twin of the ledger: told the same facts, it works everything out again from the first one.

It knows the published rules and nothing of `loyalty`: plain lists, no stored balances, no loading by need, no
batches. Slow and simple on purpose; where it and the ledger disagree, one of them is wrong.
"""

import copy
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

FOREVER = datetime(9999, 1, 1, tzinfo=UTC)


class WalletRule(NamedTuple):
    """A kind of point: `points` for each whole `unit` spent, ripe after `pending`, then valid for a while."""

    name: str
    points: int
    unit: int
    pending: timedelta
    months: int | None = None
    """Valid to the same day that many months later ..."""
    years: int | None = None
    """... or to the end of that many years later; neither: for ever."""


class Rules(NamedTuple):
    """A programme as the twin knows it."""

    currency: str
    zone: str
    cutover: timedelta
    wallets: tuple[WalletRule, ...]
    ladder: tuple[tuple[str, int], ...]


class Fact(NamedTuple):
    """Something the ledger is told. `id` decides between lots that are otherwise alike."""

    verb: str
    who: int
    occurred_at: datetime
    learnt_at: datetime
    id: str
    key: str | None = None
    dry_run: bool = False
    amount: int = 0
    wallet: str = "points"
    currency: str | None = None
    reference: str = ""
    pending_until: datetime | None = None
    expires_at: datetime | None = None
    identity: str | None = None

    @property
    def request(self) -> str:
        """What a repetition has in common with the first: all but its id and when it was learnt."""
        return repr(self._replace(id="", learnt_at=FOREVER, key=None, dry_run=False))


@dataclass
class Lot:
    """Points earned together; `number` counts the lots of a person as they came."""

    number: int
    wallet: str
    points: int
    left: int
    pending: bool
    earned: datetime
    matures: datetime | None
    expires: datetime | None
    order: tuple[str, int]

    def draw_order(self) -> tuple[datetime, datetime, tuple[str, int]]:
        return (self.expires or FOREVER, self.earned, self.order)


@dataclass
class Person:
    place: datetime
    learnt: datetime
    tier: str
    since: datetime
    until: datetime | None = None
    lots: list[Lot] = field(default_factory=list)
    journal: list[dict[str, Any]] = field(default_factory=list)
    spent: list[tuple[date, int]] = field(default_factory=list)
    steps: list[tuple[str, str, datetime]] = field(default_factory=list)
    debts: list[tuple[str, int]] = field(default_factory=list)


class Refused(Exception):
    def __init__(self, code: str, *, curable: bool = False) -> None:
        super().__init__(code)
        self.code = code
        self.curable = curable


class Twin:
    """Tell it facts; it says what the ledger should answer, and shows what the ledger should hold."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.facts: list[Fact] = []
        self.world = World(rules)

    def tell(self, *facts: Fact) -> list[dict[str, Any]]:
        """What is answered to these facts, after all those before them."""
        self.facts.extend(facts)
        self.world = World(self.rules)
        answers = [self.world.hear(fact) for fact in self.facts]
        return answers[len(answers) - len(facts) :]


class World:
    """All that follows from the facts heard so far."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.people: dict[int, Person] = {}
        self.references: set[tuple[str, str]] = set()
        self.identities: set[str] = set()
        self.answered: dict[str, tuple[str, dict[str, Any]]] = {}

    # --- hearing ---

    def hear(self, fact: Fact) -> dict[str, Any]:
        if fact.key is not None and fact.key in self.answered:
            request, answer = self.answered[fact.key]
            return answer if request == fact.request else {"refused": "idempotency_key_reused"}
        if fact.dry_run:
            return copy.deepcopy(self).hear(fact._replace(dry_run=False))
        keep = True
        try:
            answer = self.decide(fact)
        except Refused as refusal:
            answer, keep = {"refused": refusal.code}, not refusal.curable
        if fact.key is not None and keep:
            self.answered[fact.key] = (fact.request, answer)
        return answer

    def decide(self, fact: Fact) -> dict[str, Any]:
        if fact.verb == "owe":
            self.people[fact.who].debts.append((fact.wallet, fact.amount))
            return {}
        if fact.occurred_at > fact.learnt_at + timedelta(minutes=5):
            raise Refused("occurred_at_in_future", curable=True)
        person = self.people.get(fact.who)
        now = min(fact.occurred_at, fact.learnt_at)
        now = max(now, person.place) if person else now
        if person:
            self.catch_up(person, now, fact)
        if fact.verb == "enrol":
            person = self.enrol(fact)
        elif person is None:
            raise Refused("member_not_found", curable=True)
        elif fact.verb == "purchase":
            self.purchase(person, fact)
        elif fact.verb == "grant":
            self.grant(person, fact)
        elif fact.verb == "redeem":
            self.redeem(person, fact)
        self.catch_up(person, now, fact)
        return {"balances": self.balances(person)}

    # --- verbs ---

    def enrol(self, fact: Fact) -> Person:
        if fact.identity is not None:
            if fact.identity in self.identities:
                raise Refused("identity_taken")
            self.identities.add(fact.identity)
        tier, _ = self.rules.ladder[0]
        joined = min(fact.occurred_at, fact.learnt_at)
        person = Person(joined, fact.learnt_at, tier, joined)
        self.people[fact.who] = person
        return person

    def purchase(self, person: Person, fact: Fact) -> None:
        if fact.currency != self.rules.currency:
            raise Refused("currency_not_accepted")
        self.take_reference("accrual", fact)
        gains = []
        for rule in self.rules.wallets:
            matures = fact.occurred_at + rule.pending if rule.pending else None
            gains.append((rule.name, fact.amount * rule.points // rule.unit, matures, self.expiry(rule, fact)))
        self.earn(person, fact, gains)
        self.count_towards_tier(person, fact)

    def grant(self, person: Person, fact: Fact) -> None:
        rule = self.wallet(fact.wallet)
        expires = fact.expires_at or self.expiry(rule, fact)
        begins = min(fact.occurred_at, fact.learnt_at)
        later = fact.pending_until is not None and fact.pending_until > begins
        usable_from = fact.pending_until if later and fact.pending_until else begins
        if expires is not None and expires <= usable_from:
            raise Refused("dates_contradict")
        self.take_reference("accrual", fact)
        self.earn(person, fact, [(fact.wallet, fact.amount, fact.pending_until if later else None, expires)])

    def earn(self, person: Person, fact: Fact, gains: list[tuple[str, int, datetime | None, datetime | None]]) -> None:
        lots = []
        for place, (wallet, points, matures, expires) in enumerate(gains):
            if points:
                number = len(person.lots)
                pending = matures is not None
                lot = Lot(number, wallet, points, points, pending, fact.occurred_at, matures, expires, (fact.id, place))
                person.lots.append(lot)
                lots.append(lot)
        moves = [(lot.wallet, "issued", "pending" if lot.pending else "available", lot.points) for lot in lots]
        births = [(lot.number, lot.wallet, lot.points, lot.earned, lot.matures, lot.expires) for lot in lots]
        self.write(person, fact, "earn", fact.occurred_at, self.day(fact.occurred_at), moves, lots, births=births)

    def redeem(self, person: Person, fact: Fact) -> None:
        self.wallet(fact.wallet)
        if fact.currency not in (None, self.rules.currency):
            raise Refused("currency_not_accepted")
        if sum(lot.left for lot in self.usable(person, fact.wallet)) < fact.amount:
            raise Refused("insufficient_points")
        self.take_reference("redemption", fact)
        draws = self.draw(self.usable(person, fact.wallet), fact.amount)
        moves = [(fact.wallet, "available", "redeemed", fact.amount)]
        self.write(person, fact, "spend", fact.occurred_at, self.day(fact.occurred_at), moves, draws=draws)

    def take_reference(self, kind: str, fact: Fact) -> None:
        if (kind, fact.reference) in self.references:
            raise Refused("reference_taken")
        self.references.add((kind, fact.reference))

    # --- time ---

    def catch_up(self, person: Person, now: datetime, fact: Fact) -> None:
        """Let happen what is due by `now`, a moment at a time."""
        while True:
            live = [lot for lot in person.lots if lot.left]
            moments = [lot.matures if lot.pending else lot.expires for lot in live]
            moments.append(person.until)
            due = sorted(moment for moment in moments if moment is not None and moment <= now)
            if not due:
                return
            moment = due[0]
            live.sort(key=Lot.draw_order)
            ripe = [lot for lot in live if lot.pending and lot.matures == moment]
            stale = [lot for lot in live if not lot.pending and lot.expires == moment]
            if ripe:
                for lot in ripe:
                    lot.pending = False
                moves = summed((lot.wallet, "pending", "available", lot.left) for lot in ripe)
                self.write(person, fact, "mature", moment, self.day(moment), moves, ripe)
            if stale:
                moves = summed((lot.wallet, "available", "expired", lot.left) for lot in stale)
                draws = self.draw(stale, sum(lot.left for lot in stale))
                last_day = self.day(moment - timedelta(microseconds=1))
                self.write(person, fact, "expire", moment, last_day, moves, draws=draws)
            if person.until == moment:
                self.lapse(person)

    def write(
        self,
        person: Person,
        fact: Fact,
        kind: str,
        occurred_at: datetime,
        accounting_date: date,
        moves: list[tuple[str, str, str, int]],
        credited: list[Lot] | None = None,
        *,
        draws: list[tuple[int, int]] | None = None,
        births: list[Any] | None = None,
    ) -> None:
        """A line of the journal. Whatever became available pays debts first."""
        moves, draws = list(moves), list(draws or ())
        for lot in credited or ():
            if not lot.pending and (paid := min(lot.left, self.owed(person, lot.wallet, moves))):
                moves.append((lot.wallet, "available", "owed", paid))
                draws += self.draw([lot], paid)
        person.place = max(person.place, min(occurred_at, fact.learnt_at))
        person.learnt = max(person.learnt, fact.learnt_at)
        line = {
            "kind": kind,
            "occurred_at": occurred_at,
            "effective_at": person.place,
            "recorded_at": person.learnt,
            "accounting_date": accounting_date,
            "postings": moves,
            "draws": draws,
            "births": births or [],
        }
        person.journal.append(line)
        line["balances"] = self.balances(person)

    # --- lots and balances ---

    def usable(self, person: Person, wallet: str) -> list[Lot]:
        return sorted((x for x in person.lots if x.wallet == wallet and not x.pending), key=Lot.draw_order)

    def draw(self, lots: list[Lot], points: int) -> list[tuple[int, int]]:
        draws = []
        for lot in lots:
            if part := min(points, lot.left):
                lot.left -= part
                points -= part
                draws.append((lot.number, part))
        return draws

    def owed(self, person: Person, wallet: str, also: list[tuple[str, str, str, int]]) -> int:
        moves: list[tuple[str, str, str, int]] = [move for line in person.journal for move in line["postings"]] + also
        paid = sum(points for name, _, credit, points in moves if name == wallet and credit == "owed")
        return sum(points for name, points in person.debts if name == wallet) - paid

    def balances(self, person: Person) -> dict[str, list[int]]:
        """Pending, available, held and owed, by wallet."""
        found = {}
        for rule in self.rules.wallets:
            lots = [lot for lot in person.lots if lot.wallet == rule.name]
            pending = sum(lot.left for lot in lots if lot.pending)
            available = sum(lot.left for lot in lots if not lot.pending)
            found[rule.name] = [pending, available, 0, self.owed(person, rule.name, [])]
        return found

    # --- tiers ---

    def count_towards_tier(self, person: Person, fact: Fact) -> None:
        day = self.day(fact.occurred_at)
        person.spent.append((day, fact.amount))
        reached = self.reached(person, day.year)
        until = self.start_of(date(day.year + 2, 1, 1))
        current = [tier for tier, _ in self.rules.ladder].index(person.tier)
        if reached == 0 or until <= person.place:
            return
        if reached > current:
            self.move(person, reached, person.place, until)
        elif reached == current and person.until is not None:
            person.until = max(person.until, until)

    def lapse(self, person: Person) -> None:
        assert person.until is not None
        last_year = self.day(person.until).year - 1
        reached = self.reached(person, last_year)
        until = self.start_of(date(last_year + 2, 1, 1)) if reached else None
        self.move(person, reached, person.until, until)

    def move(self, person: Person, place: int, when: datetime, until: datetime | None) -> None:
        tier, _ = self.rules.ladder[place]
        if tier != person.tier:
            person.steps.append((person.tier, tier, when))
            person.tier, person.since = tier, when
        person.until = until

    def reached(self, person: Person, year: int) -> int:
        spent = sum(amount for day, amount in person.spent if day.year == year)
        return max(n for n, (_, cost) in enumerate(self.rules.ladder) if spent >= cost or n == 0)

    # --- the calendar ---

    def day(self, moment: datetime) -> date:
        local = moment.astimezone(ZoneInfo(self.rules.zone)).replace(tzinfo=None)
        return (local - self.rules.cutover).date()

    def start_of(self, day: date) -> datetime:
        local = datetime.combine(day, time()) + self.rules.cutover
        return local.replace(tzinfo=ZoneInfo(self.rules.zone)).astimezone(UTC)

    def expiry(self, rule: WalletRule, fact: Fact) -> datetime | None:
        earned_on = self.day(fact.occurred_at)
        if rule.years is not None:
            return self.start_of(date(earned_on.year + rule.years + 1, 1, 1))
        if rule.months is None:
            return None
        year, month = earned_on.year, earned_on.month
        for _ in range(rule.months):
            year, month = (year + 1, 1) if month == 12 else (year, month + 1)
        last = earned_on.day
        while True:
            try:
                return self.start_of(date(year, month, last) + timedelta(days=1))
            except ValueError:
                last -= 1

    def wallet(self, name: str) -> WalletRule:
        for rule in self.rules.wallets:
            if rule.name == name:
                return rule
        raise Refused("unknown_wallet")


def summed(moves: Any) -> list[tuple[str, str, str, int]]:
    """The moves with those between the same accounts added up, in the order they first appear."""
    totals: dict[tuple[str, str, str], int] = {}
    for wallet, debit, credit, points in moves:
        totals[wallet, debit, credit] = totals.get((wallet, debit, credit), 0) + points
    return [(*accounts, points) for accounts, points in totals.items()]


def picture(world: World) -> dict[int, dict[str, Any]]:
    """Everybody's history and what they hold, to be compared with the ledger's."""
    return {
        who: {
            "tier": (person.tier, person.since, person.until),
            "steps": person.steps,
            "journal": person.journal,
            "balances": world.balances(person),
            "lots": [
                (x.number, x.wallet, x.pending, x.points, x.left, x.earned, x.matures, x.expires) for x in person.lots
            ],
        }
        for who, person in world.people.items()
    }
