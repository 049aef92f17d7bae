"""Joining: a member with its card number and identities. Personal data goes to a store of its own, sealed."""

import secrets
from collections.abc import Iterable
from datetime import date, datetime
from typing import NamedTuple

from loyalty.domain.events import Event, EventType
from loyalty.domain.identities import IDENTITIES, IDENTITIES_OF, PHONE, Identity, bind
from loyalty.domain.ids import MemberId
from loyalty.domain.members import GENESIS, MEMBERS, Member, Status, existing
from loyalty.domain.persons import Consent, Person, age
from loyalty.domain.programme import Programme
from loyalty.domain.refusals import FieldRequired, IdentityTaken, UnderAge
from loyalty.domain.state import Draft, Need
from loyalty.operations.command import Receipt
from loyalty.operations.identify import make_known


class Enrolled(NamedTuple):
    """Who is a member now."""

    member: Member
    is_new: bool
    """Whether there was no such member before."""


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
        _check(programme, self.given, self.birthday, at)
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
        _consent(draft, member.id, self.consents, at)
        draft.record(Event(member.id, member.id, 0, EventType.ENROLLED.value, moment.recorded_at))
        return Receipt(member.id, (), Enrolled(member, is_new=True))


class Rejoin(NamedTuple):
    """Somebody joins, on one more channel, who is a member by a phone that they have proven to hold."""

    member_id: MemberId
    phone: Identity
    identities: tuple[Identity, ...]
    """Those of the channel, without the phone."""
    consents: tuple[tuple[str, str], ...]
    given: frozenset[str]
    birthday: date | None = None

    def needs(self) -> tuple[Need, ...]:
        return (
            Need(MEMBERS, self.member_id),
            Need(IDENTITIES_OF, self.member_id),
            *(Need(IDENTITIES, identity) for identity in (self.phone, *self.identities)),
        )

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """The member is known by all of them. What is known of the person stays as it is.

        Raises FieldRequired, UnderAge, MemberClosed, and as `bind`; IdentityTaken too where the phone is not theirs any
        more.
        """
        _check(draft.programme, self.given, self.birthday, at)
        phone = draft.get(IDENTITIES, self.phone)
        if phone is None or phone.member_id != self.member_id:
            raise IdentityTaken("The phone is somebody else's by now.", channel=PHONE, identity_type=PHONE)
        for identity in self.identities:
            make_known(draft, identity, self.member_id)
        _consent(draft, self.member_id, self.consents, at)
        return Receipt(self.member_id, (), Enrolled(existing(draft, self.member_id), is_new=False))


def _check(programme: Programme, given: frozenset[str], birthday: date | None, at: datetime) -> None:
    """Raises FieldRequired, UnderAge."""
    missing = sorted(programme.enrolment_requires - given)
    if missing:
        raise FieldRequired(f"Joining this programme requires {', '.join(missing)}.", missing=missing)
    if birthday is not None:
        today = programme.calendar.business_date(at)
        if age(birthday, today) < programme.minimum_age:
            raise UnderAge(f"Nobody under {programme.minimum_age} may join.", minimum_age=programme.minimum_age)


def _consent(draft: Draft, member_id: MemberId, consents: Iterable[tuple[str, str]], at: datetime) -> None:
    for purpose, text_version in consents:
        draft.record(Consent(draft.mint.next(member_id), member_id, purpose, text_version, at))


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
