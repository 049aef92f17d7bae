"""How alive members are: by when they last bought. The borders are settings."""

from datetime import date
from typing import Final, NamedTuple

from loyalty.domain.calendar import add_months

STATES: Final = ("new", "active", "dormant", "lapsed")
_MOST_MONTHS: Final = 120


class Activity(NamedTuple):
    """Months back from a day. Who joined within `new` is new; else the month of the last purchase decides."""

    new: int = 1
    active: int = 6
    dormant: int = 12

    def check(self) -> None:
        """Raises ValueError, in a sentence, when the borders are out of order."""
        if not 0 <= self.new <= _MOST_MONTHS or not 0 < self.active < self.dormant <= _MOST_MONTHS:
            raise ValueError(f"a member is active for fewer months than dormant, and for at most {_MOST_MONTHS}")

    def borders(self, day: date) -> tuple[date, date, date]:
        """Joined since the first: new. Bought in a month that ends after the second: active; the third: dormant."""
        return add_months(day, -self.new), add_months(day, -self.active), add_months(day, -self.dormant)
