"""Balances of the past: what is certainly known never changes, whatever is learnt later."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from loyalty.api.service import Service
from loyalty.domain.calendar import FOREVER
from loyalty.store import past
from loyalty.store.database import Database, fetch
from loyalty.store.horizon import horizon
from tests.api.conftest import Shop, ShopFactory, accepted, refused
from tests.api.lives import Life
from tests.makers import a_wallet
from tests.plans import many_entries, plan

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def database(app: FastAPI) -> Database:
    service: Service = app.state.service
    return service.database


@pytest_asyncio.fixture(loop_scope="session")
async def life(app: FastAPI, shop: Shop) -> Life:
    life = Life(app, shop)
    await life.begins(START)
    return life


def days(count: float) -> datetime:
    return START + timedelta(days=count)


async def asked(shop: Shop, member: Any, **moments: datetime) -> dict[str, Any]:
    path = f"/v1/members/{member['id']}/balance"
    return accepted(await shop.till.get(path, **{name: at.isoformat() for name, at in moments.items()}))


async def figures(life: Life, **moments: datetime) -> tuple[int, int]:
    """Pending and available."""
    points = (await asked(life.shop, life.member, **moments))["wallets"]["points"]
    return points["pending"], points["available"]


async def a_known_moment(database: Database) -> datetime:
    """Now, once it is certainly known."""
    now = datetime.now(UTC)
    for _ in range(1_000):
        if await horizon(database) > now:
            return now
        await asyncio.sleep(0.01)
    raise AssertionError("it never becomes known")


async def test_a_past_balance_is_what_had_taken_effect_by_then(life: Life) -> None:
    await life.buys(10_000, days(1))
    await life.is_given(30, days(2))
    await life.spends(20, days(10))
    told = [await figures(life, as_of=days(at)) for at in (0, 0.9, 1, 2, 7.9, 8, 9.9, 10)]
    assert told == [(0, 0), (0, 0), (100, 0), (100, 30), (100, 30), (0, 130), (0, 130), (0, 110)]


async def test_points_due_by_then_count_as_settled_however_late_they_were(life: Life) -> None:
    await life.buys(10_000, days(1))
    await life.is_given(30, days(2), expires_at=days(20))
    await life.is_settled(days(100))
    for at, expected in ((7.99, (100, 30)), (8, (0, 130)), (19.99, (0, 130)), (20, (0, 100))):
        assert await figures(life, as_of=days(at)) == expected


async def test_a_balance_ahead_is_told_as_if_settled_then(shop: Shop) -> None:
    member = await shop.enrols()
    await shop.sells(member, 10_000)
    now = datetime.now(UTC)
    for ahead, expected in ((6, (100, 0)), (8, (0, 100)), (3_000, (0, 0))):
        points = (await asked(shop, member, as_of=now + timedelta(days=ahead)))["wallets"]["points"]
        assert (points["pending"], points["available"]) == expected
    assert await shop.figures(member) == (100, 0)
    path = f"/v1/members/{member['id']}/balance"
    for beyond in (now + timedelta(days=3_700), datetime(1999, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)):
        refused(await shop.till.get(path, as_of=beyond.isoformat()), 422, "invalid_request")


async def test_what_was_learnt_later_is_left_out(life: Life, database: Database) -> None:
    await life.is_given(10, days(1))
    first = await a_known_moment(database)
    await life.is_given(5, days(2))
    second = await a_known_moment(database)
    await life.spends(15, days(3))
    assert await figures(life, as_of=days(9), known_at=first) == (0, 10)
    assert await figures(life, as_of=days(9), known_at=second) == (0, 15)
    assert await figures(life, as_of=days(1.5), known_at=second) == (0, 10)
    assert await figures(life, as_of=days(9)) == (0, 0)


async def test_known_at_alone_asks_what_was_told_then(shop: Shop, database: Database) -> None:
    member = await shop.enrols()
    await shop.gives(member, 10)
    then, told = await a_known_moment(database), await shop.balance(member)
    await shop.gives(member, 5)
    answer = await asked(shop, member, known_at=then)
    assert (answer["wallets"]["points"], answer["as_of"], answer["known_at"]) == (
        told,
        *[then.isoformat().replace("+00:00", "Z")] * 2,
    )


async def test_before_it_joined_a_member_had_nothing(life: Life) -> None:
    await life.is_given(10, days(1))
    for moments in ({"as_of": days(-9)}, {"as_of": days(9), "known_at": days(9)}, {"known_at": days(9)}):
        answer = await asked(life.shop, life.member, **moments)
        assert answer["wallets"]["points"] == {"pending": 0, "available": 0, "held": 0, "owed": 0, "expiring": []}


async def test_the_present_asked_for_by_its_moment_is_the_present(life: Life) -> None:
    """The lots put back from the journal say what the lots themselves say, next expiries included."""
    for number in range(20):
        await life.buys(10_000, days(number))
        await life.is_given(7, days(number), expires_at=datetime.now(UTC) + timedelta(days=1 + number % 6))
        await life.spends(1 + number % 4, days(number))
    told = accepted(await life.shop.till.get(f"/v1/members/{life.member['id']}/balance"))
    again = await asked(life.shop, life.member, as_of=datetime.fromisoformat(told["as_of"]))
    assert again == told
    assert len(told["wallets"]["points"]["expiring"]) > 3


@pytest.mark.parametrize("what", ["as_of", "known_at"])
@pytest.mark.parametrize("wrong", ["", "now", "2026-11-22", "2026-11-22T10:00:00", "1767225600"])
async def test_a_moment_is_a_time_with_its_offset(shop: Shop, what: str, wrong: str) -> None:
    member = await shop.enrols()
    answer = await shop.till.get(f"/v1/members/{member['id']}/balance", **{what: wrong})
    refused(answer, 422, "invalid_request")


async def test_nobody_has_a_past_who_is_not_there(shop: Shop) -> None:
    answer = await shop.till.get(f"/v1/members/mem_{'0' * 32}/balance", as_of=START.isoformat())
    refused(answer, 404, "member_not_found")


# --- what is certainly known -----------------------------------------------------------------------------------


async def test_what_lies_ahead_is_not_known(shop: Shop) -> None:
    member = await shop.enrols()
    path = f"/v1/members/{member['id']}/balance"
    later = datetime.now(UTC) + timedelta(minutes=5)
    problem = refused(await shop.till.get(path, known_at=later.isoformat()), 409, "not_settled_yet")
    known = datetime.fromisoformat(problem["horizon"])
    assert datetime.now(UTC) - timedelta(seconds=60) < known < later
    accepted(await shop.till.get(path, known_at=problem["horizon"]))
    asking = (known + timedelta(minutes=1)).isoformat()
    refused(await shop.till.get(path, known_at=asking), 409, "not_settled_yet")


async def test_while_a_transaction_is_open_nothing_since_it_began_is_known(
    app: FastAPI, shop: Shop, database: Database
) -> None:
    """It has stamped what it will write, and nobody can see that yet."""
    member = await shop.enrols()
    path = f"/v1/members/{member['id']}/balance"
    before = await a_known_moment(database)
    service: Service = app.state.service
    async with database.transaction(shop.programme.id) as open_:
        await fetch(open_, text("select pg_current_xact_id()::text"), {})
        began = datetime.now(UTC)
        await shop.gives(member, 5)  # others write on
        await asyncio.sleep(0.05)
        problem = refused(await shop.till.get(path, known_at=datetime.now(UTC).isoformat()), 409, "not_settled_yet")
        assert before < datetime.fromisoformat(problem["horizon"]) < began
        accepted(await shop.till.get(path, known_at=problem["horizon"]))
        assert await horizon(service.database) < began
    after = await a_known_moment(database)
    assert after > began
    answer = await asked(shop, member, known_at=after)
    assert answer["wallets"]["points"]["available"] == 5


async def test_a_transaction_that_hides_when_it_began_hides_all_since_the_server_started(
    shop: Shop, database: Database, owner: AsyncEngine
) -> None:
    """Another role's: whatever it writes, nobody of ours can tell since when."""
    member = await shop.enrols()
    async with owner.begin() as connection:
        await connection.execute(text("select pg_current_xact_id()::text"))
        started = await connection.scalar(text("select pg_postmaster_start_time()"))
        assert await horizon(database) == started
        path = f"/v1/members/{member['id']}/balance"
        refused(await shop.till.get(path, known_at=datetime.now(UTC).isoformat()), 409, "not_settled_yet")


