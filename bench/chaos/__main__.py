"""`python -m bench.chaos [--faults 200] [--seed N]`: break everything around the service, and look for a lie."""

import argparse
import asyncio
import random
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from bench.chaos.faults import FAULTS
from bench.chaos.run import Outcome, Plan, run, summary

HIDDEN = Path(__file__).parents[2] / ".loyalty"
SHOWN = 20
"""Violations that are printed; all are counted."""
EVIDENCE = 2_000
"""Characters of evidence that are printed of each."""


def main() -> None:
    plan, keep = _options()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit("stopped"))  # so that all we started ends with us
    HIDDEN.mkdir(exist_ok=True)
    room = Path(tempfile.mkdtemp(dir=HIDDEN, prefix=f"chaos-{plan.seed}-"))
    _tell(f"seed {plan.seed}: {plan.faults} faults")
    outcome = asyncio.run(run(plan, room, _tell))
    _tell(summary(outcome))
    if outcome.violations:
        _accuse(outcome, room)
        sys.exit(1)
    if not keep:
        shutil.rmtree(room)
    kept = f"; history and logs: {room}" if keep else ""
    _tell(f"verdict: nothing acknowledged was lost, nothing happened twice, no answer contradicts another{kept}")


def _accuse(outcome: Outcome, room: Path) -> None:
    for violation in outcome.violations[:SHOWN]:
        _tell(f"VIOLATED (seed {outcome.plan.seed}): {violation.law}\n    {violation.evidence[:EVIDENCE]}")
    plan = outcome.plan
    again = [
        "python -m bench.chaos",
        f"--faults {plan.faults} --seed {plan.seed}",
        *(f"--only {one}" for one in plan.kinds),
        *([f"--ready {plan.ready_s:g}"] if plan.ready_s != Plan(0, 0).ready_s else []),
    ]
    _tell(
        f"verdict: {len(outcome.violations)} violations. The history and the logs are in {room};"
        f" again: {' '.join(again)}"
    )


def _options() -> tuple[Plan, bool]:
    """The plan, and whether the history is kept although nothing is wrong with it."""
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--faults", type=int, default=200, help="how many faults, one after the other")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="draws the faults and the requests")
    parser.add_argument(
        "--only", action="append", default=[], choices=sorted(FAULTS), help="a kind of fault; repeatable"
    )
    parser.add_argument(
        "--ready", type=float, default=20.0, help="seconds within which the service must be ready again"
    )
    parser.add_argument("--keep", action="store_true", help="keep the history and the logs in any case")
    options = parser.parse_args()
    return Plan(options.seed, options.faults, options.only, ready_s=options.ready), options.keep


def _tell(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
