"""Random life in a programme: what may be asked, and a machine that holds a ledger against its naive twin."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Protocol
from zoneinfo import ZoneInfo

import orjson
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from loyalty.domain.books import Book
from loyalty.domain.calendar import Calendar
from loyalty.domain.entries import Entry
from loyalty.domain.expiry import Expiry, Lifespan, RenewedBy
from loyalty.domain.holds import Hold
from loyalty.domain.identities import Identity
from loyalty.domain.ids import FactId
from loyalty.domain.ladder import Ladder, Rung
from loyalty.domain.lots import Lot, LotState
from loyalty.domain.members import Status
from loyalty.domain.programme import Programme, Shortfall, Wallet
from loyalty.domain.reservations import reservation_of
from loyalty.domain.state import Moment, State
from loyalty.operations.command import Command, Receipt
from loyalty.operations.door import Answer, Submission, answer
from loyalty.operations.identify import Bind, Unbind
from loyalty.operations.membership import SetStatus
from loyalty.operations.sweep import Settle
from tests import laws
from tests.makers import (
    a_claim,
    a_fact,
    a_member_id,
    a_programme,
    adjusting,
    buying,
    cancelling,
    capturing,
    closing,
    confirming,
    days,
    deciding,
    enrolling,
    granting,
    holding,
    reassigning,
    redeeming,
    refunding,
    releasing,
    rendered,
    reserving,
    returning,
    transferring,
)
from tests.twin import Fact, Part, Rules, Twin, WalletRule, World, picture

BEGINNING = datetime(2126, 1, 1, 12, tzinfo=UTC)
"""Ahead of every real clock: the door records nothing earlier than its batch began, by the database's own."""
PEOPLE = 4
IDENTITIES = 4
HOUR = timedelta(hours=1)

RULES = Rules(
    currency="CNY",
    zone="Europe/Berlin",
    cutover=timedelta(hours=4),
    wallets=(
        WalletRule("points", 1, 100, days(7), years=1),
        WalletRule("coins", 3, 200, days(0), months=2),
        WalletRule("stars", 1, 1000, days(1)),
    ),
    ladder=(("member", 0), ("silver", 300_00), ("gold", 900_00)),
    hold_grace=days(2),
    refund_grace_days=3,
    transfers=True,
    limit=150,
    forced=frozenset({"offline"}),
)

STRICT_RULES = RULES._replace(hold_grace=days(0), refund_grace_days=0, shortfall="waived", limit=0)
"""Nothing has a grace, and every adjustment waits for a second person."""

LASTING_RULES = Rules(
    "CNY",
    "UTC",
    timedelta(0),
    (WalletRule("points", 1, 100, days(0)),),
    RULES.ladder,
    shortfall="withheld",
    forced=RULES.forced,
)
"""Nothing but a tier and holds ever fall due, and nobody gives points away."""


SLIDING_RULES = RULES._replace(
    wallets=(
        WalletRule("points", 1, 100, days(7), slides=2),
        WalletRule("coins", 3, 200, days(0), slides=1, slides_by_spending=True),
        WalletRule("stars", 1, 1000, days(40), slides=1),
    )
)
"""Points last for a while after whatever was last done; those of one wallet ripen when they would have ended."""


def programme_of(rules: Rules) -> Programme:
    """The programme that lives by the rules the twin was given."""

    def expiry(rule: WalletRule) -> Expiry:
        if rule.years is not None:
            return Expiry(Lifespan.YEAR_END, rule.years)
        if rule.slides is not None:
            by = RenewedBy.EARNING_AND_SPENDING if rule.slides_by_spending else RenewedBy.EARNING
            return Expiry(Lifespan.SLIDING, rule.slides, by)
        return Expiry(Lifespan.NEVER_ENDS) if rule.months is None else Expiry(Lifespan.MONTHS, rule.months)

    return a_programme(
        *(Wallet(rule.name, rule.points, rule.unit, rule.pending, expiry(rule), 1) for rule in rules.wallets),
        calendar=Calendar(ZoneInfo(rules.zone), rules.cutover),
        ladder=Ladder(tuple(Rung(*rung) for rung in rules.ladder)),
        hold_grace=rules.hold_grace,
        refund_grace_days=rules.refund_grace_days,
        return_shortfall=Shortfall(rules.shortfall),
        transfers=rules.transfers,
        adjustment_limit=rules.limit,
        forced_sources=rules.forced,
    )


