"""`python -m bench what-if`: how long does it take to find out what a year of orders would have earned by other rules?

The real year of the demo is imported; then a dozen rules, with a cap by the day and one first purchase each, are held
against every order of it, as the worker does on as many processes as there are processors.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final

from bench import report
from bench.ground import RUNNER, SETTINGS, Ground
from bench.measures import CORES
from bench.real_year import convert
from bench.rules import A_DOZEN
from loyalty.cli.import_ import import_baskets
from loyalty.demo import REAL_YEAR
from loyalty.domain.rules import RuleSet
from loyalty.embedded import EmbeddedPostgres
from loyalty.recompute.tally import Question, Tally
from loyalty.recompute.what_if import what_if
from loyalty.store import migrations, seeding
from loyalty.store.database import Database
from loyalty.store.sealing import Sealer

MOST_SECONDS: Final = 30
SECRET: Final = b"only for a database that lives as long as this command"


def main(arguments: Sequence[str]) -> None:
    options = _options(arguments)
    with tempfile.TemporaryDirectory(prefix="what-if-") as scratch:
        place = Path(scratch)
        place.chmod(0o755)  # under root, Postgres runs as a user of its own
        file = place / "year.parquet"
        convert.write(convert.basket_rows(households=options.households), file)
        postgres = EmbeddedPostgres.start(place / "postgres", settings=SETTINGS)
        try:
            found = asyncio.run(_measured(postgres, file, options))
            where = report.circumstances(Ground(postgres, REAL_YEAR, "", "", found["members"], place, place))
        finally:
            postgres.discard()
    print("  ".join(f"{name} {value}" for name, value in {**where, **found}.items()))
    if not options.quick:
        report.keep({**where, "what_if": found}, [], {})


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench what-if", description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument("--households", type=int, default=None, help="how many, or all (default)")
    parser.add_argument("--counts", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="few households, once: does it run at all?")
    options = parser.parse_args(arguments)
    if options.quick:
        options.households, options.counts = 10, 1
    return options


async def _measured(postgres: EmbeddedPostgres, file: Path, options: argparse.Namespace) -> dict[str, Any]:
    runner = postgres.url(RUNNER)
    await migrations.upgrade(postgres.url(), ("loyalty_run", runner))
    programme = await seeding.ensure_programme(postgres.url(), REAL_YEAR)
    database = Database(runner)
    try:
        await import_baskets(database, programme, file, lookup_of=Sealer(SECRET).lookup, enrol=True)
    finally:
        await database.close()
    question = Question(RuleSet("", None, None, A_DOZEN), date(2017, 1, 1), date(2018, 1, 1))
    took: list[float] = []
    tally = Tally()
    for _ in range(options.counts):
        began = time.monotonic()
        tally = await what_if(runner, programme.code, question, processes=CORES)
        took.append(time.monotonic() - began)
        print(f"{tally.purchases:,} purchases of {tally.members:,} members in {took[-1]:.1f} s", flush=True)
    seconds = statistics.median(took)
    return {
        "members": tally.members,
        "purchases": tally.purchases,
        "seconds": round(seconds, 1),
        "met": seconds < MOST_SECONDS,
    }
