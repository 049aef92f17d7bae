"""`python -m bench memory`: does a server process keep to its memory while it works hard for ten minutes?

Accruals over 256 connections for more members than a process remembers; the memory of each process is looked at every
second. What it holds after the warm-up, when it has met more members than it can remember, it may hold for ever.
"""

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

from rich.console import Console
from rich.table import Table

from bench import report, servers
from bench.count import Count
from bench.ground import prepared_ground
from bench.load import wrk
from bench.measures import CORES, MANY
from bench.processors import PROC, resident_mb
from loyalty.operations.resolve import REMEMBERED

MEMBERS: Final = REMEMBERED + 50_000
MOST_MB: Final = 250
GROWS_AT_MOST: Final = 0.05
"""From the end of the warm-up to the end."""
A_SERVER_MB: Final = 50
"""Whatever is smaller beside the servers is none: multiprocessing's tracker."""
LOOKED_AT_EVERY_S: Final = 1.0
TOLD_EVERY_S: Final = 30.0


class Held(NamedTuple):
    """What one process held, in MB, and how many seconds of the load it saw."""

    seen_s: float
    at_first: float
    after_a_minute: float
    after_warm_up: float
    at_the_end: float
    at_most: float

    @property
    def growth(self) -> float:
        return self.at_the_end / self.after_warm_up - 1

    @property
    def good(self) -> bool:
        """Whether it is flat and small enough."""
        return self.growth <= GROWS_AT_MOST and self.at_most < MOST_MB


def main(arguments: Sequence[str]) -> None:
    options = _options(arguments)
    wrk.require_wrk()
    print(f"Preparing {options.members:,} members ...", flush=True)
    with (
        prepared_ground(options.members) as ground,
        servers.served(ground, processes=options.processes) as server,
        ThreadPoolExecutor(1) as side,
    ):
        where = report.circumstances(ground)
        seconds = options.minutes * 60
        load = side.submit(wrk.load, ground, server.port, "accrual", connections=MANY, seconds=seconds)
        samples = list(_watched(server.pid, seconds))
        count = load.result()
    held = {pid: _held(of, warm_up=options.warm_up) for pid, of in _by_process(samples).items()}
    show(where, held, count)
    if not options.quick:
        kept = [{**one._asdict(), "met": one.good} for one in held.values()]
        report.keep({**where, "minutes": options.minutes, "memory_mb": kept}, [], {"accruals": [count]})


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench memory", description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument("--minutes", type=float, default=17, help="in all: ten after the warm-up")
    parser.add_argument("--processes", type=int, default=CORES)
    parser.add_argument(
        "--members", type=int, default=MEMBERS, help="more than a process remembers, to fill what it does"
    )
    parser.add_argument(
        "--warm-up", type=float, default=420, metavar="S", help="seconds until what is remembered is full"
    )
    parser.add_argument("--quick", action="store_true", help="a short run with few members: does it run at all?")
    options = parser.parse_args(arguments)
    if options.quick:
        options.minutes, options.members, options.warm_up = 0.25, 5_000, 5
    return options


class _Sample(NamedTuple):
    """How much a process held, so many seconds after the load began."""

    pid: int
    at_s: float
    mb: float


def _watched(pid: int, seconds: float) -> Iterator[_Sample]:
    """The server's processes, every second for as long as the load lasts."""
    began = told = time.monotonic()
    while (now := time.monotonic()) - began < seconds:
        sizes = {child: mb for child in (pid, *_children(pid)) if (mb := resident_mb(child)) > A_SERVER_MB}
        yield from (_Sample(child, now - began, mb) for child, mb in sizes.items())
        if now - told >= TOLD_EVERY_S:
            told = now
            print(f"{now - began:4.0f} s: {', '.join(f'{mb:.0f} MB' for mb in sizes.values())}", flush=True)
        time.sleep(LOOKED_AT_EVERY_S)


def _children(pid: int) -> list[int]:
    return [int(child) for child in (PROC / str(pid) / "task" / str(pid) / "children").read_text().split()]


def _by_process(samples: Sequence[_Sample]) -> dict[int, list[_Sample]]:
    found: dict[int, list[_Sample]] = {}
    for sample in samples:
        found.setdefault(sample.pid, []).append(sample)
    return found


def _held(samples: Sequence[_Sample], *, warm_up: float) -> Held:
    def by(seconds: float) -> float:
        return next((one.mb for one in samples if one.at_s >= seconds), samples[-1].mb)

    return Held(
        samples[-1].at_s - samples[0].at_s,
        samples[0].mb,
        by(60),
        by(warm_up),
        samples[-1].mb,
        max(one.mb for one in samples),
    )


def show(where: Mapping[str, object], held: Mapping[int, Held], count: Count) -> None:
    """Print what every process held, and under how much work."""
    table = Table(title="  ".join(f"{name} {value}" for name, value in where.items()), title_justify="left")
    for column in ("process", "lived", "at first", "a minute", "warmed up", "the end", "most", "growth", "met?"):
        table.add_column(column, justify="left" if column in ("process", "met?") else "right")
    for pid, one in held.items():
        figures = [f"{one.seen_s:.0f} s", *(f"{mb:.0f} MB" for mb in one[1:])]
        table.add_row(str(pid), *figures, f"{one.growth:+.1%}", "yes" if one.good else "NO")
    console = Console(width=None if Console().is_terminal else 140)
    console.print(table)
    if len(held) > 1 and min(one.seen_s for one in held.values()) < max(one.seen_s for one in held.values()) / 2:
        console.print("A process ended and another took its place: this says nothing of memory that is held for long.")
    console.print(f"Goal: under {MOST_MB} MB a process, and at most {GROWS_AT_MOST:.0%} more after the warm-up.")
    report.tell("accruals meanwhile", count)