# --- what may be asked -------------------------------------------------------------------------------------


class Ask(NamedTuple):
    """Something to ask of the ledger, in terms relative to the time it is asked and to what came before."""

    verb: str
    who: int = 0
    wait: timedelta = timedelta(0)
    late: timedelta = timedelta(0)
    amount: int = 1
    wallet: str = "points"
    currency: str | None = None
    source: str = "till"
    reference: int | None = None
    """One of a few that clash; None: a reference of its own."""
    key: int | None = None
    """One of a few that clash; None: no key."""
    dry_run: bool = False
    pending: timedelta | None = None
    valid: timedelta | None = None
    identity: int | None = None
    second: int = 0
    """Minor units on a second line of a purchase; 0: there is none."""
    of: int = 0
    """Counted back from the newest fact that it can be about."""
    shares: tuple[int | None, int | None] = (None, None)
    """Of the lines of a purchase, in percent, what comes back; none at all: whatever is left."""
    to: int = 0
    lasts: timedelta = HOUR
    forced: bool = False
    by: int = 0
    approve: bool = True
    status: str = "active"


def mostly(usual: Any, count: int, *others: Any) -> list[Any]:
    """Choices of which one is taken most of the time."""
    return [usual] * count + list(others)


WAITS = [*mostly(days(0), 20), *mostly(HOUR, 6), *mostly(days(1), 4), *(days(n) for n in (2, 6, 7, 30, 61, 400))]
LATENESS = mostly(
    days(0), 24, *(timedelta(minutes=m) for m in (-6, -5, 3)), *(days(n) for n in (1, 7, 8, 40, 100, 500))
)
WALLETS = [*mostly("points", 7), *mostly("coins", 5), "stars", "stars", "miles"]
CLASHING = mostly(None, 15, range(6))
OFTEN: dict[str, Sequence[Any]] = {
    "wait": WAITS,
    "late": LATENESS,
    "key": CLASHING,
    "reference": CLASHING,
    "dry_run": mostly(False, 14, True),
}
SOMEBODY: dict[str, Sequence[Any]] = {**OFTEN, "who": [*mostly(range(2), 3), range(PEOPLE)]}
OF_LATE: dict[str, Sequence[Any]] = {
    **OFTEN,
    "wait": mostly(days(0), 20, HOUR, days(1), days(7)),
    "of": mostly(0, 3, 1, range(6)),
}

MENU: dict[str, dict[str, Sequence[Any]]] = {
    "purchase": {
        **SOMEBODY,
        "amount": (range(60_00), range(600_00)),
        "second": (0, range(1, 300_00)),
        "currency": mostly("CNY", 25, "EUR"),
    },
    "grant": {
        **SOMEBODY,
        "amount": (range(1, 300),),
        "wallet": WALLETS,
        "pending": mostly(None, 6, days(-1), days(0), days(2), days(7), days(90)),
        "valid": mostly(None, 4, days(0), days(1), days(7), days(8), days(91), days(400)),
    },
    "redeem": {
        **SOMEBODY,
        "amount": (range(1, 30), range(1, 400)),
        "wallet": WALLETS,
        "currency": mostly(None, 10, "CNY", "EUR"),
        "forced": (False, False, True),
        "source": ("till", "offline", "offline"),
    },
    "refund": {**OF_LATE, "amount": (0, 0, range(1, 10), range(1, 30), range(1, 200))},
    "take_back": {
        **OF_LATE,
        "shares": [
            *mostly((None, None), 3),
            *((one, other) for one in (5, 33, 50, 100) for other in (None, 20)),
            (None, 100),
            (101, None),
        ],
    },
    "reserve": {
        **OF_LATE,
        "shares": [(None, None), (None, None), (33, None), (50, 20), (100, None)],
        "lasts": (timedelta(minutes=10), HOUR, days(1), days(6), days(30)),
    },
    "confirm": OF_LATE,
    "cancel": OF_LATE,
    "reassign": {**OF_LATE, "to": (0, 1, range(PEOPLE))},
    "hold": {
        **SOMEBODY,
        "amount": (range(1, 30), range(1, 30), range(1, 300)),
        "wallet": WALLETS,
        "lasts": (timedelta(minutes=10), HOUR, days(1), days(6), days(30), days(30)),
    },
    "capture": {**OF_LATE, "amount": (0, 0, range(1, 30), range(1, 200))},
    "release": OF_LATE,
    "transfer": {
        **SOMEBODY,
        "amount": (range(1, 30), range(1, 30), range(1, 200)),
        "wallet": WALLETS,
        "to": (0, 1, range(PEOPLE)),
    },
    "adjust": {**SOMEBODY, "amount": (range(1, 300), range(-200, 0)), "wallet": WALLETS, "by": mostly(0, 4, 1)},
    "decide_adjustment": {**OF_LATE, "approve": (True, True, False), "by": mostly(1, 4, 0)},
    "status": {**SOMEBODY, "status": mostly("active", 8, "frozen", "earn_only")},
    "bind": {**SOMEBODY, "identity": (range(IDENTITIES),)},
    "unbind": {**SOMEBODY, "identity": (range(IDENTITIES),)},
    "close": {**OFTEN, "who": (0, 1, 2, 2, 2), "dry_run": mostly(True, 15, False)},
    "settle": {"who": (range(PEOPLE),), "wait": WAITS},
}
"""What each verb may be asked with: choices, a range for any number in it."""

