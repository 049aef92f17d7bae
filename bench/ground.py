"""The ground everything is measured on: one durable Postgres, a database for each contender, members in each."""

import asyncio
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import asyncpg

from bench.members import load_members
from bench.rules import A_DOZEN, publish_at_once
from loyalty.api.access import new_key
from loyalty.domain.calendar import Calendar
from loyalty.domain.expiry import Expiry, Lifespan
from loyalty.domain.ladder import Ladder, Rung
from loyalty.domain.programme import Programme, Wallet
from loyalty.embedded import EmbeddedPostgres
from loyalty.store import migrations, seeding
from loyalty.store.database import Database
from loyalty.store.sealing import Sealer

HERE = Path(__file__).parent
SERVICE, RULES, P1, P2 = "service", "rules", "p1", "p2"
RUNNER = "loyalty_runner"

SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "1GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "1h",  # one is taken before every count instead, so that all begin alike
    "max_connections": "200",
}

OUT_OF_REACH = 10**14
PROGRAMME = Programme(
    id=0,
    code="bench",
    currency="CNY",
    calendar=Calendar(ZoneInfo("Asia/Shanghai")),
    wallets={"points": Wallet("points", 1, 100, timedelta(days=7), Expiry(Lifespan.YEAR_END, 1), 1)},
    ladder=Ladder((Rung("member", 0), Rung("silver", OUT_OF_REACH), Rung("gold", 2 * OUT_OF_REACH))),
)
"""As the demo, but no member rises: the yardsticks have no tiers."""
TOP_TIER = 10**12
GROWN = PROGRAMME._replace(
    wallets={**PROGRAMME.wallets, "stars": Wallet("stars", 0, 100, timedelta(0), Expiry(Lifespan.SLIDING, 6), 0)},
    transfers=True,
    adjustment_limit=40,
    forced_sources=frozenset({"tour"}),
    ladder=Ladder(
        (Rung("member", 0), Rung("silver", 100_000), Rung("gold", TOP_TIER)),
        metric=(("net_spend", 1), ("visits", 1)),
    ),
)
"""With every verb within reach: for histories that fill every table. Its members rise, some purchases cost a step."""


class Ground(NamedTuple):
    """What the contenders share."""

    postgres: EmbeddedPostgres
    programme: Programme
    secret: str
    token: str
    members: int
    member_ids: Path
    """A file with the members' ids, a line each, in the order of their cards."""
    room: Path
    """A directory for logs and the like; gone when the run ends."""
    database: str = SERVICE
    """The one that the service works on."""

    def run_sql(self, database: str, *statements: str) -> None:
        """Run statements as the owner, each in a transaction of its own."""
        self.postgres.run("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", database, input=";\n".join(statements))


@contextmanager
def prepared_ground(members: int) -> Iterator[Ground]:
    """The ground, with everything loaded; Postgres and its data are gone afterwards."""
    hidden = HERE.parent / ".loyalty"
    hidden.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=hidden, prefix="bench-") as room:
        postgres = EmbeddedPostgres.start(Path(room) / "postgres", settings=SETTINGS)
        try:
            yield _prepare(postgres, members, Path(room))
        finally:
            postgres.discard()


def _prepare(postgres: EmbeddedPostgres, members: int, room: Path) -> Ground:
    postgres.run("createdb", SERVICE)
    secret = secrets.token_hex(32)
    programme, token = asyncio.run(_with_programme_and_key(postgres, secret))
    ids = asyncio.run(_with_members(postgres, programme, members))
    member_ids = room / "members"
    member_ids.write_text("".join(f"{id_}\n" for id_ in ids))
    ground = Ground(postgres, programme, secret, token, members, member_ids, room)
    for copy in (RULES, P1, P2):
        postgres.run("createdb", "--template", SERVICE, copy)
    asyncio.run(_with_rules(postgres, programme))
    ground.run_sql(P1, (HERE / "baselines" / "p1.sql").read_text())
    ground.run_sql(
        P1,
        "update identity set bucket = p1_bucket(convert_from(lookup, 'UTF8'))",
        "vacuum full analyze identity",
    )
    return ground


async def _with_programme_and_key(postgres: EmbeddedPostgres, secret: str) -> tuple[Programme, str]:
    owner = postgres.url(database=SERVICE)
    await migrations.upgrade(owner, ("loyalty_run", postgres.url(RUNNER, SERVICE)))
    programme = await seeding.ensure_programme(owner, PROGRAMME)
    token, key = new_key(Sealer(secret.encode()), programme.id, "pos", client_id="till")
    await seeding.add_keys(owner, [key])
    return programme, token


async def _with_rules(postgres: EmbeddedPostgres, programme: Programme) -> None:
    database = Database(postgres.url(RUNNER, RULES), door_size=1, reads_size=1)
    try:
        await publish_at_once(database, programme, *A_DOZEN)
    finally:
        await database.close()


async def _with_members(postgres: EmbeddedPostgres, programme: Programme, count: int) -> list[str]:
    connection = await asyncpg.connect(host=str(postgres.socket_dir), user="postgres", database=SERVICE)
    try:
        ids = await load_members(connection, programme.id, count)
        # Not the empty tables: believed to be so, they would be scanned by plans made now and kept.
        await connection.execute("vacuum analyze member, identity, book, lot")
    finally:
        await connection.close()
    return ids
