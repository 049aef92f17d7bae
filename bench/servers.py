"""The servers that are measured, as processes of their own."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.ground import P2, RUNNER, Ground

READY_S = 90
STOP_S = 30
ROOT = Path(__file__).parents[1]


class Served(NamedTuple):
    """A server that is ready."""

    port: int
    pid: int
    """Of the process that was started; the others are below it."""


@contextmanager
def service(ground: Ground, *, processes: int) -> Iterator[int]:
    """The service under its running role; its port."""
    with served(ground, processes=processes) as server:
        yield server.port


@contextmanager
def served(ground: Ground, *, processes: int) -> Iterator[Served]:
    """The service under its running role."""
    port = _free_port()
    command = [_beside_python("loyalty"), "serve", "--processes", str(processes), "--port", str(port)]
    environment = {
        "LOYALTY_DATABASE_URL": ground.postgres.url(RUNNER, ground.database),
        "LOYALTY_SECRET": ground.secret,
    }
    with _server(f"{ground.database}-{processes}", command, environment, port, "/readyz", ground.room) as pid:
        yield Served(port, pid)


@contextmanager
def conventional(ground: Ground, *, processes: int) -> Iterator[int]:
    """P2; its port."""
    environment = {
        "BENCH_DATABASE_URL": ground.postgres.url(database=P2),
        "BENCH_PROGRAMME": str(ground.programme.id),
        "BENCH_KEY": ground.token,
    }
    with _uvicorn("bench.baselines.conventional:app", ground, environment, processes) as port:
        yield port


@contextmanager
def ordinary_route(ground: Ground, *, processes: int) -> Iterator[int]:
    """P3; its port."""
    environment = {"BENCH_KEY": ground.token}
    with _uvicorn("bench.baselines.ordinary_route:app", ground, environment, processes) as port:
        yield port


@contextmanager
def _uvicorn(app: str, ground: Ground, environment: Mapping[str, str], processes: int) -> Iterator[int]:
    port = _free_port()
    command = [
        *(sys.executable, "-m", "uvicorn", app, "--port", str(port), "--workers", str(processes)),
        *("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"),
    ]
    name = app.partition(":")[0].rpartition(".")[2]
    with _server(f"{name}-{processes}", command, environment, port, "/healthz", ground.room):
        yield port


@contextmanager
def _server(
    name: str, command: Sequence[str], environment: Mapping[str, str], port: int, ready: str, room: Path
) -> Iterator[int]:
    """A server that has said it is ready, by its process id; its log, a file, is shown when it does not."""
    log = room / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us; we stop it
        )
    try:
        _await_ready(process, f"http://127.0.0.1:{port}{ready}", log)
        yield process.pid
    finally:
        _stop(process)


def _await_ready(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own address
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise SystemExit(f"{url} does not answer. The end of its log:\n{log.read_text(errors='replace')[-2000:]}")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _beside_python(program: str) -> str:
    return str(Path(sys.executable).with_name(program))
