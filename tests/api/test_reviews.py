"""What somebody has to look at: opened with what happened, resolved once, by somebody with a reason."""

import asyncio
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from loyalty.api.service import Service
from loyalty.store import reviews as store
from loyalty.store.parts import PROGRAMME
from loyalty.worker.parked import cure_parked
from tests.api.conftest import Client, Shop, a_reference, a_refund, accepted, an_order, contents, refused
from tests.api.test_lists import every_page, sealed
from tests.plans import plan

REVIEWS = "/v1/reviews"


async def forces(shop: Shop, points: int, **more: Any) -> dict[str, Any]:
    """A member with 500 points spends some offline."""
    member = await shop.enrols()
    await shop.gives(member, 500)
    return await shop.redeems(member, points, source="pos-offline", forced=True, **more)


async def listed(shop: Shop, **query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = accepted(await shop.client("desk").get(REVIEWS, **query))["items"]
    return found


async def resolves(client: Client, review: dict[str, Any], reason: str = "it repays") -> dict[str, Any]:
    return accepted(await client.post(f"{REVIEWS}/{review['review']}/resolve", {"reason": reason}))


async def test_a_forced_redemption_of_more_than_there_is_has_to_be_looked_at(shop: Shop) -> None:
    spent = await forces(shop, 620, reference="R-1")
    [review] = await listed(shop)
    entry = spent["entry"]
    assert review == {
        "review": entry["id"].replace("ent_", "rev_"),
        "kind": "redemption.not_covered",
        "status": "open",
        "member": entry["member"],
        "entry": entry["id"],
        "parked": None,
        "wallet": "points",
        "points": 120,
        "source": "pos-offline",
        "reference": "R-1",
        "opened_at": entry["recorded_at"],
        "resolved_by": None,
        "reason": None,
        "resolved_at": None,
    }
    assert accepted(await shop.client("desk").get(f"{REVIEWS}/{review['review']}")) == review
    events = accepted(await shop.client("finance").get("/v1/events"))["items"]
    assert [one["type"] for one in events][-1] == "redemption.not_covered", "who follows the events hears of it"


async def test_what_was_covered_has_not(shop: Shop) -> None:
    await forces(shop, 500)
    assert await listed(shop) == []


async def test_a_refusal_and_a_dry_run_open_nothing(shop: Shop, owner: AsyncEngine) -> None:
    member = await shop.enrols()
    body = {"member": {"id": member["id"]}, "points": 5, "source": "pos-1", "reference": "R-1", "forced": True}
    before = await contents(owner, shop, but="replay")
    refused(await shop.till.post("/v1/redemptions", body), 422, "source_may_not_force")
    may = {**body, "source": "pos-offline"}
    accepted(await shop.till.post("/v1/redemptions", may, key=None, dry_run="true"))
    assert await contents(owner, shop, but="replay") == before


async def test_a_review_item_is_resolved_once_and_says_by_whom(shop: Shop) -> None:
    await forces(shop, 501)
    [review] = await listed(shop, status="open")
    desk, finance = shop.client("desk"), shop.client("finance")
    now = await resolves(desk, review, "it repays")
    assert (now["status"], now["reason"]) == ("resolved", "it repays")
    assert now["resolved_by"].startswith("client-")
    assert now["resolved_at"] >= now["opened_at"]
    assert {**review, **{name: now[name] for name in ("status", "resolved_by", "reason", "resolved_at")}} == now
    again = await finance.post(f"{REVIEWS}/{review['review']}/resolve", {"reason": "waived"})
    assert refused(again, 409, "review_resolved")["resolved_at"] == now["resolved_at"]
    assert accepted(await finance.get(f"{REVIEWS}/{review['review']}")) == now
    assert await listed(shop, status="open") == []
    assert await listed(shop, status="resolved") == [now]


async def test_of_many_who_resolve_at_once_one_does(shop: Shop) -> None:
    await forces(shop, 501)
    [review] = await listed(shop)
    path = f"{REVIEWS}/{review['review']}/resolve"
    clients = [shop.client(role) for role in ("desk", "finance", "admin")] * 4
    answers = await asyncio.gather(
        *(one.post(path, {"reason": f"said {number}"}) for number, one in enumerate(clients))
    )
    assert sorted(answer.status_code for answer in answers) == [201, *[409] * 11]
    [told] = [answer.json() for answer in answers if answer.status_code == 201]
    assert await listed(shop) == [told]


async def test_a_resolution_moves_no_points_and_a_refund_resolves_nothing(shop: Shop) -> None:
    spent = await forces(shop, 620)
    [review] = await listed(shop)
    member = {"id": spent["entry"]["member"]}
    await resolves(shop.client("desk"), review)
    assert (await shop.balance(member))["owed"] == 120
    accepted(await shop.till.post(f"/v1/redemptions/{spent['redemption']['id']}/refund", a_refund()))
    assert (await shop.balance(member))["owed"] == 0
    [now] = await listed(shop)
    assert now["points"] == 120, "what was not covered then"


async def test_a_parked_event_that_is_refused_or_given_up_has_to_be_looked_at(
    shop: Shop, app: FastAPI, owner: AsyncEngine
) -> None:
    service: Service = app.state.service
    identity = {"channel": "tmall", "type": "ouid", "value": "x"}
    sale = an_order({"identity": identity})
    refused_ = (await shop.till.post("/v1/accruals", sale)).json()["parked"]
    cured = (await shop.till.post("/v1/accruals", an_order({"identity": identity}))).json()["parked"]
    await shop.sells(await shop.enrols(), 1_00, reference=sale["reference"])
    await shop.enrols(identities=[identity])
    assert await cure_parked(service.database, service.lanes, shop.programme) == 2
    back = {"accrual": {"source": "pos-1", "reference": "never"}, "full": True, "source": "pos-1", "reference": "B-1"}
    lapsed = (await shop.till.post("/v1/returns", back)).json()["parked"]
    async with owner.begin() as connection:
        over = text("update parked_event set until = now() where programme_id = :p")
        await connection.execute(over, {"p": shop.programme.id})
    assert await cure_parked(service.database, service.lanes, shop.programme) == 1
    found = await listed(shop)
    told = [(one["kind"], one["parked"], one["source"], one["reference"]) for one in found]
    assert told == [
        ("parked.lapsed", lapsed, "pos-1", "B-1"),
        ("parked.refused", refused_, "pos-1", sale["reference"]),
    ], "the newest first, and nothing of what was cured"
    assert cured not in {one["parked"] for one in found}
    for one in found:
        assert (one["member"], one["entry"], one["wallet"], one["points"]) == (None, None, None, None)
    now = await resolves(shop.client("desk"), found[0])
    assert now["status"] == "resolved"


@pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": "x" * 201}, {"reason": None}, {"reason": "\x00"}])
async def test_a_resolution_needs_a_reason(shop: Shop, body: dict[str, Any]) -> None:
    await forces(shop, 501)
    [review] = await listed(shop)
    refused(await shop.client("desk").post(f"{REVIEWS}/{review['review']}/resolve", body), 422, "invalid_request")


@pytest.mark.parametrize("id_", ["rev_1", f"rev_{'0' * 32}", f"ent_{'0' * 32}"])
async def test_what_nobody_has_to_look_at_is_not_found(shop: Shop, id_: str) -> None:
    desk = shop.client("desk")
    refused(await desk.get(f"{REVIEWS}/{id_}"), 404, "review_not_found")
    refused(await desk.post(f"{REVIEWS}/{id_}/resolve", {"reason": "r"}), 404, "review_not_found")


async def test_a_till_neither_sees_nor_resolves_them(shop: Shop) -> None:
    await forces(shop, 501)
    [review] = await listed(shop)
    for role in ("pos", "store", "app", "marketing", "privacy"):
        client = shop.client(role)
        refused(await client.get(REVIEWS), 403, "forbidden")
        refused(await client.post(f"{REVIEWS}/{review['review']}/resolve", {"reason": "r"}), 403, "forbidden")


@pytest.mark.parametrize("limit", [1, 2, 200])
async def test_they_are_listed_newest_first_by_status_or_all(shop: Shop, limit: int) -> None:
    spent = [(await forces(shop, 501 + number))["entry"]["id"].replace("ent_", "rev_") for number in range(5)]
    desk = shop.client("desk")
    everything = await every_page(desk, REVIEWS, limit=limit)
    assert [one["review"] for one in everything] == spent[::-1]
    for one in everything[::2]:
        await resolves(desk, one)
    assert [one["review"] for one in await every_page(desk, REVIEWS, limit=limit, status="open")] == spent[::-1][1::2]
    done = await every_page(desk, REVIEWS, limit=limit, status="resolved")
    assert [one["review"] for one in done] == spent[::-1][::2]
    assert [one["review"] for one in await every_page(desk, REVIEWS, limit=limit)] == spent[::-1]


TIME = "2026-11-22T10:00:00+00:00"


@pytest.mark.parametrize("place", [{}, [], [TIME], [TIME, "0"], ["soon", "0" * 32], [1, "0" * 32], ["0" * 32, TIME]])
async def test_a_cursor_that_is_not_ours_is_refused(shop: Shop, place: Any) -> None:
    refused(await shop.client("desk").get(REVIEWS, cursor=sealed(place)), 400, "invalid_cursor")


async def test_a_status_that_there_is_not_is_refused(shop: Shop) -> None:
    refused(await shop.client("desk").get(REVIEWS, status="waived"), 422, "invalid_request")


async def test_the_list_comes_in_the_order_of_its_index(shop: Shop, app: FastAPI, owner: AsyncEngine) -> None:
    service: Service = app.state.service
    async with owner.begin() as connection:
        await connection.execute(
            text(
                "insert into review select get_byte(uuid_send(id), 15), :p, id, 'parked.lapsed', null, null, null, 's',"
                " :reference, now(), 'open' from (select gen_random_uuid() as id from generate_series(1, 500)) made"
            ),
            {"p": shop.programme.id, "reference": a_reference()},
        )
        await connection.execute(text("analyze review"))
    place = {"before": store.AFTER_ALL_REVIEWS.opened_at, "before_id": store.AFTER_ALL_REVIEWS.id}
    values = {"the_statuses": ["open", "resolved"], PROGRAMME: shop.programme.id, **place, "at_most": 51}
    async with service.database.snapshot(shop.programme.id) as connection:
        steps = await plan(connection, store._PAGE, values)
    [walk] = [step for step in steps if step.over]
    assert walk.over == "review_of_status"
    assert all(name in walk.condition for name in ("programme_id", "status", "ROW("))
    assert [step.type for step in steps].count("Sort") == 1, "of the pages of each status, and no more"
