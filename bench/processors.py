"""Processor time: what an operation costs in all our processes together, and how much others take meanwhile.

The first is the figure that survives a crowded machine; the second says how far to trust the rest.
"""

import os
import time
from pathlib import Path
from typing import Self

PROC = Path("/proc")
SAMPLE_S = 0.5
QUIET = 0.1
"""Others may use this share of the processors."""
GLANCE_S = 0.2
IDLE = 0.1
"""Ours are idle when they use less than this share of one processor."""
FINISH_S = 15.0


class Meter:
    """As a context manager, meters its block. Everything is 0 where the system has no /proc."""

    ours_s = 0.0
    """Processor seconds of this process and all below it: servers, Postgres, load generators."""
    others_share = 0.0
    """The share of the processors' time that went elsewhere."""

    def __enter__(self) -> Self:
        self._begun = (_ours(), *_machine())
        return self

    def __exit__(self, *_: object) -> None:
        ours, busy, total = (now - then for now, then in zip((_ours(), *_machine()), self._begun, strict=True))
        self.ours_s = ours / os.sysconf("SC_CLK_TCK")
        self.others_share = max(0.0, (busy - ours) / total) if total else 0.0

    def us_per(self, operations: float) -> float:
        """Processor microseconds of ours for each operation."""
        return self.ours_s * 1e6 / operations if operations else 0.0


def wait_for_quiet(patience_s: float) -> None:
    """Wait until others use little of the machine, at most so long."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        with Meter() as meter:
            time.sleep(SAMPLE_S)
        if meter.others_share <= QUIET:
            return


def let_finish() -> None:
    """Wait until ours are idle: a server still works on what a load generator that has ended left in its queues."""
    deadline = time.monotonic() + FINISH_S
    while time.monotonic() < deadline:
        with Meter() as meter:
            time.sleep(GLANCE_S)
        if meter.ours_s < IDLE * GLANCE_S:
            return


def _machine() -> tuple[int, int]:
    """Ticks of all processors since the start: spent on anything, and in total."""
    try:
        ticks = [int(tick) for tick in (PROC / "stat").read_text().splitlines()[0].split()[1:9]]
    except FileNotFoundError:
        return 0, 0
    idle, waiting = ticks[3:5]
    return sum(ticks) - idle - waiting, sum(ticks)


def _ours() -> int:
    """Ticks of this process and of all below it, the ended ones included."""
    ticks: dict[int, int] = {}
    children: dict[int, list[int]] = {}
    for stat in PROC.glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended; its parent has its time
        process = int(stat.parent.name)
        children.setdefault(int(fields[1]), []).append(process)
        ticks[process] = sum(int(field) for field in fields[11:15])
    waiting, total = [os.getpid()], 0
    while waiting:
        process = waiting.pop()
        total += ticks.get(process, 0)
        waiting.extend(children.get(process, ()))
    return total


def resident_mb(pid: int) -> float:
    """Memory that is really there, shared libraries included; 0 for a process that has just ended."""
    try:
        told = (PROC / str(pid) / "status").read_text()
    except FileNotFoundError:
        return 0.0
    [kilobytes] = [line.split()[1] for line in told.splitlines() if line.startswith("VmRSS:")] or ["0"]
    return int(kilobytes) / 1024
