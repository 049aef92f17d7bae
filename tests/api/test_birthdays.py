"""Birthdays in rules: opened where a rule asks, by whichever way a purchase comes; only what follows is kept."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from loyalty.api.service import Service
from loyalty.recompute.verify import verify
from loyalty.store import programmes
from loyalty.store.sealing import Sealer
from loyalty.worker.parked import cure_parked
from loyalty.worker.worker import run_worker
from tests.api.conftest import TABLES, Client, Shop, ShopFactory, a_return, accepted, an_order
from tests.api.test_rules import BASE, publishes

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
MONTH = {"kind": "multiplier", "id": "month", "wallet": "points", "percent": 200, "when": "member.birthday_month"}
DAY = {"kind": "bonus", "id": "day", "wallet": "points", "points": 500, "when": "member.birthday"}
IN_JULY, TODAY, IN_MAY = {"birthday": "1990-07-15"}, {"birthday": "1991-07-01"}, {"birthday": "1992-05-05"}
WECHAT = {"channel": "wechat", "type": "openid", "value": "oX1"}


@pytest_asyncio.fixture(loop_scope="session")
async def shop(a_shop: ShopFactory) -> Shop:
    """A shop whose clock stands still, on the first of July."""
    return await a_shop(fixed_now=NOON)


@pytest.fixture
def marketing(shop: Shop) -> Client:
    return shop.client("marketing")


@pytest.fixture
def service(app: FastAPI) -> Service:
    found: Service = app.state.service
    return found


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Whose personal data is opened."""
    members: list[str] = []
    plain = Sealer.open

    def noting(self: Sealer, member_id: Any, sealed: bytes) -> Any:
        members.append(f"mem_{member_id}")
        return plain(self, member_id, sealed)

    monkeypatch.setattr(Sealer, "open", noting)
    return members


async def test_who_has_a_birthday_earns_by_it(shop: Shop, marketing: Client, service: Service) -> None:
    await publishes(marketing, BASE, MONTH, DAY)
    members = [await shop.enrols(**known) for known in (IN_JULY, TODAY, IN_MAY, {"name": "Li Lei"}, {})]
    assert [(await shop.sells(one, 10_000))["points"] for one in members] == [200, 700, 100, 100, 100]
    assert (await verify(service.database, shop.programme)).findings == []


async def test_a_birthday_counts_whichever_way_the_purchase_comes(
    shop: Shop, marketing: Client, service: Service
) -> None:
    await publishes(marketing, BASE, MONTH)
    anna, ben = await shop.enrols(**IN_JULY), await shop.enrols(**IN_MAY)
    items = [an_order(one, 10_000) for one in (anna, ben, anna)]
    bulk = accepted(await shop.till.post("/v1/accruals/bulk", {"items": items}))
    assert [one["body"]["points"] for one in bulk["results"]] == [200, 100, 200]
    assert accepted(await shop.till.post("/v1/accruals", an_order(anna, 10_000), dry_run="true"))["points"] == 200
    preview = accepted(await shop.till.post("/v1/accruals/preview", an_order(anna, 10_000)))
    assert (preview["points"], preview["inputs"]["values"]) == (200, {"member.birthday_month": True})
    june = an_order(anna, 10_000, occurred_at="2026-06-30T12:00:00+08:00")
    assert accepted(await shop.till.post("/v1/accruals", june))["points"] == 100


@pytest.mark.parametrize("by", ["a round", "the worker"])
async def test_a_birthday_counts_for_a_purchase_that_waited(
    shop: Shop, marketing: Client, service: Service, by: str
) -> None:
    await publishes(marketing, BASE, MONTH)
    waiting = await shop.till.post("/v1/accruals", an_order({"identity": WECHAT}, 10_000))
    assert waiting.status_code == 202
    anna = await shop.enrols(**IN_JULY, identities=[WECHAT])
    if by == "a round":
        programme = await programmes.read(service.database.reads, shop.programme.code)
        assert programme is not None, "it has published rules since it was made"
        assert await cure_parked(service.database, service.lanes, programme) == 1
    else:
        await _by_the_worker(service, shop, waiting.json()["parked"])
    assert (await shop.balance(anna))["pending"] == 200


async def _by_the_worker(service: Service, shop: Shop, parked: str) -> None:
    """A worker, with connections of its own, until it has cured the event."""
    stop = asyncio.Event()
    working = asyncio.create_task(run_worker(service.settings, stop))
    try:
        async with asyncio.timeout(60):
            while accepted(await shop.till.get(f"/v1/parked/{parked}"))["status"] == "waiting":
                assert not working.done(), "it works on"
    finally:
        stop.set()
        await working


async def test_a_return_takes_back_what_the_birthday_gave(shop: Shop, marketing: Client) -> None:
    await publishes(marketing, BASE, MONTH)
    anna = await shop.enrols(**IN_JULY)
    sale = await shop.sells(anna, 10_000)
    part = [{"line_id": "1", "quantity": 0, "amount": 5_000}]
    accepted(await shop.till.post("/v1/returns", a_return({"entry": sale["entry"]["id"]}, lines=part)))
    assert (await shop.balance(anna))["pending"] == 100


async def test_the_birthday_itself_is_kept_nowhere_but_sealed(
    shop: Shop, marketing: Client, owner: AsyncEngine
) -> None:
    await publishes(marketing, BASE, MONTH, DAY)
    anna = await shop.enrols(**TODAY)
    sale = await shop.sells(anna, 10_000)
    told = accepted(await shop.till.get(f"/v1/entries/{sale['entry']['id']}/explanation"))
    assert told["earning"]["inputs"]["values"] == {"member.birthday": True, "member.birthday_month": True}
    every = " union all ".join(f"select t::text from {table} t where programme_id = :p" for table in TABLES)
    async with owner.connect() as connection:
        rows = (await connection.execute(text(every), {"p": shop.programme.id})).scalars().all()
    assert any("member.birthday_month" in row for row in rows)
    assert not [row for row in rows if "1991-07-01" in row]
    assert "1991-" not in str(told)


async def test_nobody_is_looked_up_where_no_rule_asks(shop: Shop, marketing: Client, opened: list[str]) -> None:
    anna, ben = await shop.enrols(**IN_JULY), await shop.enrols(**TODAY)
    await shop.sells(anna, 10_000)
    await publishes(marketing, BASE)
    await shop.sells(anna, 10_000)
    assert opened == []
    await publishes(marketing, BASE, MONTH, since="2026-06-02T00:00:00+08:00")
    await shop.gives(anna, 10)
    await shop.redeems(anna, 10)
    assert opened == [], "only purchases are decided by rules"
    bulk = {"items": [an_order(one) for one in (anna, ben, ben)]}
    accepted(await shop.till.post("/v1/accruals/bulk", bulk))
    assert sorted(opened) == sorted([anna["id"], ben["id"]]), "each once for what is decided together"


async def test_what_cannot_be_opened_is_not_known(shop: Shop, marketing: Client, owner: AsyncEngine) -> None:
    await publishes(marketing, BASE, MONTH)
    anna, ben = await shop.enrols(**IN_JULY), await shop.enrols(**IN_JULY)
    async with owner.begin() as connection:
        theirs = text("update person set sealed = (select p.sealed from person p where p.member_id = cast(:b as uuid))"
                      " where member_id = cast(:a as uuid)")  # fmt: skip
        await connection.execute(
            theirs, {one: id_["id"].removeprefix("mem_") for one, id_ in (("a", anna), ("b", ben))}
        )
    assert [(await shop.sells(one, 10_000))["points"] for one in (anna, ben)] == [100, 200]
