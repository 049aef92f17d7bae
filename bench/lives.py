"""A member's life as the ledger itself decides it, in memory: what the histories of a large programme are made of."""

import random
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Final, NamedTuple

from bench.members import card
from loyalty.domain.adjustments import ADJUSTMENTS, Decision
from loyalty.domain.books import BOOKS, EMPTY
from loyalty.domain.claims import ReferenceKey, ReferenceKind, reference_key
from loyalty.domain.earning import Order
from loyalty.domain.entries import Because, Entry, Kind
from loyalty.domain.holds import HOLDS, Hold
from loyalty.domain.ids import FactId, MemberId
from loyalty.domain.members import existing
from loyalty.domain.programme import Programme
from loyalty.domain.state import Moment, State
from loyalty.operations.accrue import Grant, Purchase
from loyalty.operations.adjust import Adjust, Decide
from loyalty.operations.command import Command, Receipt
from loyalty.operations.door import Submission, answer
from loyalty.operations.enrol import Enrol
from loyalty.operations.hold import Capture, OpenHold, Release
from loyalty.operations.redeem import Redeem
from loyalty.operations.refund import Refund, redemption
from loyalty.operations.returns import Return
from loyalty.operations.sweep import Settle

MARK: Final = "facade"
"""Six digits in every id and reference of a life: what a copy of the life has other digits for."""
ENOUGH: Final = 900
"""Points above which a member spends: so some six to nine lots are open at any time, as without a history."""
CORRECTED: Final = 50
DECIDED_AFTER: Final = timedelta(hours=1)
LEARNT_AFTER: Final = timedelta(seconds=2)
ENTRIES_OF_A_STEP: Final = 1.7
"""How many entries a step writes on average: a purchase matures by itself."""


class Life(NamedTuple):
    """A member with its history."""

    member_id: MemberId
    state: State
    """Every row as the last entry left it, and the entries."""

    @property
    def entries(self) -> list[Entry]:
        return [fact for fact in self.state.facts if isinstance(fact, Entry)]


class Span(NamedTuple):
    """The time a life takes."""

    begins_at: datetime
    ends_at: datetime


def live(programme: Programme, number: int, *, bucket: int, entries: int, span: Span) -> Life:
    """The life of the member with the n-th card, of about so many entries; the same number lives the same life.

    Nothing of it falls due between its end and the next expiry: a last settling has seen to that.
    """
    living = _Living(programme, _member_id(number, bucket, span.begins_at), random.Random(number))
    living.join(card(number), span.begins_at)
    while (left := entries - living.sequence) > 0:
        steps = left / ENTRIES_OF_A_STEP + 1
        living.step(living.at + (span.ends_at - living.at) / steps)
    living.tell(Settle(living.member_id), span.ends_at + max(w.pending for w in programme.wallets.values()))
    return Life(living.member_id, living.state)


def _member_id(number: int, bucket: int, since: datetime) -> MemberId:
    return MemberId(f"{_milliseconds(since):012x}70008000{MARK}{number:04x}{bucket:02x}")


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


