"""Open-loop load: accruals at a constant rate, whatever the server does.

Latency counts from the moment a request was due, so a server that stalls is charged for everything that waited
meanwhile. Runs as a process of its own (`python -m bench.load.constant_rate`), told by JSON on standard input.
"""

import asyncio
import gc
import json
import random
import statistics
import subprocess
import sys
import time
from collections import deque
from datetime import UTC, datetime
from typing import Any, NamedTuple, cast

import uvloop

from bench.count import Count
from bench.processors import Meter

CONNECTIONS = 256
DRAIN_S = 10.0
"""How long answers are waited for after the last request was due; what is missing then is an error."""


class Plan(NamedTuple):
    """What to send, and how fast."""

    port: int
    token: str
    run: str
    first_card: int
    members: int
    rate: float
    seconds: float
    warm_up_s: float


def accruals(plan: Plan) -> Count:
    """Send them from a process of their own."""
    command = [sys.executable, "-m", "bench.load.constant_rate"]
    with Meter() as meter:
        done = subprocess.run(command, input=json.dumps(plan), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"The generator failed: {done.stderr[-1000:]}")
    sent = plan.rate * (plan.warm_up_s + plan.seconds)
    return Count(*json.loads(done.stdout))._replace(cpu_us=meter.us_per(sent), others_share=meter.others_share)


class Tally:
    """What came of the requests."""

    def __init__(self) -> None:
        self.latencies: list[float] = []
        self.errors = 0
        self.answered = 0


class Connection(asyncio.Protocol):
    """One connection with at most one request under way. Reads no more of an answer than its status and length."""

    def __init__(self, idle: "deque[Connection]", tally: Tally) -> None:
        self._idle = idle
        self._tally = tally
        self._read = b""
        self._due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._idle.append(self)

    def send(self, request: bytes, due: float) -> None:
        self._due = due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, gap, body = self._read.partition(b"\r\n\r\n")
        if not gap or len(body) < _length(head):
            return
        self._read = b""
        self._tally.answered += 1
        self._tally.latencies.append(time.perf_counter() - self._due)
        self._tally.errors += not head.startswith(b"HTTP/1.1 201")
        self._idle.append(self)


async def run(plan: Plan) -> Count:
    """Keep the rate up for the warm-up and the seconds that count."""
    idle: deque[Connection] = deque()
    tally = Tally()
    loop = asyncio.get_running_loop()
    for _ in range(CONNECTIONS):
        await loop.create_connection(lambda: Connection(idle, tally), "127.0.0.1", plan.port)
    gc.disable()
    warming = round(plan.rate * plan.warm_up_s)
    sent = await _keep_rate(plan, idle, count=warming + round(plan.rate * plan.seconds))
    await _until_answered(tally, sent)
    # Answers come roughly in the order of the requests; a few of the warm-up more or less change nothing.
    counted = tally.latencies[warming:]
    cuts = statistics.quantiles(counted, n=100) if len(counted) > 1 else [float("inf")] * 99
    errors = tally.errors + sent - tally.answered
    return Count(plan.rate, cuts[49] * 1000, cuts[98] * 1000, errors, f"{CONNECTIONS} connections, open loop")


async def _keep_rate(plan: Plan, idle: deque[Connection], count: int) -> int:
    """Send `count` requests, each when it is due, or as soon after that as a connection is free; how many."""
    begun = time.perf_counter()
    deadline = begun + plan.warm_up_s + plan.seconds + DRAIN_S
    for number in range(count):
        due = begun + number / plan.rate
        request = _request(plan, number)
        while (wait := due - time.perf_counter()) > 0 or not idle:
            if time.perf_counter() > deadline:
                return count  # those never sent are errors too
            await asyncio.sleep(max(wait, 0.0002))
        idle.popleft().send(request, due)
    return count


async def _until_answered(tally: Tally, sent: int) -> None:
    deadline = time.perf_counter() + DRAIN_S
    while tally.answered < sent and time.perf_counter() < deadline:  # noqa: ASYNC110 - a glance every 10 ms will do
        await asyncio.sleep(0.01)


def _request(plan: Plan, number: int) -> bytes:
    card = plan.first_card + random.randrange(plan.members)
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    body = (
        f'{{"member":{{"number":"{card}"}},"source":"pos-1","reference":"{plan.run}-{number}","store":"SH-001",'
        f'"occurred_at":"{at}","currency":"CNY","lines":[{{"line_id":"1","sku":"LEGO-1","category":"toys",'
        '"quantity":1,"amount":19900}]}'
    )
    return (
        f"POST /v1/accruals HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {plan.token}\r\n"
        f"Idempotency-Key: {plan.run}-{number}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def _length(head: bytes) -> int:
    """The Content-Length of an answer; uvicorn writes names in lower case."""
    at = head.lower().find(b"content-length:")
    return int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


def main() -> None:
    plan: Any = json.load(sys.stdin)
    print(json.dumps(uvloop.run(run(Plan(*plan)))))


if __name__ == "__main__":
    main()
