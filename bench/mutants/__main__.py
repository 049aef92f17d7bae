"""`python -m bench.mutants [400|all] [--seed N] [--only lots]`: change the domain a little; does a test notice?"""

import argparse
import random
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from bench.mutants import trial
from bench.mutants.changes import changes
from bench.mutants.trial import DOMAIN, ROOT, Mutant, Outcome

SAMPLE = "400"


def main() -> None:
    options = _options()
    everything = [
        Mutant(path, change)
        for path in sorted(DOMAIN.glob("*.py"))
        if not options.only or path.stem in options.only
        for change in changes(path.read_text(encoding="utf-8"))
    ]
    count = len(everything) if options.count == "all" else min(int(options.count), len(everything))
    chosen = random.Random(options.seed).sample(everything, count)
    chosen.sort(key=lambda mutant: (mutant.path, mutant.change.number))
    print(f"seed {options.seed}: {count} of {len(everything)} mutants", flush=True)
    began = time.monotonic()
    trial.prepare()
    with tempfile.TemporaryDirectory() as room:
        tests = trial.observed(Path(room))
        trial.control(tests, Path(room))
    print(f"{len(tests)} tests pass unchanged, {time.monotonic() - began:.0f} s", flush=True)
    found = []
    for outcome in trial.outcomes(chosen, tests, options.processes):
        found.append(outcome)
        if not outcome.killed:
            print(_shown(outcome), flush=True)
        elif len(found) % 100 == 0:
            print(f"... {len(found)} tried, {time.monotonic() - began:.0f} s", flush=True)
    _tell(found, time.monotonic() - began)


def _shown(outcome: Outcome) -> str:
    path, change = outcome.mutant
    why = f"  [{outcome.why}]" if outcome.why else ""
    return f"survived {path.relative_to(ROOT)}:{change.line}  {change.before}  ->  {change.after}{why}"


def _tell(found: list[Outcome], seconds: float) -> None:
    tried, killed = Counter(o.mutant.path.stem for o in found), Counter(o.mutant.path.stem for o in found if o.killed)
    endless = sum(bool(o.why) for o in found if o.killed)
    print(f"\n{'file':<14}{'tried':>7}{'killed':>8}{'survived':>10}{'score':>8}")
    for name, count in sorted(tried.items()):
        print(_line(name, count, killed[name]))
    print(_line("all", tried.total(), killed.total()))
    print(f"{endless} of the killed never ended; {seconds:.0f} s")


def _line(name: str, tried: int, killed: int) -> str:
    return f"{name:<14}{tried:>7}{killed:>8}{tried - killed:>10}{killed / max(tried, 1):>8.1%}"


def _options() -> Any:
    parser = argparse.ArgumentParser(prog="python -m bench.mutants", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("count", nargs="?", default=SAMPLE, help=f"how many, or all; {SAMPLE} unless told")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="draws the sample")
    parser.add_argument("--only", action="append", metavar="MODULE", help="of this module of the domain alone")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    if options.count != "all" and not options.count.isdigit():
        parser.error(f"a number of mutants or all, not {options.count!r}")
    return options


if __name__ == "__main__":
    main()
