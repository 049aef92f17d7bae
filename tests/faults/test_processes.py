"""Real server processes under load, asked to stop or killed: what was answered is true, and it happened once."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from typing import NamedTuple

import httpx2
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from bench.chaos.server import Server, a_lasting_port, is_free
from loyalty.api.access import new_key
from loyalty.domain.programme import Programme
from loyalty.operations.lanes import Lanes
from loyalty.store import seeding
from loyalty.store.sealing import Sealer
from tests.conftest import ProgrammeFactory, Urls
from tests.faults.scene import Town, a_town, audit, references, until

SECRET = "a secret of nobody, for these tests only"
DEADLINE_S = 5
"""LOYALTY_SHUTDOWN_S of the servers here."""
START_S = 60
CLIENTS = 16


class Site(NamedTuple):
    """Where a server of these tests listens, and who may call it."""

    port: int
    token: str
    town: Town
    environment: dict[str, str]

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture
async def site(urls: Urls, programme: ProgrammeFactory, lanes: Lanes) -> Site:
    plain: Programme = await programme()
    token, key = new_key(Sealer(SECRET.encode()), plain.id, "pos")
    await seeding.add_keys(urls.owner, [key])
    environment = {
        "LOYALTY_DATABASE_URL": urls.running,
        "LOYALTY_SECRET": SECRET,
        "LOYALTY_SHUTDOWN_S": str(DEADLINE_S),
    }
    return Site(a_lasting_port(), token, await a_town(plain, lanes, 8), environment)


def a_server(site: Site, processes: int) -> Server:
    return Server(site.port, processes, site.environment)


@pytest.fixture
def servers(site: Site) -> Iterator[list[Server]]:
    """Every server that a test has started; none outlives it."""
    started: list[Server] = []
    yield started
    for server in started:
        server.kill()


class Clients:
    """Tills that send accruals, each under its key again until it has a definite answer or they are told to stop."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.unanswered: set[str] = set()
        self.refused: dict[str, str] = {}
        """Sent, and told 503 with this code at last."""
        self.unexpected: list[str] = []
        self._stopping = asyncio.Event()
        headers = {"Authorization": f"Bearer {site.token}"}
        self._http = httpx2.AsyncClient(base_url=site.address, headers=headers, timeout=10)
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Clients":
        await until(self.ready, within=START_S)
        self._tasks = [asyncio.create_task(self._work(number)) for number in range(CLIENTS)]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        await self._http.aclose()

    async def ready(self) -> bool:
        with contextlib.suppress(httpx2.TransportError):
            return (await self._http.get("/readyz")).status_code == 200
        return False

    async def _work(self, number: int) -> None:
        turn = 0
        while not self._stopping.is_set():
            name = f"{number}/{turn}"
            turn += 1
            while not await self._send(name, number):
                if self._stopping.is_set():
                    return
                await asyncio.sleep(0.02)

    async def _send(self, name: str, number: int) -> bool:
        """Whether there was a definite answer."""
        members = self.site.town.members
        body = {
            "member": {"id": f"mem_{members[number % len(members)]}"},
            "points": 1,
            "reason": "test",
            "source": "till",
            "reference": name,
        }
        try:
            answer = await self._http.post("/v1/accruals", json=body, headers={"Idempotency-Key": name})
        except httpx2.TransportError:
            self.unanswered.add(name)
            return False
        if answer.status_code == 201:
            self.answers[name] = (answer.status_code, answer.content)
        elif answer.status_code == 503 and "retry-after" in answer.headers:
            self.refused[name] = answer.json()["code"]
        else:
            self.unexpected.append(f"{answer.status_code} {answer.text}")
        return name in self.answers

    async def more(self, count: int, *, within: float = 20) -> None:
        """Return once so many more were acknowledged."""
        wanted = len(self.answers) + count

        async def enough() -> bool:
            return len(self.answers) >= wanted

        await until(enough, within=within)

    async def stop(self) -> None:
        """Begin nothing new, and wait for what is on its way."""
        self._stopping.set()
        await asyncio.gather(*self._tasks)

    async def told_the_truth(self, owner: AsyncEngine) -> None:
        """Whatever was acknowledged is in the journal once, with these bytes; the rest once or not at all."""
        assert not self.unexpected, self.unexpected[:3]
        records = await audit(owner, self.site.town.programme)
        happened = references(records)
        assert len(happened) == len(set(happened)), "nothing happens twice"
        assert self.answers.keys() <= set(happened), "nothing acknowledged is lost"
        assert set(happened) <= self.answers.keys() | self.unanswered | {
            name for name, code in self.refused.items() if code == "unavailable"
        }, "what was refused did not happen"
        kept = {key.key: (replay.status, replay.body) for key, replay in records.replays.items()}
        assert {name: kept[name] for name in self.answers} == self.answers


@pytest.mark.parametrize("processes", [1, 2])
async def test_a_server_asked_to_stop_answers_what_it_has_begun_and_ends_with_0(
    processes: int, site: Site, servers: list[Server], owner: AsyncEngine
) -> None:
    servers.append(a_server(site, processes))
    async with Clients(site) as clients:
        await clients.more(100)
        servers[0].process.send_signal(signal.SIGTERM)
        assert await servers[0].ended(2 * DEADLINE_S) == 0
        await clients.stop()
        await clients.told_the_truth(owner)


async def test_a_killed_server_started_again_lost_nothing_it_acknowledged_and_doubles_nothing(
    site: Site, servers: list[Server], owner: AsyncEngine
) -> None:
    servers.append(a_server(site, 1))
    async with Clients(site) as clients:
        await clients.more(100)
        servers[0].process.kill()
        await servers[0].ended(5)
        servers.append(a_server(site, 1))
        await clients.more(100)
        await clients.stop()
        await clients.told_the_truth(owner)


async def test_a_killed_process_among_several_is_replaced_and_nothing_is_lost(
    site: Site, servers: list[Server], owner: AsyncEngine
) -> None:
    servers.append(a_server(site, 2))
    async with Clients(site) as clients:
        await clients.more(100)
        killed = servers[0].workers()[0]
        os.kill(killed, signal.SIGKILL)

        async def replaced() -> bool:
            return len(set(servers[0].workers()) - {killed}) == 2

        await clients.more(50)
        await until(replaced)
        await clients.more(50)
        servers[0].process.send_signal(signal.SIGTERM)
        assert await servers[0].ended(2 * DEADLINE_S) == 0
        await clients.stop()
        await clients.told_the_truth(owner)


async def test_the_processes_of_a_killed_supervisor_leave_and_free_its_port(
    site: Site, servers: list[Server], owner: AsyncEngine
) -> None:
    servers.append(a_server(site, 2))
    async with Clients(site) as clients:
        await clients.more(50)
        servers[0].process.kill()
        await servers[0].ended(5)

        async def left() -> bool:
            return is_free(site.port)

        await until(left)
        servers.append(a_server(site, 2))
        await clients.more(50)
        await clients.stop()
        await clients.told_the_truth(owner)
