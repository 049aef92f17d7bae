"""Load from wrk: as many requests as its connections get answered, or about so many a second."""

import json
import os
import secrets
import shutil
import subprocess
from pathlib import Path

from bench.count import Count
from bench.ground import Ground
from bench.members import FIRST_CARD
from bench.processors import Meter, let_finish

SCRIPT = Path(__file__).with_name("requests.lua")
USUAL_LATENCY_MS = 15
"""What a request takes of a connection's time besides its rest, when it is sent at a rate."""
BULK = 500
"""Accruals in one bulk call, as in the script."""


def require_wrk() -> None:
    """Raises SystemExit with the one command that brings it."""
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed: apt-get install wrk")


def load(
    ground: Ground,
    port: int,
    kind: str,
    *,
    connections: int,
    seconds: float,
    start: int = 0,
    rate: float | None = None,
    rest: bool = True,
) -> Count:
    """What the server on the port answers to requests of a kind; redemptions `start` where the last ones ended.

    With a `rate`, the connections rest at random between their requests, so that together they send about so many a
    second, far apart from one another; latency is measured from the sending. Unless others are at work, `rest`
    afterwards: until what was left in queues is done.
    """
    threads = min(connections, os.cpu_count() or 1)
    command = [
        *("wrk", f"--threads={threads}", f"--connections={connections}", f"--duration={max(1, round(seconds))}s"),
        *("--timeout=10s", f"--script={SCRIPT}", f"http://127.0.0.1:{port}", "--"),
        *(kind, ground.token, secrets.token_hex(4), str(ground.members), str(FIRST_CARD), str(start)),
        str(ground.member_ids),
    ]
    rests = {} if rate is None else {"REST_MS": str(max(0, round(1000 * connections / rate - USUAL_LATENCY_MS)))}
    with Meter() as meter:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **rests})
    if rest:
        let_finish()
    try:
        said = json.loads(done.stderr.splitlines()[-1])
    except (IndexError, ValueError):
        raise SystemExit(f"wrk failed: {done.stdout[-500:]}{done.stderr[-500:]}") from None
    answered = said["requests"] * (BULK if kind == "bulk" else 1)
    errors = said["errors"] + said["failed_items"] + (answered == 0)
    return Count(
        rate=answered / (said["microseconds"] / 1e6),
        median_ms=said["median_us"] / 1000,
        p99_ms=said["p99_us"] / 1000,
        errors=errors,
        note=f"{connections} connections",
        cpu_us=meter.us_per(answered),
        others_share=meter.others_share,
        worst_ms=said["max_us"] / 1000,
    )
