"""`loyalty verify`: recompute the ledger from its journal and compare."""

import time
from typing import Annotated

import typer
import uvloop
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from loyalty.cli.ending import Stop, ends_clearly
from loyalty.config import Settings, load_settings
from loyalty.domain.ids import BUCKETS
from loyalty.memory import relax_collector
from loyalty.recompute.findings import Report
from loyalty.recompute.verify import verify as verify_programme
from loyalty.store import programmes
from loyalty.store.database import Database
from loyalty.store.readiness import check_servable
from loyalty.telemetry import configure_logging

SHOWN = 50
"""Findings that are printed; all are counted."""
LINE_EVERY_S = 5.0

console = Console(highlight=False, soft_wrap=True)


@ends_clearly
def verify(
    programme: Annotated[str | None, typer.Option(help="Only the programme of this code.", show_default=False)] = None,
) -> None:
    """Work everything out again from the journal and compare: find what does not agree with it.

    Recomputes the hash of every entry and each member's chain, balances, books, lots, holds, what was taken back,
    adjustments, net spend, tiers, references, review items and the trial balance; and looks whether events,
    identities, persons, consents and parked events belong to what is there. Changes nothing, and may run beside the
    service.

    The hash has no key: a history rewritten with all its hashes and totals agrees again, and so does one whose last
    entries are gone with all that follows from them. What else it cannot see is told in docs/hash-chain.md.

    Each finding names the table, the row and the number of the invariant it breaks; then the exit code is 1.
    Needs LOYALTY_DATABASE_URL and LOYALTY_SECRET.
    """
    settings = load_settings()
    configure_logging("warning", human=True)
    relax_collector()
    reports = uvloop.run(verify_ledger(settings, programme))
    for report in reports:
        tell(report)
    if not all(report.sound for report in reports):
        raise typer.Exit(1)


async def verify_ledger(settings: Settings, code: str | None) -> list[Report]:
    """A report on each programme. Raises Stop."""
    database = Database(settings.database_url)
    try:
        await check_servable(database)
        known = await programmes.read_all(database.reads)
        chosen = [one for one in known if code in (None, one.code)]
        if code is not None and not chosen:
            raise Stop(f"There is no programme {code!r}.")
        reports = []
        for one in chosen:
            with _Watched(one.code) as watched:
                reports.append(await verify_programme(database, one, progress=watched.progress))
        return reports
    finally:
        await database.close()


def tell(report: Report) -> None:
    """Print what was checked and what was found."""
    checked = Table(title=f"programme {report.programme}", title_justify="left")
    checked.add_column("table")
    checked.add_column("rows checked", justify="right")
    checked.add_column("findings", justify="right")
    for table, rows in report.checked.items():
        findings = sum(finding.table == table for finding in report.findings)
        checked.add_row(table, f"{rows:,}", f"{findings:,}" if findings else "")
    console.print(checked)
    sums = Table(title="trial balance, from the postings", title_justify="left")
    sums.add_column("account")
    sums.add_column("debit", justify="right")
    sums.add_column("credit", justify="right")
    for account, (debit, credit) in report.accounts.items():
        if debit or credit:
            sums.add_row(account, f"{debit:,}", f"{credit:,}")
    sums.add_section()
    sums.add_row("total", *(f"{sum(side):,}" for side in zip(*report.accounts.values(), strict=True)))
    console.print(sums)
    for finding in report.findings[:SHOWN]:
        console.print(f"{finding.table} {finding.row}: {finding.problem} (invariant {finding.invariant})", markup=False)
    if report.found > SHOWN:
        console.print(f"... and {report.found - SHOWN:,} more")
    verdict = "everything agrees with the journal" if report.sound else f"{report.found:,} findings"
    console.print(f"{report.programme}: {verdict}; {report.seconds:.1f} seconds\n")


class _Watched:
    """A bar for people; for logs, a line every few seconds."""

    def __init__(self, programme: str) -> None:
        self._programme = programme
        self._console = Console(stderr=True)
        self._bar: Progress | None = None
        self._last_line = time.monotonic()

    def __enter__(self) -> "_Watched":
        if self._console.is_terminal:
            columns = (TextColumn("{task.fields[said]}"), BarColumn())
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._bar.start()
            self._task = self._bar.add_task("verify", total=BUCKETS, said=self._programme)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def progress(self, report: Report, buckets: int) -> None:
        said = f"{self._programme}: {report.checked['entry']:,} entries"
        if self._bar is not None:
            self._bar.update(self._task, completed=buckets, said=said)
        elif time.monotonic() - self._last_line >= LINE_EVERY_S:
            self._last_line = time.monotonic()
            self._console.print(f"{said}, {buckets} of {BUCKETS} buckets", markup=False)
