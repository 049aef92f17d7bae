"""`python -m bench migration`: a release that changes a table of millions of rows while tills are at work.

Accruals come in at half of the peak rate, over the whole time. Our own code runs the revisions in `revisions/`: a
column is added, filled for every lot, indexed, required and taken away again. Then somebody reads for a long time and
the first of them cannot have the table. No request may fail; how long the slowest took is what is measured.
"""

import argparse
import asyncio
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from rich.console import Console
from rich.table import Table

from bench import report, servers
from bench.count import Count
from bench.ground import Ground
from bench.grown import add_options, connected, grown_ground
from bench.load import wrk
from bench.measures import CORES, MANY
from loyalty.store import migrations

REVISIONS: Final = Path(__file__).parent / "revisions"
WORST_MS: Final = 2_000
"""A request that has waited for so long is turned away; none may come near it."""
GLANCE_S: Final = 0.05


class Phase(NamedTuple):
    """What the tills saw while something was done to the database."""

    what: str
    seconds: float
    counts: list[Count]

    @property
    def errors(self) -> int:
        return sum(count.errors for count in self.counts)

    @property
    def rate(self) -> float:
        return sum(count.rate for count in self.counts) / len(self.counts)

    @property
    def p99_ms(self) -> float:
        return max(count.p99_ms for count in self.counts)

    @property
    def worst_ms(self) -> float:
        return max(count.worst_ms for count in self.counts)


def main(arguments: Sequence[str]) -> None:
    options = _options(arguments)
    wrk.require_wrk()
    with grown_ground(options) as sites:
        ground = sites.grown.ground
        where = {**report.circumstances(ground), "entries": sites.entries}
        with servers.service(ground, processes=CORES) as port, _undone(ground):
            peak = wrk.load(ground, port, "accrual", connections=MANY, seconds=options.seconds)
            report.tell("peak", peak)
            tills = _Tills(ground, port, rate=peak.rate / 2, seconds=options.seconds)
            steps: dict[str, float] = {}
            phases = [
                tills.during("nothing", lambda: time.sleep(options.seconds)),
                tills.during("seven revisions", lambda: steps.update(_migrate(ground, REVISIONS))),
            ]
            _undo(ground)
            phases.append(tills.during("a long reader, one revision", lambda: _blocked(ground, options.reader)))
    show(where, phases, steps)
    if not options.quick:
        report.keep({**where, "migration": _kept(phases, steps)}, [], {"peak": [peak]})


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench migration", description=(__doc__ or "").partition("\n\n")[2])
    add_options(parser)
    parser.add_argument("--seconds", type=float, default=10, help="how long the tills are counted in one go")
    parser.add_argument("--reader", type=float, default=30, metavar="S", help="how long somebody reads")
    parser.add_argument("--quick", action="store_true", help="few members and entries: does it run at all?")
    options = parser.parse_args(arguments)
    if options.quick:
        options.members, options.entries, options.deep = 2_000, 60_000, 1_000
        options.seconds, options.reader = 2.0, 3.0
    return options


class _Tills:
    """Accruals at a rate, in counts of some seconds one after the other, for as long as something is done."""

    def __init__(self, ground: Ground, port: int, *, rate: float, seconds: float) -> None:
        self._ground = ground
        self._port = port
        self._rate = rate
        self._seconds = seconds

    def during(self, what: str, do: Callable[[], object]) -> Phase:
        """Do it under load. Raises what it raises, once the tills have stopped."""
        done = threading.Event()
        counts: list[Count] = []
        side = threading.Thread(target=self._count, args=(what, done, counts))
        began = time.monotonic()
        side.start()
        try:
            do()
            seconds = time.monotonic() - began
        finally:
            done.set()
            side.join()
        return Phase(what, seconds, counts)

    def _count(self, what: str, done: threading.Event, counts: list[Count]) -> None:
        while not (done.is_set() and counts):
            rate, seconds = self._rate, self._seconds
            count = wrk.load(
                self._ground, self._port, "accrual", connections=MANY, seconds=seconds, rate=rate, rest=False
            )
            counts.append(count)
            report.tell(what, count)


