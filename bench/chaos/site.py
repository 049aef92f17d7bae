"""The site: one durable Postgres behind a proxy, the servers and the worker over it, a programme and its key."""

import asyncio
import contextlib
import os
import secrets
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import asyncpg
import httpx2

from bench.chaos.proxy import Proxy, a_proxy
from bench.chaos.server import Server, a_lasting_port, is_free, started
from bench.chaos.verbs import LIMIT, OFFLINE, UNITS
from loyalty.api.access import SCOPES_OF_ROLE, new_key
from loyalty.domain.calendar import Calendar
from loyalty.domain.expiry import Expiry, Lifespan
from loyalty.domain.ladder import Ladder, Rung
from loyalty.domain.programme import Programme, Wallet
from loyalty.embedded import EmbeddedPostgres
from loyalty.store import migrations, seeding
from loyalty.store.sealing import Sealer

DATABASE = "chaos"
RUNNER = "loyalty_runner"
MAX_CONNECTIONS = 60
SHUTDOWN_S = 5
START_S = 60.0
"""How long the first start may take, on a machine with much else to do."""
LEAVES_S = 20.0
"""How long the port of a killed server may stay taken."""

_PENDING = timedelta(seconds=2)
PROGRAMME = Programme(
    id=0,
    code="chaos",
    currency="CNY",
    calendar=Calendar(ZoneInfo("Asia/Shanghai")),
    wallets={
        "points": Wallet("points", 1, UNITS["points"], _PENDING, Expiry(Lifespan.MONTHS, 12), 1),
        "coins": Wallet("coins", 1, UNITS["coins"], _PENDING, Expiry(Lifespan.NEVER_ENDS), 1),
    },
    ladder=Ladder((Rung("member", 0), Rung("silver", 1_000_00), Rung("gold", 50_000_00))),
    forced_sources=frozenset({OFFLINE}),
    hold_grace=timedelta(seconds=3),
    refund_grace_days=2,
    transfers=True,
    adjustment_limit=LIMIT,
)
"""Purchases mature within seconds, so that much falls due while it is being fought over."""

SAFE_FROM_A_CRASH = {"synchronous_commit": "on", "max_connections": str(MAX_CONNECTIONS)}
"""Whatever else is relaxed for a short run: what Postgres has committed survives the end of its processes."""


class NotReady(Exception):
    """A server did not become what it should be in time."""


