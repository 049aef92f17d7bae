"""The ground of growth: two databases of one Postgres with equal members, one of them with millions of entries."""

import argparse
import asyncio
import json
import secrets
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import asyncpg

from bench.deep import live_deeply
from bench.ground import GROWN, HERE, RUNNER, SETTINGS, Ground
from bench.histories import LOADING, load_histories
from bench.members import card, load_members
from loyalty.api.access import new_key
from loyalty.config import Settings
from loyalty.embedded import EmbeddedPostgres
from loyalty.store import migrations, seeding
from loyalty.store.sealing import Sealer

LARGE = {**SETTINGS, "shared_buffers": "10GB"}
"""As for the other rows, with as much memory as one gives a database of this size."""
EMPTY_DB, GROWN_DB = "empty", "grown"
CLEANER = "loyalty_cleaner"


class Site(NamedTuple):
    """A ground, and the keys to all of it."""

    ground: Ground
    tokens: tuple[str, str]
    """Of two clients that may do everything."""

    @property
    def settings(self) -> Settings:
        """For what runs in this process."""
        postgres, database = self.ground.postgres, self.ground.database
        return Settings(
            database_url=postgres.url(RUNNER, database),
            migration_url=postgres.url(database=database),
            cleaner_url=postgres.url(CLEANER, database),
            secret=self.ground.secret,  # type: ignore[arg-type]
        )


class Sites(NamedTuple):
    """The same members without and with a history."""

    empty: Site
    grown: Site
    entries: int
    deep_member: str
    """The id of one more member of the grown database, whose own history is very long."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """How much to load, and where."""
    parser.add_argument("--members", type=int, default=100_000)
    parser.add_argument("--entries", type=int, default=10_000_000)
    parser.add_argument("--deep", type=int, default=100_000, metavar="N", help="entries of one member that has many")
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="DIR",
        help="load into this directory and leave it there, or use what an earlier run has left in it",
    )


@contextmanager
def grown_ground(options: argparse.Namespace) -> Iterator[Sites]:
    """Both databases, in a Postgres with durable settings. Unless they are to be kept, nothing of them is left."""
    hidden = HERE.parent / ".loyalty"
    hidden.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=hidden, prefix="bench-") as passing:
        room: Path = options.keep or Path(passing)
        if not (room / _TOLD).exists():
            _load(room, options)
        told = json.loads((room / _TOLD).read_text())
        postgres = EmbeddedPostgres.start(room / "postgres", settings=LARGE)
        try:
            _warm(postgres)
            empty, grown = asyncio.run(_sites(postgres, Path(passing), told["members"]))
            yield Sites(empty, grown, told["entries"], told["deep_member"])
        finally:
            postgres.stop() if options.keep else postgres.discard()


_TOLD: Final = "loaded.json"
"""What was loaded; written when all of it is there."""


def _load(room: Path, options: argparse.Namespace) -> None:
    """Fill the grown database, with settings that make it quick and nothing safe."""
    print(f"Loading {options.entries:,} entries of {options.members:,} members ...", flush=True)
    postgres = EmbeddedPostgres.start(room / "postgres", settings=LOADING)
    try:
        told = asyncio.run(_fill(postgres, options))
    except BaseException:
        postgres.discard()
        raise
    postgres.stop()
    (room / _TOLD).write_text(json.dumps(told))


def _warm(postgres: EmbeddedPostgres) -> None:
    """Read the grown database once: one that has been at work for years is in memory too.

    Into Postgres's own memory, the smaller the later, since of what is small every page is asked for; the system's
    cache of files may be taken back by whoever owns the machine.
    """
    print("Reading it all once ...", flush=True)
    largest_first = (
        "select oid::regclass as it from pg_class where relkind in ('r', 'i') order by pg_relation_size(oid) desc"
    )
    every = f"select sum(pg_prewarm(it, 'buffer')) from ({largest_first}) as relation"
    postgres.run("psql", "-XAtq", "-d", GROWN_DB, "-c", "create extension if not exists pg_prewarm", "-c", every)


async def _fill(postgres: EmbeddedPostgres, options: argparse.Namespace) -> dict[str, object]:
    await _create(postgres, GROWN_DB)
    owner, runner = postgres.url(database=GROWN_DB), postgres.url(RUNNER, GROWN_DB)
    programme = await seeding.ensure_programme(owner, GROWN)
    loaded = await load_histories(owner, runner, programme, member_count=options.members, entries=options.entries)
    print(
        f"{loaded.entries:,} entries in {loaded.seconds:.0f} s; one member with {options.deep:,} more ...", flush=True
    )
    deep_member = await live_deeply(runner, programme, entries=options.deep)
    return {"members": options.members, "entries": loaded.entries + options.deep, "deep_member": deep_member}


async def _create(postgres: EmbeddedPostgres, database: str) -> None:
    """A database of this name, new and migrated."""
    postgres.run("dropdb", "--if-exists", database)
    postgres.run("createdb", database)
    await _migrate(postgres, database)


async def _migrate(postgres: EmbeddedPostgres, database: str) -> None:
    logins = (("loyalty_run", postgres.url(RUNNER, database)), ("loyalty_clean", postgres.url(CLEANER, database)))
    await migrations.upgrade(postgres.url(database=database), *logins)


async def _sites(postgres: EmbeddedPostgres, passing: Path, members: int) -> tuple[Site, Site]:
    """The database that was loaded, and beside it one that is empty, made anew: a run leaves entries in it."""
    await _migrate(postgres, GROWN_DB)  # an earlier commit may have loaded it
    await _create(postgres, EMPTY_DB)
    programme = await seeding.ensure_programme(postgres.url(database=EMPTY_DB), GROWN)
    async with connected(postgres, EMPTY_DB) as connection:
        await load_members(connection, programme.id, members)
        await connection.execute("vacuum analyze member, identity, book, lot")
    return await _site(postgres, EMPTY_DB, members, passing), await _site(postgres, GROWN_DB, members, passing)


_MEMBERS: Final = "select id from member where number between $1 and $2 order by number"


async def _site(postgres: EmbeddedPostgres, database: str, members: int, passing: Path) -> Site:
    """The database as it stands, with keys of this run."""
    owner, secret = postgres.url(database=database), secrets.token_hex(32)
    programme = await seeding.ensure_programme(owner, GROWN)
    clients = (("pos", "till"), ("admin", "first"), ("admin", "second"))
    keys = [new_key(Sealer(secret.encode()), programme.id, role, client_id=client) for role, client in clients]
    await seeding.add_keys(owner, [key for _, key in keys])
    (till, first, second) = (token for token, _ in keys)
    async with connected(postgres, database) as connection:
        # Not those that joined for an earlier tour, nor the one with the long history.
        found = await connection.fetch(_MEMBERS, card(0), card(members - 1))
    member_ids = passing / f"members-{database}"
    member_ids.write_text("".join(f"{row[0].hex}\n" for row in found))
    ground = Ground(postgres, programme, secret, till, len(found), member_ids, passing, database)
    return Site(ground, (first, second))


@asynccontextmanager
async def connected(postgres: EmbeddedPostgres, database: str) -> "AsyncIterator[asyncpg.Connection[Any]]":
    """As the owner."""
    connection = await asyncpg.connect(host=str(postgres.socket_dir), user="postgres", database=database)
    try:
        yield connection
    finally:
        await connection.close()
