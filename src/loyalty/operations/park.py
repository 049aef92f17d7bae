"""A return that comes before its sale: parked, then cured by the sale, or given up."""

from datetime import datetime, timedelta
from typing import NamedTuple

from loyalty.domain.claims import ReferenceKey
from loyalty.domain.entries import Because
from loyalty.domain.ids import MemberId
from loyalty.domain.parked import PARKED, ParkedReturn, ParkedStatus
from loyalty.domain.refusals import ParkedDecided
from loyalty.domain.returns import ReturnedLine
from loyalty.domain.state import Draft, Need
from loyalty.operations.command import Receipt
from loyalty.operations.returns import Return


class Park(NamedTuple):
    """Keep a return until the sale it belongs to is known. It belongs to no member yet."""

    awaits: ReferenceKey
    lines: tuple[ReturnedLine, ...] | None
    because: Because
    lane: MemberId
    """Any id: whose lane it waits in does not matter."""

    @property
    def member_id(self) -> MemberId:
        return self.lane

    def needs(self) -> tuple[Need, ...]:
        return ()

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """It waits. Its own reference is taken when it is cured."""
        moment = draft.moment
        parked = ParkedReturn(
            id=moment.fact,
            awaits=self.awaits,
            lines=self.lines,
            because=self.because,
            occurred_at=moment.occurred_at,
            parked_at=moment.recorded_at,
            until=moment.recorded_at + timedelta(days=draft.programme.parked_days),
            status=ParkedStatus.WAITING.value,
            outcome=None,
        )
        draft.put(PARKED, parked.id, parked)
        return Receipt(self.lane, (), parked)


class Cure(NamedTuple):
    """The sale has come: do what the parked return asked for."""

    parked: ParkedReturn
    asked: Return

    @property
    def member_id(self) -> MemberId:
        return self.asked.member_id

    def needs(self) -> tuple[Need, ...]:
        return (*self.asked.needs(), Need(PARKED, self.parked.id))

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """As the return itself. Raises ParkedDecided."""
        waiting = _waiting(draft, self.parked)
        receipt = self.asked.decide(draft, at)
        [entry] = receipt.entries
        draft.put(PARKED, waiting.id, waiting._replace(status=ParkedStatus.CURED.value, outcome=entry.id))
        return receipt


class GiveUp(NamedTuple):
    """It cannot be cured: the sale refuses it, or never came."""

    parked: ParkedReturn
    status: ParkedStatus
    code: str | None

    @property
    def member_id(self) -> MemberId:
        return MemberId(self.parked.id)

    def needs(self) -> tuple[Need, ...]:
        return (Need(PARKED, self.parked.id),)

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """It waits no longer. Raises ParkedDecided."""
        waiting = _waiting(draft, self.parked)
        draft.put(PARKED, waiting.id, waiting._replace(status=self.status.value, outcome=self.code))
        return Receipt(self.member_id, (), None)


def _waiting(draft: Draft, parked: ParkedReturn) -> ParkedReturn:
    found = draft.get(PARKED, parked.id)
    if found is None or found.status != ParkedStatus.WAITING:
        raise ParkedDecided("The parked return waits no longer.")
    return found
