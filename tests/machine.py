"""Random life in a programme: what may be asked, and a machine that holds a ledger against its naive twin."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Protocol
from zoneinfo import ZoneInfo

import orjson
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from loyalty.domain.books import BOOKS, Book, book_of
from loyalty.domain.calendar import Calendar
from loyalty.domain.ids import FactId, MemberId
from loyalty.domain.lots import Lot, LotState
from loyalty.domain.persons import Identity
from loyalty.domain.programme import Expiry, Lifespan, Programme, Rung, Wallet
from loyalty.domain.state import Moment, State
from loyalty.operations.command import Command
from loyalty.operations.door import Answer, Submission, answer
from loyalty.operations.sweep import Settle
from tests import laws
from tests.makers import (
    a_claim,
    a_fact,
    a_member_id,
    a_programme,
    buying,
    days,
    enrolling,
    granting,
    redeeming,
    rendered,
)
from tests.twin import Fact, Rules, Twin, WalletRule, picture

BEGINNING = datetime(2126, 1, 1, 12, tzinfo=UTC)
"""Ahead of every real clock: the door records nothing earlier than its batch began, by the database's own."""
PEOPLE = 4

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
)

LASTING_RULES = Rules("CNY", "UTC", timedelta(0), (WalletRule("points", 1, 100, days(0)),), RULES.ladder)
"""Nothing but a tier ever falls due."""


def programme_of(rules: Rules) -> Programme:
    """The programme that lives by the rules the twin was given."""

    def expiry(rule: WalletRule) -> Expiry:
        if rule.years is not None:
            return Expiry(Lifespan.YEAR_END, rule.years)
        return Expiry(Lifespan.NEVER_ENDS) if rule.months is None else Expiry(Lifespan.MONTHS, rule.months)

    return a_programme(
        *(Wallet(rule.name, rule.points, rule.unit, rule.pending, expiry(rule), 1) for rule in rules.wallets),
        calendar=Calendar(ZoneInfo(rules.zone), rules.cutover),
        ladder=tuple(Rung(*rung) for rung in rules.ladder),
    )


# --- what may be asked -------------------------------------------------------------------------------------


class Ask(NamedTuple):
    """Something to ask of the ledger, in terms relative to the time it is asked and to what came before."""

    verb: str
    who: int
    wait: timedelta = timedelta(0)
    late: timedelta = timedelta(0)
    amount: int = 1
    wallet: str = "points"
    currency: str | None = None
    reference: int | None = None
    """One of a few that clash; None: a reference of its own."""
    key: int | None = None
    """One of a few that clash; None: no key."""
    dry_run: bool = False
    pending: timedelta | None = None
    valid: timedelta | None = None
    identity: int | None = None


_people = st.integers(0, PEOPLE - 1)
_waits = st.sampled_from([days(n) for n in (0, 0, 0, 1 / 24, 1, 6, 7, 30, 61, 200, 400)])
_lateness = st.sampled_from(
    [days(0)] * 6 + [timedelta(minutes=m) for m in (-6, -5, 3)] + [days(n) for n in (1, 7, 8, 40, 100, 500)]
)
_wallets = st.sampled_from(["points", "points", "coins", "coins", "stars", "miles"])
_clashing = st.one_of(st.none(), st.none(), st.none(), st.integers(0, 5))
_dry = st.sampled_from([False] * 7 + [True])
_often: dict[str, Any] = {"who": _people, "wait": _waits, "late": _lateness, "key": _clashing, "dry_run": _dry}


def _asks(verb: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Ask]:
    # Not `builds`: it would make up the fields that are left out.
    return st.fixed_dictionaries(fields).map(lambda drawn: Ask(verb, **drawn))


asks = st.one_of(
    _asks(
        "purchase",
        **_often,
        amount=st.one_of(st.integers(0, 60_00), st.integers(0, 600_00)),
        currency=st.sampled_from(["CNY"] * 9 + ["EUR"]),
        reference=_clashing,
    ),
    _asks(
        "grant",
        **_often,
        amount=st.integers(1, 300),
        wallet=_wallets,
        reference=_clashing,
        pending=st.sampled_from([None, None, days(-1), days(0), days(2), days(7), days(90)]),
        valid=st.sampled_from([None, None, days(0), days(1), days(7), days(8), days(400)]),
    ),
    _asks(
        "redeem",
        **_often,
        amount=st.one_of(st.integers(1, 30), st.integers(1, 400)),
        wallet=_wallets,
        currency=st.sampled_from([None, "CNY", "CNY", "EUR"]),
        reference=_clashing,
    ),
    _asks("settle", who=_people, wait=_waits),
)
enrolments = _asks("enrol", who=_people, late=_lateness, identity=st.one_of(st.none(), st.integers(0, 3)))