class _Living:
    """A life while it goes on."""

    def __init__(self, programme: Programme, member_id: MemberId, chance: random.Random) -> None:
        self._programme = programme
        self._chance = chance
        self._told = 0
        self._newest: dict[str, Entry] = {}
        self.member_id = member_id
        self.state = State()

    @property
    def sequence(self) -> int:
        return existing(self.state, self.member_id).sequence

    def join(self, number: str, at: datetime) -> None:
        self.tell(Enrol(self.member_id, number, "SH-001", (), None, (), frozenset()), at)

    def step(self, at: datetime) -> None:
        """Do what a member does next, at the moment given."""
        wallet = next(iter(self._programme.wallets))
        book = self.state.get(BOOKS, (self.member_id, wallet)) or EMPTY
        if book.available > ENOUGH:
            verbs, weights = _WHEN_RICH
        else:
            verbs, weights = _WHEN_NOT
        for command in self._chance.choices(verbs, weights)[0](self, at, wallet):
            self.tell(command, at)

    def tell(self, command: Command, at: datetime) -> Entry | None:
        """Let the door decide; its entry. A life asks for nothing that is refused."""
        self._told += 1
        stem = f"{_milliseconds(at):012x}7000{0x8000 + self._told % 0x4000:04x}{MARK}"
        moment = Moment(FactId(f"{stem}{0:06x}"), at, at + LEARNT_AFTER)
        outcome = answer(Submission(self._programme, command, moment, say_nothing), self.state).outcome
        assert isinstance(outcome, Receipt), f"a life is never refused: {outcome!r}"
        self.at = at
        for entry in outcome.entries:
            self._newest[entry.kind] = entry
        return outcome.entries[0] if outcome.entries else None

    # --- what a member does: each gives the commands of one step ---

    def buy(self, at: datetime, _: str) -> Sequence[Command]:
        amount = self._chance.randrange(10_000, 20_000)
        lines = [{"line_id": "1", "sku": "LEGO-1", "category": "toys", "quantity": 1, "amount": amount}]
        order = Order(self._programme.currency, amount, lines)
        because, key, day = self._origin(ReferenceKind.ACCRUAL, "pos-1", at, store="SH-001")
        return [Purchase(self.member_id, order, because, key, day, self._programme.rules_at(at))]

    def be_given(self, at: datetime, wallet: str) -> Sequence[Command]:
        because, key, day = self._origin(ReferenceKind.ACCRUAL, "crm", at, reason="goodwill")
        return [Grant(self.member_id, self._chance.randrange(50, 150), wallet, because, key, day)]

    def redeem(self, at: datetime, wallet: str) -> Sequence[Command]:
        because, key, day = self._origin(ReferenceKind.REDEMPTION, "app", at)
        points = self._chance.randrange(150, 450)
        return [Redeem(self.member_id, points, wallet, because, key, day, self._programme.currency)]

    def capture(self, at: datetime, wallet: str) -> Sequence[Command]:
        hold = self._opened(at, wallet)
        return [Capture(hold, hold.points // 2, self._day(at))]

    def release(self, at: datetime, wallet: str) -> Sequence[Command]:
        return [Release(self._opened(at, wallet), self._day(at))]

    def _opened(self, at: datetime, wallet: str) -> Hold:
        """A hold of just now; its own fact comes before that of what becomes of it."""
        because, key, day = self._origin(ReferenceKind.HOLD, "pos-1", at)
        opening = OpenHold(self.member_id, 200, wallet, timedelta(minutes=10), because, key, day)
        entry = self.tell(opening, at)
        assert entry is not None, "opening a hold is an entry"
        hold = self.state.get(HOLDS, entry.id)
        assert hold is not None, "it has just been opened"
        return hold

    def return_it(self, at: datetime, _: str) -> Sequence[Command]:
        """The newest purchase comes back, once."""
        purchase = self._newest.pop(Kind.EARN, None)
        if purchase is None or purchase.calculation is None:
            return ()
        because, key, day = self._origin(ReferenceKind.RETURN, "pos-1", at)
        return [Return(purchase, None, because, key, day, self._day(purchase.occurred_at))]

    def be_refunded(self, at: datetime, _: str) -> Sequence[Command]:
        """The newest redemption is given back, once."""
        spent = self._newest.pop(Kind.SPEND, None)
        if spent is None:
            return ()
        because, key, day = self._origin(ReferenceKind.REFUND, "app", at)
        return [Refund(spent, redemption(spent), 50, because, key, day)]

    def be_corrected(self, at: datetime, wallet: str) -> Sequence[Command]:
        """By as much as somebody must approve, who does, if the programme asks for it."""
        because, key, day = self._origin(ReferenceKind.ADJUSTMENT, "desk", at, reason="a mistake")
        self.tell(Adjust(self.member_id, CORRECTED, wallet, because, key, day, "clerk"), at - DECIDED_AFTER)
        waiting = [one for _, one in self.state.own(ADJUSTMENTS) if one.status == Decision.AWAITING]
        return [Decide(one, True, "manager", day) for one in waiting]

    def _origin(
        self, kind: ReferenceKind, source: str, at: datetime, **because: str
    ) -> tuple[Because, ReferenceKey, date]:
        reference = f"R-{MARK}-{self.member_id[26:]}-{self._told}"
        day = self._day(at)
        key = reference_key(self._programme, kind, source=source, reference=reference, day=day)
        return Because(source, reference, **because), key, day

    def _day(self, at: datetime) -> date:
        return self._programme.calendar.business_date(at)


Deed = Callable[[_Living, datetime, str], Sequence[Command]]
_WHEN_NOT: tuple[tuple[Deed, ...], tuple[int, ...]] = (
    (_Living.buy, _Living.be_given, _Living.return_it, _Living.be_refunded, _Living.be_corrected),
    (75, 12, 5, 5, 3),
)
_WHEN_RICH: tuple[tuple[Deed, ...], tuple[int, ...]] = (
    (_Living.redeem, _Living.capture, _Living.release),
    (80, 15, 5),
)


def say_nothing(_: object) -> tuple[int, bytes]:
    return 200, b""
