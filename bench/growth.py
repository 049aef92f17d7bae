"""`python -m bench growth`: does the service stay as quick, and as thrifty, with ten million entries?

Loads two databases with the same members, one of them with histories. Looks at the plan of every statement in the grown
one (`plans.py`), asks for a member with a very long history (`deep.py`), and measures both side by side, A-B-A-B.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import uuid_utils
from rich.console import Console
from rich.table import Table

from bench import deep, plans, report, servers, tour
from bench.count import Count
from bench.ground import RUNNER
from bench.grown import CLEANER, Site, Sites, add_options, grown_ground
from bench.lives import say_nothing
from bench.load import wrk
from bench.measures import CORES, MANY, WARM_UP_SHARE
from bench.processors import Meter, wait_for_quiet
from bench.rows import Goal, Row, verdicts
from loyalty.domain.claims import Claim, ReferenceKind, ReplayKey, reference_key
from loyalty.domain.earning import Order
from loyalty.domain.entries import Because
from loyalty.domain.ids import FactId, MemberId
from loyalty.domain.state import Moment
from loyalty.operations.accrue import Purchase
from loyalty.operations.door import Submission, commit_batch
from loyalty.recompute.verify import verify
from loyalty.store.database import Database
from loyalty.telemetry import configure_logging

STAYS: Final = 0.9
"""So much of the empty figure must be left with millions of entries."""
BATCH: Final = 64
"""Accruals in one batch when the door's own statements are timed."""
SITES: Final = ("empty", "grown")
SETTLES_IN: Final = 3
"""So many counts' time goes before the first, on each site."""
VERIFIED: Final = (7, 128)
"""The buckets that are recomputed from their journal before anything is measured: two in 256."""


class Contender(NamedTuple):
    """One of the two sites, served."""

    site: Site
    port: int


def main(arguments: Sequence[str]) -> None:
    options = _options(arguments)
    wrk.require_wrk()
    with grown_ground(options) as sites:
        sound = asyncio.run(_verified(sites.grown))
        readings = asyncio.run(_plans(sites)) if not options.no_plans else []
        if readings:
            show_plans(readings)
        where = {**report.circumstances(sites.grown.ground), "entries": sites.entries}
        with ExitStack() as stack:
            them = {
                name: Contender(site, stack.enter_context(servers.service(site.ground, processes=CORES)))
                for name, site in zip(SITES, (sites.empty, sites.grown), strict=True)
            }
            asked = _deep(them["grown"], sites.deep_member)
            show_deep(asked)
            counts = _counted(them, rounds=options.counts, seconds=options.seconds, patience=options.wait)
    found = verdicts(ROWS, counts)
    report.show(where, found, counts)
    kept = {
        "verified": sound,
        "statements": {one.name: [one.rows, one.most_sorted, *one.problems] for one in readings},
        "deep": {one.what: [round(one.deep_ms, 2), round(one.ordinary_ms, 2)] for one in asked},
    }
    if not options.quick:
        report.keep({**where, "growth": kept}, found, counts)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench growth", description=(__doc__ or "").partition("\n\n")[2])
    add_options(parser)
    parser.add_argument("--seconds", type=float, default=20, help="how long one count lasts")
    parser.add_argument("--counts", type=int, default=3, help="counts of each measure")
    parser.add_argument("--wait", type=float, default=0, metavar="S", help="wait up to S seconds for others to be idle")
    parser.add_argument("--no-plans", action="store_true", help="do not look at the plans")
    parser.add_argument("--quick", action="store_true", help="few members and entries: does it run at all?")
    options = parser.parse_args(arguments)
    if options.quick:
        options.members, options.entries, options.deep = 2_000, 60_000, 3_000
        options.seconds, options.counts = 2.0, 1
    return options


async def _verified(site: Site) -> str:
    """What `loyalty verify` says of some buckets of what was loaded. Raises SystemExit when it finds anything."""
    database = Database(site.settings.database_url)
    try:
        found = await verify(database, site.ground.programme, buckets=VERIFIED)
    finally:
        await database.close()
    told = f"{found.checked['entry']:,} entries of {found.checked['member']:,} members in {found.seconds:.0f} s"
    if not found.sound:
        raise SystemExit(f"What was loaded is no ledger, among {told}: {found.findings[:3]}")
    print(f"Verified {told}.", flush=True)
    return told


# --- plans --------------------------------------------------------------------------------------------------


async def _plans(sites: Sites) -> list[plans.Reading]:
    ground = sites.grown.ground
    urls = [ground.postgres.url(role, ground.database) for role in (RUNNER, CLEANER)]
    configure_logging("warning")
    print("Looking at every statement ...", flush=True)
    with plans.telling_plans(ground.postgres, *urls) as heard:
        member_id = ground.member_ids.read_text().split()[-1]
        await tour.go_round(sites.grown.settings, ground.programme, sites.grown.tokens, member_id)
    small = plans.small_tables(ground.postgres, ground.database)
    return plans.readings(heard.plans, small=small)


def show_plans(readings: Sequence[plans.Reading]) -> None:
    """Print what each statement read at most, and what is wrong with it."""
    table = Table(title="The most that one run of a statement read, in rows", title_justify="left")
    for column in ("statement", "times", "read", "sorted", "ms", "by", "wrong?"):
        table.add_column(column, justify="left" if column in ("statement", "by", "wrong?") else "right")
    for one in readings:
        allowed = plans.READ_ALL.get(one.name, "no")
        figures = (str(one.times), f"{one.rows:,}", f"{one.most_sorted:,}", f"{one.ms:.2f}")
        table.add_row(one.name, *figures, ", ".join(one.ways), "; ".join(one.problems).upper() or allowed)
    Console(width=None if Console().is_terminal else 180).print(table)


