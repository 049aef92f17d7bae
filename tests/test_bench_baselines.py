"""The yardsticks do the work that the service does: otherwise measuring against them would say nothing."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
import uuid_utils
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from bench import pgbench
from bench.baselines import conventional, ordinary_route
from bench.ground import HERE, PROGRAMME
from bench.members import card, load_members
from loyalty.api import accruals
from loyalty.domain.claims import Claim, ReferenceKind, ReplayKey, reference_key
from loyalty.domain.earning import Order
from loyalty.domain.entries import Because
from loyalty.domain.ids import FactId, MemberId
from loyalty.domain.programme import Programme
from loyalty.domain.refusals import Refusal
from loyalty.domain.state import Moment
from loyalty.operations.accrue import Purchase
from loyalty.operations.command import Receipt
from loyalty.operations.door import Submission, commit_batch
from loyalty.store import seeding
from loyalty.store.database import Database
from tests.conftest import Cluster, Urls

TABLES = (
    *("member", "book", "lot", "entry", "posting", "draw", "event", "replay", "reference", "identity"),
    *("net_spend", "tier_step", "person", "consent"),
)
OF_ONE_RUN = frozenset(
    {"bucket", "id", "member_id", "entry_id", "fact_id", "hash", "head", "xid", "fingerprint", "body", "tier_since"}
)
"""Columns that differ from one run to the next; so do all instants."""

LINES = [{"line_id": "1", "sku": "LEGO-1", "category": "toys", "quantity": 1, "amount": 19900}]
BODY = {
    "member": {"number": card(0)},
    "source": "pos-1",
    "reference": "R-1",
    "store": "SH-001",
    "currency": "CNY",
    "lines": LINES,
}
KEY = "K-1"

Accrue = Callable[["Scene"], Awaitable[bytes]]


class Scene:
    """A database with two members, and the programme they belong to."""

    def __init__(
        self, urls: Urls, connection: "asyncpg.Connection[asyncpg.Record]", programme: Programme, member_id: MemberId
    ) -> None:
        self.urls = urls
        self.connection = connection
        self.programme = programme
        self.member_id = member_id


@asynccontextmanager
async def a_scene(cluster: Cluster) -> AsyncIterator[Scene]:
    urls = cluster.a_database()
    programme = await seeding.ensure_programme(urls.owner, PROGRAMME)
    url = make_url(urls.owner)
    connection = await asyncpg.connect(host=str(url.query["host"]), user=url.username, database=url.database)
    try:
        ids = await load_members(connection, programme.id, 2)
        yield Scene(urls, connection, programme, MemberId(ids[0]))
    finally:
        await connection.close()


async def service(scene: Scene) -> bytes:
    """One accrual through the service's door."""
    now = datetime.now(UTC)
    day = scene.programme.calendar.business_date(now)

    def render(outcome: Receipt | Refusal) -> tuple[int, bytes]:
        assert isinstance(outcome, Receipt)
        return accruals.say(scene.programme, outcome)

    command = Purchase(
        scene.member_id,
        Order("CNY", 19900, LINES),
        Because("pos-1", "R-1", "SH-001"),
        reference_key(scene.programme, ReferenceKind.ACCRUAL, source="pos-1", reference="R-1", day=day),
        day,
        scene.programme.rules_at(now),
    )
    moment = Moment(FactId(uuid_utils.uuid7().hex), now, now)
    claim = Claim(ReplayKey("till", "", KEY), bytes(32))
    database = Database(scene.urls.running)
    try:
        answers = await commit_batch(database, [Submission(scene.programme, command, moment, render, claim)])
    finally:
        await database.close()
    return answers[0].body


async def p1(scene: Scene) -> bytes:
    """One call of the hand-written function."""
    exists = await scene.connection.fetchval("select to_regproc('p1_accrue')")
    if exists is None:
        await scene.connection.execute((HERE / "baselines" / "p1.sql").read_text())
        await scene.connection.execute("update identity set bucket = p1_bucket(convert_from(lookup, 'UTF8'))")
    answer: str = await scene.connection.fetchval(
        "select p1_accrue($1, $2, $3, 'pos-1', 'R-1', 'SH-001', 19900, $4, $5, $6)",
        scene.programme.id,
        card(0),
        KEY,
        json.dumps(LINES),
        bytes(32),
        pgbench.ANSWER_BYTES,
    )
    return answer.encode()


async def p2(scene: Scene) -> bytes:
    """One request of the conventional service, below its HTTP."""
    engine = create_async_engine(scene.urls.owner)
    order = ordinary_route.Order.model_validate(BODY)
    try:
        async with AsyncSession(engine) as session, session.begin():
            _, body = await conventional.accrued(session, order, client_id="till", key=KEY)
    finally:
        await engine.dispose()
    return body


async def rows(scene: Scene) -> Counter[str]:
    """Every row of the ledger as text, without what differs from run to run, and how often it is there."""
    found: Counter[str] = Counter()
    for table in TABLES:
        for record in await scene.connection.fetch(f"select to_json(t)::text from {table} t"):
            row: dict[str, Any] = json.loads(record[0])
            kept = {name: value for name, value in row.items() if name not in OF_ONE_RUN and not name.endswith("_at")}
            found[f"{table} {json.dumps(kept, sort_keys=True)}"] += 1
    return found


async def written(cluster: Cluster, accrue: Accrue) -> Counter[str]:
    """The rows that one accrual adds or changes, as it leaves them."""
    async with a_scene(cluster) as scene:
        before = await rows(scene)
        await accrue(scene)
        return await rows(scene) - before


@pytest.fixture
def cluster_18(cluster: Cluster) -> Cluster:
    """P1 makes its ids with `uuidv7()`."""
    if int(cluster.server.run("psql", "-XAtc", "show server_version_num")) < 180000:
        pytest.skip("the yardsticks need PostgreSQL 18")
    return cluster


@pytest.mark.parametrize("yardstick", [p1, p2])
async def test_a_yardstick_writes_the_rows_that_the_service_writes(cluster_18: Cluster, yardstick: Accrue) -> None:
    expected = await written(cluster_18, service)
    assert await written(cluster_18, yardstick) == expected
    tables = Counter(row.partition(" ")[0] for row in expected.elements())
    assert tables == Counter(["member", "book", "lot", "entry", "posting", "event", "replay", "reference", "net_spend"])


@pytest.mark.parametrize("yardstick", [p1, p2])
async def test_a_yardstick_chains_the_entry_and_answers_a_retry_alike(cluster_18: Cluster, yardstick: Accrue) -> None:
    async with a_scene(cluster_18) as scene:
        first = await yardstick(scene)
        after = await rows(scene)
        assert await yardstick(scene) == first
        assert await rows(scene) == after
        chained = "select count(*) from member m join entry e on e.member_id = m.id and e.hash = m.head"
        assert await scene.connection.fetchval(chained) == 1


async def test_the_answers_of_the_yardsticks_are_as_long_as_the_service_s(cluster_18: Cluster) -> None:
    async with a_scene(cluster_18) as scene:
        length = len(await service(scene))
    order = ordinary_route.Order.model_validate(BODY)
    for yardstick in (pgbench.ANSWER_BYTES, len(ordinary_route.answer_to(order).model_dump_json())):
        assert yardstick == pytest.approx(length, rel=0.05)
