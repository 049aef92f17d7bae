"""An event that comes too early: parked, then cured by what it waits for, or given up."""

from datetime import datetime, timedelta
from typing import NamedTuple

from loyalty.domain.claims import REFERENCES, ReferenceKey, check_free, reference_key
from loyalty.domain.earning import Order, check_currency
from loyalty.domain.entries import Because, Entry
from loyalty.domain.ids import MemberId
from loyalty.domain.parked import (
    MOST_WAITING,
    PARKED,
    WAITING_FOR,
    Asked,
    AskedPoints,
    AskedReturn,
    Awaited,
    ParkedEvent,
    ParkedStatus,
)
from loyalty.domain.programme import Programme
from loyalty.domain.refusals import ParkedDecided, Refusal, TooManyParked
from loyalty.domain.returns import bought_on
from loyalty.domain.reviews import ReviewKind, open_review
from loyalty.domain.state import Draft, Need
from loyalty.operations.accrue import Grant, Purchase, granted_term
from loyalty.operations.command import Command, Receipt
from loyalty.operations.returns import Return

_REVIEWED = {ParkedStatus.REFUSED: ReviewKind.REFUSED, ParkedStatus.LAPSED: ReviewKind.LAPSED}


class Park(NamedTuple):
    """Keep an event until what it waits for is known. It belongs to no member yet."""

    awaits: Awaited
    asked: Asked
    because: Because
    reference: ReferenceKey
    """Its own: taken when it is cured."""
    lane: MemberId
    """Any id: whose lane it waits in does not matter."""

    @property
    def member_id(self) -> MemberId:
        return self.lane

    def needs(self) -> tuple[Need, ...]:
        return (Need(REFERENCES, self.reference), Need(WAITING_FOR, self.awaits))

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """It waits. Raises ReferenceTaken, TooManyParked, and what nobody could cure: UnknownWallet ..."""
        check_free(draft, self.reference)
        _check(draft, self.asked)
        waiting = draft.get(WAITING_FOR, self.awaits) or 0
        if waiting >= MOST_WAITING:
            raise TooManyParked(f"{waiting} events wait for the same already.", allowed=MOST_WAITING)
        moment = draft.moment
        parked = ParkedEvent(
            id=moment.fact,
            awaits=self.awaits,
            asked=self.asked,
            because=self.because,
            occurred_at=moment.occurred_at,
            parked_at=moment.recorded_at,
            until=moment.recorded_at + timedelta(days=draft.programme.parked_days),
            status=ParkedStatus.WAITING.value,
            outcome=None,
        )
        draft.put(PARKED, parked.id, parked)
        draft.put(WAITING_FOR, self.awaits, waiting + 1)
        return Receipt(self.lane, (), parked)


class Cure(NamedTuple):
    """What the event waited for has come: do what was asked for, as of when it happened."""

    parked: ParkedEvent
    asked: Command

    @property
    def member_id(self) -> MemberId:
        return self.asked.member_id

    def needs(self) -> tuple[Need, ...]:
        return (*self.asked.needs(), Need(PARKED, self.parked.id))

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """It is done, or refused for good. Raises ParkedDecided, and what may still be cured."""
        waiting = _waiting(draft, self.parked)
        attempt = draft.over()
        try:
            receipt = self.asked.decide(attempt, at)
        except Refusal as refusal:
            if refusal.curable:
                raise
            return _end(draft, waiting, ParkedStatus.REFUSED, refusal.code)
        draft.keep(attempt)
        [entry] = receipt.entries
        _end(draft, waiting, ParkedStatus.CURED, entry.id)
        return receipt


class Lapse(NamedTuple):
    """What the event waited for never came."""

    parked: ParkedEvent
    """As it was found: only what never changes of it is relied on."""

    @property
    def member_id(self) -> MemberId:
        return MemberId(self.parked.id)

    def needs(self) -> tuple[Need, ...]:
        return (Need(PARKED, self.parked.id),)

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """It waits no longer. Raises ParkedDecided."""
        return _end(draft, _waiting(draft, self.parked), ParkedStatus.LAPSED)


def cure_of(programme: Programme, parked: ParkedEvent, found: Entry | MemberId) -> Cure:
    """The cure of an event, now that its sale or its member has been found."""
    because, day = parked.because, programme.calendar.business_date(parked.occurred_at)
    source, reference = because.source or "", because.reference or ""
    key = reference_key(programme, parked.kind, source=source, reference=reference, day=day)
    command: Command
    match parked.asked:
        case AskedReturn(lines):
            assert isinstance(found, Entry), "a return waits for its sale"
            command = Return(found, lines, because, key, day, bought_on(programme.calendar, found))
        case AskedPoints(points, wallet, pending_until, expires_at):
            assert isinstance(found, str), "an accrual waits for a member"
            command = Grant(found, points, wallet, because, key, day, pending_until, expires_at)
        case Order() as order:
            assert isinstance(found, str), "an accrual waits for a member"
            rules = programme.rules_at(parked.occurred_at)
            command = Purchase(found, order, because, key, day, rules)
    return Cure(parked, command)


def _check(draft: Draft, asked: Asked) -> None:
    """Refuse at once what would be refused for anybody. Raises CurrencyNotAccepted, UnknownWallet, DatesContradict."""
    match asked:
        case AskedPoints(_, wallet, pending_until, expires_at):
            granted_term(draft, wallet, pending_until=pending_until, expires_at=expires_at)
        case Order() as order:
            check_currency(draft.programme, order)


def _waiting(draft: Draft, parked: ParkedEvent) -> ParkedEvent:
    found = draft.get(PARKED, parked.id)
    if found is None or found.status != ParkedStatus.WAITING:
        raise ParkedDecided("The parked event waits no longer.")
    return found


def _end(draft: Draft, waiting: ParkedEvent, status: ParkedStatus, outcome: str | None = None) -> Receipt:
    """It waits no longer; unless it was cured, somebody has to look at it."""
    ended = waiting._replace(status=status.value, outcome=outcome)
    draft.put(PARKED, ended.id, ended)
    if status in _REVIEWED:
        open_review(draft, _REVIEWED[status], ended.id, ended.because, opened_at=draft.moment.recorded_at)
    return Receipt(MemberId(ended.id), (), ended)
