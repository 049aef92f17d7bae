"""How long points last: until a date that follows from the day they were earned on, or while their book is alive."""

from datetime import date
from enum import StrEnum
from typing import NamedTuple

from loyalty.domain.calendar import add_months


class Lifespan(StrEnum):
    """How long points last, counted from the business day they were earned on."""

    NEVER_ENDS = "never"
    MONTHS = "months"
    YEAR_END = "year_end"
    SLIDING = "sliding"
    """Counted from the last activity in the wallet instead: all its points end together."""


class RenewedBy(StrEnum):
    """What counts as activity where points slide."""

    EARNING = "earning"
    EARNING_AND_SPENDING = "earning_and_spending"


class Expiry(NamedTuple):
    """`months`: that many months later; `year_end`: at the end of the n-th next year; `never`; `sliding`: in months."""

    lifespan: Lifespan
    periods: int = 0
    renewed_by: RenewedBy = RenewedBy.EARNING
    """Where they slide."""

    @property
    def slides(self) -> bool:
        return self.lifespan == Lifespan.SLIDING

    def valid_through(self, earned_on: date) -> date | None:
        """The last business day on which points earned on `earned_on` can be spent; None: they have no date."""
        match self.lifespan:
            case Lifespan.MONTHS:
                return add_months(earned_on, self.periods)
            case Lifespan.YEAR_END:
                return date(earned_on.year + self.periods, 12, 31)
            case Lifespan.NEVER_ENDS | Lifespan.SLIDING:
                return None

    def slides_through(self, active_on: date) -> date | None:
        """The last business day of points that slide, after an activity on `active_on`; None: they do not slide."""
        return add_months(active_on, self.periods) if self.slides else None
