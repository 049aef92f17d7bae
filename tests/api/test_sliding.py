"""Sliding expiry over HTTP: the last day is told everywhere, moves with every activity, and comes."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from loyalty.api.service import Service
from loyalty.domain.expiry import Expiry, Lifespan, RenewedBy
from loyalty.recompute.verify import verify
from loyalty.store.shelves import AHEAD
from loyalty.worker.settling import settle_due
from tests.api.conftest import Shop, ShopFactory, a_merge, accepted, an_order
from tests.api.lives import Life
from tests.api.test_races import audit

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
SLIDING = Expiry(Lifespan.SLIDING, 12, RenewedBy.EARNING_AND_SPENDING)


@pytest.fixture
def service(app: FastAPI) -> Service:
    found: Service = app.state.service
    return found


async def a_sliding_shop(a_shop: ShopFactory, **changes: Any) -> Shop:
    plain = await a_shop()
    wallet = plain.programme.wallets["points"]._replace(pending=timedelta(0), expiry=SLIDING)
    return await a_shop(wallets={"points": wallet}, **changes)


@pytest_asyncio.fixture(loop_scope="session")
async def shop(a_shop: ShopFactory) -> Shop:
    """A shop whose points last a year after whatever was last done."""
    return await a_sliding_shop(a_shop)


@pytest_asyncio.fixture(loop_scope="session")
async def life(app: FastAPI, shop: Shop) -> Life:
    life = Life(app, shop)
    await life.begins(at(2025, 1, 1))
    return life


def at(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, 4, tzinfo=UTC)


async def expiring(shop: Shop, member: Any, **moments: datetime) -> list[tuple[str, int]]:
    path = f"/v1/members/{member['id']}/balance"
    said = accepted(await shop.till.get(path, **{name: moment.isoformat() for name, moment in moments.items()}))
    return [(one["valid_through"], one["points"]) for one in said["wallets"]["points"]["expiring"]]


async def lots(shop: Shop, member: Any) -> list[tuple[str, int]]:
    items = accepted(await shop.till.get(f"/v1/members/{member['id']}/lots"))["items"]
    return [(one["valid_through"], one["remaining"]) for one in items]


async def test_the_last_day_is_told_everywhere_and_moves_with_every_activity(a_shop: ShopFactory) -> None:
    shop = await a_sliding_shop(a_shop, fixed_now=NOON)
    member = await shop.enrols()
    first = await shop.sells(member, 10_000, occurred_at="2026-05-20T12:00:00+08:00")
    assert first["receipt"]["valid_through"] == "2027-05-20"
    assert await expiring(shop, member) == [("2027-05-20", 100)]
    assert await lots(shop, member) == [("2027-05-20", 100)]
    foretold = accepted(await shop.till.post("/v1/accruals/preview", an_order(member, 10_000)))
    tried = accepted(await shop.till.post("/v1/accruals", an_order(member, 10_000), dry_run="true"))
    assert foretold["receipt"]["valid_through"] == tried["receipt"]["valid_through"] == "2027-07-01"
    nothing = accepted(await shop.till.post("/v1/accruals/preview", an_order(member, 99)))
    assert nothing["receipt"]["valid_through"] == "2027-05-20", "what earns nothing moves nothing"
    late = await shop.sells(member, 10_000, occurred_at="2026-04-01T12:00:00+08:00")
    assert late["receipt"]["valid_through"] == "2027-05-20", "what came late has the day of all the others"

    await shop.redeems(member, 50)
    assert await expiring(shop, member) == [("2027-07-01", 150)]
    assert await lots(shop, member) == [("2027-07-01", 50), ("2027-07-01", 100)]
    await shop.gives(member, 30, expires_at="2027-01-01T00:00:00+08:00")
    assert await expiring(shop, member) == [("2026-12-31", 30), ("2027-07-01", 150)]


async def test_a_balance_of_the_past_knows_the_last_day_of_then(life: Life) -> None:
    shop = life.shop
    await life.buys(10_000, at(2025, 3, 1))
    await life.buys(5_000, at(2025, 9, 1))
    await life.spends(20, at(2026, 2, 1))
    told = [await expiring(shop, life.member, as_of=when) for when in (at(2025, 3, 1), at(2025, 9, 1), at(2026, 2, 1))]
    assert told == [[("2026-03-01", 100)], [("2026-09-01", 150)], [("2027-02-01", 130)]]
    assert await expiring(shop, life.member, as_of=at(2027, 2, 1)) == [("2027-02-01", 130)]
    assert await expiring(shop, life.member, as_of=at(2027, 2, 2)) == []
    balance = f"/v1/members/{life.member['id']}/balance"
    ahead = accepted(await shop.till.get(balance, as_of=at(2027, 2, 2).isoformat()))
    assert ahead["wallets"]["points"]["available"] == 0


async def test_what_has_ended_is_settled_by_the_worker_however_many_lots_there_are(
    life: Life, service: Service, owner: AsyncEngine
) -> None:
    shop, count = life.shop, 3 * AHEAD
    for number in range(count):
        await life.is_given(1 + number % 2, at(2025, 1, 2) + timedelta(hours=number))
    await life.is_given(7, at(2025, 1, 3), expires_at=at(2040, 1, 1))
    assert (await shop.balance(life.member))["available"] == 7, "as if settled"
    assert await settle_due(service.database, service.lanes, shop.programme) == 1
    entries = accepted(await shop.till.get(f"/v1/members/{life.member['id']}/entries"))["items"]
    points = count // 2 * 3
    assert [(one["kind"], one["postings"][0]["points"]) for one in entries[:1]] == [("expire", points)]
    assert entries[0]["accounting_date"] == "2026-01-03"
    assert await lots(shop, life.member) == [("2040-01-01", 7)]
    await audit(owner, shop)
    assert (await verify(service.database, shop.programme)).findings == []


async def test_nothing_that_has_ended_is_spent(life: Life) -> None:
    await life.is_given(50, at(2025, 1, 2))
    await life.spends(10, at(2026, 1, 3))
    assert (await life.shop.balance(life.member))["available"] == 0
    entries = accepted(await life.shop.till.get(f"/v1/members/{life.member['id']}/entries"))["items"]
    assert [one["kind"] for one in entries] == ["expire", "earn"]


async def test_what_a_merge_carries_keeps_its_end_and_goes_back_to_it(
    a_shop: ShopFactory, service: Service, owner: AsyncEngine
) -> None:
    shop = await a_sliding_shop(a_shop, fixed_now=NOON)
    desk = shop.client("desk")
    anna, twice = await shop.enrols(), await shop.enrols()
    await shop.sells(twice, 10_000, occurred_at="2026-05-20T12:00:00+08:00")
    await shop.sells(anna, 10_000)
    merge = accepted(await desk.post("/v1/merges", a_merge(twice, into=anna)))["merge"]
    assert await expiring(shop, anna) == [("2027-05-20", 100), ("2027-07-01", 100)]
    accepted(await desk.post(f"/v1/merges/{merge}/reverse", {"reason": "her sister"}))
    assert await expiring(shop, anna) == [("2027-07-01", 100)]
    assert await expiring(shop, twice) == [("2027-05-20", 100)]
    await audit(owner, shop)
    assert (await verify(service.database, shop.programme)).findings == []


async def test_the_settings_say_what_renews(a_shop: ShopFactory, service: Service) -> None:
    shop = await a_sliding_shop(a_shop)
    async with service.database.reads.connect() as connection:
        found = await connection.execute(
            text("select settings -> 'wallets' -> 0 -> 'expiry' from programme where id = :p"),
            {"p": shop.programme.id},
        )
        kept = found.scalar_one()
    assert kept == {"lifespan": "sliding", "periods": 12, "renewed_by": "earning_and_spending"}
