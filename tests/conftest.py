"""What tests share: how hard hypothesis tries, and a Postgres of their own.

`pytest --postgres 15` (or LOYALTY_TEST_POSTGRES=15) runs on a PostgreSQL installed on this machine instead of
the one in the wheel; `--hypothesis-profile=thorough` tries for as long as it takes.
"""

import asyncio
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from loyalty.domain.programme import Programme
from loyalty.embedded import EmbeddedPostgres, installed_servers
from loyalty.operations.lanes import Lanes
from loyalty.store import migrations, programmes
from loyalty.store.database import Database

_UNHURRIED = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile(
    "steady", derandomize=True, deadline=None, max_examples=60, stateful_step_count=25, suppress_health_check=_UNHURRIED
)
settings.register_profile(
    "thorough", deadline=None, max_examples=2_000, stateful_step_count=60, suppress_health_check=_UNHURRIED
)
settings.load_profile("steady")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--postgres",
        default=os.environ.get("LOYALTY_TEST_POSTGRES"),
        metavar="MAJOR",
        help="run on the installed PostgreSQL of this major version instead of the embedded one",
    )


class Cluster(NamedTuple):
    """A running Postgres with a migrated database to copy."""

    server: EmbeddedPostgres
    template: str

    def a_database(self) -> "Urls":
        """A new database, migrated already."""
        name = f"test_{secrets.token_hex(6)}"
        self.server.run("createdb", "--template", self.template, name)
        return Urls(owner=self.server.url(database=name), running=self.server.url("loyalty_runner", name))


class Urls(NamedTuple):
    """Addresses of one database: as the role that owns it (here a superuser), and as the one that runs."""

    owner: str
    running: str


def a_cluster(binaries: Path | None) -> Iterator[Cluster]:
    """A server in a directory that its user can reach, discarded at the end."""
    place = Path(tempfile.mkdtemp(prefix="loyalty-test-"))
    place.chmod(0o755)  # pytest's own directories are closed to the user that Postgres runs as under root
    server = EmbeddedPostgres.start(place, durable=False, binaries=binaries)
    try:
        server.run("createdb", "template_migrated")
        _migrate(server, "template_migrated")
        yield Cluster(server, "template_migrated")
    finally:
        server.discard()
        shutil.rmtree(place)


def _migrate(server: EmbeddedPostgres, database: str) -> None:
    owner, runner = server.url(database=database), server.url("loyalty_runner", database)
    asyncio.run(migrations.upgrade(owner, ("loyalty_run", runner)))


def binaries_of(major: str | None) -> Path | None:
    """The programs of an installed PostgreSQL; None for the embedded one. Skips when it is not there."""
    if not major:
        return None
    found = installed_servers().get(int(major))
    if found is None:
        pytest.skip(f"PostgreSQL {major} is not installed here")
    return found


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """One for each worker of a test session."""
    yield from a_cluster(binaries_of(request.config.getoption("--postgres")))


@pytest.fixture(scope="session")
def cluster_15() -> Iterator[Cluster]:
    """The oldest PostgreSQL we promise to run on."""
    yield from a_cluster(binaries_of("15"))


@pytest.fixture(scope="session")
def urls(cluster: Cluster) -> Urls:
    """The database that the tests of a worker share, each with programmes of its own."""
    return cluster.a_database()


@pytest.fixture
async def owner(urls: Urls) -> AsyncIterator[AsyncEngine]:
    """The owner's connections: to prepare what the service may not, and to look behind every wall."""
    engine = create_async_engine(urls.owner, poolclass=NullPool)
    yield engine
    await engine.dispose()


@pytest.fixture
async def database(urls: Urls) -> AsyncIterator[Database]:
    """The service's own connections, under the running role."""
    database = Database(urls.running)
    yield database
    await database.close()


ProgrammeFactory = Callable[..., Awaitable[Programme]]


@pytest.fixture
def programme(owner: AsyncEngine) -> ProgrammeFactory:
    """Makes a programme that nobody else uses: `await programme(a_wallet(), currency="EUR")`."""

    async def create(*wallets: Any, **changes: Any) -> Programme:
        from tests.makers import a_programme

        return await kept_programme(owner, a_programme(*wallets, **changes))

    return create


async def kept_programme(owner: AsyncEngine, wanted: Programme) -> Programme:
    """The programme under a code of its own, with the id it was given."""
    fresh = wanted._replace(code=f"test-{secrets.token_hex(6)}")
    async with owner.begin() as connection:
        return fresh._replace(id=await programmes.ensure(connection, fresh))


@pytest.fixture
async def lanes(database: Database) -> AsyncIterator[Lanes]:
    """Lanes at work over the database."""
    lanes = Lanes(database, count=2)
    lanes.start()
    yield lanes
    assert await lanes.drain(10), "the lanes finish what waits"
