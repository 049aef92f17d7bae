"""Returns in two steps, and sales of the wrong person, as a till and a desk meet them."""

from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio
from fastapi import FastAPI

from loyalty.recompute.verify import verify
from tests.api.conftest import (
    Shop,
    ShopFactory,
    a_hold,
    a_reassignment,
    a_return,
    accepted,
    an_order,
    refused,
)


@pytest_asyncio.fixture(loop_scope="session")
async def market(a_shop: ShopFactory, app: FastAPI) -> AsyncIterator[Shop]:
    """A programme whose ledger is proven afterwards."""
    found = await a_shop(adjustment_limit=100)
    yield found
    assert (await verify(app.state.service.database, found.programme)).findings == []


async def four(shop: Shop, member: dict[str, Any]) -> tuple[int, int, int, int]:
    found = await shop.balance(member)
    return found["pending"], found["available"], found["held"], found["owed"]


async def sold(shop: Shop, member: dict[str, Any], amount: int) -> dict[str, Any]:
    """The receipt of a purchase."""
    order = an_order(member, amount)
    accepted(await shop.till.post("/v1/accruals", order))
    return {"source": order["source"], "reference": order["reference"]}


async def test_a_till_reserves_refunds_the_money_and_confirms(market: Shop) -> None:
    member = await market.enrols()
    await market.gives(member, 50)
    sale = await sold(market, member, 100_00)
    body = a_return(sale, lines=[{"line_id": "1", "quantity": 0, "amount": 70_00}], expires_in=3600)
    reserved = accepted(await market.till.post("/v1/returns/reserve", body))
    assert (reserved["points"], reserved["owed"], reserved["withhold"]) == (70, 0, None)
    assert reserved["entry"]["kind"] == "reserve"
    assert await four(market, member) == (30, 50, 70, 0)
    path = f"/v1/returns/{reserved['reservation']['id']}"
    assert accepted(await market.till.get(path)) == {**reserved["reservation"], "status": "reserved"}
    confirmed = accepted(await market.till.post(f"{path}/confirm", {}))
    assert (confirmed["points"], confirmed["reservation"]["status"]) == (70, "confirmed")
    assert confirmed["entry"]["postings"] == [{"wallet": "points", "debit": "held", "credit": "issued", "points": 70}]
    assert await four(market, member) == (30, 50, 0, 0)
    problem = refused(await market.till.post(f"{path}/cancel", {}), 409, "reservation_resolved")
    assert problem["reservation_status"] == "confirmed"
    refused(await market.till.post("/v1/returns", {**body, "expires_in": 1}), 422, "invalid_request")


async def test_the_money_was_not_refunded_and_the_till_cancels(market: Shop) -> None:
    member = await market.enrols()
    sale = await sold(market, member, 100_00)
    reserved = accepted(await market.till.post("/v1/returns/reserve", a_return(sale, full=True)))
    whole = a_return(sale, full=True)
    refused(await market.till.post("/v1/returns", whole, key="k"), 409, "return_reserved")
    path = f"/v1/returns/{reserved['reservation']['id']}"
    cancelled = accepted(await market.till.post(f"{path}/cancel", {}))
    assert cancelled["reservation"]["status"] == accepted(await market.till.get(path))["status"] == "cancelled"
    assert await four(market, member) == (100, 0, 0, 0)
    accepted(await market.till.post("/v1/returns", whole, key="k"))  # what another event can cure is not frozen
    assert await four(market, member) == (0, 0, 0, 0)


async def test_a_sale_that_is_not_known_yet_cannot_be_reserved(market: Shop) -> None:
    unknown = {"source": "pos-1", "reference": "nobody-has-taken-it"}
    refused(await market.till.post("/v1/returns/reserve", a_return(unknown, full=True)), 404, "entry_not_found")


