"""The installed `loyalty` command as a process of its own, and free ports for it to listen on."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import httpx2

LOYALTY = str(Path(sys.executable).with_name("loyalty"))
DEADLINE_S = 60.0


class Running(NamedTuple):
    """A process that listens, and the file it writes to."""

    url: str
    process: subprocess.Popen[bytes]
    output: Path

    def stop(self) -> str:
        """Ask it to stop, wait for it, and return everything it wrote."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(DEADLINE_S)
        return self.output.read_text()


def an_environment(**settings: str) -> dict[str, str]:
    """This process's environment with these settings of ours and no others."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("LOYALTY_")}
    return {**plain, **settings}


def listening(command: Callable[[int], list[str]], output: Path, *, attempts: int = 5, **settings: str) -> Running:
    """A process that was given a free port, ready. Where somebody else was faster, another port is tried."""
    port = a_free_port()
    with output.open("wb") as file:
        process = subprocess.Popen(command(port), env=an_environment(**settings), stdout=file, stderr=file)
    running = Running(f"http://127.0.0.1:{port}", process, output)
    until = time.monotonic() + DEADLINE_S
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(httpx2.TransportError):
            if httpx2.get(f"{running.url}/readyz", timeout=DEADLINE_S).status_code == 200:
                return running
        time.sleep(0.02)  # let the process have the core before looking again
    if process.poll() is not None and attempts > 1 and "Cannot listen" in output.read_text():
        return listening(command, output, attempts=attempts - 1, **settings)
    process.kill()
    raise AssertionError(f"it did not become ready: {output.read_text()}")


@contextlib.contextmanager
def dev(data_dir: Path) -> Iterator[Running]:
    """`loyalty dev` in a data directory, stopped at the end."""

    def command(port: int) -> list[str]:
        return [LOYALTY, "dev", "--port", str(port), "--data-dir", str(data_dir)]

    running = listening(command, data_dir.with_name(f"{data_dir.name}.log"))
    try:
        yield running
    finally:
        running.stop()


def a_free_port() -> int:
    """A port nobody listens on now; somebody may be faster."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
