"""The whole story: convert the year, start a Postgres, import through the one door, verify, compare.

python -m bench.real_year --households 50
"""

import gc
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvloop

from bench.real_year import convert
from bench.real_year.compare import Comparison, compare
from loyalty.cli.import_ import OnError, Summary, import_baskets, told
from loyalty.cli.import_ import Report as ReportProgress
from loyalty.demo import REAL_YEAR
from loyalty.embedded import EmbeddedPostgres
from loyalty.recompute.findings import Report
from loyalty.recompute.verify import verify
from loyalty.store import migrations, seeding
from loyalty.store.database import Database
from loyalty.store.sealing import Sealer

SECRET = b"only for a database that lives as long as this command"
LINE_EVERY_S = 5.0


def main() -> None:
    """Prints a figure for each stage; exits with 1 if anything differs."""
    asked = _parser().parse_args()
    gc.set_threshold(50_000, 50, 100)  # as the command does
    with tempfile.TemporaryDirectory(prefix="real-year-") as scratch:
        place = Path(scratch)
        place.chmod(0o755)  # under root, Postgres runs as a user of its own
        file = place / f"year.{asked.format}"
        with _timed("convert"):
            convert.write(convert.basket_rows(households=asked.households), file)
        with EmbeddedPostgres.start(place / "postgres") as postgres:
            try:
                sound = uvloop.run(_story(postgres, file))
            finally:
                postgres.discard()
    sys.exit(0 if sound else 1)


async def _story(postgres: EmbeddedPostgres, file: Path) -> bool:
    """Import, verify, compare; whether everything agrees."""
    runner = postgres.url("loyalty_runner")
    with _timed("migrate"):
        await migrations.upgrade(postgres.url(), ("loyalty_run", runner))
        programme = await seeding.ensure_programme(postgres.url(), REAL_YEAR)
    database = Database(runner)
    lookup_of = Sealer(SECRET).lookup
    try:
        with _timed("import"):
            summary = await import_baskets(
                database,
                programme,
                file,
                lookup_of=lookup_of,
                enrol=True,
                on_error=OnError.STOP,
                report=_every_few_seconds(),
            )
            print(told(summary))
        with _timed("verify"):
            report = await verify(database, programme)
            _tell(report)
        with _timed("compare"):
            comparison: Comparison = await compare(database, programme, file, lookup_of=lookup_of)
            print(comparison)
        with _timed("import again"):
            again = await import_baskets(database, programme, file, lookup_of=lookup_of, enrol=True)
            print(told(again))
        return report.sound and not comparison.differences and _changed_nothing(again)
    finally:
        await database.close()


def _tell(report: Report) -> None:
    for finding in report.findings[:20]:
        print(finding)
    rows = ", ".join(f"{rows:,} {table}" for table, rows in report.checked.items())
    print(f"{report.found} findings in {rows}")


def _changed_nothing(again: Summary) -> bool:
    return not (again.baskets or again.redemptions or again.enrolled or again.settled)


def _every_few_seconds() -> ReportProgress:
    last = 0.0

    def report(summary: Summary, read: float) -> None:
        nonlocal last
        if summary.seconds - last > LINE_EVERY_S:
            last = summary.seconds
            print(f"  {read:4.0%}  {summary.facts:,} facts, {summary.seconds:.0f} s", flush=True)

    return report


@contextmanager
def _timed(stage: str) -> Iterator[None]:
    """Prints how long a stage took, and how much of that this process worked."""
    print(f"-- {stage}", flush=True)
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    print(
        f"   {time.perf_counter() - wall:.1f} s ({time.process_time() - cpu:.1f} s of it in this process)", flush=True
    )


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="python -m bench.real_year", description=__doc__)
    parser.add_argument("--households", type=_count_or_all, default=None, help="how many, or all (default)")
    parser.add_argument("--format", choices=["csv", "jsonl", "parquet"], default="parquet")
    return parser


def _count_or_all(count: str) -> int | None:
    return None if count == "all" else int(count)


if __name__ == "__main__":
    main()