async def test_a_hold_and_a_reserved_return_are_not_taken_for_each_other(market: Shop) -> None:
    member = await market.enrols()
    await market.gives(member, 50)
    sale = await sold(market, member, 100_00)
    reserved = accepted(await market.till.post("/v1/returns/reserve", a_return(sale, full=True)))["reservation"]["id"]
    held = accepted(await market.till.post("/v1/holds", a_hold(member, 10)))["hold"]["id"]
    for id_ in (reserved, reserved.replace("rsv_", "hld_")):
        refused(await market.till.get(f"/v1/holds/{id_}"), 404, "hold_not_found")
        refused(await market.till.post(f"/v1/holds/{id_}/release", {}), 404, "hold_not_found")
        refused(await market.till.post(f"/v1/holds/{id_}/capture", {}), 404, "hold_not_found")
    for id_ in (held, held.replace("hld_", "rsv_")):
        refused(await market.till.get(f"/v1/returns/{id_}"), 404, "reservation_not_found")
        refused(await market.till.post(f"/v1/returns/{id_}/confirm", {}), 404, "reservation_not_found")
        refused(await market.till.post(f"/v1/returns/{id_}/cancel", {}), 404, "reservation_not_found")


async def test_a_reassigned_sale_keeps_its_receipt(market: Shop) -> None:
    """The till knows nothing of it: what comes back by the receipt, or by the first entry, comes from who has it."""
    anna, ben = await market.enrols(), await market.enrols()
    desk = market.client("desk")
    sale = await sold(market, anna, 100_00)
    moved = accepted(await desk.post("/v1/reassignments", a_reassignment(sale, ben)))
    assert (moved["points"], moved["owed"], moved["points_by_wallet"]) == (100, 0, {"points": 100})
    taken, given = moved["entries"]
    assert (taken["member"], given["member"]) == (anna["id"], ben["id"])
    assert (given["source"], given["reference"], given["reason"]) == (sale["source"], sale["reference"], "wrong card")
    assert (await four(market, anna), await four(market, ben)) == ((0, 0, 0, 0), (100, 0, 0, 0))

    part = [{"line_id": "1", "quantity": 0, "amount": 10_00}]
    accepted(await market.till.post("/v1/returns", a_return(sale, lines=part)))
    found = accepted(await market.till.get("/v1/entries", **sale))["items"]
    first = next(entry for entry in found if entry["kind"] == "earn")
    accepted(await market.till.post("/v1/returns", a_return({"entry": first["id"]}, lines=part)))
    assert await four(market, ben) == (80, 0, 0, 0)

    back = accepted(await desk.post("/v1/reassignments", a_reassignment(sale, anna)))
    assert back["points"] == 80
    accepted(await market.till.post("/v1/returns", a_return(sale, full=True)))
    assert (await four(market, anna), await four(market, ben)) == ((0, 0, 0, 0), (0, 0, 0, 0))
    refused(await desk.post("/v1/reassignments", a_reassignment(sale, ben)), 409, "exceeds_purchase")


async def test_a_sale_that_cannot_be_reassigned_stays_where_it_is(market: Shop) -> None:
    anna, ben = await market.enrols(), await market.enrols()
    desk = market.client("desk")
    sale = await sold(market, anna, 100_00)
    refused(await desk.post("/v1/reassignments", a_reassignment(sale, anna)), 422, "same_member")
    nobody = {"id": f"mem_{'0' * 32}"}
    refused(await desk.post("/v1/reassignments", a_reassignment(sale, nobody)), 404, "member_not_found")
    refused(await market.till.post("/v1/reassignments", a_reassignment(sale, ben)), 403, "forbidden")
    reserved = accepted(await market.till.post("/v1/returns/reserve", a_return(sale, full=True)))["reservation"]["id"]
    refused(await desk.post("/v1/reassignments", a_reassignment(sale, ben)), 409, "return_reserved")
    accepted(await market.till.post(f"/v1/returns/{reserved}/cancel", {}))
    accepted(await desk.post("/v1/reassignments", a_reassignment(sale, ben)))
