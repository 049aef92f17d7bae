"""P1 under pgbench: prepared statements, durable commits, no HTTP."""

import os
import re
import statistics
import subprocess
from pathlib import Path

from bench.count import Count
from bench.ground import HERE, P1, Ground
from bench.members import FIRST_CARD
from bench.processors import Meter

SCRIPT = HERE / "baselines" / "p1.pgbench"
ANSWER_BYTES = 1_230
"""How long the service's answer to the same accrual is; `tests/test_bench_baselines.py` watches over it."""


def accruals(ground: Ground, *, clients: int, seconds: float, hot: bool = False) -> Count:
    """Calls a second, of random members, or `hot` all for one."""
    members = 1 if hot else ground.members
    command = [
        *(str(ground.postgres.binaries / "pgbench"), "--no-vacuum", "--protocol=prepared", f"--file={SCRIPT}"),
        *(f"--client={clients}", f"--jobs={min(clients, os.cpu_count() or 1)}", f"--time={max(1, round(seconds))}"),
        *("--log", f"--log-prefix={ground.room / 'pgbench'}"),
        *("-D", f"programme={ground.programme.id}", "-D", f"members={members}", "-D", f"first_card={FIRST_CARD}"),
        *("-D", f"answer_bytes={ANSWER_BYTES}", P1),
    ]
    connection = {"PGHOST": str(ground.postgres.socket_dir), "PGUSER": "postgres"}
    with Meter() as meter:
        done = subprocess.run(command, env={**os.environ, **connection}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"pgbench failed: {done.stderr[-1000:]}")
    latencies = _latencies(ground.room)
    return _count(done.stdout, latencies, clients)._replace(
        cpu_us=meter.us_per(len(latencies)), others_share=meter.others_share
    )


def _count(printed: str, latencies: list[float], clients: int) -> Count:
    rate = re.search(r"tps = ([\d.]+)", printed)
    failed = re.search(r"number of failed transactions: (\d+)", printed)
    assert rate is not None, "pgbench prints its rate"
    assert failed is not None, "pgbench prints its failures"
    cuts = statistics.quantiles(latencies, n=100)
    return Count(float(rate[1]), cuts[49], cuts[98], int(failed[1]), note=f"{clients} clients")


def _latencies(room: Path) -> list[float]:
    """Milliseconds of every call, from the logs (a line is: client, number, microseconds ...), which are deleted."""
    latencies: list[float] = []
    for log in room.glob("pgbench.*"):
        latencies.extend(int(line.split(" ", 3)[2]) / 1000 for line in log.read_text().splitlines())
        log.unlink()
    return latencies
