"""What Postgres really did for each statement of the store: the plan it took, and the rows it read for it.

The statements are found in the store's own modules (`statements`), so a new one is never forgotten. Whatever runs while
Postgres tells its plans (`telling_plans`, by auto_explain) is heard (`Heard`): the plans of the service's own sessions,
under its own role, row-level security and all. An estimate proves nothing: rows are counted where they were read.
"""

import json
import pkgutil
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Final, NamedTuple

from sqlalchemy import TextClause, event, make_url
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.pool import Pool

from loyalty import store
from loyalty.embedded import EmbeddedPostgres
from loyalty.store import verify
from loyalty.store.parts import Insert, Update
from loyalty.worker import cleaning

NEVER_LARGE: Final = frozenset({"programme", "api_key", "alembic_version", "rule_draft", "rule_version", "channel"})
"""Tables that do not grow with what members do. All others are taken to."""
BY_ANY_KEY: Final = frozenset({"bucket", "programme_id"})
"""Columns that lead to a whole programme, or to its 256th part: no way to find a row."""

BY_THE_OWNER: Final = frozenset({"migrations", "seeding", "gently"})
"""Modules whose statements only the owner runs, while nothing is asked for."""
FEW: Final = 500
"""Rows of a table that is small. It is rightly walked whole, and found by key once Postgres sees that it has grown."""
ROWS_AT_MOST: Final = 2_000
"""Rows one statement may read: a page of 200 entries with all that belongs to them, or what a batch of one needs."""
MORE_ROWS: Final[Mapping[str, int]] = {
    "verify.entries": 8 * verify.ENTRIES_AT_A_TIME,  # with their postings, draws, lots and what is kept beside them
    "verify.members": 40 * verify.MEMBERS_AT_A_TIME,  # with their books, months and steps
    "cleaning.delete": 4 * cleaning.BATCH,
    "claims.load_references": 2 * verify.ENTRIES_AT_A_TIME,  # those of a page of entries that are verified
}
"""What asks for more at a time, and says how much."""
STOPPED: Final[Mapping[str, str]] = {
    "verify.entries": "goes through a bucket page by page: a page as large as the bucket is best read in one walk",
    "verify.members": "the same",
    "verify.entries_of_kinds": "the same",
    "cleaning.delete": "the oldest answers lie where the table begins: a walk from there stops when it has enough",
}
"""Statements that may walk without a key, and what stops them; how many rows they read is judged all the same."""
READ_ALL: Final[Mapping[str, str]] = {
    "ledger.sums": "a trial balance adds up every posting of the programme, until sums are rolled up",
    "transitions.of_tiers": "how members moved concerns every member, and every step since the span began",
    "transitions.of_activity": "how alive members are concerns every member, and what each spent by month",
    "strays.strays": "each row of one bucket in 256 is looked at: that is what verifying is",
    "verify.count_beside": "the same",
}
"""Statements that read as much as there is, and why."""


class Statement(NamedTuple):
    """A statement of the store, or a part that is put together with others."""

    name: str
    """Its module and its own name."""
    pattern: "re.Pattern[str]"
    """What it looks like when it is sent, whatever the numbers of its binds."""


class Step(NamedTuple):
    """One step of a plan that reads a table which grows."""

    table: str
    way: str
    condition: str
    """How an index was entered; empty for a scan of the whole."""
    rows: int
    """Rows it read, those it threw away included, over all its turns."""


class Plan(NamedTuple):
    """A statement as Postgres ran it."""

    sql: str
    steps: tuple[Step, ...]
    most_sorted: int
    """The rows of its largest sort."""
    ms: float

    @property
    def rows(self) -> int:
        return sum(step.rows for step in self.steps)


class Reading(NamedTuple):
    """The most that a statement was seen to read."""

    name: str
    times: int
    rows: int
    most_sorted: int
    ms: float
    """The median of its runs."""
    ways: tuple[str, ...]
    """Every index it walked, and every table it scanned."""
    problems: tuple[str, ...]


# --- the statements --------------------


def statements() -> list[Statement]:
    """Every statement and part of one that the store's modules define."""
    found: dict[int, Statement] = {}
    for _, module_name, _ in pkgutil.iter_modules(store.__path__):
        if module_name in BY_THE_OWNER:
            continue
        module = import_module(f"{store.__name__}.{module_name}")
        for name, value in vars(module).items():
            pattern = _pattern(value)
            if pattern is not None:
                found.setdefault(id(value), Statement(f"{module_name}.{name.strip('_').lower()}", pattern))
    return sorted(found.values())


def _pattern(value: object) -> "re.Pattern[str] | None":
    if isinstance(value, TextClause):
        sent = re.escape(str(value.compile(dialect=dialect())).strip())  # type: ignore[no-untyped-call]
        return re.compile(rf"\A\s*{sent}\s*\Z")
    if isinstance(value, Insert | Update):
        return re.compile(rf"\b{value.name} AS\b")
    if isinstance(value, str) and value.startswith("(select array_agg(row("):
        return re.compile(re.sub(r"(?<!:):\w+", r"\\$\\d+(::[a-z ]+(\\[\\])?)?", re.escape(value)))
    return None


# --- the plans -------------------------------------------------------------------------------------------------------