def _migrate(ground: Ground, revisions: Path) -> dict[str, float]:
    """Run the revisions as `loyalty migrate` would; how many seconds each took."""
    return asyncio.run(
        _timed(ground, migrations.upgrade(ground.postgres.url(database=ground.database), also=revisions))
    )


async def _timed(ground: Ground, upgrading: Any) -> dict[str, float]:
    """Look at the revision every now and then, while it moves on."""
    took: dict[str, float] = {}
    began = time.monotonic()
    async with connected(ground.postgres, ground.database) as connection:
        before = await connection.fetchval(_REVISION)
        task = asyncio.create_task(upgrading)
        ended = False
        while not ended:
            ended = task.done()
            now = await connection.fetchval(_REVISION)
            if now != before:
                took[now], before, began = time.monotonic() - began, now, time.monotonic()
                print(f"{now} took {took[now]:.1f} s", flush=True)
            await asyncio.sleep(GLANCE_S)
        await task
    return took


_REVISION = "select version_num from alembic_version"


def _blocked(ground: Ground, seconds: float) -> None:
    """Expand, while somebody reads the table for so long."""
    first = ground.room / "first revision"
    first.mkdir(exist_ok=True)
    [source] = REVISIONS.glob("t1_*.py")
    shutil.copy(source, first)
    asyncio.run(_migrate_beside_a_reader(ground, first, seconds))


async def _migrate_beside_a_reader(ground: Ground, revisions: Path, seconds: float) -> None:
    async with connected(ground.postgres, ground.database) as reader:
        async with reader.transaction():
            await reader.fetchval("select id from lot limit 1")
            owner = ground.postgres.url(database=ground.database)
            migrating = asyncio.create_task(migrations.upgrade(owner, also=revisions))
            await asyncio.sleep(seconds)
            assert not migrating.done(), "the reader is in its way"
        await migrating


@contextmanager
def _undone(ground: Ground) -> Iterator[None]:
    """Whatever happens, the database is at the service's own revision before and afterwards."""
    _undo(ground)
    try:
        yield
    finally:
        _undo(ground)


def _undo(ground: Ground) -> None:
    ground.run_sql(
        ground.database,
        "drop index if exists lot_tally",
        "alter table lot drop column if exists tally",
        f"update alembic_version set version_num = '{migrations.newest_revision()}'",
    )


def _kept(phases: Sequence[Phase], steps: dict[str, float]) -> dict[str, Any]:
    told = [
        {
            "what": one.what,
            "seconds": round(one.seconds, 1),
            "rate": round(one.rate),
            "p99_ms": round(one.p99_ms, 1),
            "worst_ms": round(one.worst_ms, 1),
            "errors": one.errors,
        }
        for one in phases
    ]
    return {"phases": told, "steps_s": {name: round(seconds, 1) for name, seconds in steps.items()}}


def show(where: dict[str, Any], phases: Sequence[Phase], steps: dict[str, float]) -> None:
    """Print what the tills saw, and how long each revision took."""
    table = Table(title="  ".join(f"{name} {value}" for name, value in where.items()), title_justify="left")
    for column in ("meanwhile", "seconds", "accruals", "p99", "worst", "errors", "met?"):
        table.add_column(column, justify="left" if column in ("meanwhile", "met?") else "right")
    for one in phases:
        figures = (f"{one.seconds:.0f}", f"{one.rate:,.0f}/s", f"{one.p99_ms:.0f} ms", f"{one.worst_ms:.0f} ms")
        met = "yes" if not one.errors and one.worst_ms < WORST_MS else "NO"
        table.add_row(one.what, *figures, str(one.errors), met)
    console = Console(width=None if Console().is_terminal else 140)
    console.print(table)
    console.print(f"Goal: no error, and the slowest answer within {WORST_MS} ms.")
    console.print("  ".join(f"{name} {seconds:.1f} s" for name, seconds in steps.items()))
