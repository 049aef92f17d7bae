"""Makers that show only what a test is about, and a ledger in memory to send commands to."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from loyalty.domain.adjustments import Adjustment
from loyalty.domain.books import BOOKS, Balance, Book, book_of
from loyalty.domain.calendar import Calendar
from loyalty.domain.claims import Claim, ReplayKey, reference_key
from loyalty.domain.earning import Order
from loyalty.domain.entries import Because, Entry
from loyalty.domain.expiry import Expiry, Lifespan
from loyalty.domain.holds import HOLDS, Hold
from loyalty.domain.ids import EntryId, FactId, LotId, MemberId, Mint
from loyalty.domain.ladder import Ladder, Rung
from loyalty.domain.lots import LOTS, OPEN_LOTS, Lot, LotState, open_lot
from loyalty.domain.members import GENESIS, MEMBERS, Member, Status, watch
from loyalty.domain.programme import Programme, Wallet
from loyalty.domain.refusals import Refusal
from loyalty.domain.reservations import reservation_of
from loyalty.domain.returns import ReturnedLine, bought_on
from loyalty.domain.state import Draft, Moment, State
from loyalty.domain.tiers import TierStep
from loyalty.operations.accrue import Grant, Purchase
from loyalty.operations.adjust import Adjust, Decide
from loyalty.operations.command import Command, Receipt
from loyalty.operations.door import Answer, Submission, answer
from loyalty.operations.enrol import Enrol
from loyalty.operations.hold import Capture, OpenHold, Release
from loyalty.operations.membership import Close
from loyalty.operations.reassign import Reassign
from loyalty.operations.redeem import Redeem
from loyalty.operations.refund import Refund, redemption
from loyalty.operations.reserve import Cancel, Confirm, Reserve, Reserved
from loyalty.operations.returns import Return, Returned
from loyalty.operations.sweep import Settle
from loyalty.operations.transfer import Transfer

NEVER = Expiry(Lifespan.NEVER_ENDS)
NOON = "12:00"


def at(text: str) -> datetime:
    """An instant in UTC: `2026-01-05` is its noon, `2026-01-05 08:30` that minute, an offset is obeyed."""
    if len(text) == len("2026-01-05"):
        text = f"{text} {NOON}"
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def days(count: float) -> timedelta:
    return timedelta(days=count)


def a_calendar(zone: str = "UTC", cutover_hours: float = 0) -> Calendar:
    return Calendar(ZoneInfo(zone), timedelta(hours=cutover_hours))


def a_wallet(
    name: str = "points",
    *,
    points: int = 1,
    unit: int = 100,
    pending: timedelta = timedelta(0),
    expiry: Expiry = NEVER,
    point_value: int = 1,
) -> Wallet:
    """A wallet that gives a point for each whole unit of 100, at once and for ever."""
    return Wallet(name, points, unit, pending, expiry, point_value)


def a_programme(*wallets: Wallet, calendar: Calendar | None = None, **changes: Any) -> Programme:
    """A programme with one plain wallet and a ladder nobody climbs by accident."""
    programme = Programme(
        id=1,
        code="test",
        currency="CNY",
        calendar=calendar or a_calendar(),
        wallets={wallet.name: wallet for wallet in wallets or (a_wallet(),)},
        ladder=Ladder((Rung("member", 0),)),
    )
    return programme._replace(**changes)


def a_fact(number: int) -> FactId:
    """The fact of that number: a well-formed UUIDv7, later ones greater."""
    return FactId(f"{number:012x}70008{0:015x}")


def a_member_id(number: int) -> MemberId:
    """The member of that number, each in a bucket of its own."""
    return MemberId(f"{number:012x}70008{0:013x}{number % 256:02x}")


def a_member(id_: MemberId | None = None, *, since: str = "2026-01-01", tier: str = "member", **changes: Any) -> Member:
    member = Member(
        id=id_ or a_member_id(1),
        number="1",
        status=Status.ACTIVE.value,
        store=None,
        enrolled_at=at(since),
        sequence=0,
        head=GENESIS,
        effective_at=at(since),
        recorded_at=at(since),
        due_at=None,
        tier=tier,
        tier_since=at(since),
        tier_until=None,
    )
    return member._replace(**changes)


def a_lot(
    points: int = 100,
    *,
    number: int = 1,
    earned: str = "2026-01-01",
    matures: str | None = None,
    expires: str | None = None,
    member_id: MemberId | None = None,
    wallet: str = "points",
    **changes: Any,
) -> Lot:
    owner = member_id or a_member_id(1)
    lot = Lot(
        id=LotId(f"{number:030x}{owner[30:]}"),
        member_id=owner,
        wallet=wallet,
        state=(LotState.PENDING if matures else LotState.AVAILABLE).value,
        points=points,
        drawn=0,
        restored=0,
        earned_at=at(earned),
        matures_at=at(matures) if matures else None,
        expires_at=at(expires) if expires else None,
        entry_id=EntryId(f"{0:030x}{owner[30:]}"),
        source=None,
        store=None,
        funder=None,
    )
    return lot._replace(**changes)


def a_draft(
    *lots: Lot, programme: Programme | None = None, when: str = "2026-01-01", number: int = 1, **member: Any
) -> Draft:
    """A draft in which one member holds the lots, its book and `due_at` in keeping with them."""
    below = State()
    draft = Draft(below, programme or a_programme(), Moment(a_fact(number), at(when), at(when)), Mint(a_fact(number)))
    owner = a_member(**member)
    draft.put(MEMBERS, owner.id, owner)
    for lot in lots:
        open_lot(draft, lot)
        book = book_of(draft, owner.id, lot.wallet)
        grown = {lot.state: getattr(book, lot.state) + lot.remaining, "issued": book.issued + lot.remaining}
        draft.put(BOOKS, (owner.id, lot.wallet), book._replace(**grown))
    watch(draft, owner.id, *(lot.due_at for lot in lots))
    return draft


Part = tuple[str, int, int]
"""A line of an order, or what comes back of it: line, quantity, amount in minor units."""


def an_order(amount: int, *, currency: str = "CNY") -> Order:
    return an_order_of(("1", 1, amount), currency=currency)


def an_order_of(*parts: Part, currency: str = "CNY") -> Order:
    lines = [
        {"line_id": line_id, "sku": "LEGO-1", "category": "toys", "quantity": quantity, "amount": amount}
        for line_id, quantity, amount in parts
    ]
    return Order(currency, sum(amount for _, _, amount in parts), lines)


def rendered(outcome: Receipt | Refusal) -> tuple[int, bytes]:
    """What the ledger's clients are told in these tests: the code of a refusal, or entries and balances."""
    if isinstance(outcome, Refusal):
        return 409, orjson.dumps({"refused": outcome.code})
    entries = [entry.id for entry in outcome.entries]
    balances = {wallet: list(balance) for wallet, balance in outcome.balances.items()}
    said = outcome.said.returned if isinstance(outcome.said, Reserved) else outcome.said
    taken = {"returned": said._asdict()} if isinstance(said, Returned) else {}
    return 201, orjson.dumps({"entries": entries, "balances": balances, **taken})