class Script:
    """Turns asks into facts: a clock that only waits, ids that do not come in order, keys and references."""

    def __init__(self) -> None:
        self.now = BEGINNING
        self._count = 0

    def fact(self, ask: Ask) -> Fact:
        self._count += 1
        self.now += ask.wait
        occurred_at = self.now - ask.late
        key = f"shared-{ask.key}" if ask.key is not None else None
        if ask.verb == "enrol":
            key = f"enrol-{self._count}"  # sent twice, it must not begin a member anew
        return Fact(
            verb=ask.verb,
            who=ask.who,
            occurred_at=occurred_at,
            learnt_at=self.now,
            id=self._id(),
            key=key,
            dry_run=ask.dry_run,
            amount=ask.amount,
            wallet=ask.wallet,
            currency=ask.currency,
            reference=f"r-{self._count}" if ask.reference is None else f"shared-{ask.reference}",
            pending_until=None if ask.pending is None else occurred_at + ask.pending,
            expires_at=None if ask.valid is None else occurred_at + ask.valid,
            identity=None if ask.identity is None else f"identity-{ask.identity}",
        )

    def again(self, fact: Fact) -> Fact:
        """The same request, sent once more."""
        self._count += 1
        return fact._replace(id=self._id(), learnt_at=max(self.now, fact.learnt_at))

    def _id(self) -> str:
        return a_fact(self._count * 7919 % 10_007)


def submission(programme: Programme, fact: Fact) -> Submission:
    """The fact as it stands at the door."""
    who, when = a_member_id(fact.who), fact.occurred_at
    command: Command
    if fact.verb == "enrol":
        known_by = () if fact.identity is None else (Identity("wechat", "openid", fact.identity.encode()),)
        command = enrolling(who, identities=known_by)
    elif fact.verb == "purchase":
        currency = fact.currency or ""
        command = buying(programme, who, fact.amount, when, reference=fact.reference, source="till", currency=currency)
    elif fact.verb == "grant":
        command = granting(
            programme,
            who,
            fact.amount,
            when,
            reference=fact.reference,
            source="till",
            wallet=fact.wallet,
            pending_until=fact.pending_until,
            expires_at=fact.expires_at,
        )
    elif fact.verb == "redeem":
        command = redeeming(
            programme,
            who,
            fact.amount,
            when,
            reference=fact.reference,
            source="till",
            wallet=fact.wallet,
            discount_currency=fact.currency,
        )
    else:
        assert fact.verb == "settle"
        command = Settle(who)
    claim = None if fact.key is None else a_claim(fact.key, fact.request)
    moment = Moment(FactId(fact.id), when, fact.learnt_at)
    return Submission(programme, command, moment, rendered, claim, fact.dry_run)


def histories(*, most: int = 25) -> st.SearchStrategy[list[Fact]]:
    """Facts about three members who have joined, and a fourth who has not."""
    return st.lists(asks, min_size=1, max_size=most).map(written)


def written(told: Sequence[Ask]) -> list[Fact]:
    script = Script()
    joined = [Ask("enrol", who, identity=who) for who in range(PEOPLE - 1)]
    return [script.fact(ask) for ask in (*joined, *told)]


# --- ledgers -----------------------------------------------------------------------------------------------


class Ledger(Protocol):
    """What the machine drives: a ledger somewhere, with one programme in it."""

    programme: Programme

    def commit(self, asks: Sequence[Submission]) -> list[Answer]:
        """Commit the commands, in order."""

    def owe(self, member_id: MemberId, wallet: str, points: int) -> None:
        """Leave a member in debt: the verb that does so is not written yet."""

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

    def owe(self, member_id: MemberId, wallet: str, points: int) -> None:
        book = book_of(self.state, member_id, wallet)
        indebted: Book = book._replace(owed=book.owed + points, issued=book.issued - points)
        self.state.put(BOOKS, (member_id, wallet), indebted)

    def records(self) -> laws.Records:
        return laws.of_state(self.programme, self.state)

    def close(self) -> None:
        pass


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
            "lots": [(number[x.id], *_holding(x)) for x in lots],
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
            self.ledger = open_ledger(programme_of(rules))
            self.debts: dict[laws.Book_, int] = {}

        def teardown(self) -> None:
            self.ledger.close()

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
                facts.append(self.script.fact(ask))
            self._happen(facts)

        @precondition(lambda self: len(self.twin.facts) > 2)
        @rule(data=st.data())
        def a_request_is_sent_again(self, data: st.DataObject) -> None:
            sent = [fact for fact in self.twin.facts if fact.verb != "owe"]
            self._happen([self.script.again(data.draw(st.sampled_from(sent)))])

        @rule(
            who=st.integers(0, 1),
            wallet=st.sampled_from([one.name for one in rules.wallets]),
            points=st.integers(1, 300),
        )
        def a_member_comes_to_owe(self, who: int, wallet: str, points: int) -> None:
            _, available, _, owed = self.twin.world.balances(self.twin.world.people[who])[wallet]
            if available or owed:
                return
            self.twin.tell(self.script.fact(Ask("owe", who, amount=points, wallet=wallet)))
            self.ledger.owe(a_member_id(who), wallet, points)
            book = (a_member_id(who), wallet)
            self.debts[book] = self.debts.get(book, 0) + points

        @invariant()
        def they_agree_and_every_law_holds(self) -> None:
            records = self.ledger.records()
            records.opening_debts = self.debts
            shown = picture(self.twin.world)
            for person in shown.values():
                person["steps"] = sorted(person["steps"])
            assert picture_of(records) == shown
            laws.check(records)

        def _happen(self, facts: list[Fact]) -> None:
            if not facts:
                return
            expected = self.twin.tell(*facts)
            answers = self.ledger.commit([submission(self.ledger.programme, fact) for fact in facts])
            said = [orjson.loads(one.body) for one in answers]
            for one in said:
                one.pop("entries", None)
            assert said == expected

    return LedgerAndTwin
