"""`python -m bench [row ...]`: measure the service against its yardsticks, side by side in one run.

Rounds go A-B-C ... A-B-C ...: each measure is counted once a round, and the median of its counts stands.
`python -m bench growth` and the other trials in `TRIALS` are runs of their own, with options of their own.
"""

import argparse
import signal
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module

from bench import report
from bench.count import Count
from bench.ground import Ground, prepared_ground
from bench.load.wrk import require_wrk
from bench.measures import MEASURES, contenders
from bench.processors import wait_for_quiet
from bench.rows import ROWS, Row, measures_of, verdicts

TRIALS: Mapping[str, str] = {
    "growth": "bench.growth",
    "memory": "bench.memory",
    "migration": "bench.migration",
    "reviews": "bench.reviews",
    "what-if": "bench.what_if",
}
"""Runs that need a ground or a length of their own, by name: the module whose `main` takes the rest of the line."""


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that all we started ends with us
    signal.signal(signal.SIGINT, lambda *_: sys.exit("stopped"))  # also where a shell in the background ignores it
    if sys.argv[1:] and sys.argv[1] in TRIALS:
        import_module(TRIALS[sys.argv[1]]).main(sys.argv[2:])
    else:
        _measure(_options())


def _measure(options: argparse.Namespace) -> None:
    """Measure the rows asked for, print the table and keep the counts."""
    rows = [row for row in ROWS if not options.names or row.name in options.names]
    require_wrk()
    print(f"Preparing {options.members:,} members ...", flush=True)
    with prepared_ground(options.members) as ground:
        where = report.circumstances(ground)
        counts = _counted(ground, rows, rounds=options.counts, seconds=options.seconds, patience=options.wait)
    found = verdicts(rows, counts)
    report.show(where, found, counts)
    if not options.quick:
        report.keep(where, found, counts)


def _counted(
    ground: Ground, rows: Sequence[Row], *, rounds: int, seconds: float, patience: float
) -> dict[str, list[Count]]:
    """Every measure the rows need, once a round."""
    needed = measures_of(rows)
    counts: dict[str, list[Count]] = {name: [] for name in MEASURES if name in needed}
    with contenders(ground) as them:
        for number in range(1, rounds + 1):
            for name, several in counts.items():
                ground.run_sql("postgres", "checkpoint")
                wait_for_quiet(patience)
                count = MEASURES[name](them, seconds)
                several.append(count)
                report.tell(f"{number}/{rounds} {name}", count)
    return counts


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").splitlines()[0])
    names = [row.name for row in ROWS]
    parser.add_argument(
        "names",
        nargs="*",
        metavar="row",
        help=f"rows to measure: {', '.join(names)}; all by default. Or a trial: {', '.join(TRIALS)} (see its --help)",
    )
    parser.add_argument("--seconds", type=float, default=10, help="how long one count lasts")
    parser.add_argument("--counts", type=int, default=3, help="counts of each measure")
    parser.add_argument("--members", type=int, default=100_000)
    parser.add_argument(
        "--wait",
        type=float,
        default=0,
        metavar="S",
        help="wait up to S seconds before each count for others to be idle",
    )
    parser.add_argument("--quick", action="store_true", help="one short count with few members: does it run at all?")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(names))
    if unknown:
        parser.error(f"no such row: {', '.join(unknown)}; there are {', '.join(names)}")
    if options.quick:
        options.seconds, options.counts, options.members = 2.0, 1, 5_000
    return options


if __name__ == "__main__":
    main()