async def test_nothing_is_recorded_before_its_batch_began_however_long_it_waited(
    app: FastAPI, shop: Shop, database: Database
) -> None:
    """A command that was stamped, and then waited in its lane, is recorded when its turn came."""
    life = Life(app, shop)
    await life.begins(START)
    known = await a_known_moment(database)
    await life.is_given(10, days(1), learnt_at=known - timedelta(seconds=30))
    assert await figures(life, as_of=days(2), known_at=known) == (0, 0)
    assert await figures(life, as_of=days(2)) == (0, 10)


@pytest.mark.parametrize("seed", range(4))
async def test_the_same_question_has_the_same_answer_for_ever(
    app: FastAPI, a_shop: ShopFactory, database: Database, seed: int
) -> None:
    """Questions at random while the history grows, late facts and late sweeps among it; asked again at the end."""
    chance = random.Random(seed)
    shop = await a_shop(
        wallets={"points": a_wallet(pending=timedelta(days=5)), "coins": a_wallet("coins", unit=700)},
    )
    lives = [Life(app, shop) for _ in range(2)]
    now = START
    for life in lives:
        await life.begins(now)
    asked_before: list[tuple[Life, dict[str, datetime], dict[str, Any]]] = []
    moments = [datetime.now(UTC)]
    for _ in range(120):
        now += timedelta(hours=chance.choice((0, 0, 1, 30, 200)))
        await _something(chance, chance.choice(lives), now)
        moments.append(datetime.now(UTC))
        life = chance.choice(lives)
        known_at = await horizon(database) - timedelta(microseconds=1)
        question = {
            "as_of": START + (now - START) * chance.uniform(-0.1, 1.3),
            "known_at": min(known_at, chance.choice(moments)),
        }
        asked_before.append((life, question, await asked(shop, life.member, **question)))
    for life in lives:
        await life.is_settled(now + timedelta(days=40))
    for life, question, told in asked_before:
        assert await asked(shop, life.member, **question) == told, question
    assert len({str(told["wallets"]) for _, _, told in asked_before}) > 15, "the questions are worth asking"