def a_claim(key: str, request: str = "the same request", *, client: str = "till", subject: str = "") -> Claim:
    return Claim(ReplayKey(client, subject, key), hashlib.sha256(request.encode()).digest())


def enrolling(member_id: MemberId, **changes: Any) -> Enrol:
    plain = Enrol(member_id, f"card-{member_id}", None, (), None, (), frozenset())
    return plain._replace(**changes)


def buying(
    programme: Programme,
    member_id: MemberId,
    amount: int,
    when: datetime,
    *,
    reference: str,
    source: str = "pos",
    currency: str = "CNY",
    lines: Sequence[Part] = (),
) -> Purchase:
    day = programme.calendar.business_date(when)
    key = reference_key(programme, "accrual", source=source, reference=reference, day=day)
    order = an_order_of(*(lines or [("1", 1, amount)]), currency=currency)
    rules = programme.rules_at(when)
    return Purchase(member_id, order, Because(source, reference, "SH-1"), key, day, rules)


def granting(
    programme: Programme,
    member_id: MemberId,
    points: int,
    when: datetime,
    *,
    reference: str,
    source: str = "crm",
    wallet: str = "points",
    pending_until: datetime | None = None,
    expires_at: datetime | None = None,
) -> Grant:
    day = programme.calendar.business_date(when)
    key = reference_key(programme, "accrual", source=source, reference=reference, day=day)
    because = Because(source, reference, None, "goodwill")
    return Grant(member_id, points, wallet, because, key, day, pending_until, expires_at)


def redeeming(
    programme: Programme,
    member_id: MemberId,
    points: int,
    when: datetime,
    *,
    reference: str,
    source: str = "app",
    wallet: str = "points",
    discount_currency: str | None = None,
    forced: bool = False,
) -> Redeem:
    day = programme.calendar.business_date(when)
    key = reference_key(programme, "redemption", source=source, reference=reference, day=day)
    return Redeem(member_id, points, wallet, Because(source, reference), key, day, discount_currency, forced)


