"""A `loyalty serve` or `loyalty worker` as processes of their own, that can be asked to stop or killed in part."""

import asyncio
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


class Server:
    """A running server: `process` is the one that was started, and the parent of `workers` when there are several."""

    def __init__(self, port: int, processes: int, environment: Mapping[str, str], log: Path | None = None) -> None:
        arguments = ["serve", "--port", str(port), "--processes", str(processes)]
        self.process = started(arguments, environment, log)

    def workers(self) -> list[int]:
        """The processes that answer requests, when there are several."""
        ps = ["/bin/ps", "-axwwo", "pid=,ppid=,stat=,args="]
        found = subprocess.run(ps, capture_output=True, text=True, check=True)
        rows = [line.split(maxsplit=3) for line in found.stdout.splitlines()]
        ours = [row for row in rows if row[1] == str(self.process.pid) and not row[2].startswith("Z")]
        return [int(pid) for pid, _, _, arguments in ours if "spawn_main" in arguments]

    async def ended(self, within: float) -> int:
        """Its exit code. Raises subprocess.TimeoutExpired."""
        return await asyncio.to_thread(self.process.wait, within)

    def kill(self) -> None:
        """All of it, at once, those that outlived its first process included."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def started(
    arguments: Sequence[str], environment: Mapping[str, str], log: Path | None = None
) -> "subprocess.Popen[bytes]":
    """The `loyalty` command at work with these settings of ours and no others; what it says is added to the log."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("LOYALTY_")}
    program = [sys.executable, "-c", "from loyalty.cli.main import app; app()", *arguments]
    with (log or Path(os.devnull)).open("ab") as output:
        return subprocess.Popen(
            program,
            env={**plain, **environment},
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is for us; we stop it
        )


def a_lasting_port() -> int:
    """A free port below those that the kernel hands out, so that nobody takes it while its server is away."""
    while True:
        port = random.randrange(20_000, 32_000)
        if is_free(port):
            return port


def is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