async def _something(chance: random.Random, life: Life, now: datetime) -> None:
    late = now - timedelta(days=chance.choice((0, 0, 0, 4, 6, 20)))
    match chance.randrange(14):
        case 0 | 1:
            await life.buys(chance.randrange(0, 20_000), late)
        case 2:
            await life.is_given(
                chance.randrange(1, 50), now, expires_at=now + timedelta(days=chance.choice((1, 9, 30)))
            )
        case 3:
            await life.is_given(chance.randrange(1, 50), late, pending_until=late + timedelta(days=5), wallet="coins")
        case 4:
            await life.spends(chance.randrange(1, 60), now)
        case 5:
            await life.is_settled(now)
        case 6:
            await life.sets_aside(chance.randrange(1, 60), now, timedelta(days=chance.choice((1, 6, 30))))
        case 7:
            await life.captures(chance.randrange(1, 60), now)
        case 8:
            await life.releases(now)
        case 9:
            await life.is_refunded(now)
        case 10:
            await life.brings_back(now)
        case 11 | 12:
            amount = chance.randrange(1, 15_000)
            await life.reserves_a_return(amount, now, timedelta(days=chance.choice((1, 6, 30))))
        case 13:
            await life.decides_on_a_return(now, confirm=chance.random() < 0.5)


async def test_a_past_balance_finds_all_it_needs_by_key(
    app: FastAPI, shop: Shop, database: Database, owner: AsyncEngine
) -> None:
    member = await many_entries(shop, owner)
    of = past.of_member(shop.programme.id, member["id"].removeprefix("mem_"))
    values = {**of, "the_sequence": 590, "the_effective": FOREVER, "the_held": []}
    values |= {"mature": "mature", "pending": "pending", "available": "available"}
    async with database.snapshot(shop.programme.id) as connection:
        steps = await plan(connection, past._LOTS, values)
    walks = [step for step in steps if step.over]
    assert {step.over for step in walks} <= {
        "entry_member_sequence_key",
        "entry_pkey",
        "draw_pkey",
        "lot_due",
        "lot_pkey",
    }
    keys = {"entry_pkey": "id", "draw_pkey": "entry_id", "lot_pkey": "id", "lot_due": "member_id"}
    keys["entry_member_sequence_key"] = "member_id"
    for step in walks:
        assert all(name in step.condition for name in ("bucket", "programme_id", keys[step.over or ""])), step
    assert "Seq Scan" not in {step.type for step in steps}


async def test_a_plus_that_a_query_has_turned_into_a_space_is_an_offset(shop: Shop) -> None:
    member = await shop.enrols()
    told = [
        accepted(
            await shop.till.send("GET", f"/v1/members/{member['id']}/balance?as_of=2026-11-22T10:00:00{plus}08:00")
        )
        for plus in ("+", "%2B", "%20")
    ]
    assert [one["as_of"] for one in told] == ["2026-11-22T02:00:00Z"] * 3
    wrong = await shop.till.send("GET", f"/v1/members/{member['id']}/balance?as_of=2026-11-22%2010:00:00")
    refused(wrong, 422, "invalid_request")
