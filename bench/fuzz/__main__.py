"""`python -m bench.fuzz [--minutes 10] [--seed N]`: send whatever the contract allows and what it does not."""

import argparse
import asyncio
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import defaultdict
from itertools import count
from pathlib import Path
from typing import NamedTuple

import httpx2
from hypothesis import settings

from bench.chaos.site import a_site
from bench.fuzz.answers import Target
from bench.fuzz.requests import ask_anything
from bench.fuzz.walks import follow_links
from loyalty.demo import DEMO

HIDDEN = Path(__file__).parents[2] / ".loyalty"
EXAMPLES = 20
"""Requests made of an operation in a round."""
WALKS, STEPS = 40, 40
MOST_FINDINGS = 20
SHOWN = 3_000
"""Characters that are printed of a finding."""
MISTAKES = ("unexpected", "Traceback", '"level":"error"', '"level": "error"')
"""What the log of a server has no reason to say."""


class Plan(NamedTuple):
    minutes: float
    seed: int


def main() -> None:
    plan = _options()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit("stopped"))  # so that all we started ends with us
    HIDDEN.mkdir(exist_ok=True)
    room = Path(tempfile.mkdtemp(dir=HIDDEN, prefix=f"fuzz-{plan.seed}-"))
    _tell(f"seed {plan.seed}: {plan.minutes:g} minutes")
    findings = asyncio.run(_fuzzed(plan, room))
    for finding in findings:
        _tell(f"FOUND (seed {plan.seed}): {finding[:SHOWN]}\n")
    if findings:
        sys.exit(f"verdict: {len(findings)} findings. The logs are in {room}")
    shutil.rmtree(room)
    _tell("verdict: no 5xx, nothing undocumented, nobody let in or turned away wrongly; `loyalty verify` agrees")


async def _fuzzed(plan: Plan, room: Path) -> list[str]:
    """What was found. schemathesis waits for its answers, so it works in a thread of its own."""
    async with a_site(room, processes=(2,), durable=False, programme=DEMO) as site:
        [url] = site.addresses
        target = Target(url, httpx2.get(f"{url}/openapi.json").json(), site.tokens)
        findings = await asyncio.to_thread(_rounds, plan, target)
        _report(target)
        findings += _mistakes(room)
        if (against := await site.verified()) is not None:
            findings.append(f"loyalty verify: {against}")
    return findings


def _rounds(plan: Plan, target: Target) -> list[str]:
    """What was found in as many rounds as there was time for, one at least."""
    chance, until = random.Random(plan.seed), time.monotonic() + plan.minutes * 60
    for number in count(1):
        for operation in chance.sample(target.operations, len(target.operations)):
            ask_anything(target, operation, settings(max_examples=EXAMPLES), chance.getrandbits(32))
        walks = settings(max_examples=WALKS, stateful_step_count=STEPS)
        follow_links(target, walks, chance.getrandbits(32))
        _tell(f"round {number}: {target.answered.total():>7,} requests, {len(target.findings)} findings")
        if time.monotonic() > until or len(target.findings) >= MOST_FINDINGS:
            break
    unheard = [operation for operation in target.operations if operation not in target.heard()]
    return [*target.findings, *(f"{operation} has never said yes" for operation in unheard)]


def _mistakes(room: Path) -> list[str]:
    """Lines of the servers' logs that tell of a mistake of ours."""
    lines = [line for log in sorted(room.glob("*.log")) for line in log.read_text().splitlines()]
    return [line for line in lines if any(mistake in line for mistake in MISTAKES)][:MOST_FINDINGS]


def _report(target: Target) -> None:
    """How often each operation was answered what."""
    answered: dict[str, list[str]] = defaultdict(list)
    for (operation, status, code), times in sorted(target.answered.items()):
        answered[operation].append(f"{status} {code}".strip() + f" x {times:,}")
    for operation, several in answered.items():
        _tell(f"  {operation:<36} {', '.join(several)}")


def _options() -> Plan:
    parser = argparse.ArgumentParser(prog="python -m bench.fuzz", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="how long; a round that has begun is finished")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="draws the requests and the roles")
    options = parser.parse_args()
    return Plan(options.minutes, options.seed)


def _tell(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
