"""The rows of the table: what is compared with what, and what it must reach."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import NamedTuple

from bench.count import Count

Counts = Mapping[str, Sequence[Count]]
FIGURE_OF_UNIT: Mapping[str, Callable[[Count], float]] = {
    "/s": lambda count: count.rate,
    "median ms": lambda count: count.median_ms,
    "p99 ms": lambda count: count.p99_ms,
}


class Goal(NamedTuple):
    """A ratio to a yardstick: at least `bound`, or `at_most` it. Without a yardstick the figure itself is bound."""

    bound: float
    yardstick: str | None
    at_most: bool = False


class Row(NamedTuple):
    """One line of what the service must reach."""

    name: str
    what: str
    unit: str
    """One of `FIGURE_OF_UNIT`."""
    goals: tuple[Goal, ...]


class Verdict(NamedTuple):
    """One goal held against the counts."""

    row: Row
    goal: Goal
    figure: float
    yardstick: float | None
    ratio: float
    errors: int

    @property
    def met(self) -> bool:
        """Whether the goal is reached, by counts without a single error."""
        within = self.ratio <= self.goal.bound if self.goal.at_most else self.ratio >= self.goal.bound
        return within and not self.errors


ROWS = (
    Row(
        "accruals",
        "accruals over HTTP, one per request, a process per core, 256 connections",
        "/s",
        (Goal(0.8, "P1"), Goal(6, "P2"), Goal(0.6, "P3")),
    ),
    Row("one-process", "the same with one server process, 64 connections", "/s", (Goal(0.5, "P1"),)),
    Row("two-processes", "a server process per core beside a single one, the same", "/s", (Goal(1.5, "one-process"),)),
    Row("one-member", "the same as the first, all for one member", "/s", (Goal(0.8, "accruals"), Goal(3, "P1 hot"))),
    Row(
        "rules",
        "accruals by a dozen rules, the same as the first",
        "/s",
        (Goal(0.87, "accruals"),),  # at most 15 % more work than one base rule
    ),
    Row("redemptions", "redemptions drawing lots", "/s", (Goal(0.7, "accruals"),)),
    Row("bulk", "bulk accruals, 500 per call", "/s", (Goal(1.5, "P1"),)),
    Row("lone", "one connection, median latency", "median ms", (Goal(4, "P1 lone", at_most=True),)),
    Row("half-rate", "half of the peak rate, p99 latency", "p99 ms", (Goal(25, None, at_most=True),)),
    Row("balance", "reading a balance", "/s", (Goal(0.7, "P3"),)),
)


def measures_of(rows: Sequence[Row]) -> set[str]:
    """What must be counted for these rows."""
    needed = {row.name for row in rows}
    needed.update(goal.yardstick for row in rows for goal in row.goals if goal.yardstick)
    if "half-rate" in needed:
        needed.add("accruals")
    return needed


def verdicts(rows: Sequence[Row], counts: Counts) -> list[Verdict]:
    """Every goal of the rows held against the medians of the counts."""
    return [_verdict(row, goal, counts) for row in rows for goal in row.goals]


def _verdict(row: Row, goal: Goal, counts: Counts) -> Verdict:
    figure = figure_of(counts[row.name], row.unit)
    errors = sum(count.errors for count in counts[row.name])
    if goal.yardstick is None:
        return Verdict(row, goal, figure, None, figure, errors)
    yardstick = figure_of(counts[goal.yardstick], row.unit)
    errors += sum(count.errors for count in counts[goal.yardstick])
    return Verdict(row, goal, figure, yardstick, figure / yardstick if yardstick else 0.0, errors)


def figure_of(counts: Sequence[Count], unit: str) -> float:
    """The median of the counts, in a row's unit."""
    return median(FIGURE_OF_UNIT[unit](count) for count in counts)
