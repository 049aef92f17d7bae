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
    slides: int | None = None
    """Or else all of them to the same day that many months after whatever was last earned ..."""
    slides_by_spending: bool = False
    """... or spent."""


class Rules(NamedTuple):
    """A programme as the twin knows it."""

    currency: str
    zone: str
    cutover: timedelta
    wallets: tuple[WalletRule, ...]
    ladder: tuple[tuple[str, int], ...]
    hold_grace: timedelta = timedelta(0)
    refund_grace_days: int = 0
    shortfall: str = "owed"
    transfers: bool = False
    limit: int | None = None
    """Points above which an adjustment waits for a second person."""
    forced: frozenset[str] = frozenset()
    """Sources that may spend what is not there."""


class Part(NamedTuple):
    """A line of a purchase, or what comes back of one."""

    line: str
    quantity: int
    amount: int


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
    """Points; 0 for a capture or a refund of all there is."""
    wallet: str = "points"
    currency: str | None = None
    source: str = "till"
    reference: str = ""
    pending_until: datetime | None = None
    expires_at: datetime | None = None
    identity: str | None = None
    lines: tuple[Part, ...] = ()
    """Of a purchase, or what comes back of it: nothing named is all of it."""
    of: str = ""
    """The fact that this one undoes, captures or decides."""
    to: int = -1
    lasts: timedelta = timedelta(0)
    forced: bool = False
    by: str = ""
    approve: bool = True
    status: str = ""

    @property
    def request(self) -> str:
        """What a repetition has in common with the first: all but its id and when it was learnt."""
        return repr(self._replace(id="", learnt_at=FOREVER, key=None, dry_run=False))


Move = tuple[str, str, str, int]
"""Wallet, debit, credit, points."""
Draw = tuple[int, int]
"""The number of a lot and points: negative when they are given back."""


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
    lapsed: int = 0

    def draw_order(self) -> tuple[datetime, datetime, tuple[str, int]]:
        return (self.expires or FOREVER, self.earned, self.order)


@dataclass
class Hold:
    id: str
    wallet: str | None
    """What is held for a return can be of several."""
    points: int
    opened: datetime
    ends: datetime
    draws: list[Draw]
    status: str = "open"
    captured: int = 0
    back: "Return | None" = None
    """What it is held for; else it is to be spent."""


@dataclass
class Purchase:
    day: date
    lines: tuple[Part, ...]
    earned: dict[str, int]
    own: dict[str, Lot]
    """The lot it created, by wallet."""
    back: list["Return"] = field(default_factory=list)
    moves: int = 0
    moved: bool = False

    def left(self, reserved: "list[Return]") -> list[Part]:
        """What has not come back, line by line."""
        gone = [part for one in (*self.back, *reserved) for part in one.parts]
        return [
            Part(
                line,
                quantity - sum(part.quantity for part in gone if part.line == line),
                amount - sum(part.amount for part in gone if part.line == line),
            )
            for line, quantity, amount in self.lines
        ]


@dataclass
class Return:
    purchase: Purchase
    parts: list[Part]
    wanted: dict[str, int]
    """Points to be taken back, by wallet."""


@dataclass
class Redemption:
    wallet: str
    points: int
    draws: list[Draw]
    """The rest was forced: no lot covered it."""
    given: list[Draw] = field(default_factory=list)
    """What came back to which lot."""
    forced_given: int = 0

    def left(self) -> int:
        return self.points - sum(points for _, points in self.given) - self.forced_given

    def forced_left(self) -> int:
        return self.points - sum(points for _, points in self.draws) - self.forced_given


@dataclass
class Adjustment:
    fact: Fact
    status: str = "awaiting_approval"