class Site:
    """Everything that runs. Use `a_site`."""

    def __init__(
        self, room: Path, postgres: EmbeddedPostgres, proxy: Proxy, *, durable: bool, programme: Programme
    ) -> None:
        self.room = room
        self.postgres = postgres
        self.proxy = proxy
        self.tokens: dict[str, str] = {}
        """A key for every role."""
        self.ports: list[int] = []
        self.servers: list[Server] = []
        self.worker: subprocess.Popen[bytes] | None = None
        self._durable = durable
        self._programme = programme
        self._processes: Sequence[int] = ()
        self._secret = secrets.token_hex(32)
        self._http = httpx2.AsyncClient(timeout=10, headers={"Connection": "close"})

    @property
    def addresses(self) -> list[str]:
        return [f"http://127.0.0.1:{port}" for port in self.ports]

    @property
    def environment(self) -> dict[str, str]:
        """The settings of every process of the service."""
        return {
            "LOYALTY_DATABASE_URL": self.proxy.url(self.postgres.url(RUNNER, DATABASE)),
            "LOYALTY_SECRET": self._secret,
            "LOYALTY_SHUTDOWN_S": str(SHUTDOWN_S),
        }

    @property
    def address_of_owner(self) -> str:
        """The database as whoever migrates it reaches it."""
        return self.postgres.url(database=DATABASE)

    async def open(self, processes: Sequence[int]) -> None:
        """A migrated database, keys, a server for each number of processes, a worker; all of them ready."""
        self.postgres.run("createdb", DATABASE)
        owner = self.postgres.url(database=DATABASE)
        await migrations.upgrade(owner, ("loyalty_run", self.postgres.url(RUNNER, DATABASE)))
        programme = await seeding.ensure_programme(owner, self._programme)
        sealer = Sealer(self._secret.encode())
        made = {role: new_key(sealer, programme.id, role) for role in SCOPES_OF_ROLE}
        self.tokens = {role: token for role, (token, _) in made.items()}
        await seeding.add_keys(owner, [key for _, key in made.values()])
        self._processes = processes
        self.ports = [a_lasting_port() for _ in processes]
        self.servers = [self._server(place) for place in range(len(processes))]
        self.start_worker()
        for place in range(len(processes)):
            await self.ready(place, START_S)

    async def close(self) -> None:
        for server in self.servers:
            server.kill()
        if self.worker is not None:
            self.worker.kill()
            self.worker.wait()
        await self._http.aclose()

    async def start_again(self, place: int) -> None:
        """Start the server of this place anew, as a supervisor would: until the port is free. Raises NotReady."""
        deadline = time.monotonic() + LEAVES_S
        while not is_free(self.ports[place]):
            if time.monotonic() > deadline:
                raise NotReady(f"the port of a server that is gone was still taken after {LEAVES_S:.0f} s")
            await asyncio.sleep(0.02)
        self.servers[place] = self._server(place)

    def start_worker(self) -> None:
        self.worker = started(["worker"], self.environment, self.room / "worker.log")

    async def stop_postgres(self) -> None:
        """An immediate stop: no goodbye, recovery at the next start."""
        os.kill(self.postgres.pid, signal.SIGQUIT)
        self.proxy.target = None
        await asyncio.to_thread(self.postgres.stop)

    async def start_postgres(self) -> None:
        self.postgres = await asyncio.to_thread(_postgres, self.room, durable=self._durable)
        self.proxy.target = self.postgres.socket_dir

    async def ready(self, place: int, within: float) -> None:
        """Return once every process of this server says it is ready, as far as can be told from outside."""
        deadline = time.monotonic() + within
        wanted = 3 * self._processes[place]  # in a row, each on a connection of its own
        count = 0
        while count < wanted:
            if time.monotonic() > deadline:
                raise NotReady(f"server {place} was not ready within {within:.0f} s")
            count = count + 1 if await self._says_ready(place) else 0
            if not count:
                await asyncio.sleep(0.02)

    async def connect(self, role: str = "postgres") -> "asyncpg.Connection[asyncpg.Record]":
        """A connection of ours, straight to Postgres."""
        return await asyncpg.connect(host=str(self.postgres.socket_dir), user=role, database=DATABASE)

    async def migration_fails(self) -> bool:
        """Whether `loyalty migrate` fails, asked once more by an operator."""
        environment = {**self.environment, "LOYALTY_MIGRATION_URL": self.address_of_owner}
        migration = started(["migrate"], environment, self.room / "migrate.log")
        return bool(await asyncio.to_thread(migration.wait))

    async def verified(self) -> str | None:
        """What `loyalty verify` has to say against the ledger; None when it is content."""
        log = self.room / "verify.log"
        verify = started(["verify"], self.environment, log)
        code = await asyncio.to_thread(verify.wait)
        return None if code == 0 else log.read_text()

    def _server(self, place: int) -> Server:
        log = self.room / f"server-{place}.log"
        return Server(self.ports[place], self._processes[place], self.environment, log)

    async def _says_ready(self, place: int) -> bool:
        with contextlib.suppress(httpx2.TransportError):
            return (await self._http.get(f"{self.addresses[place]}/readyz")).status_code == 200
        return False


@asynccontextmanager
async def a_site(
    room: Path, *, processes: Sequence[int], durable: bool, programme: Programme = PROGRAMME
) -> AsyncIterator[Site]:
    """The site at work; everything of it but the logs is gone afterwards."""
    postgres = _postgres(room, durable=durable)
    site: Site | None = None
    try:
        async with a_proxy(postgres.socket_dir) as proxy:
            site = Site(room, postgres, proxy, durable=durable, programme=programme)
            try:
                await site.open(processes)
                yield site
            finally:
                await site.close()
    finally:
        (postgres if site is None else site.postgres).discard()


def _postgres(room: Path, *, durable: bool) -> EmbeddedPostgres:
    return EmbeddedPostgres.start(room / "postgres", durable=durable, settings=SAFE_FROM_A_CRASH)