VERBS = (*MENU, "purchase", "purchase", "grant", "redeem", "hold", "hold", "capture", "transfer")

ABOUT = {
    "refund": ("redeem", "capture"),
    "take_back": ("purchase", "reassign", "grant"),
    "reserve": ("purchase", "reassign", "grant"),
    "confirm": ("reserve",),
    "cancel": ("reserve",),
    "reassign": ("purchase", "reassign", "grant"),
    "capture": ("hold",),
    "release": ("hold",),
    "decide_adjustment": ("adjust",),
}
"""What a verb that undoes or decides something can be about."""


def _any_of(choices: Sequence[Any]) -> st.SearchStrategy[Any]:
    if not any(isinstance(one, range) for one in choices):
        return st.sampled_from(choices)
    return st.one_of(*(st.integers(x.start, x.stop - 1) if isinstance(x, range) else st.just(x) for x in choices))


FIELDS = {verb: {name: _any_of(choices) for name, choices in fields.items()} for verb, fields in MENU.items()}


@st.composite
def _asks(draw: st.DrawFn) -> Ask:
    verb = draw(st.sampled_from(VERBS))
    return Ask(verb, **{name: draw(strategy) for name, strategy in FIELDS[verb].items()})


asks = _asks()
enrolments = st.builds(
    lambda who, late, identity: Ask("enrol", who, late=late, identity=identity),
    who=_any_of((range(PEOPLE),)),
    late=st.sampled_from(LATENESS),
    identity=_any_of((None, range(IDENTITIES))),
)

Known = Mapping[str, Receipt]
"""What was accepted, by the id of its fact: a till that captures a hold has been told of the hold."""


class Script:
    """Turns asks into facts: a clock that only waits, ids that do not come in order, keys and references."""

    def __init__(self) -> None:
        self.now = BEGINNING
        self._count = 0
        self._told: list[Fact] = []

    def fact(self, ask: Ask, known: Known | None = None) -> Fact | None:
        """The fact, unless it is about something that has not happened. Without `known`, whatever was told may have."""
        self._count += 1
        self.now += ask.wait
        occurred_at = self.now - ask.late
        about = self._about(ask, known)
        if ask.verb in ABOUT and about is None:
            return None
        key = f"shared-{ask.key}" if ask.key is not None else None
        if ask.verb == "enrol":
            key = f"enrol-{self._count}"  # sent twice, it must not begin a member anew
        fact = Fact(
            verb=ask.verb,
            who=_whose(ask, about),
            occurred_at=occurred_at,
            learnt_at=self.now,
            id=self._id(),
            key=key,
            dry_run=ask.dry_run,
            amount=ask.amount,
            wallet=ask.wallet,
            currency=ask.currency,
            source=ask.source,
            reference=f"r-{self._count}" if ask.reference is None else f"shared-{ask.reference}",
            pending_until=None if ask.pending is None else occurred_at + ask.pending,
            expires_at=None if ask.valid is None else occurred_at + ask.valid,
            identity=None if ask.identity is None else f"identity-{ask.identity}",
            lines=_lines(ask, about),
            of="" if about is None else about.id,
            to=ask.to if ask.verb in ("transfer", "reassign") else -1,
            lasts=ask.lasts,
            forced=ask.forced,
            by=f"clerk-{ask.by}",
            approve=ask.approve,
            status=ask.status,
        )
        self._told.append(fact)
        return fact

    def again(self, fact: Fact) -> Fact:
        """The same request, sent once more."""
        self._count += 1
        repeated = fact._replace(id=self._id(), learnt_at=max(self.now, fact.learnt_at))
        self._told.append(repeated)
        return repeated

    def resume(self, facts: Sequence[Fact]) -> None:
        """Go on from where a script stood that told these facts, and no more than a hundred."""
        self._told = list(facts)
        self._count = 100
        self.now = max(fact.learnt_at for fact in facts)

    def _about(self, ask: Ask, known: Known | None) -> Fact | None:
        wanted = ABOUT.get(ask.verb, ())
        found = [one for one in self._told if one.verb in wanted and (known is None or one.id in known)]
        return found[-1 - ask.of % len(found)] if found else None

    def _id(self) -> str:
        return a_fact(self._count * 7919 % 10_007)