@dataclass
class Person:
    place: datetime
    learnt: datetime
    tier: str
    since: datetime
    until: datetime | None = None
    status: str = "active"
    lots: list[Lot] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)
    owed: dict[str, int] = field(default_factory=dict)
    journal: list[dict[str, Any]] = field(default_factory=list)
    spent: list[tuple[date, int]] = field(default_factory=list)
    steps: list[tuple[str, str, datetime]] = field(default_factory=list)
    reviews: list[tuple[datetime, str, str, str, int]] = field(default_factory=list)
    """What was forced and not covered: somebody has to look at it."""


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
        self.references: set[tuple[str, str, str]] = set()
        self.identities: dict[str, Person] = {}
        self.answered: dict[str, tuple[str, dict[str, Any]]] = {}
        self.holds: dict[str, Hold] = {}
        self.purchases: dict[str, Purchase] = {}
        self.redemptions: dict[str, Redemption] = {}
        self.adjustments: dict[str, Adjustment] = {}

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
        if fact.occurred_at > fact.learnt_at + timedelta(minutes=5):
            raise Refused("occurred_at_in_future", curable=True)
        concerned = [self.people[who] for who in dict.fromkeys((fact.who, fact.to)) if who in self.people]
        present = [self.present(person, fact) for person in concerned]
        for person, now in zip(concerned, present, strict=True):
            self.catch_up(person, now, fact)
        if fact.verb == "enrol":
            return {"balances": self.balances(self.enrol(fact))}
        if fact.verb == "transfer" and not self.rules.transfers:
            raise Refused("transfers_not_allowed")
        person = self.known(fact.who)
        said = getattr(self, fact.verb)(person, fact)
        for one, now in zip(concerned, present, strict=True):
            self.catch_up(one, now, fact)
        return {"balances": self.balances(person), **(said or {})}

    def present(self, person: Person, fact: Fact) -> datetime:
        """Where the fact stands in the person's history, which never runs backwards."""
        return max(person.place, min(fact.occurred_at, fact.learnt_at))

    def known(self, who: int) -> Person:
        if who not in self.people:
            raise Refused("member_not_found", curable=True)
        return self.people[who]

    # --- who may ---

    def may_earn(self, person: Person) -> None:
        if person.status in ("closed", "frozen"):
            raise Refused(f"member_{person.status}")

    def may_spend(self, person: Person) -> None:
        self.may_earn(person)
        if person.status == "earn_only":
            raise Refused("member_earn_only")

    # --- verbs ---

    def settle(self, person: Person, fact: Fact) -> None:
        """Nothing but what is due."""

    def enrol(self, fact: Fact) -> Person:
        if fact.identity in self.identities:
            raise Refused("identity_taken", curable=True)
        tier, _ = self.rules.ladder[0]
        joined = min(fact.occurred_at, fact.learnt_at)
        person = Person(joined, fact.learnt_at, tier, joined)
        self.people[fact.who] = person
        if fact.identity is not None:
            self.identities[fact.identity] = person
        return person

    def status(self, person: Person, fact: Fact) -> None:
        if person.status == "closed":
            raise Refused("member_closed")
        person.status = fact.status

    def bind(self, person: Person, fact: Fact) -> None:
        """All are of one channel and type: everybody has at most one."""
        assert fact.identity is not None
        if person.status == "closed":
            raise Refused("member_closed")
        whose = self.identities.get(fact.identity, person)
        if whose is not person:
            raise Refused("identity_taken", curable=True)
        if any(one is person and other != fact.identity for other, one in self.identities.items()):
            raise Refused("identity_conflict", curable=True)
        self.identities[fact.identity] = person

    def unbind(self, person: Person, fact: Fact) -> None:
        if fact.identity is None or self.identities.get(fact.identity) is not person:
            raise Refused("identity_not_found", curable=True)
        del self.identities[fact.identity]

    def purchase(self, person: Person, fact: Fact) -> None:
        self.may_earn(person)
        if fact.currency != self.rules.currency:
            raise Refused("currency_not_accepted")
        self.take_reference("accrual", fact)
        amount = sum(line.amount for line in fact.lines)
        gains = []
        for rule in self.rules.wallets:
            matures = fact.occurred_at + rule.pending if rule.pending else None
            gains.append((rule.name, amount * rule.points // rule.unit, matures, self.expiry(rule, fact)))
        own = self.earn(person, fact, gains)
        day = self.day(fact.occurred_at)
        earned = {name: points for name, points, _, _ in gains}
        self.purchases[fact.id] = Purchase(day, fact.lines, earned, {lot.wallet: lot for lot in own})
        person.spent.append((day, amount))
        self.climb(person, day.year)

    def grant(self, person: Person, fact: Fact) -> None:
        self.may_earn(person)
        rule = self.wallet(fact.wallet)
        expires = fact.expires_at or self.expiry(rule, fact)
        reached = min(fact.occurred_at, fact.learnt_at)  # a till that runs ahead makes nothing due earlier
        later = fact.pending_until is not None and fact.pending_until > reached
        usable_from = fact.pending_until if later and fact.pending_until else reached
        if expires is not None and expires <= usable_from:
            raise Refused("dates_contradict")
        self.take_reference("accrual", fact)
        self.earn(person, fact, [(fact.wallet, fact.amount, fact.pending_until if later else None, expires)])

    def earn(
        self, person: Person, fact: Fact, gains: list[tuple[str, int, datetime | None, datetime | None]]
    ) -> list[Lot]:
        lots = [
            self.lot(person, fact, wallet, points, fact.occurred_at, expires, matures)
            for wallet, points, matures, expires in gains
            if points
        ]
        moves = [(lot.wallet, "issued", "pending" if lot.pending else "available", lot.points) for lot in lots]
        self.write(person, fact, "earn", moves, lots, births=lots)
        return lots

    def redeem(self, person: Person, fact: Fact) -> None:
        self.may_spend(person)
        self.wallet(fact.wallet)
        if fact.currency not in (None, self.rules.currency):
            raise Refused("currency_not_accepted")
        self.reference_is_free("redemption", fact)
        if fact.forced and fact.source not in self.rules.forced:
            raise Refused("source_may_not_force")
        covered = min(fact.amount, self.available(person, fact.wallet))
        if covered < fact.amount and not fact.forced:
            raise Refused("insufficient_points")
        self.take_reference("redemption", fact)
        draws = self.draw(self.usable(person, fact.wallet), covered)
        sides = [("available", covered), ("owed", fact.amount - covered)]
        moves = [(fact.wallet, account, "redeemed", points) for account, points in sides if points]
        self.write(person, fact, "spend", moves, draws=draws)
        self.redemptions[fact.id] = Redemption(fact.wallet, fact.amount, draws)
        if covered < fact.amount:
            learnt = person.journal[-1]["recorded_at"]
            person.reviews.append((learnt, fact.source, fact.reference, fact.wallet, fact.amount - covered))

    def refund(self, person: Person, fact: Fact) -> None:
        """Points go back to where they came from: what was forced first, then what was drawn last."""
        self.may_earn(person)
        self.reference_is_free("refund", fact)
        redemption = self.redemptions[fact.of]
        wallet, points = redemption.wallet, fact.amount or redemption.left()
        if not 0 < points <= redemption.left():
            raise Refused("exceeds_redemption")
        self.take_reference("refund", fact)
        forced = min(points, redemption.forced_left())
        forgiven = min(forced, person.owed.get(wallet, 0))
        redemption.forced_given += forced
        now = self.present(person, fact)
        back, births, restored = list[Draw](), list[Lot](), list[Lot]()
        missing = points - forced
        for number, drawn in reversed(redemption.draws):
            part = min(missing, drawn - sum(given for lot, given in redemption.given if lot == number))
            if not part:
                continue
            missing -= part
            redemption.given.append((number, part))
            lot = person.lots[number]
            ends = self.end(person, lot)
            if ends and ends <= now and self.rules.refund_grace_days:
                last_day = self.day(now) + timedelta(days=self.rules.refund_grace_days)
                end = self.start_of(last_day + timedelta(days=1))
                births.append(self.lot(person, fact, wallet, part, lot.earned, end))
            else:
                lot.left += part
                back.append((number, -part))
                restored.append(lot)
        if forced > forgiven:
            new = self.lot(person, fact, wallet, forced - forgiven, fact.occurred_at, self.expiry_in(wallet, fact))
            births.append(new)
        sides = [("owed", forgiven), ("available", points - forgiven)]
        moves = [(wallet, "redeemed", account, part) for account, part in sides if part]
        self.write(person, fact, "unspend", moves, [*restored, *births], draws=back, births=births)

    def hold(self, person: Person, fact: Fact) -> None:
        self.may_spend(person)
        self.wallet(fact.wallet)
        self.reference_is_free("hold", fact)
        if self.available(person, fact.wallet) < fact.amount:
            raise Refused("insufficient_points")
        self.take_reference("hold", fact)
        draws = self.draw(self.usable(person, fact.wallet), fact.amount)
        opened = self.present(person, fact)
        self.holds[fact.id] = Hold(fact.id, fact.wallet, fact.amount, opened, opened + fact.lasts, draws)
        person.holds.append(self.holds[fact.id])
        self.write(person, fact, "hold", [(fact.wallet, "available", "held", fact.amount)], draws=draws)

    def capture(self, person: Person, fact: Fact) -> None:
        hold = self.holds[fact.of]
        assert hold.wallet is not None
        points = fact.amount or hold.points
        if hold.status in ("captured", "released"):
            raise Refused("hold_resolved")
        if points > hold.points:
            raise Refused("exceeds_hold")
        ended = hold.status == "expired"
        if ended:
            if self.present(person, fact) >= hold.ends + self.rules.hold_grace:
                raise Refused("hold_expired")
            self.may_spend(person)
            if self.available(person, hold.wallet) < points:
                raise Refused("hold_expired")
        hold.status, hold.captured = "captured", points
        if ended:
            spent = self.draw(self.usable(person, hold.wallet), points)
            self.write(person, fact, "capture", [(hold.wallet, "available", "redeemed", points)], draws=spent)
        else:
            rest = hold.points - points
            spent, back = split(hold.draws, points)
            moves = [(hold.wallet, "held", "redeemed", points)]
            moves += [(hold.wallet, "held", "available", rest)] if rest else []
            given, lots = self.give_back(person, back)
            self.write(person, fact, "capture", moves, lots, draws=given)
        self.redemptions[fact.id] = Redemption(hold.wallet, points, spent)

    def release(self, person: Person, fact: Fact) -> None:
        hold = self.holds[fact.of]
        if hold.status in ("captured", "released"):
            raise Refused("hold_resolved")
        if hold.status == "expired":
            raise Refused("hold_expired")
        self.let_go(person, fact, hold, "released")

    def let_go(self, person: Person, fact: Fact, hold: Hold, status: str, moment: datetime | None = None) -> None:
        hold.status = status
        given, lots = self.give_back(person, hold.draws)
        moves = summed(
            (person.lots[number].wallet, "held", "pending" if person.lots[number].pending else "available", -points)
            for number, points in given
        )
        self.write(person, fact, "release", moves, lots, draws=given, moment=moment)

    def take_back(self, person: Person, fact: Fact) -> dict[str, Any]:
        """A return: what the purchase earned, less what the basket that remains earns, less what is gone already."""
        self.reference_is_free("return", fact)
        back = self.coming_back(person, self.purchase_of(fact), list(fact.lines))
        self.take_reference("return", fact)
        moves, draws, said = self.taking(person, back, "waived" if person.status == "closed" else self.rules.shortfall)
        self.write(person, fact, "return", moves, draws=draws)
        self.came_back(person, back)
        return {"returned": said}

    def reserve(self, person: Person, fact: Fact) -> dict[str, Any]:
        """A return in two steps: what it will take is held, pending points too."""
        self.reference_is_free("return", fact)
        purchase = self.purchase_of(fact)
        others = self.reserved_of(person, purchase)
        back = self.coming_back(person, purchase, list(fact.lines), after=others)
        self.take_reference("return", fact)
        policy = "waived" if person.status == "closed" else self.rules.shortfall
        moves, draws, said = self.taking(person, back, "withheld", to="held")
        for wallet, missing in said["withheld"].items():
            said["owed"][wallet] = missing if policy == "owed" else 0
            said["points"][wallet] += said["owed"][wallet]
            said["withheld"][wallet] = missing if policy == "withheld" else 0
        opened = self.present(person, fact)
        points = sum(points for _, points in draws)
        self.holds[fact.id] = Hold(fact.id, None, points, opened, opened + fact.lasts, draws, back=back)
        person.holds.append(self.holds[fact.id])
        self.write(person, fact, "reserve", moves, draws=draws)
        return {"returned": said}

    def confirm(self, person: Person, fact: Fact) -> dict[str, Any]:
        hold = self.reserved(fact)
        assert hold.back is not None
        policy = "waived" if person.status == "closed" else self.rules.shortfall
        back = self.coming_back(person, hold.back.purchase, hold.back.parts, reserved=[])
        moves, draws = list[Move](), list[Draw]()
        lots: list[Lot] = []
        said: dict[str, dict[str, int]] = {"points": {}, "owed": {}, "withheld": {}}
        for rule in self.rules.wallets:
            mine = [(number, points) for number, points in hold.draws if person.lots[number].wallet == rule.name]
            held = sum(points for _, points in mine)
            told = 0 if policy == "owed" else min(back.wanted[rule.name], hold.back.wanted[rule.name] - held)
            wanted = back.wanted[rule.name] - told
            _, rest = split(mine, wanted)
            used = min(wanted, held)
            if used:
                moves.append((rule.name, "held", "issued", used))
            more = Return(back.purchase, [], {rule.name: wanted - used})
            extra, drawn, heard = self.taking(person, more, policy)
            moves += extra
            draws += drawn
            given, restored = self.give_back(person, rest)
            moves += summed(
                (rule.name, "held", "pending" if person.lots[number].pending else "available", -points)
                for number, points in given
            )
            draws += given
            lots += restored
            said["points"][rule.name] = used + heard["points"][rule.name]
            said["owed"][rule.name] = heard["owed"][rule.name]
            said["withheld"][rule.name] = heard["withheld"][rule.name] + (told if policy == "withheld" else 0)
        hold.status = "captured"
        self.write(person, fact, "return", moves, lots, draws=draws)
        self.came_back(person, back)
        return {"returned": said}

    def cancel(self, person: Person, fact: Fact) -> None:
        self.let_go(person, fact, self.reserved(fact), "released")

    def reassign(self, person: Person, fact: Fact) -> dict[str, Any]:
        """All that is left of a purchase goes to who made it, with the dates that its points have."""
        self.reference_is_free("reassignment", fact)
        other = self.known(fact.to)
        self.may_earn(other)
        if other is person:
            raise Refused("same_member")
        purchase = self.purchases.get(fact.of)
        if purchase is None:
            raise Refused("not_a_purchase")
        if purchase.moves >= 16:
            raise Refused("reassigned_too_often")
        if self.reserved_of(person, purchase):
            raise Refused("return_reserved", curable=True)
        back = self.coming_back(person, self.purchase_of(fact), [])
        left = tuple(purchase.left([]))
        self.take_reference("reassignment", fact)
        policy = self.rules.shortfall if person.status != "closed" else "waived"
        moves, draws, said = self.taking(person, back, "waived" if policy == "withheld" else policy)
        self.write(person, fact, "reassign", moves, draws=draws)
        self.came_back(person, back)
        purchase.moved = True

        amount = sum(part.amount for part in back.parts)
        earned = {rule.name: amount * rule.points // rule.unit for rule in self.rules.wallets}
        now = min(fact.occurred_at, fact.learnt_at)
        lots = []
        for wallet, own in purchase.own.items():
            if earned[wallet]:
                matures = own.matures if own.matures and own.matures > now else None
                lots.append(self.lot(other, fact, wallet, earned[wallet], own.earned, own.expires, matures))
        moves = [(lot.wallet, "issued", "pending" if lot.pending else "available", lot.points) for lot in lots]
        self.write(other, fact, "reassign", moves, lots, births=lots)
        new = Purchase(purchase.day, left, earned, {lot.wallet: lot for lot in lots})
        new.moves = purchase.moves + 1
        self.purchases[fact.id] = new
        other.spent.append((purchase.day, amount))
        self.climb(other, purchase.day.year)
        return {"returned": said}

    def purchase_of(self, fact: Fact) -> Purchase:
        if fact.of not in self.purchases:
            raise Refused("not_a_purchase")
        if self.purchases[fact.of].moved:
            raise Refused("purchase_reassigned", curable=True)
        return self.purchases[fact.of]

    def reserved(self, fact: Fact) -> Hold:
        hold = self.holds[fact.of]
        if hold.status == "expired":
            raise Refused("reservation_expired")
        if hold.status != "open":
            raise Refused("reservation_resolved")
        return hold

    def reserved_of(self, person: Person, purchase: Purchase) -> list[Return]:
        back = [hold.back for hold in self.open_holds(person)]
        return [one for one in back if one is not None and one.purchase is purchase]

    def coming_back(
        self,
        person: Person,
        purchase: Purchase,
        parts: list[Part],
        reserved: list[Return] | None = None,
        after: list[Return] | None = None,
    ) -> Return:
        """A return of these parts, or of whatever is left; what is reserved is not left, and has taken nothing yet."""
        reserved = self.reserved_of(person, purchase) if reserved is None else reserved
        try:
            parts = self.possible(purchase, parts, reserved)
        except Refused as refusal:
            if refusal.code == "exceeds_purchase":
                self.possible(purchase, parts, [])
                raise Refused("return_reserved", curable=True) from None
            raise
        after = after or []
        remaining = sum(part.amount for part in purchase.left(after)) - sum(part.amount for part in parts)
        wanted = {}
        for rule in self.rules.wallets:
            own = purchase.own.get(rule.name)
            gone = sum(one.wanted[rule.name] for one in (*purchase.back, *after)) + (own.lapsed if own else 0)
            due = purchase.earned[rule.name] - remaining * rule.points // rule.unit
            wanted[rule.name] = max(0, due - gone)
        return Return(purchase, parts, wanted)

    def possible(self, purchase: Purchase, parts: list[Part], reserved: list[Return]) -> list[Part]:
        left = {part.line: part for part in purchase.left(reserved)}
        parts = parts or [part for part in left.values() if part.quantity or part.amount]
        for part in parts:
            if part.line not in left:
                raise Refused("unknown_line")
            if part.quantity > left[part.line].quantity or part.amount > left[part.line].amount:
                raise Refused("exceeds_purchase")
        if not parts:
            raise Refused("exceeds_purchase")
        return parts

    def taking(
        self, person: Person, back: Return, policy: str, *, to: str = "issued"
    ) -> tuple[list[Move], list[Draw], dict[str, dict[str, int]]]:
        """From the purchase's own lots, then from others; what is missing may be owed."""
        moves, draws = list[Move](), list[Draw]()
        said: dict[str, dict[str, int]] = {"points": {}, "owed": {}, "withheld": {}}
        for rule in self.rules.wallets:
            if rule.name not in back.wanted:
                continue
            missing = wanted = back.wanted[rule.name]
            own = back.purchase.own.get(rule.name)
            others = [lot for lot in self.usable(person, rule.name) if lot is not own]
            for account, lots in (
                ("pending" if own and own.pending else "available", [own] if own else []),
                ("available", others),
            ):
                drawn = self.draw(lots, missing)
                if points := sum(points for _, points in drawn):
                    moves.append((rule.name, account, to, points))
                draws += drawn
                missing -= points
            owed = missing if policy == "owed" else 0
            if owed:
                moves.append((rule.name, "owed", to, owed))
            said["points"][rule.name] = wanted - missing + owed
            said["owed"][rule.name] = owed
            said["withheld"][rule.name] = missing if policy == "withheld" else 0
        return moves, draws, said

    def came_back(self, person: Person, back: Return) -> None:
        back.purchase.back.append(back)
        person.spent.append((back.purchase.day, -sum(part.amount for part in back.parts)))
        person.until = self.lasts(person)

    def transfer(self, person: Person, fact: Fact) -> None:
        self.may_spend(person)
        other = self.known(fact.to)
        self.may_earn(other)
        if other is person:
            raise Refused("same_member")
        self.wallet(fact.wallet)
        self.reference_is_free("transfer", fact)
        if self.available(person, fact.wallet) < fact.amount:
            raise Refused("insufficient_points")
        self.take_reference("transfer", fact)
        draws = self.draw(self.usable(person, fact.wallet), fact.amount)
        self.write(person, fact, "transfer", [(fact.wallet, "available", "transferred", fact.amount)], draws=draws)
        lots = []
        for number, points in draws:
            drawn = person.lots[number]
            lots.append(self.lot(other, fact, fact.wallet, points, drawn.earned, self.end(person, drawn)))
        self.write(other, fact, "transfer", [(fact.wallet, "transferred", "available", fact.amount)], lots, births=lots)

    def adjust(self, person: Person, fact: Fact) -> None:
        self.wallet(fact.wallet)
        if ("adjustment", fact.source, fact.reference) in self.references:
            raise Refused("reference_taken")
        adjustment = Adjustment(fact)
        if self.rules.limit is None or abs(fact.amount) <= self.rules.limit:
            self.correct(person, fact, adjustment)
        self.take_reference("adjustment", fact)
        self.adjustments[fact.id] = adjustment

    def decide_adjustment(self, person: Person, fact: Fact) -> None:
        adjustment = self.adjustments[fact.of]
        if adjustment.status != "awaiting_approval":
            raise Refused("adjustment_decided")
        if adjustment.fact.by == fact.by:
            raise Refused("second_person_required")
        if fact.approve:
            self.correct(person, fact, adjustment)
        else:
            adjustment.status = "rejected"

    def correct(self, person: Person, fact: Fact, adjustment: Adjustment) -> None:
        wallet, points = adjustment.fact.wallet, adjustment.fact.amount
        if points < 0:
            self.may_spend(person)
            if self.available(person, wallet) < -points:
                raise Refused("insufficient_points")
            draws = self.draw(self.usable(person, wallet), -points)
            self.write(person, fact, "adjust", [(wallet, "available", "adjusted", -points)], draws=draws)
        else:
            self.may_earn(person)
            lots = [self.lot(person, fact, wallet, points, fact.occurred_at, self.expiry_in(wallet, fact))]
            self.write(person, fact, "adjust", [(wallet, "adjusted", "available", points)], lots, births=lots)
        adjustment.status = "approved"

    def close(self, person: Person, fact: Fact) -> None:
        if person.status == "closed":
            raise Refused("member_closed")
        for hold in self.open_holds(person):
            self.let_go(person, fact, hold, "released")
        self.catch_up(person, self.present(person, fact), fact)
        moves, draws = list[Move](), list[Draw]()
        for rule in self.rules.wallets:
            lots = sorted((lot for lot in person.lots if lot.wallet == rule.name), key=Lot.draw_order)
            for account in ("pending", "available"):
                moves += summed(
                    (rule.name, account, "forfeited", lot.left)
                    for lot in lots
                    if lot.left and lot.pending == (account == "pending")
                )
            draws += self.let_lapse(lots)
        if moves:
            self.write(person, fact, "forfeit", moves, draws=draws)
        person.status = "closed"
        self.identities = {identity: whose for identity, whose in self.identities.items() if whose is not person}

    def reference_is_free(self, kind: str, fact: Fact) -> None:
        if (kind, fact.source, fact.reference) in self.references:
            raise Refused("reference_taken")

    def take_reference(self, kind: str, fact: Fact) -> None:
        self.reference_is_free(kind, fact)
        self.references.add((kind, fact.source, fact.reference))

    # --- time ---

    def catch_up(self, person: Person, now: datetime, fact: Fact) -> None:
        """Let happen what is due by `now`, a moment at a time: maturing, then holds that end, then expiring."""
        while True:
            live = [lot for lot in person.lots if lot.left]
            moments = [lot.matures if lot.pending else self.end(person, lot) for lot in live]
            moments += [person.until, *(hold.ends for hold in self.open_holds(person))]
            due = sorted(moment for moment in moments if moment is not None and moment <= now)
            if not due:
                return
            moment = due[0]
            live.sort(key=Lot.draw_order)
            ripe = [lot for lot in live if lot.pending and lot.matures == moment]
            if ripe:
                for lot in ripe:
                    lot.pending = False
                moves = summed((lot.wallet, "pending", "available", lot.left) for lot in ripe)
                self.write(person, fact, "mature", moves, ripe, moment=moment)
            for hold in self.open_holds(person):
                if hold.ends == moment:
                    self.let_go(person, fact, hold, "expired", moment)
            stale = [lot for lot in person.lots if lot.left and not lot.pending and self.end(person, lot) == moment]
            if stale:
                stale.sort(key=Lot.draw_order)
                moves = summed((lot.wallet, "available", "expired", lot.left) for lot in stale)
                last_day = self.day(moment - timedelta(microseconds=1))
                self.write(person, fact, "expire", moves, draws=self.let_lapse(stale), moment=moment, day=last_day)
            if person.until == moment:
                self.lapse(person)

    def write(
        self,
        person: Person,
        fact: Fact,
        kind: str,
        moves: list[Move],
        credited: list[Lot] | None = None,
        *,
        draws: list[Draw] | None = None,
        births: list[Lot] | None = None,
        moment: datetime | None = None,
        day: date | None = None,
    ) -> None:
        """A line of the journal. Whatever became available pays debts first, in draw order."""
        occurred_at = moment or fact.occurred_at
        moves, draws = list(moves), list(draws or ())
        for wallet, debit, credit, points in moves:
            self.owe(person, wallet, debit, credit, points)
        for lot in sorted(credited or (), key=Lot.draw_order):
            if not lot.pending and (paid := min(lot.left, person.owed.get(lot.wallet, 0))):
                moves.append((lot.wallet, "available", "owed", paid))
                self.owe(person, *moves[-1])
                draws += self.draw([lot], paid)
        person.place = max(person.place, min(occurred_at, fact.learnt_at))
        person.learnt = max(person.learnt, fact.learnt_at)
        line = {
            "kind": kind,
            "occurred_at": occurred_at,
            "effective_at": person.place,
            "recorded_at": person.learnt,
            "accounting_date": day or self.day(occurred_at),
            "postings": moves,
            "draws": draws,
            "births": [(x.number, x.wallet, x.points, x.earned, x.matures, x.expires) for x in births or ()],
            "balances": self.balances(person),
        }
        person.journal.append(line)

    def owe(self, person: Person, wallet: str, debit: str, credit: str, points: int) -> None:
        change = points * ((debit == "owed") - (credit == "owed"))
        person.owed[wallet] = person.owed.get(wallet, 0) + change

    # --- lots and balances ---

    def lot(
        self,
        person: Person,
        fact: Fact,
        wallet: str,
        points: int,
        earned: datetime,
        expires: datetime | None,
        matures: datetime | None = None,
    ) -> Lot:
        """A new lot, available unless it matures."""
        number = len(person.lots)
        lot = Lot(number, wallet, points, points, matures is not None, earned, matures, expires, (fact.id, number))
        person.lots.append(lot)
        return lot

    def usable(self, person: Person, wallet: str) -> list[Lot]:
        return sorted((x for x in person.lots if x.wallet == wallet and not x.pending), key=Lot.draw_order)

    def available(self, person: Person, wallet: str) -> int:
        return sum(lot.left for lot in self.usable(person, wallet))

    def draw(self, lots: list[Lot], points: int) -> list[Draw]:
        draws = []
        for lot in lots:
            if part := min(points, lot.left):
                lot.left -= part
                points -= part
                draws.append((lot.number, part))
        return draws

    def let_lapse(self, lots: list[Lot]) -> list[Draw]:
        draws = [(lot.number, lot.left) for lot in lots if lot.left]
        for lot in lots:
            lot.lapsed += lot.left
            lot.left = 0
        return draws

    def give_back(self, person: Person, draws: list[Draw]) -> tuple[list[Draw], list[Lot]]:
        """What was drawn last goes back first."""
        for number, points in draws:
            person.lots[number].left += points
        return [(number, -points) for number, points in reversed(draws)], [person.lots[number] for number, _ in draws]

    def open_holds(self, person: Person) -> list[Hold]:
        return sorted((x for x in person.holds if x.status == "open"), key=lambda hold: (hold.ends, hold.id))

    def balances(self, person: Person) -> dict[str, list[int]]:
        """Pending, available, held and owed, by wallet."""
        found = {}
        for rule in self.rules.wallets:
            lots = [lot for lot in person.lots if lot.wallet == rule.name]
            pending = sum(lot.left for lot in lots if lot.pending)
            available = sum(lot.left for lot in lots if not lot.pending)
            drawn = [draw for hold in self.open_holds(person) for draw in hold.draws]
            held = sum(points for number, points in drawn if person.lots[number].wallet == rule.name)
            found[rule.name] = [pending, available, held, person.owed.get(rule.name, 0)]
        return found

    # --- tiers ---

    def climb(self, person: Person, year: int) -> None:
        """Up to the highest tier that a year from `year` on reaches and that would not have lapsed by now."""
        now = self.day(person.place).year
        current = [tier for tier, _ in self.rules.ladder].index(person.tier)
        for place in range(len(self.rules.ladder) - 1, current, -1):
            if any(
                self.reaches(person, place, one) and self.lapses(person, place, one) >= now
                for one in range(year, max(year, now) + 1)
            ):
                self.move(person, place, person.place)
                break
        person.until = self.lasts(person)

    def lapse(self, person: Person) -> None:
        assert person.until is not None
        last_year = self.day(person.until).year - 1
        person.place = max(person.place, person.until)
        place = max(n for n in range(len(self.rules.ladder)) if n == 0 or self.reaches(person, n, last_year))
        self.move(person, place, person.until)
        person.until = self.lasts(person)

    def move(self, person: Person, place: int, when: datetime) -> None:
        tier, _ = self.rules.ladder[place]
        person.steps.append((person.tier, tier, when))
        person.tier, person.since = tier, when

    def lasts(self, person: Person) -> datetime | None:
        """To the end of the first year, this one or later, that does not earn the tier again."""
        place = [tier for tier, _ in self.rules.ladder].index(person.tier)
        if place == 0:
            return None
        return self.start_of(date(self.lapses(person, place, self.day(person.place).year) + 1, 1, 1))

    def lapses(self, person: Person, place: int, year: int) -> int:
        while self.reaches(person, place, year):
            year += 1
        return year

    def reaches(self, person: Person, place: int, year: int) -> bool:
        spent = sum(amount for day, amount in person.spent if day.year == year)
        return spent >= self.rules.ladder[place][1]

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
        return None if rule.months is None else self.after_months(earned_on, rule.months)

    def after_months(self, day: date, months: int) -> datetime:
        """The end of the same day so many months later, or of that month's last day when it is shorter."""
        year, month = day.year, day.month
        for _ in range(months):
            year, month = (year + 1, 1) if month == 12 else (year, month + 1)
        last = day.day
        while True:
            try:
                return self.start_of(date(year, month, last) + timedelta(days=1))
            except ValueError:
                last -= 1

    def end(self, person: Person, lot: Lot) -> datetime | None:
        """When a lot ends: on its own date, or so long after the last activity of all that the journal tells."""
        rule = self.wallet(lot.wallet)
        if lot.expires is not None or rule.slides is None:
            return lot.expires
        ends = []
        for line in person.journal:
            for _, wallet, _, earned, matures, expires in line["births"]:
                if wallet == rule.name and expires is None:
                    ends.append(self.after_months(self.day(earned), rule.slides))
                    ends += [self.start_of(self.day(matures) + timedelta(days=1))] if matures else []
            spent = any(wallet == rule.name and credit == "redeemed" for wallet, _, credit, _ in line["postings"])
            if spent and rule.slides_by_spending:
                ends.append(self.after_months(self.day(line["occurred_at"]), rule.slides))
        return max(ends)

    def expiry_in(self, wallet: str, fact: Fact) -> datetime | None:
        return self.expiry(self.wallet(wallet), fact)

    def wallet(self, name: str) -> WalletRule:
        for rule in self.rules.wallets:
            if rule.name == name:
                return rule
        raise Refused("unknown_wallet")


def split(draws: list[Draw], points: int) -> tuple[list[Draw], list[Draw]]:
    """The draws that cover `points`, what was drawn first first, and those that are left."""
    covered, rest = [], []
    for number, drawn in draws:
        part = min(points, drawn)
        points -= part
        covered += [(number, part)] if part else []
        rest += [(number, drawn - part)] if drawn > part else []
    return covered, rest


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
            "status": person.status,
            "tier": (person.tier, person.since, person.until),
            "steps": person.steps,
            "journal": person.journal,
            "balances": world.balances(person),
            "holds": sorted((x.opened, x.ends, x.wallet or "", x.points, x.captured, x.status) for x in person.holds),
            "lots": [
                (x.number, x.wallet, x.pending, x.points, x.left, x.earned, x.matures, x.expires) for x in person.lots
            ],
            "reviews": sorted(person.reviews),
        }
        for who, person in world.people.items()
    }
