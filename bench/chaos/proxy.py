"""A way to Postgres that can be cut: a Unix socket of our own in front of the server's.

What a client sends is passed on as it comes, or late; except that a COMMIT can be lost on the way, answered to
nobody, or held until a test lets it go. The tests of faults go this way too.
"""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum, auto
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import make_url

SOCKET = ".s.PGSQL.5432"
COMMIT = b"commit"


class Commits(Enum):
    """What becomes of a COMMIT."""

    PASS = auto()
    LOSE = auto()
    """The connection is cut before the server sees it."""
    LOSE_ANSWER = auto()
    """The connection is cut after the server has committed, before the client hears of it."""
    KEEP_ANSWER = auto()
    """The server commits, and the client hears nothing until `release` cuts the connection."""
    HOLD = auto()
    """It waits until `release`."""


class Proxy:
    """Listens in a directory of its own; `target` may be changed or taken away at any time."""

    def __init__(self, target: Path) -> None:
        self.target: Path | None = target
        self.directory = Path(tempfile.mkdtemp(prefix="loyalty-proxy-"))
        self.held = asyncio.Event()
        """Set once a COMMIT, or the answer to one, is being held."""
        self.spoilt = asyncio.Event()
        """Set once every COMMIT of `next_commits` has come."""
        self.cuts = 0
        """How many connections were cut at their COMMIT."""
        self.delay_s = 0.0
        """How long everything a client sends is kept back."""
        self._rules: list[Commits] = []
        self._released = asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()

    def next_commits(self, *rules: Commits) -> None:
        """What becomes of the next COMMITs, one after the other; those that follow pass."""
        self._rules = list(rules)
        self.spoilt.clear()
        self.held.clear()
        self._released.clear()

    def release(self) -> None:
        self._released.set()

    def url(self, url: str) -> str:
        """The same database, reached this way."""
        parts = make_url(url).render_as_string(hide_password=False)
        return f"{parts.partition('?')[0]}?host={quote(str(self.directory))}"

    def drop_all(self) -> None:
        """Cut every connection there is."""
        for task in self._connections:
            task.cancel()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        ends = [writer]
        try:
            if self.target is None:
                return
            with contextlib.suppress(OSError):
                to_reader, to_writer = await asyncio.open_unix_connection(str(self.target / SOCKET))
                ends.append(to_writer)
                await self._pass_on(reader, writer, to_reader, to_writer)
        except asyncio.CancelledError:
            pass  # cut; a task that ends cancelled would be reported by the stream server
        finally:
            self._connections.discard(task)
            for end in ends:
                end.transport.abort()

    async def _pass_on(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        to_reader: asyncio.StreamReader,
        to_writer: asyncio.StreamWriter,
    ) -> None:
        """Until one side has had enough or the connection is cut."""
        muted, answered = asyncio.Event(), asyncio.Event()
        back = asyncio.create_task(_answers(to_reader, writer, muted, answered))
        there = asyncio.create_task(self._requests(reader, to_writer, muted, answered))
        try:
            await asyncio.wait([back, there], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in (back, there):
                one.cancel()
            await asyncio.gather(back, there, return_exceptions=True)

    async def _requests(
        self,
        reader: asyncio.StreamReader,
        to_writer: asyncio.StreamWriter,
        muted: asyncio.Event,
        answered: asyncio.Event,
    ) -> None:
        while chunk := await reader.read(65_536):
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            rule = self._rules.pop(0) if COMMIT in chunk.lower() and self._rules else Commits.PASS
            if not self._rules:
                self.spoilt.set()
            if rule is Commits.HOLD:
                self.held.set()
                await self._released.wait()
            if rule is Commits.LOSE:
                self.cuts += 1
                return
            if rule in (Commits.LOSE_ANSWER, Commits.KEEP_ANSWER):
                muted.set()
                to_writer.write(chunk)
                await answered.wait()
                if rule is Commits.KEEP_ANSWER:
                    self.held.set()
                    await self._released.wait()
                self.cuts += 1
                return
            to_writer.write(chunk)
            await to_writer.drain()


async def _answers(
    to_reader: asyncio.StreamReader, writer: asyncio.StreamWriter, muted: asyncio.Event, answered: asyncio.Event
) -> None:
    """Pass on what the server says; once muted, only note that it has answered."""
    while chunk := await to_reader.read(65_536):
        if muted.is_set():
            answered.set()
        else:
            writer.write(chunk)
            await writer.drain()


@asynccontextmanager
async def a_proxy(target: Path) -> AsyncIterator[Proxy]:
    """A proxy at work."""
    proxy = Proxy(target)
    server = await asyncio.start_unix_server(proxy.serve, str(proxy.directory / SOCKET))
    try:
        yield proxy
    finally:
        server.close()
        proxy.drop_all()
        await asyncio.gather(*proxy._connections)
        await server.wait_closed()
        shutil.rmtree(proxy.directory)
