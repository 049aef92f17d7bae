"""A programme's days: its time zone and the hour at which one business day gives way to the next."""

import calendar as _gregorian
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

FOREVER = datetime.max.replace(tzinfo=UTC)
INSTANT = timedelta(microseconds=1)
"""The least time there is between two moments."""
_DAY = timedelta(days=1)


class Calendar(NamedTuple):
    """Business days of a zone; `cutover` is how long after local midnight a business day begins."""

    zone: ZoneInfo
    cutover: timedelta = timedelta(0)

    def business_date(self, at: datetime) -> date:
        """The business day that contains the instant `at`."""
        day = (at.astimezone(self.zone).replace(tzinfo=None) - self.cutover).date()
        return self._corrected(day, at) if self.cutover else day

    def day_start(self, day: date) -> datetime:
        """The first instant (UTC) of a business day."""
        return _day_start(self.zone, self.cutover, day)

    def _corrected(self, day: date, at: datetime) -> date:
        """The day, or its neighbour where daylight saving skips or repeats the hour of the cut-over."""
        if at < self.day_start(day):
            return day - _DAY
        return day + _DAY if at >= self.day_start(day + _DAY) else day

    def last_valid_date(self, expires_at: datetime) -> date:
        """The last business day on which something that ends at `expires_at` (exclusive) is still valid."""
        return self.business_date(expires_at - INSTANT)


@lru_cache(maxsize=8_192)
def _day_start(zone: ZoneInfo, cutover: timedelta, day: date) -> datetime:
    local = datetime.combine(day, time(), tzinfo=zone) + cutover
    return local.astimezone(UTC)


def add_months(day: date, months: int) -> date:
    """The same day of a later month, or that month's last day when it is shorter."""
    years, month = divmod(day.month - 1 + months, 12)
    year = day.year + years
    return date(year, month + 1, min(day.day, _gregorian.monthrange(year, month + 1)[1]))


def first_of_month(day: date) -> date:
    return day.replace(day=1)