@contextmanager
def telling_plans(postgres: EmbeddedPostgres, *urls: str, **settings: str) -> "Iterator[Heard]":
    """Every statement that these logins run meanwhile, in new sessions of this process, is heard with its plan.

    `settings` are those sessions' own, where they have not others.
    """
    heard = Heard()
    told = {**_AUTO_EXPLAIN, **settings}
    for url in map(make_url, urls):
        _tell(postgres, f"alter role {url.username} in database {url.database} set", told)
    event.listen(Pool, "connect", heard.listen)
    try:
        yield heard
    finally:
        event.remove(Pool, "connect", heard.listen)
        for url in map(make_url, urls):
            _tell(postgres, f"alter role {url.username} in database {url.database} reset", dict.fromkeys(told))


_AUTO_EXPLAIN: Final[Mapping[str, str | None]] = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_format": "json",
    "auto_explain.log_level": "notice",
}


def _tell(postgres: EmbeddedPostgres, command: str, settings: Mapping[str, str | None]) -> None:
    for name, value in settings.items():
        given = "" if value is None else f" = '{value}'"
        postgres.run("psql", "-XAtqc", "load 'auto_explain'", "-c", f"{command} {name}{given}")


class Heard:
    """The plans that were told."""

    def __init__(self) -> None:
        self.plans: list[Plan] = []

    def listen(self, connection: Any, _: object) -> None:
        """Listen to a new connection of any pool."""
        connection.driver_connection.add_log_listener(self._hear)

    def _hear(self, _: object, notice: Any) -> None:
        duration, told, document = str(notice.message).partition("ms  plan:")
        if told:
            told_plan = json.loads(document)
            ms = float(duration.removeprefix("duration:"))
            self.plans.append(_plan(told_plan["Query Text"], told_plan["Plan"], ms))


def _plan(sql: str, root: dict[str, Any], ms: float) -> Plan:
    nodes = list(_nodes(root))
    sorts = [
        _rows(child) for node in nodes if node["Node Type"] in ("Sort", "Incremental Sort") for child in node["Plans"]
    ]
    return Plan(sql, tuple(_steps(nodes)), max(sorts, default=0), ms)


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


def _steps(nodes: Iterable[dict[str, Any]]) -> Iterator[Step]:
    for node in nodes:
        table = node.get("Relation Name")
        if table is None or table in NEVER_LARGE or table.startswith("pg_") or node["Node Type"] == "ModifyTable":
            continue
        entered = (
            [inner for inner in _nodes(node) if "Index Name" in inner] if "Bitmap" in node["Node Type"] else [node]
        )
        names = ", ".join(inner["Index Name"] for inner in entered if "Index Name" in inner)
        condition = " ".join(inner.get("Index Cond", "") for inner in entered) or node.get("TID Cond", "")
        yield Step(table, names or f"{node['Node Type']} of {table}", condition, _rows(node))


def _rows(node: dict[str, Any]) -> int:
    """Rows a step gave and threw away, over all its turns."""
    thrown: int = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return round((float(node["Actual Rows"]) + thrown) * int(node["Actual Loops"]))


# --- the judgement --------------------


def small_tables(postgres: EmbeddedPostgres, database: str) -> frozenset[str]:
    """The tables of too few rows to judge a plan by."""
    tables = "select relname from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace"

    def told(sql: str) -> list[str]:
        return postgres.run("psql", "-XAtq", "-d", database, "-c", sql).split()

    counts = {name: told(f"select count(*) from (select from {name} limit {FEW}) few") for name in told(tables)}
    return frozenset(name for name, [count] in counts.items() if int(count) < FEW)


def readings(plans: Sequence[Plan], *, small: frozenset[str] = frozenset()) -> list[Reading]:
    """What each statement of the store read, at its worst. One that was not seen to run has that for a problem.

    How the `small` tables were walked is not judged, only how much was read.
    """
    return [_reading(one, [plan for plan in plans if one.pattern.search(plan.sql)], small) for one in statements()]


def _reading(statement: Statement, plans: Sequence[Plan], small: frozenset[str]) -> Reading:
    most = MORE_ROWS.get(statement.name, ROWS_AT_MOST)
    problems = [problem for plan in plans for problem in _problems(statement.name, plan, most, small)]
    return Reading(
        statement.name,
        times=len(plans),
        rows=max((plan.rows for plan in plans), default=0),
        most_sorted=max((plan.most_sorted for plan in plans), default=0),
        ms=sorted(plan.ms for plan in plans)[len(plans) // 2] if plans else 0.0,
        ways=tuple(sorted({step.way for plan in plans for step in plan.steps})),
        problems=tuple(dict.fromkeys(problems)) if plans else ("it was not seen to run: the tour does not come by",),
    )


def _problems(name: str, plan: Plan, most: int, small: frozenset[str]) -> Iterator[str]:
    if name in READ_ALL:
        return
    for step in plan.steps:
        if step.table in small or name in STOPPED:
            continue
        if not step.condition:
            yield f"scans: {step.way}"
        elif not _narrowed(step):
            yield f"walks {step.way} for a whole programme: {step.condition}"
    if plan.rows > most:
        yield f"reads {plan.rows:,} rows, {most:,} at most are expected"


def _narrowed(step: Step) -> bool:
    """Whether the index was entered by more than the programme and the bucket."""
    left = re.findall(r"(\w+)\)?(?:::\w+)? (?:=|<|>|<=|>=|<>) |ROW\((\w+)", step.condition)
    names = {name for pair in left for name in pair if name}
    return bool(names - BY_ANY_KEY) or "ctid" in step.condition.lower()
