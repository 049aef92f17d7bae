"""Postgres goes away under load: in COMMIT, connection by connection, or all of it at once."""

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from bench.chaos.proxy import Commits, Proxy, a_proxy
from loyalty.embedded import EmbeddedPostgres
from loyalty.operations.door import Answer
from loyalty.operations.lanes import Lanes, Overloaded
from loyalty.operations.retry import Unavailable
from loyalty.store import migrations
from loyalty.store.database import Database
from tests.conftest import Urls, binaries_of, kept_programme
from tests.faults.conftest import TownFactory
from tests.faults.scene import Town, a_town, audit, everything, references
from tests.makers import a_programme

READY_AGAIN_S = 10.0


@pytest.mark.parametrize("loss", [Commits.LOSE, Commits.LOSE_ANSWER])
async def test_a_connection_lost_in_commit_makes_one_entry_of_each_command_and_answers_all(
    loss: Commits, town: TownFactory, proxied: Lanes, proxy: Proxy, owner: AsyncEngine
) -> None:
    here = await town(members=4)
    proxy.next_commits(loss)
    tasks = [asyncio.create_task(proxied.submit(here.gives(n % 4, ref=f"r{n}", key=f"k{n}"))) for n in range(20)]
    answers = await everything(tasks)
    assert proxy.cuts == 1
    assert {answer.status for answer in answers} == {201}
    assert {answer.replayed for answer in answers} == {loss is Commits.LOSE_ANSWER}, "the claim told"
    records = await audit(owner, here.programme)
    assert references(records) == sorted(f"r{n}" for n in range(20))
    assert {key.key: kept.body for key, kept in records.replays.items()} == {
        f"k{n}": answer.body for n, answer in enumerate(answers)
    }


async def test_a_connection_lost_in_one_commit_after_the_other_still_ends_in_one_entry(
    town: TownFactory, proxied: Lanes, proxy: Proxy, owner: AsyncEngine
) -> None:
    here = await town(members=1)
    proxy.next_commits(Commits.LOSE, Commits.LOSE, Commits.LOSE_ANSWER, Commits.LOSE_ANSWER)
    answer = await proxied.submit(here.gives(0, ref="r", key="k"))
    assert (answer.status, answer.replayed) == (201, True)
    assert references(await audit(owner, here.programme)) == ["r"]


async def test_a_database_that_cannot_be_reached_is_told_within_seconds_and_costs_nothing(
    town: TownFactory, proxied: Lanes, proxy: Proxy, owner: AsyncEngine
) -> None:
    here = await town(members=1)
    target, proxy.target = proxy.target, None
    proxy.drop_all()
    begun = time.monotonic()
    answers = await everything([asyncio.create_task(proxied.submit(here.gives(0, ref="r", key="k")))])
    assert isinstance(answers[0], Unavailable)
    assert time.monotonic() - begun < 5
    assert not references(await audit(owner, here.programme))
    proxy.target = target
    assert (await proxied.submit(here.gives(0, ref="r", key="k"))).status == 201


class Tills:
    """Clients that send one command after the other, each again and again under its key until it is answered."""

    def __init__(self, here: Town, *lanes: Lanes, count: int = 24) -> None:
        self.here, self.lanes = here, lanes
        self.acknowledged: dict[str, Answer] = {}
        self.unavailable = 0
        self._open = True
        self._tasks = [asyncio.create_task(self._work(number)) for number in range(count)]

    async def _work(self, number: int) -> None:
        turn = 0
        while self._open:
            name = f"{number}/{turn}"
            turn += 1
            while name not in self.acknowledged:
                ask = self.here.gives(number % len(self.here.members), ref=name, key=name)
                try:
                    self.acknowledged[name] = await self.lanes[turn % len(self.lanes)].submit(ask)
                except (Unavailable, Overloaded):
                    self.unavailable += 1
                    await asyncio.sleep(0.01)

    async def more(self, count: int, *, within: float = READY_AGAIN_S) -> None:
        """Return once so many more were acknowledged."""
        wanted = len(self.acknowledged) + count
        async with asyncio.timeout(within):
            while len(self.acknowledged) < wanted:
                await asyncio.sleep(0.002)
                for task in self._tasks:
                    if task.done():
                        task.result()

    async def stop(self) -> None:
        """Let everyone finish what it has begun."""
        self._open = False
        for result in await everything(self._tasks):
            assert result is None, result


async def told_the_truth(owner: AsyncEngine, tills: Tills) -> None:
    """Nothing acknowledged is lost, nothing happened twice, no answer contradicts what is kept."""
    records = await audit(owner, tills.here.programme)
    assert references(records) == sorted(tills.acknowledged)
    assert {answer.status for answer in tills.acknowledged.values()} == {201}
    kept = {key.key: replay.body for key, replay in records.replays.items()}
    assert kept == {name: answer.body for name, answer in tills.acknowledged.items()}


async def test_all_connections_terminated_under_load_lose_nothing_and_double_nothing(
    town: TownFactory, lanes: Lanes, rival: Lanes, owner: AsyncEngine
) -> None:
    tills = Tills(await town(members=8), lanes, rival)
    for _ in range(6):
        await tills.more(30)
        async with owner.connect() as connection:
            ended = await connection.scalar(
                text(
                    "select count(pg_terminate_backend(pid)) from pg_stat_activity"
                    " where datname = current_database() and usename = 'loyalty_runner'"
                )
            )
        assert ended
    await tills.more(30)
    await tills.stop()
    await told_the_truth(owner, tills)
    assert not tills.unavailable, "none of the clients noticed"


async def test_connections_cut_at_random_commits_under_load_lose_nothing_and_double_nothing(
    town: TownFactory, proxied: Lanes, proxy: Proxy, owner: AsyncEngine
) -> None:
    tills = Tills(await town(members=8), proxied)
    for rules in ([Commits.LOSE], [Commits.LOSE_ANSWER], [Commits.PASS, Commits.LOSE_ANSWER, Commits.LOSE]):
        proxy.next_commits(*rules)
        await tills.more(60)
    proxy.drop_all()
    await tills.more(60)
    await tills.stop()
    assert proxy.cuts == 4
    await told_the_truth(owner, tills)


@pytest.fixture
def durable_place() -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="loyalty-test-"))
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


async def test_postgres_stopped_at_once_and_started_again_under_load(
    durable_place: Path, request: pytest.FixtureRequest
) -> None:
    binaries = binaries_of(request.config.getoption("--postgres"))
    server = EmbeddedPostgres.start(durable_place, binaries=binaries)
    with contextlib.ExitStack() as undo:
        undo.callback(lambda: server.discard())
        urls = Urls(server.url(), server.url("loyalty_runner"))
        await migrations.upgrade(urls.owner, ("loyalty_run", urls.running))
        async with a_proxy(server.socket_dir) as proxy:
            owner = create_async_engine(proxy.url(urls.owner), poolclass=NullPool)
            database = Database(proxy.url(urls.running))
            lanes = Lanes(database, count=2)
            lanes.start()
            tills = Tills(await a_town(await kept_programme(owner, a_programme()), lanes, 8), lanes)
            await tills.more(40)
            os.kill(server.pid, signal.SIGQUIT)  # an immediate stop: no goodbye, recovery at the next start
            proxy.target = None
            await asyncio.to_thread(server.stop)
            server = await asyncio.to_thread(EmbeddedPostgres.start, durable_place, binaries=binaries)
            proxy.target = server.socket_dir
            await tills.more(40)
            await tills.stop()
            await told_the_truth(owner, tills)
            assert await lanes.drain(10)
            await database.close()
            await owner.dispose()
