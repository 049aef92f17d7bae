"""Holds, returns, refunds, transfers, adjustments and closing, as a till and a desk meet them."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from fastapi import FastAPI

from loyalty.api import holds, members, writing
from loyalty.recompute.verify import verify
from tests.api.conftest import Shop, ShopFactory, a_grant, a_hold, a_redemption, accepted, an_order, patched, refused


@pytest_asyncio.fixture(loop_scope="session")
async def market(a_shop: ShopFactory, app: FastAPI) -> AsyncIterator[Shop]:
    """A programme in which everything is allowed; afterwards its ledger is proven."""
    found = await a_shop(transfers=True, adjustment_limit=100, forced_sources=frozenset({"pos-offline"}))
    yield found
    assert (await verify(app.state.service.database, found.programme)).findings == []


async def balance(shop: Shop, member: dict[str, Any]) -> dict[str, int]:
    found = await shop.balance(member)
    return {name: found[name] for name in ("pending", "available", "held", "owed")}


async def test_a_hold_is_captured_in_part_and_the_rest_is_given_back(market: Shop) -> None:
    member = await market.enrols()
    await market.gives(member, 500)
    hold = accepted(await market.till.post("/v1/holds", a_hold(member, 300)))["hold"]
    assert await balance(market, member) == {"pending": 0, "available": 200, "held": 300, "owed": 0}
    path = f"/v1/holds/{hold['id']}"
    refused(await market.till.post(f"{path}/capture", {"points": 301}), 409, "exceeds_hold")
    captured = accepted(await market.till.post(f"{path}/capture", {"points": 120}))
    assert (captured["hold"]["status"], captured["hold"]["captured"]) == ("captured", 120)
    assert await balance(market, member) == {"pending": 0, "available": 380, "held": 0, "owed": 0}
    refused(await market.till.post(f"{path}/capture", {}), 409, "hold_resolved")
    refused(await market.till.post(f"{path}/release", {}), 409, "hold_resolved")
    refund = {"source": "pos", "reference": "F-1"}
    given = accepted(await market.till.post(f"/v1/redemptions/{captured['redemption']}/refund", refund))
    assert given["points"] == 120
    assert await balance(market, member) == {"pending": 0, "available": 500, "held": 0, "owed": 0}


async def test_a_hold_is_released(market: Shop) -> None:
    member = await market.enrols()
    await market.gives(member, 500)
    hold = accepted(await market.till.post("/v1/holds", a_hold(member, 300)))["hold"]
    released = accepted(await market.till.post(f"/v1/holds/{hold['id']}/release", {}))
    assert released["hold"]["status"] == "released"
    assert accepted(await market.till.get(f"/v1/holds/{hold['id']}"))["status"] == "released"
    assert await balance(market, member) == {"pending": 0, "available": 500, "held": 0, "owed": 0}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Moves the clock of the service ahead, in seconds from now."""

    def ahead(seconds: int) -> None:
        for module in (holds, members, writing):
            monkeypatch.setattr(module, "wall_clock", lambda: datetime.now(UTC) + timedelta(seconds=seconds))

    return ahead


async def test_a_hold_ends_by_itself_and_is_read_as_ended_before_anybody_settles_it(
    market: Shop, clock: Callable[[int], None]
) -> None:
    member = await market.enrols()
    await market.gives(member, 500)
    hold = accepted(await market.till.post("/v1/holds", a_hold(member, 300, expires_in=60)))["hold"]
    path = f"/v1/holds/{hold['id']}"
    clock(61)
    assert accepted(await market.till.get(path))["status"] == "expired"
    assert await balance(market, member) == {"pending": 0, "available": 500, "held": 0, "owed": 0}
    refused(await market.till.post(f"{path}/release", {}), 409, "hold_expired")
    clock(60 + 540)
    refused(await market.till.post(f"{path}/capture", {"points": 301}), 409, "exceeds_hold")
    accepted(await market.till.post("/v1/redemptions", a_redemption(member, 300)))
    refused(await market.till.post(f"{path}/capture", {}), 409, "hold_expired")
    late = accepted(await market.till.post(f"{path}/capture", {"points": 200}))
    assert late["hold"]["status"] == "captured", "within the grace, and the points sufficed"
    assert await balance(market, member) == {"pending": 0, "available": 0, "held": 0, "owed": 0}
    refused(await market.till.post(f"{path}/capture", {}), 409, "hold_resolved")


async def test_a_hold_is_not_captured_after_its_grace(market: Shop, clock: Callable[[int], None]) -> None:
    member = await market.enrols()
    await market.gives(member, 500)
    hold = accepted(await market.till.post("/v1/holds", a_hold(member, 300, expires_in=60)))["hold"]
    clock(60 + 602)
    problem = refused(await market.till.post(f"/v1/holds/{hold['id']}/capture", {}), 409, "hold_expired")
    assert problem["expires_at"] == hold["expires_at"]
    assert await balance(market, member) == {"pending": 0, "available": 500, "held": 0, "owed": 0}


async def test_a_return_in_parts_takes_back_what_one_return_would(market: Shop) -> None:
    member = await market.enrols()
    order = an_order(member, 199_99)
    accepted(await market.till.post("/v1/accruals", order))
    accrual = {"source": order["source"], "reference": order["reference"]}
    taken = []
    for number, amount in enumerate((50, 100_00, 99_49)):
        lines = [{"line_id": "1", "quantity": 0, "amount": amount}]
        body = {"accrual": accrual, "lines": lines, "source": "pos", "reference": f"B-{number}"}
        taken.append(accepted(await market.till.post("/v1/returns", body))["points"])
    assert sum(taken) == 199
    body = {"accrual": accrual, "lines": [{"line_id": "1", "quantity": 0, "amount": 1}], "source": "pos"}
    refused(await market.till.post("/v1/returns", {**body, "reference": "B-9"}), 409, "exceeds_purchase")
    assert await balance(market, member) == {"pending": 0, "available": 0, "held": 0, "owed": 0}