def holding(
    programme: Programme,
    member_id: MemberId,
    points: int,
    when: datetime,
    *,
    reference: str,
    source: str = "pos",
    wallet: str = "points",
    lasts: timedelta = timedelta(minutes=10),
) -> OpenHold:
    day = programme.calendar.business_date(when)
    key = reference_key(programme, "hold", source=source, reference=reference, day=day)
    return OpenHold(member_id, points, wallet, lasts, Because(source, reference), key, day)


def capturing(programme: Programme, hold: Hold, when: datetime, *, points: int | None = None) -> Capture:
    return Capture(hold, points, programme.calendar.business_date(when))


def releasing(programme: Programme, hold: Hold, when: datetime) -> Release:
    return Release(hold, programme.calendar.business_date(when))


def returning(
    programme: Programme,
    purchase: Entry,
    when: datetime,
    *,
    reference: str,
    source: str = "pos",
    lines: Sequence[Part] | None = None,
) -> Return:
    """A return of these parts of the lines; of all that is left without any."""
    day = programme.calendar.business_date(when)
    key = reference_key(programme, "return", source=source, reference=reference, day=day)
    parts = None if lines is None else tuple(ReturnedLine(*part) for part in lines)
    return Return(purchase, parts, Because(source, reference), key, day, bought_on(programme.calendar, purchase))


def reserving(
    programme: Programme,
    purchase: Entry,
    when: datetime,
    *,
    reference: str,
    source: str = "pos",
    lines: Sequence[Part] | None = None,
    lasts: timedelta = timedelta(minutes=10),
) -> Reserve:
    """As `returning`, in two steps."""
    back = returning(programme, purchase, when, reference=reference, source=source, lines=lines)
    return Reserve(purchase, back.lines, lasts, back.because, back.reference, back.business_date, back.bought_on)


def confirming(programme: Programme, hold: Hold, purchase: Entry, when: datetime) -> Confirm:
    day = programme.calendar.business_date(when)
    return Confirm(hold, purchase, day, bought_on(programme.calendar, purchase))


def cancelling(programme: Programme, hold: Hold, when: datetime) -> Cancel:
    return Cancel(hold, programme.calendar.business_date(when))


def reassigning(
    programme: Programme, purchase: Entry, to: MemberId, when: datetime, *, reference: str, source: str = "desk"
) -> Reassign:
    day = programme.calendar.business_date(when)
    key = reference_key(programme, "reassignment", source=source, reference=reference, day=day)
    because = Because(source, reference, None, "wrong card")
    return Reassign(purchase, to, because, key, day, bought_on(programme.calendar, purchase))


def refunding(
    programme: Programme,
    spent: Entry,
    when: datetime,
    *,
    reference: str,
    source: str = "app",
    points: int | None = None,
) -> Refund:
    day = programme.calendar.business_date(when)
    key = reference_key(programme, "refund", source=source, reference=reference, day=day)
    return Refund(spent, redemption(spent), points, Because(source, reference), key, day)


def transferring(
    programme: Programme,
    member_id: MemberId,
    to: MemberId,
    points: int,
    when: datetime,
    *,
    reference: str,
    source: str = "app",
    wallet: str = "points",
) -> Transfer:
    day = programme.calendar.business_date(when)
    key = reference_key(programme, "transfer", source=source, reference=reference, day=day)
    return Transfer(member_id, to, points, wallet, Because(source, reference), key, day)


def adjusting(
    programme: Programme,
    member_id: MemberId,
    points: int,
    when: datetime,
    *,
    reference: str,
    source: str = "desk",
    wallet: str = "points",
    by: str = "clerk",
) -> Adjust:
    day = programme.calendar.business_date(when)
    key = reference_key(programme, "adjustment", source=source, reference=reference, day=day)
    return Adjust(member_id, points, wallet, Because(source, reference, None, "a mistake"), key, day, by)


def deciding(
    programme: Programme, adjustment: Adjustment, when: datetime, *, approve: bool = True, by: str = "manager"
) -> Decide:
    return Decide(adjustment, approve, by, programme.calendar.business_date(when))


def closing(programme: Programme, member_id: MemberId, when: datetime) -> Close:
    day = programme.calendar.business_date(when)
    return Close(member_id, tuple(programme.wallets), Because(reason="asked to leave"), day)


