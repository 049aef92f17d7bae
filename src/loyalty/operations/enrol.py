"""Joining: a member with its card number and identities. Personal data goes to a store of its own, sealed."""

import secrets
from collections.abc import Iterable
from datetime import date, datetime
from typing import NamedTuple

from loyalty.domain.calendar import add_months
from loyalty.domain.events import Event, EventType, tell
from loyalty.domain.identities import IDENTITIES, IDENTITIES_OF, PHONE, RESERVED_CHANNELS, Identity, bind, unbind
from loyalty.domain.ids import MemberId
from loyalty.domain.ladder import EVER, NET_SPEND
from loyalty.domain.members import GENESIS, MEMBERS, Member, Status, existing
from loyalty.domain.persons import Consent, Person, age
from loyalty.domain.programme import Programme
from loyalty.domain.refusals import FieldRequired, IdentityTaken, UnderAge
from loyalty.domain.state import Draft, Need
from loyalty.domain.tiers import COUNTS
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
    phone_proven: bool = False
    """Whether they have shown that they hold the phone that is among the identities."""
    second_factor: bool = False
    """Whether they have shown something else that only the member has or knows."""

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
            bind(draft, identity, self.member_id, proven=identity.channel != PHONE or self.phone_proven)
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
            tier=programme.ladder.rungs[0].tier,
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
    """Somebody joins, on one more channel, whose phone, which they have proven to hold, a member is known by."""

    holder: MemberId
    """Whose the phone is."""
    phone: Identity
    joining: Enrol
    """Who they are if they are not the holder."""

    @property
    def member_id(self) -> MemberId:
        return self.holder

    def needs(self) -> tuple[Need, ...]:
        return (*needs_of_holder(self.holder), *self.joining.needs())

    def decide(self, draft: Draft, at: datetime) -> Receipt:
        """The holder is known by all of them; what is known of the person stays as it is.

        Unless the holder has never proven the phone and is known on a channel: that may be somebody else, who typed it.
        Or unless the holder is dormant and there is no second factor: the phone may have found another owner. Then the
        phone leaves the holder, whose points stay, and a new member joins with it. Raises FieldRequired, UnderAge,
        MemberClosed, and as `bind`; IdentityTaken too where the phone is not the holder's any more.
        """
        joining = self.joining
        _check(draft.programme, joining.given, joining.birthday, at)
        phone = draft.get(IDENTITIES, self.phone)
        if phone is None or phone.member_id != self.holder:
            raise IdentityTaken("The phone is somebody else's by now.", channel=PHONE, identity_type=PHONE)
        typed = not phone.proven and self._is_known_on_a_channel(draft)
        if typed or (not joining.second_factor and _is_dormant(draft, self.holder, at)):
            unbind(draft, self.phone, self.holder)
            tell(draft, self.holder, EventType.IDENTITY_UNBOUND)
            return joining.decide(draft, at)
        draft.put(IDENTITIES, self.phone, phone._replace(proven=True))
        for identity in joining.identities:
            if identity.channel not in RESERVED_CHANNELS:
                make_known(draft, identity, self.holder)
        _consent(draft, self.holder, joining.consents, at)
        return Receipt(self.holder, (), Enrolled(existing(draft, self.holder), is_new=False))

    def _is_known_on_a_channel(self, draft: Draft) -> bool:
        theirs = draft.get(IDENTITIES_OF, self.holder) or ()
        return any(identity.channel not in RESERVED_CHANNELS for identity in theirs)


def needs_of_holder(holder: MemberId) -> tuple[Need, ...]:
    """What has to be known of whose the phone is."""
    return (Need(MEMBERS, holder), Need(IDENTITIES_OF, holder), Need(COUNTS, (holder, EVER)))


def _is_dormant(draft: Draft, member_id: MemberId, at: datetime) -> bool:
    """Whether the member has neither joined nor bought anything for so long that the programme calls it lapsed."""
    calendar = draft.programme.calendar
    *_, border = draft.programme.activity.borders(calendar.business_date(at))
    bought = draft.get(COUNTS, (member_id, NET_SPEND)) or ()
    is_old = existing(draft, member_id).enrolled_at < calendar.day_start(border)
    return is_old and not any(add_months(first, 1) > border for first, _ in bought)


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
