"""Joining: a member with its card number and identities. Personal data goes to a store of its own, sealed."""

import secrets
from datetime import date, datetime
from typing import NamedTuple

from loyalty.domain.events import Event, EventType
from loyalty.domain.identities import IDENTITIES, Identity, bind
from loyalty.domain.ids import MemberId
from loyalty.domain.members import GENESIS, MEMBERS, Member, Status
from loyalty.domain.persons import Consent, Person, age
from loyalty.domain.programme import Programme
from loyalty.domain.refusals import FieldRequired, UnderAge
from loyalty.domain.state import Draft, Need
from loyalty.operations.command import Receipt


class Enrol(NamedTuple):
    """One person joins. `given` names the fields that were filled in, `birthday` only decides the age."""

    member_id: MemberId
    number: str
    store: str | None
    identities: tuple[Identity, ...]
    person: Person | None
    consents: tuple[tuple[str, str], ...]
    given: frozenset[str]
    birthday: date | None = None

    def needs(self) -> tuple[Need, ...]:
        return (
            Need(MEMBERS, self.member_id),
            *(Need(IDENTITIES, identity) for identity in self.identities),
        )

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """The member exists under all its identities. Raises FieldRequired, UnderAge, and as `bind`."""
        programme, moment = draft.programme, draft.moment
        self._check(programme, at)
        for identity in self.identities:
            bind(draft, identity, self.member_id)
        assert draft.get(MEMBERS, self.member_id) is None, "the id of a member that joins is new"
        member = Member(
            id=self.member_id,
            number=self.number,
            status=Status.ACTIVE.value,
            store=self.store,
            enrolled_at=at,
            sequence=0,
            head=GENESIS,
            effective_at=at,
            recorded_at=moment.recorded_at,
            due_at=None,
            tier=programme.ladder[0].tier,
            tier_since=at,
            tier_until=None,
        )
        draft.put(MEMBERS, member.id, member)
        if self.person is not None:
            draft.record(self.person)
        for purpose, text_version in self.consents:
            draft.record(Consent(draft.mint.next(member.id), member.id, purpose, text_version, at))
        draft.record(Event(member.id, member.id, 0, EventType.ENROLLED.value, moment.recorded_at))
        return Receipt(member.id, (), member)

    def _check(self, programme: Programme, at: datetime) -> None:
        missing = sorted(programme.enrolment_requires - self.given)
        if missing:
            raise FieldRequired(f"Joining this programme requires {', '.join(missing)}.", missing=missing)
        if self.birthday is not None:
            today = programme.calendar.business_date(at)
            if age(self.birthday, today) < programme.minimum_age:
                raise UnderAge(f"Nobody under {programme.minimum_age} may join.", minimum_age=programme.minimum_age)


CARD_DIGITS = 16


def new_card_number() -> str:
    """A card number nobody can guess: a 6, fourteen random digits and a check digit (Luhn).

    With ten million members, one enrolment in ten million meets a number that is taken; the claim on it then
    refuses (`identity_taken`). The refusal is frozen under its key; a new key draws another number.
    """
    digits = "6" + "".join(str(secrets.randbelow(10)) for _ in range(CARD_DIGITS - 2))
    return digits + _check_digit(digits)


def _check_digit(digits: str) -> str:
    doubled = [int(digit) * (2 - place % 2) for place, digit in enumerate(reversed(digits))]
    return str(-sum(value // 10 + value % 10 for value in doubled) % 10)
