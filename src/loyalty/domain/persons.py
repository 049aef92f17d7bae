"""What is known of the person behind a member: kept apart from the ledger, sealed, erasable."""

from calendar import isleap
from datetime import date, datetime
from typing import Final, NamedTuple

from loyalty.domain.ids import MemberId
from loyalty.domain.state import Shelf, State


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


class Birthday(NamedTuple):
    """What a business day is to a person; the birthday itself stays sealed."""

    is_month: bool
    """Whether it lies in the month of their birthday."""
    is_day: bool


BIRTHDAYS: Shelf[tuple[MemberId, date], Birthday] = Shelf("birthday")
"""By member and business day, where the birthday is known. Not a table: the store works it out of the sealed person."""
_NONE_KNOWN: Final = Birthday(is_month=False, is_day=False)


def birthday_of(state: State, member_id: MemberId, day: date) -> Birthday:
    """What a business day is to the member; nothing special where its birthday is not known."""
    return state.get(BIRTHDAYS, (member_id, day)) or _NONE_KNOWN


def birthday_on(born: date, day: date) -> Birthday:
    """What a day is to who was born then."""
    return Birthday(is_month=born.month == day.month, is_day=_in_year(born, day.year) == (day.month, day.day))


def age(birthday: date, today: date) -> int:
    """Full years; someone born on 29 February turns a year older on the 28th where there is no 29th."""
    return today.year - birthday.year - ((today.month, today.day) < _in_year(birthday, today.year))


def _in_year(born: date, year: int) -> tuple[int, int]:
    """Month and day of a birthday: of 29 February it is the 28th where there is no 29th."""
    if (born.month, born.day) == (2, 29) and not isleap(year):
        return 2, 28
    return born.month, born.day