def _whose(ask: Ask, about: Fact | None) -> int:
    if about is None:
        return ask.who
    return about.to if about.verb == "reassign" else about.who


def _lines(ask: Ask, about: Fact | None) -> tuple[Part, ...]:
    """The lines of a purchase, or the parts of them that come back."""
    if ask.verb == "purchase":
        return (Part("1", 3, ask.amount), *([Part("2", 2, ask.second)] if ask.second else []))
    if ask.verb == "reassign" and about is not None:
        return about.lines
    if ask.verb in ("take_back", "reserve") and about is not None:
        bought = about.lines or (Part("1", 1, 1),)
        lines = [*bought, bought[0]._replace(line="3")]
        return tuple(
            Part(of.line, share // 50, of.amount * share // 100)
            for of, share in zip(lines, ask.shares, strict=False)
            if share is not None
        )
    return ()


def submission(programme: Programme, fact: Fact, known: Known) -> Submission | None:
    """The fact as it stands at the door; None when what it is about has not happened."""
    command = _command(programme, fact, known)
    if command is None:
        return None
    claim = None if fact.key is None else a_claim(fact.key, fact.request)
    moment = Moment(FactId(fact.id), fact.occurred_at, fact.learnt_at)
    return Submission(programme, command, moment, rendered, claim, fact.dry_run)


def _command(programme: Programme, fact: Fact, known: Known) -> Command | None:
    who, when = a_member_id(fact.who), fact.occurred_at
    named: dict[str, Any] = {"reference": fact.reference, "source": fact.source}
    points = fact.amount or None
    match fact.verb:
        case "enrol":
            return enrolling(who, identities=() if fact.identity is None else (_identity(fact),))
        case "bind":
            return Bind(who, _identity(fact))
        case "unbind":
            return Unbind(who, _identity(fact))
        case "purchase":
            return buying(programme, who, 0, when, currency=fact.currency or "", lines=fact.lines, **named)
        case "grant":
            term: dict[str, Any] = {"pending_until": fact.pending_until, "expires_at": fact.expires_at}
            return granting(programme, who, fact.amount, when, wallet=fact.wallet, **term, **named)
        case "redeem":
            how: dict[str, Any] = {"discount_currency": fact.currency, "forced": fact.forced}
            return redeeming(programme, who, fact.amount, when, wallet=fact.wallet, **how, **named)
        case "hold":
            return holding(programme, who, fact.amount, when, wallet=fact.wallet, lasts=fact.lasts, **named)
        case "transfer":
            return transferring(programme, who, a_member_id(fact.to), fact.amount, when, wallet=fact.wallet, **named)
        case "adjust":
            return adjusting(programme, who, fact.amount, when, wallet=fact.wallet, by=fact.by, **named)
        case "status":
            return SetStatus(who, Status(fact.status))
        case "close":
            return closing(programme, who, when)
        case "settle":
            return Settle(who)
    about = known.get(fact.of)
    if about is None:
        return None
    match fact.verb:
        case "refund":
            return refunding(programme, about.entries[0], when, points=points, **named)
        case "take_back":
            return returning(programme, about.entries[-1], when, lines=fact.lines or None, **named)
        case "reserve":
            more: dict[str, Any] = {"lines": fact.lines or None, "lasts": fact.lasts}
            return reserving(programme, about.entries[-1], when, **more, **named)
        case "confirm":
            return confirming(programme, about.said.hold, _sale(known, about.said.hold), when)
        case "cancel":
            return cancelling(programme, about.said.hold, when)
        case "reassign":
            return reassigning(programme, about.entries[-1], a_member_id(fact.to), when, **named)
        case "capture":
            return capturing(programme, about.said, when, points=points)
        case "release":
            return releasing(programme, about.said, when)
    assert fact.verb == "decide_adjustment"
    if about.entries:
        return None  # nobody had to decide on it
    return deciding(programme, about.said, when, approve=fact.approve, by=fact.by)


def _identity(fact: Fact) -> Identity:
    assert fact.identity is not None, "who is bound is bound by something"
    return Identity("wechat", "openid", fact.identity.encode())


def _sale(known: Known, hold: Hold) -> Entry:
    """The purchase that a return was reserved of."""
    reservation = reservation_of(hold)
    assert reservation is not None
    [sale] = [entry for told in known.values() for entry in told.entries if entry.id == reservation.sale]
    return sale


def histories(*, most: int = 25) -> st.SearchStrategy[list[Fact]]:
    """Facts about three members who have joined, and a fourth who has not."""
    return st.lists(asks, min_size=1, max_size=most).map(written)


def written(told: Sequence[Ask]) -> list[Fact]:
    script = Script()
    joined = [Ask("enrol", who, identity=who) for who in range(PEOPLE - 1)]
    return [fact for ask in (*joined, *told) if (fact := script.fact(ask)) is not None]


# --- ledgers -----------------------------------------------------------------------------------------------


class Ledger(Protocol):
    """What the machine drives: a ledger somewhere, with one programme in it."""

    programme: Programme

    def commit(self, asks: Sequence[Submission]) -> list[Answer]:
        """Commit the commands, in order."""

    def records(self) -> laws.Records:
        """Everything of the programme."""

    def close(self) -> None:
        """Let go of it."""


class InMemory:
    """`door.answer` over a state without a database."""

    def __init__(self, programme: Programme) -> None:
        self.programme = programme
        self.state = State()

    def commit(self, asks: Sequence[Submission]) -> list[Answer]:
        batch = State(self.state)
        answers = [answer(ask, batch) for ask in asks]
        self.state.keep(batch)
        return answers

    def records(self) -> laws.Records:
        return laws.of_state(self.programme, self.state)

    def close(self) -> None:
        pass


class Told:
    """A ledger that facts are told to; it remembers what was accepted, as a till does."""

    def __init__(self, ledger: Ledger, known: Known | None = None) -> None:
        self.ledger = ledger
        self.known: dict[str, Receipt] = dict(known or {})

    def tell(self, *facts: Fact) -> list[Answer]:
        """Commit the facts in one batch, but for those that are about nothing."""
        asked = [(fact, submission(self.ledger.programme, fact, self.known)) for fact in facts]
        stand = [(fact, ask) for fact, ask in asked if ask is not None]
        answers = self.ledger.commit([ask for _, ask in stand]) if stand else []
        for (fact, _), given in zip(stand, answers, strict=True):
            if isinstance(given.outcome, Receipt) and not fact.dry_run:
                self.known[fact.id] = given.outcome
        return answers

    def stands(self, fact: Fact) -> bool:
        """Whether the fact is about something that has happened, if it is about anything."""
        return submission(self.ledger.programme, fact, self.known) is not None


def picture_of(records: laws.Records) -> dict[int, dict[str, Any]]:
    """The records as the twin shows them."""
    people = {}
    for who in range(PEOPLE):
        member = records.members.get(a_member_id(who))
        if member is None:
            continue
        lots = records.lots_of(member.id)
        number = {lot.id: place for place, lot in enumerate(lots)}
        people[who] = {
            "status": member.status,
            "tier": (member.tier, member.tier_since, member.tier_until),
            "steps": sorted((s.from_tier, s.to_tier, s.occurred_at) for s in records.steps if s.member_id == member.id),
            "journal": [
                {
                    "kind": e.kind,
                    "occurred_at": e.occurred_at,
                    "effective_at": e.effective_at,
                    "recorded_at": e.recorded_at,
                    "accounting_date": e.accounting_date,
                    "postings": [(p.wallet, p.debit, p.credit, p.points) for p in e.postings],
                    "draws": [(number[d.lot_id], d.points) for d in e.draws],
                    "births": [
                        (number[b.lot_id], b.wallet, b.points, b.earned_at, b.matures_at, b.expires_at)
                        for b in e.births
                    ],
                    "balances": {wallet: list(balance) for wallet, balance in e.balances.items()},
                }
                for e in records.entries_of(member.id)
            ],
            "balances": {
                wallet: list(records.books.get((member.id, wallet), Book()).balance)
                for wallet in records.programme.wallets
            },
            "holds": sorted(
                (x.opened_at, x.expires_at, x.wallet or "", x.points, x.captured, x.status)
                for x in records.holds.values()
                if x.member_id == member.id
            ),
            "lots": [(number[x.id], *_holding(x)) for x in lots],
            "reviews": sorted(
                (x.opened_at, x.source, x.reference, x.wallet, x.points)
                for x in records.reviews.values()
                if x.member_id == member.id
            ),
        }
    return people


def _holding(lot: Lot) -> tuple[Any, ...]:
    pending = lot.state == LotState.PENDING
    return (lot.wallet, pending, lot.points, lot.remaining, lot.earned_at, lot.matures_at, lot.expires_at)


# --- the machine -------------------------------------------------------------------------------------------


def machine(open_ledger: Callable[[Programme], Ledger], rules: Rules = RULES) -> type[RuleBasedStateMachine]:
    """A machine that tells a ledger and a twin the same facts, and compares them after every step."""

    class LedgerAndTwin(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.script = Script()
            self.twin = Twin(rules)
            self.till = Told(open_ledger(programme_of(rules)))

        def teardown(self) -> None:
            self.till.ledger.close()

        @initialize()
        def two_have_joined(self) -> None:
            self._happen([self.script.fact(Ask("enrol", who, identity=who)) for who in (0, 1)])

        @rule(batch=st.lists(st.one_of(asks, asks, asks, enrolments), min_size=1, max_size=4))
        def a_batch_is_committed(self, batch: list[Ask]) -> None:
            joining = set(self.twin.world.people)
            facts = []
            for ask in batch:
                if ask.verb == "enrol":
                    if ask.who in joining:
                        continue
                    joining.add(ask.who)
                facts.append(self.script.fact(ask, self.till.known))
            self._happen(facts)

        @precondition(lambda self: len(self.twin.facts) > 2)
        @rule(data=st.data())
        def a_request_is_sent_again(self, data: st.DataObject) -> None:
            self._happen([self.script.again(data.draw(st.sampled_from(self.twin.facts)))])

        @invariant()
        def they_agree_and_every_law_holds(self) -> None:
            compare(self.till.ledger.records(), self.twin.world)

        def _happen(self, facts: Sequence[Fact | None]) -> None:
            stand = [fact for fact in facts if fact is not None and self.till.stands(fact)]
            if stand:
                assert said(self.till.tell(*stand)) == self.twin.tell(*stand)

    return LedgerAndTwin


def compare(records: laws.Records, world: World) -> None:
    """The records are what the twin shows, and every law holds of them."""
    shown = picture(world)
    for person in shown.values():
        person["steps"] = sorted(person["steps"])
    found = picture_of(records)
    assert found == shown, first_difference(found, shown)
    laws.check(records)


def first_difference(found: Any, shown: Any, where: str = "") -> str:
    """Where the ledger and its twin part."""
    if isinstance(found, dict) and isinstance(shown, dict) and found.keys() == shown.keys():
        pairs = [(str(name), found[name], shown[name]) for name in found]
    elif isinstance(found, list) and isinstance(shown, list) and len(found) == len(shown):
        pairs = [(str(place), one, other) for place, (one, other) in enumerate(zip(found, shown, strict=True))]
    else:
        return f"{where}: the ledger has {found}, the twin {shown}"
    return next((first_difference(one, other, f"{where}/{name}") for name, one, other in pairs if one != other), where)


def said(answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """What was answered, in the words of the twin: without ids."""
    told: list[dict[str, Any]] = [orjson.loads(one.body) for one in answers]
    for one in told:
        one.pop("entries", None)
    return told