async def test_a_return_of_what_was_spent_is_owed_and_the_next_points_repay_it(market: Shop) -> None:
    member = await market.enrols()
    order = an_order(member, 100_00, occurred_at="2026-01-01T10:00:00Z")
    accepted(await market.till.post("/v1/accruals", order))
    await market.gives(member, 10)
    accepted(await market.till.post("/v1/redemptions", a_redemption(member, 60)))
    accrual = {"source": order["source"], "reference": order["reference"]}
    body = {"accrual": accrual, "full": True, "source": "pos", "reference": "B-1"}
    told = accepted(await market.till.post("/v1/returns", body))
    assert (told["points"], told["owed"]) == (100, 50)
    assert await balance(market, member) == {"pending": 0, "available": 0, "held": 0, "owed": 50}
    await market.gives(member, 70)
    assert await balance(market, member) == {"pending": 0, "available": 20, "held": 0, "owed": 0}


async def test_points_are_given_to_another_member(market: Shop) -> None:
    giver, taker = await market.enrols(), await market.enrols()
    await market.gives(giver, 100)
    body = {"from": {"id": giver["id"]}, "to": {"id": taker["id"]}, "points": 30, "source": "app", "reference": "T-1"}
    app = market.client("app")
    told = accepted(await app.post("/v1/transfers", body))
    assert [entry["member"] for entry in told["entries"]] == [giver["id"], taker["id"]]
    assert (await balance(market, giver))["available"] == 70
    assert (await balance(market, taker))["available"] == 30
    refused(
        await app.post("/v1/transfers", {**body, "to": {"id": giver["id"]}, "reference": "T-2"}), 422, "same_member"
    )
    refused(await app.post("/v1/transfers", {**body, "points": 71, "reference": "T-3"}), 409, "insufficient_points")


async def test_a_large_adjustment_needs_a_second_person(market: Shop) -> None:
    member = await market.enrols()
    desk, finance = market.client("desk"), market.client("finance")
    body = {"member": {"id": member["id"]}, "points": 100, "reason": "goodwill", "source": "desk", "reference": "A-1"}
    assert accepted(await desk.post("/v1/adjustments", body))["status"] == "approved"
    large = (await desk.post("/v1/adjustments", {**body, "points": 101, "reference": "A-2"})).json()
    assert (large["status"], large["entry"]) == ("awaiting_approval", None)
    path = f"/v1/adjustments/{large['adjustment']}"
    refused(await desk.post(f"{path}/approve", {}), 409, "second_person_required")
    assert accepted(await finance.post(f"{path}/approve", {}))["entry"]["reference"] == "A-2"
    refused(await finance.post(f"{path}/reject", {}), 409, "adjustment_decided")
    less = accepted(await desk.post("/v1/adjustments", {**body, "points": -50, "reference": "A-3"}))
    assert less["balances"]["points"]["available"] == 151


async def test_closing_shows_first_what_is_forfeited(market: Shop) -> None:
    member = await market.enrols()
    desk = market.client("desk")
    await market.gives(member, 100)
    accepted(await market.till.post("/v1/accruals", an_order(member, 50_00)))
    accepted(await market.till.post("/v1/holds", a_hold(member, 40)))
    path = f"/v1/members/{member['id']}/close"
    preview = accepted(await desk.post(path, {}, dry_run="true"))
    assert preview["forfeited"] == {"points": 150}
    assert (await balance(market, member))["held"] == 40
    closed = accepted(await desk.post(path, {"reason": "asked to"}))
    assert [entry["kind"] for entry in closed["entries"]] == ["release", "forfeit"]
    assert await balance(market, member) == {"pending": 0, "available": 0, "held": 0, "owed": 0}
    refused(await market.till.post("/v1/accruals", a_grant(member)), 409, "member_closed")
    refused(await desk.post(path, {}), 409, "member_closed")


async def test_a_frozen_member_neither_earns_nor_spends(market: Shop) -> None:
    member = await market.enrols()
    desk = market.client("desk")
    path = f"/v1/members/{member['id']}"
    assert accepted(await patched(desk, path, {"status": "frozen"}))["status"] == "frozen"
    refused(await market.till.post("/v1/accruals", a_grant(member)), 409, "member_frozen")
    accepted(await patched(desk, path, {"status": "earn_only"}))
    await market.gives(member, 10)
    refused(await market.till.post("/v1/redemptions", a_redemption(member, 1)), 409, "member_earn_only")


async def test_a_spend_that_happened_offline_is_owed_where_the_points_did_not_suffice(market: Shop) -> None:
    member = await market.enrols()
    await market.gives(member, 10)
    body = a_redemption(member, 30, forced=True)
    refused(await market.till.post("/v1/redemptions", body), 422, "source_may_not_force")
    told = accepted(await market.till.post("/v1/redemptions", {**body, "source": "pos-offline"}))
    assert await balance(market, member) == {"pending": 0, "available": 0, "held": 0, "owed": 20}
    path = f"/v1/redemptions/{told['redemption']['id']}/refund"
    accepted(await market.till.post(path, {"source": "pos", "reference": "F-1"}))
    assert await balance(market, member) == {"pending": 0, "available": 10, "held": 0, "owed": 0}
