"""A second process, a cuttable way to Postgres, and a town to fight over."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest
import structlog

from bench.chaos.proxy import Proxy, a_proxy
from loyalty.operations import door, retry
from loyalty.operations.door import Answer, Submission
from loyalty.operations.lanes import Lanes
from loyalty.store.database import Database
from tests.conftest import Cluster, ProgrammeFactory, Urls
from tests.faults.scene import Town, a_town

TownFactory = Callable[..., Awaitable[Town]]
Batches = list[Sequence[Submission]]


@pytest.fixture(autouse=True, scope="session")
def _plain_traces() -> None:
    """structlog's own default paints every local of every frame: seconds for each error, while the lanes stand."""
    plain = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[structlog.processors.add_log_level, plain])


@pytest.fixture
def town(programme: ProgrammeFactory, lanes: Lanes) -> TownFactory:
    """Makes a town: `await town(members=64)`."""

    async def create(*wallets: Any, members: int = 4) -> Town:
        return await a_town(await programme(*wallets), lanes, members)

    return create


@pytest.fixture
async def rival(urls: Urls) -> AsyncIterator[Lanes]:
    """The lanes of a second process over the same database."""
    database = Database(urls.running)
    lanes = Lanes(database, count=2)
    lanes.start()
    yield lanes
    assert await lanes.drain(10)
    await database.close()


@pytest.fixture
async def proxy(cluster: Cluster) -> AsyncIterator[Proxy]:
    async with a_proxy(cluster.server.socket_dir) as proxy:
        yield proxy


@pytest.fixture
async def proxied(urls: Urls, proxy: Proxy) -> AsyncIterator[Lanes]:
    """One lane of a process that reaches the database through the proxy."""
    database = Database(proxy.url(urls.running))
    lanes = Lanes(database)
    lanes.start()
    yield lanes
    assert await lanes.drain(10)
    await database.close()


@pytest.fixture
async def lane(database: Database) -> AsyncIterator[Lanes]:
    """A single lane, so that what is submitted together is one batch."""
    lanes = Lanes(database)
    lanes.start()
    yield lanes
    assert await lanes.drain(10)


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> Batches:
    """Every batch that is sent to the database from now on, in order, restarts included."""
    seen: Batches = []
    commit_batch = door.commit_batch

    async def noting(database: Database, asks: Sequence[Submission], **more: Any) -> list[Answer]:
        seen.append(asks)
        return await commit_batch(database, asks, **more)

    monkeypatch.setattr(retry, "commit_batch", noting)
    return seen
