"""`verify` names what was changed of a hold, a reversal, an adjustment or a lot that lapsed."""

from typing import Any

import pytest
import pytest_asyncio
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from loyalty.operations.verify import verify
from tests.api.conftest import Shop, ShopFactory, accepted, an_order


@pytest_asyncio.fixture(loop_scope="session")
async def day(a_shop: ShopFactory) -> Shop:
    """A programme with a day of every verb behind it."""
    shop = await a_shop(transfers=True, adjustment_limit=100)
    till, desk, finance = shop.till, shop.client("desk"), shop.client("finance")
    anna, ben, cleo = [await shop.enrols() for _ in range(3)]
    for member in (anna, ben, cleo):
        await shop.gives(member, 500)

    async def hold(member: dict[str, Any], points: int, reference: str) -> str:
        body = {"member": {"id": member["id"]}, "points": points, "source": "pos", "reference": reference}
        return f"/v1/holds/{accepted(await till.post('/v1/holds', body))['hold']['id']}"

    accepted(await till.post(f"{await hold(anna, 100, 'captured')}/capture", {"points": 60}))
    accepted(await till.post(f"{await hold(anna, 50, 'released')}/release", {}))
    await hold(anna, 30, "open")
    redemption = (await shop.redeems(anna, 40))["redemption"]["id"]
    refund = {"points": 15, "source": "pos", "reference": "refunded"}
    accepted(await till.post(f"/v1/redemptions/{redemption}/refund", refund))
    order = an_order(anna, 100_00)
    accepted(await till.post("/v1/accruals", order))
    accrual = {"source": order["source"], "reference": order["reference"]}
    lines = [{"line_id": "1", "quantity": 0, "amount": 25_00}]
    back = {"accrual": accrual, "lines": lines, "source": "pos", "reference": "returned"}
    accepted(await till.post("/v1/returns", back))
    part = [{"line_id": "1", "quantity": 0, "amount": 10_00}]
    for reference, then in (("reserved", ""), ("confirmed", "/confirm"), ("cancelled", "/cancel")):
        asked = accepted(await till.post("/v1/returns/reserve", {**back, "lines": part, "reference": reference}))
        if then:
            accepted(await till.post(f"/v1/returns/{asked['reservation']['id']}{then}", {}))
    sold = (await shop.sells(ben, 80_00))["entry"]["id"]
    wrong = {"accrual": {"entry": sold}, "to": {"id": anna["id"]}, "source": "desk", "reason": "r"}
    accepted(await desk.post("/v1/reassignments", {**wrong, "reference": "reassigned"}))
    given = {"from": {"id": anna["id"]}, "to": {"id": ben["id"]}, "points": 20, "source": "app", "reference": "given"}
    accepted(await shop.client("app").post("/v1/transfers", given))
    adjusted = {"member": {"id": ben["id"]}, "points": 200, "reason": "r", "source": "desk", "reference": "approved"}
    waiting = (await desk.post("/v1/adjustments", adjusted)).json()["adjustment"]
    accepted(await finance.post(f"/v1/adjustments/{waiting}/approve", {}))
    await desk.post("/v1/adjustments", {**adjusted, "reference": "awaiting"})
    accepted(await desk.post(f"/v1/members/{cleo['id']}/close", {}))
    return shop


async def test_a_day_of_every_verb_is_sound(day: Shop, app: FastAPI) -> None:
    report = await verify(app.state.service.database, day.programme)
    assert report.findings == []
    assert report.checked["hold"] == 6
    assert report.checked["reversal"] == 3


def of(reference: str) -> str:
    """The row that the entry of the reference stands for."""
    found = f"select entry_id from reference where programme_id = :p and reference = '{reference}'"
    return f"programme_id = :p and id = ({found})"


TAMPERINGS = {
    "an open hold called released": (f"update hold set status = 'released' where {of('open')}", "hold", 8),
    "more captured": (f"update hold set captured = captured + 1 where {of('captured')}", "hold", 8),
    "a released hold called captured": (
        f"update hold set status = 'captured', captured = 1 where {of('released')}",
        "hold",
        8,
    ),
    "a hold of more points": (f"update hold set points = points + 1 where {of('open')}", "hold", 8),
    "a hold that ends later": (
        f"update hold set expires_at = expires_at + interval '1 minute' where {of('open')}",
        "hold",
        8,
    ),
    "a hold that vanished": (f"delete from hold where {of('open')}", "hold", 8),
    "held points": (
        "update book set held = held + 1, issued = issued + 1 where programme_id = :p and held > 0",
        "book",
        4,
    ),
    "a reversal of more": ("update reversal set points = points + 1 where programme_id = :p", "reversal", 5),
    "a reversal that vanished": ("delete from reversal where programme_id = :p", "reversal", 5),
    "an adjustment called rejected": (
        f"update adjustment set status = 'rejected' where {of('approved')}",
        "adjustment",
        6,
    ),
    "an adjustment of more": (f"update adjustment set points = points + 1 where {of('approved')}", "adjustment", 6),
    "an awaiting adjustment called approved": (
        f"update adjustment set status = 'approved', decided_by = 'x' where {of('awaiting')}",
        "adjustment",
        6,
    ),
    "a return reserved for less": (
        f"update hold set points = points - 1 where {of('reserved')}",
        "hold",
        8,
    ),
    "another return reserved": (
        f"update hold set reserved = replace(reserved::text, 'sale', 'sold')::json where {of('reserved')}",
        "hold",
        8,
    ),
    "a reserved return called confirmed": (
        f"update hold set status = 'captured' where {of('reserved')}",
        "hold",
        8,
    ),
    "a confirmed return called cancelled": (
        f"update hold set status = 'released' where {of('confirmed')}",
        "hold",
        8,
    ),
    "a purchase that went nowhere": (
        "update reversal set moved_to = null where programme_id = :p and moved_to is not null",
        "reversal",
        5,
    ),
    "a purchase that went elsewhere": (
        "update reversal set moved_to = gen_random_uuid() where programme_id = :p and moved_to is null",
        "reversal",
        5,
    ),
    "a lot that lapsed less": ("update lot set lapsed = lapsed - 1 where programme_id = :p and lapsed > 0", "lot", 5),
    "points put back": ("update lot set restored = restored - 1 where programme_id = :p and restored > 0", "lot", 5),
}


@pytest.mark.parametrize("what", TAMPERINGS)
async def test_what_was_changed_behind_the_ledgers_back_is_named(
    day: Shop, app: FastAPI, owner: AsyncEngine, what: str
) -> None:
    statement, table, invariant = TAMPERINGS[what]
    async with owner.begin() as connection:
        assert (await connection.execute(text(statement), {"p": day.programme.id})).rowcount > 0, "it was planted"
    report = await verify(app.state.service.database, day.programme)
    assert (table, invariant) in {(found.table, found.invariant) for found in report.findings}, report.findings