class Desk:
    """A ledger in memory: commands pass the door one batch at a time, and nothing is ever written down.

    `now` is the clock of the service; unless a test sets it, it is whatever time the command happens at.
    """

    def __init__(self, programme: Programme | None = None) -> None:
        self.programme = programme or a_programme()
        self.state = State()
        self.now: datetime | None = None
        self._facts = 0
        self._members = 0

    # What happens at the desk. Each returns the door's answer.

    def enrols(self, when: str = "2026-01-01", **changes: Any) -> MemberId:
        self._members += 1
        id_ = a_member_id(self._members)
        self.does(enrolling(id_, **changes), at(when))
        return id_

    def buys(self, member_id: MemberId, amount: int, when: str, *, ref: str | None = None, **more: Any) -> Answer:
        how = {name: more.pop(name) for name in ("currency", "source", "lines") if name in more}
        ref = ref or self._next_reference()
        return self.does(buying(self.programme, member_id, amount, at(when), reference=ref, **how), at(when), **more)

    def gives(self, member_id: MemberId, points: int, when: str, *, ref: str | None = None, **more: Any) -> Answer:
        how: dict[str, Any] = {name: more.pop(name) for name in ("wallet", "source") if name in more}
        how |= {name: at(more.pop(name)) for name in ("pending_until", "expires_at") if name in more}
        ref = ref or self._next_reference()
        return self.does(granting(self.programme, member_id, points, at(when), reference=ref, **how), at(when), **more)

    def redeems(self, member_id: MemberId, points: int, when: str, *, ref: str | None = None, **more: Any) -> Answer:
        names = ("wallet", "source", "discount_currency", "forced")
        how = {name: more.pop(name) for name in names if name in more}
        ref = ref or self._next_reference()
        return self.does(redeeming(self.programme, member_id, points, at(when), reference=ref, **how), at(when), **more)

    def holds(self, member_id: MemberId, points: int, when: str, *, ref: str | None = None, **more: Any) -> Answer:
        how = {name: more.pop(name) for name in ("wallet", "source", "lasts") if name in more}
        ref = ref or self._next_reference()
        return self.does(holding(self.programme, member_id, points, at(when), reference=ref, **how), at(when), **more)

    def captures(self, hold: Answer, when: str, *, points: int | None = None, **more: Any) -> Answer:
        return self.does(capturing(self.programme, accepted(hold).said, at(when), points=points), at(when), **more)

    def releases(self, hold: Answer, when: str, **more: Any) -> Answer:
        return self.does(releasing(self.programme, accepted(hold).said, at(when)), at(when), **more)

    def returns(self, purchase: Answer, when: str, *parts: Part, ref: str | None = None, **more: Any) -> Answer:
        """Takes back the parts of the purchase's lines; all that is left of it where none are named."""
        ref, entry = ref or self._next_reference(), accepted(purchase).entries[-1]
        return self.does(
            returning(self.programme, entry, at(when), reference=ref, lines=parts or None), at(when), **more
        )

    def reserves(self, purchase: Answer, when: str, *parts: Part, ref: str | None = None, **more: Any) -> Answer:
        """As `returns`, in two steps."""
        ref, entry = ref or self._next_reference(), accepted(purchase).entries[-1]
        how = {"lasts": more.pop("lasts")} if "lasts" in more else {}
        asked = reserving(self.programme, entry, at(when), reference=ref, lines=parts or None, **how)
        return self.does(asked, at(when), **more)

    def confirms(self, reserved: Answer, when: str) -> Answer:
        hold = accepted(reserved).said.hold
        reservation = reservation_of(hold)
        assert reservation is not None
        [sale] = [one for one in self.entries(hold.member_id) if one.id == reservation.sale]
        return self.does(confirming(self.programme, hold, sale, at(when)), at(when))

    def cancels(self, reserved: Answer, when: str) -> Answer:
        return self.does(cancelling(self.programme, accepted(reserved).said.hold, at(when)), at(when))

    def reassigns(self, purchase: Answer, to: MemberId, when: str, *, ref: str | None = None) -> Answer:
        """Credits the purchase, or what it is since it was reassigned, to another member."""
        ref, entry = ref or self._next_reference(), accepted(purchase).entries[-1]
        return self.does(reassigning(self.programme, entry, to, at(when), reference=ref), at(when))

    def refunds(self, spent: Answer, when: str, *, points: int | None = None, ref: str | None = None) -> Answer:
        ref, entry = ref or self._next_reference(), accepted(spent).entries[0]
        return self.does(refunding(self.programme, entry, at(when), reference=ref, points=points), at(when))

    def transfers(
        self, member_id: MemberId, to: MemberId, points: int, when: str, *, ref: str | None = None, **how: Any
    ) -> Answer:
        ref = ref or self._next_reference()
        return self.does(transferring(self.programme, member_id, to, points, at(when), reference=ref, **how), at(when))

    def adjusts(self, member_id: MemberId, points: int, when: str, *, ref: str | None = None, **how: Any) -> Answer:
        ref = ref or self._next_reference()
        return self.does(adjusting(self.programme, member_id, points, at(when), reference=ref, **how), at(when))

    def decides(self, adjustment: Answer, when: str, **how: Any) -> Answer:
        return self.does(deciding(self.programme, accepted(adjustment).said, at(when), **how), at(when))

    def closes(self, member_id: MemberId, when: str, **more: Any) -> Answer:
        return self.does(closing(self.programme, member_id, at(when)), at(when), **more)

    def settles(self, member_id: MemberId, when: str, **more: Any) -> Answer:
        return self.does(Settle(member_id), at(when), **more)

    def does(self, command: Command, when: datetime, **more: Any) -> Answer:
        return self.commits([self.asks(command, when, **more)])[0]

    def asks(
        self, command: Command, when: datetime, *, key: str | None = None, request: str | None = None, **more: Any
    ) -> Submission:
        self._facts += 1
        moment = Moment(a_fact(self._facts), when, self.now or when)
        claim = a_claim(key, request or repr(command)) if key else None
        return Submission(self.programme, command, moment, rendered, claim, **more)

    def commits(self, asks: Iterable[Submission]) -> list[Answer]:
        """One batch, committed."""
        batch = State(self.state)
        answers = [answer(ask, batch) for ask in asks]
        self.state.keep(batch)
        return answers

    def _next_reference(self) -> str:
        return f"r{self._facts + 1}"

    # What is true now.

    def member(self, member_id: MemberId) -> Member:
        found = self.state.get(MEMBERS, member_id)
        assert found is not None
        return found

    def changes(self, member_id: MemberId, **fields: Any) -> None:
        """Set fields of a member that no verb sets yet."""
        self.state.put(MEMBERS, member_id, self.member(member_id)._replace(**fields))

    def owes(self, member_id: MemberId, points: int, wallet: str = "points", when: str = "2026-01-01") -> None:
        """Leave the member in debt: it has spent offline what it does not have."""
        assert self.balance(member_id, wallet).available == 0, "invariant 2: who owes has nothing available"
        self.programme = self.programme._replace(forced_sources=self.programme.forced_sources | {"offline"})
        accepted(self.redeems(member_id, points, when, wallet=wallet, source="offline", forced=True))

    def balance(self, member_id: MemberId, wallet: str = "points") -> Balance:
        return book_of(self.state, member_id, wallet).balance

    def book(self, member_id: MemberId, wallet: str = "points") -> Book:
        return book_of(self.state, member_id, wallet)

    def entries(self, member_id: MemberId) -> list[Entry]:
        return [one for one in self.state.facts if isinstance(one, Entry) and one.member_id == member_id]

    def hold(self, opened: Answer) -> Hold:
        """The hold that was opened, as it is now."""
        found = self.state.get(HOLDS, accepted(opened).said.id)
        assert found is not None
        return found

    def steps(self, member_id: MemberId) -> list[TierStep]:
        return [one for one in self.state.facts if isinstance(one, TierStep) and one.member_id == member_id]

    def lots(self, member_id: MemberId, wallet: str = "points") -> list[Lot]:
        """Every lot the member ever had in the wallet, in the order they came."""
        found = (self.state.get(LOTS, id_) for id_ in self.state.get(OPEN_LOTS, (member_id, wallet)) or ())
        return [lot for lot in found if lot is not None]


def told(entries: Sequence[Entry]) -> list[tuple[str, str, int]]:
    """Entries as (kind, day it took effect, points moved): what a table of expectations lists."""
    return [(e.kind, e.effective_at.date().isoformat(), sum(p.points for p in e.postings)) for e in entries]


def code_of(given: Answer) -> str | None:
    """The code of the refusal, or None when the command was accepted."""
    said: Mapping[str, Any] = orjson.loads(given.body)
    return said.get("refused")


def accepted(given: Answer) -> Receipt:
    """The receipt of a command that must have been accepted."""
    assert isinstance(given.outcome, Receipt), given
    return given.outcome


def refused(given: Answer) -> Refusal:
    """The refusal of a command that must have been refused."""
    assert isinstance(given.outcome, Refusal), given
    return given.outcome


def day(text: str) -> date:
    return date.fromisoformat(text)