# --- one member with a long history -------------------------------------------------------------------------


def _deep(grown: Contender, deep_member: str) -> list[deep.Asked]:
    ordinary = grown.site.ground.member_ids.read_text().split()[0]
    return deep.ask_both(grown.port, grown.site.tokens[0], deep_member=deep_member, ordinary=ordinary)


def show_deep(asked: Sequence[deep.Asked]) -> None:
    """Print how long a member with a very long history waits, beside an ordinary one."""
    table = Table(title="One member with a very long history, median ms over HTTP", title_justify="left")
    for column in ("question", "long history", "ordinary"):
        table.add_column(column, justify="left" if column == "question" else "right")
    for one in asked:
        table.add_row(one.what, f"{one.deep_ms:.1f}", f"{one.ordinary_ms:.1f}")
    Console(width=None if Console().is_terminal else 120).print(table)


# --- both side by side --------------------------------------------------------------------------------------


class _Spending:
    """Redemptions walk through the members: each count begins where the last one of its site ended."""

    def __init__(self) -> None:
        self._spent = dict.fromkeys(SITES, 0)

    def count(self, name: str, them: Contender, seconds: float) -> Count:
        start = self._spent[name]
        found = wrk.load(them.site.ground, them.port, "redemption", connections=MANY, seconds=seconds, start=start)
        self._spent[name] += round(found.rate * max(1, seconds)) + MANY * 2
        return found


def _counted(them: Mapping[str, Contender], *, rounds: int, seconds: float, patience: float) -> dict[str, list[Count]]:
    """Every measure of both sites, once a round, neighbours in time."""
    spending = _Spending()
    for name, one in them.items():
        _settle_in(name, one, spending, seconds=SETTLES_IN * seconds)
    measures: dict[str, Callable[[str, Contender, float], Count]] = {
        "accruals": lambda _, one, s: wrk.load(one.site.ground, one.port, "accrual", connections=MANY, seconds=s),
        "redemptions": spending.count,
        "balance": lambda _, one, s: wrk.load(one.site.ground, one.port, "balance", connections=MANY, seconds=s),
        "door": lambda _, one, s: asyncio.run(_door(one.site, s)),
    }
    counts: dict[str, list[Count]] = {f"{what} {name}": [] for what in measures for name in SITES}
    for number in range(1, rounds + 1):
        for what, measure in measures.items():
            for name, one in them.items():
                wait_for_quiet(patience)
                measure(name, one, seconds * WARM_UP_SHARE)
                count = measure(name, one, seconds)
                counts[f"{what} {name}"].append(count)
                report.tell(f"{number}/{rounds} {what} {name}", count)
    return counts


def _settle_in(name: str, them: Contender, spending: _Spending, *, seconds: float) -> None:
    """Work from one checkpoint on until most pages were written to once, those of earlier lots too.

    The first time after a checkpoint a page is logged whole. There is one in minutes, not before every count: that
    would weigh on the site with more pages as nothing does in practice.
    """
    them.site.ground.run_sql("postgres", "checkpoint")
    wrk.load(them.site.ground, them.port, "accrual", connections=MANY, seconds=seconds)
    spending.count(name, them, seconds)


async def _door(site: Site, seconds: float) -> Count:
    """Batches of accruals through the door alone, one after the other: how long one takes with all its statements."""
    ground = site.ground
    members = [MemberId(id_) for id_ in ground.member_ids.read_text().split()]
    database = Database(site.settings.database_url)
    taken: list[float] = []
    try:
        with Meter() as meter:
            ends = time.monotonic() + seconds
            while time.monotonic() < ends:
                start = (len(taken) * BATCH * 7919) % len(members)
                asks = [_accrual(site, members[(start + n * 7919) % len(members)]) for n in range(BATCH)]
                began = time.perf_counter()
                await commit_batch(database, asks)
                taken.append((time.perf_counter() - began) * 1000)
    finally:
        await database.close()
    cuts = statistics.quantiles(taken, n=100)
    rate = BATCH * len(taken) / (sum(taken) / 1000)
    accruals = BATCH * len(taken)
    return Count(rate, cuts[49], cuts[98], 0, f"batches of {BATCH}", meter.us_per(accruals), meter.others_share)


def _accrual(site: Site, member_id: MemberId) -> Submission:
    programme, now = site.ground.programme, datetime.now(UTC)
    fact = FactId(uuid_utils.uuid7().hex)
    day = programme.calendar.business_date(now)
    lines: list[dict[str, Any]] = [
        {"line_id": "1", "sku": "LEGO-1", "category": "toys", "quantity": 1, "amount": 19900}
    ]
    key = reference_key(programme, ReferenceKind.ACCRUAL, source="door", reference=fact, day=day)
    because, rules = Because("door", fact, "SH-001"), programme.rules_at(now)
    command = Purchase(member_id, Order("CNY", 19900, lines), because, key, day, rules)
    claim = Claim(ReplayKey("door", "", fact), bytes(32))
    return Submission(programme, command, Moment(fact, now, now), say_nothing, claim)


def _row(what: str, told: str, unit: str = "/s") -> Row:
    """A row that holds the grown site against the empty one."""
    bound = Goal(round(1 / STAYS, 2), f"{what} empty", at_most=True) if "ms" in unit else Goal(STAYS, f"{what} empty")
    return Row(f"{what} grown", told, unit, (bound,))


ROWS: Final = (
    _row("accruals", "accruals over HTTP with all these entries there, 256 connections"),
    _row("redemptions", "redemptions over HTTP, the same"),
    _row("balance", "reading a balance, the same"),
    _row("door", f"a batch of {BATCH} accruals through the door alone, its statements and commit", "median ms"),
)
