"""`python -m bench reviews`: how long does the review of a million tiers take, and does it keep to its memory?

Every member is of the highest tier, which ends, and has twelve months of spend that keep a lower one: each is read,
falls, is written and told of. The sweep is the worker's own; then it is asked once more, and nothing is left.
"""

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import asyncpg
import uvloop

from bench import report
from bench.ground import GROWN, HERE, PROGRAMME, RUNNER, SERVICE, SETTINGS, Ground
from bench.processors import resident_mb
from loyalty.domain.ladder import Ladder
from loyalty.domain.programme import Programme
from loyalty.embedded import EmbeddedPostgres
from loyalty.memory import relax_collector
from loyalty.operations.lanes import BULK_LANES, Lanes
from loyalty.store import migrations, seeding
from loyalty.store.database import Database
from loyalty.worker.settling import settle_due

MOST_SECONDS: Final = 300
GROWS_AT_MOST: Final = 0.1
"""From the first tenth of the work to its end."""
LOOKED_AT_EVERY_S: Final = 1.0

CLIMBING: Final = PROGRAMME._replace(code="climbing", ladder=Ladder(GROWN.ladder.rungs))

_MEMBERS = """
insert into member (bucket, programme_id, id, number, status, enrolled_at, sequence, head, effective_at, recorded_at,
                    due_at, tier, tier_since, tier_until)
select get_byte(uuid_send(i.id), 15), $1, i.id, (600000000000 + i.n)::text, 'active', $2, 0, sha256(''),
       $2, $2, $3, 'gold', $2, $3
  from (select n, uuidv7() as id from generate_series(1, $4::bigint) n) i
"""
_SPEND = """
insert into net_spend
select m.bucket, m.programme_id, m.id, month::date, 10000
  from member m, generate_series($2::date, $2::date + interval '11 months', interval '1 month') month
 where m.programme_id = $1
"""


def main(arguments: Sequence[str]) -> None:
    options = _options(arguments)
    hidden = HERE.parent / ".loyalty"
    hidden.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=hidden, prefix="bench-") as room:
        postgres = EmbeddedPostgres.start(Path(room) / "postgres", settings=SETTINGS)
        try:
            relax_collector()  # as the worker does
            found = uvloop.run(_reviewed(postgres, options.members))
            ground = Ground(postgres, CLIMBING, "", "", options.members, Path(room), Path(room))
            where = report.circumstances(ground)
        finally:
            postgres.discard()
    print("  ".join(f"{name} {value}" for name, value in {**where, **found}.items()))
    if not options.quick:
        report.keep({**where, "reviews": found}, [], {})


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench reviews", description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument("--members", type=int, default=1_000_000)
    parser.add_argument("--quick", action="store_true", help="few members: does it run at all?")
    options = parser.parse_args(arguments)
    if options.quick:
        options.members = min(options.members, 5_000)
    return options


async def _reviewed(postgres: EmbeddedPostgres, members: int) -> dict[str, Any]:
    """Seconds, members a second and memory of the sweep, and whether that is good."""
    postgres.run("createdb", SERVICE)
    await migrations.upgrade(postgres.url(database=SERVICE), ("loyalty_run", postgres.url(RUNNER, SERVICE)))
    programme = await seeding.ensure_programme(postgres.url(database=SERVICE), CLIMBING)
    print(f"Preparing {members:,} members ...", flush=True)
    await _load(postgres, programme, members)
    database = Database(postgres.url(RUNNER, SERVICE), door_size=BULK_LANES, reads_size=1)
    lanes = Lanes(database)
    lanes.start()
    sizes: list[float] = []
    watching = asyncio.create_task(_watch(sizes))
    began = time.monotonic()
    reviewed = await settle_due(database, lanes, programme)
    seconds = time.monotonic() - began
    watching.cancel()
    left = await settle_due(database, lanes, programme)
    await lanes.drain(1)
    await database.close()
    growth = sizes[-1] / sizes[len(sizes) // 10] - 1
    good = (reviewed, left) == (members, 0) and seconds * 1_000_000 / members < MOST_SECONDS and growth < GROWS_AT_MOST
    return {
        "reviewed": reviewed,
        "seconds": round(seconds, 1),
        "a_second": round(reviewed / seconds),
        "most_mb": round(max(sizes)),
        "growth": round(growth, 3),
        "met": good,
    }


async def _load(postgres: EmbeddedPostgres, programme: Programme, members: int) -> None:
    calendar, today = programme.calendar, datetime.now(UTC)
    last_year = calendar.business_date(today).replace(year=today.year - 1, month=1, day=1)
    enrolled_at, ended_at = calendar.day_start(last_year), calendar.day_start(last_year.replace(year=today.year))
    connection = await asyncpg.connect(host=str(postgres.socket_dir), user="postgres", database=SERVICE)
    try:
        await connection.execute(_MEMBERS, programme.id, enrolled_at, ended_at, members)
        await connection.execute(_SPEND, programme.id, last_year)
        await connection.execute("vacuum analyze")
        await connection.execute("checkpoint")
    finally:
        await connection.close()


async def _watch(sizes: list[float]) -> None:
    """The memory of this process, which is the worker, every second."""
    while True:
        sizes.append(resident_mb(os.getpid()))
        await asyncio.sleep(LOOKED_AT_EVERY_S)
