"""One run: clients at work, fault after fault, then the check of everything that was heard."""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench.chaos import checker, faults, history
from bench.chaos.cast import Cast
from bench.chaos.checker import QUIET_LAWS, Figures, Violation
from bench.chaos.clients import Clients, Stalled
from bench.chaos.faults import FAULTS, Broken, Scene
from bench.chaos.history import History, Recorder
from bench.chaos.ledger import Ledger, read_ledger, read_singly
from bench.chaos.site import NotReady, Site, a_site
from bench.chaos.verbs import READER

MEMBERS = 6
MOST_MEMBERS = 9
"""Who joins beside the first takes part until it leaves."""
BEFORE_EACH = 15
"""Requests that are settled between two faults."""
STALLED_S = 30.0
CLOSING_S = 60.0
READINGS = 30
"""Most times the ledger is read until nothing falls due meanwhile, and the worker has made its round."""
BETWEEN_READINGS_S = 1.0
SINGLY = 500
"""Acknowledged entries that are also read by their own id; all those that nobody was told of are."""

Tell = Callable[[str], None]


class Plan(NamedTuple):
    """What a run shall be."""

    seed: int
    faults: int
    kinds: Sequence[str] = ()
    """Of which kinds; all when empty."""
    processes: Sequence[int] = (2, 1)
    """A server for each, with so many processes."""
    ready_s: float = 20.0
    """How long the service may take to be itself again: seconds, and more where others use the machine."""
    durable: bool = True
    """Whether Postgres flushes to disk: only a crash of the machine, which no run makes, could tell."""


class Outcome(NamedTuple):
    """What became of a run."""

    plan: Plan
    ready_s: dict[str, list[float]]
    """By kind of fault: seconds until every server served again."""
    figures: Figures | None
    by_verb: dict[str, tuple[int, int]]
    """How many requests said yes, and how many were refused."""
    violations: list[Violation]
    seconds: float

    @property
    def times(self) -> list[float]:
        return [seconds for several in self.ready_s.values() for seconds in several]


async def run(plan: Plan, room: Path, tell: Tell) -> Outcome:
    """Run to the end, or to the first fault that the service does not get over."""
    begun = time.monotonic()
    path = room / "history.jsonl"
    record = Recorder(path, plan.seed)
    violations: list[Violation] = []
    figures = None
    try:
        async with a_site(room, processes=plan.processes, durable=plan.durable) as site:
            chance = random.Random(f"{plan.seed} cast")
            cast = Cast(chance, least_members=MEMBERS, most_members=MOST_MEMBERS)
            clients = Clients(site.addresses, site.tokens, cast, record, random.Random(f"{plan.seed} clients"))
            try:
                violations = await _struck(plan, site, clients, record, tell)
                if not violations:
                    tell("closing: every settled request is sent once more ...")
                    figures, violations = await _checked(site, clients, record, path)
            finally:
                await clients.aclose()
    finally:
        record.close()
    ready_s: dict[str, list[float]] = defaultdict(list)
    told = history.read(path)
    for struck in told.faults:
        ready_s[struck.kind].append(struck.ready_s)
    return Outcome(plan, dict(ready_s), figures, checker.by_verb(told), violations, time.monotonic() - begun)


async def _struck(plan: Plan, site: Site, clients: Clients, record: Recorder, tell: Tell) -> list[Violation]:
    """All faults, one after the other, the clients at work meanwhile."""
    while len(clients.cast.members) < MEMBERS:
        await clients.ask("enrolment")
    clients.begin()
    scene = Scene(site, clients, random.Random(plan.seed))
    for number, kind in enumerate(islice(faults.drawn(scene.chance, plan.kinds), plan.faults), start=1):
        try:
            await clients.more(BEFORE_EACH, within=STALLED_S)
            owed_from = await FAULTS[kind](scene)
            await _ready(site, clients, owed_from + plan.ready_s)
        except (Broken, NotReady, Stalled) as problem:
            return [Violation(f"the service gets over {kind} (fault {number})", str(problem))]
        seconds = time.monotonic() - owed_from
        record.fault(kind, seconds)
        tell(f"{number:>4} {kind:<20} ready after {seconds:5.2f} s, {len(clients.settled):>7,} settled")
    return []


async def _ready(site: Site, clients: Clients, deadline: float) -> None:
    """Return once every server says it is ready and takes a write. Raises NotReady, Stalled."""
    for place, address in enumerate(site.addresses):
        await site.ready(place, max(0.1, deadline - time.monotonic()))
        await clients.ask("settling", to=address, within=max(0.1, deadline - time.monotonic()))


async def _checked(
    site: Site, clients: Clients, record: Recorder, path: Path
) -> tuple[Figures | None, list[Violation]]:
    """Everything is quiet; every frozen answer is asked for once more, and the whole is checked."""
    try:
        await clients.close(CLOSING_S)
        await clients.catch_up(CLOSING_S)
    except Stalled as problem:
        return None, [Violation("every request is answered at last", str(problem))]
    record.flush()
    await clients.again([one.ask for one in checker.replayable(history.read(path))])
    violations: list[Violation] = []
    figures = None
    for _ in range(READINGS):
        for _ in clients.cast.members:
            await clients.ask("settling")
        await clients.catch_up(CLOSING_S)
        record.flush()
        told = history.read(path)
        ledger = await _read(site, told)
        figures = checker.figures(told, ledger)
        violations = checker.check(told, ledger)
        if not violations or {one.law for one in violations} - QUIET_LAWS:
            break
        await asyncio.sleep(BETWEEN_READINGS_S)
    if (findings := await site.verified()) is not None:
        violations.append(Violation("loyalty verify agrees", findings))
    return figures, violations


async def _read(site: Site, told: History) -> Ledger:
    """The ledger; singly, what was left open, some entries that were acknowledged and all that were not."""
    members = checker.members_of(told)
    token = site.tokens[READER]
    ledger = await read_ledger(site.addresses[0], token, members)
    acknowledged = checker.entries_of(told)
    step = max(1, len(acknowledged) // SINGLY)
    shown = {entry["id"] for entries in ledger.entries.values() for entry in entries if entry["reference"]}
    singly = [*members, *checker.left_open(told), *acknowledged[::step], *sorted(shown - set(acknowledged))]
    return ledger._replace(by_id=await read_singly(site.addresses[-1], token, singly))


def summary(outcome: Outcome) -> str:
    """The report, in lines."""
    lines = [f"seed {outcome.plan.seed}, {len(outcome.times)} faults in {outcome.seconds:.0f} s"]
    for kind, several in sorted(outcome.ready_s.items()):
        lines.append(
            f"  {kind:<20} {len(several):>4} x   ready: median {median(several):5.2f} s, max {max(several):5.2f} s"
        )
    if outcome.times:
        lines.append(f"time to ready: median {median(outcome.times):.2f} s, max {max(outcome.times):.2f} s")
    verbs = (f"{verb} {yes}+{no}" for verb, (yes, no) in sorted(outcome.by_verb.items()))
    lines.append(f"requests that said yes + were refused: {', '.join(verbs)}")
    if outcome.figures is not None:
        lines.append(
            ", ".join(f"{name.replace('_', ' ')} {value:,}" for name, value in outcome.figures._asdict().items())
        )
    return "\n".join(lines)
