"""What is known of the person behind a member: kept apart from the ledger, sealed, erasable."""

from calendar import isleap
from datetime import date, datetime
from typing import NamedTuple

from loyalty.domain.ids import MemberId


class Person(NamedTuple):
    """What the programme knows about the person, sealed: unreadable here, erasable there."""

    member_id: MemberId
    sealed: bytes


class Consent(NamedTuple):
    """The person agreed to a purpose, in a version of its text."""

    id: str
    member_id: MemberId
    purpose: str
    text_version: str
    given_at: datetime


def age(birthday: date, today: date) -> int:
    """Full years; someone born on 29 February turns a year older on the 28th where there is no 29th."""
    month, day = birthday.month, birthday.day
    if (month, day) == (2, 29) and not isleap(today.year):
        day = 28
    return today.year - birthday.year - ((today.month, today.day) < (month, day))
