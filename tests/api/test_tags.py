"""Tags over HTTP: the desk sets them with a reason, rules tell members apart by them, a merge joins them."""

from datetime import UTC, datetime
from typing import Any

import pytest_asyncio
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from loyalty.api.service import Service
from loyalty.domain.bounds import MOST_TAGS
from loyalty.recompute.verify import verify
from tests.api.conftest import Client, Shop, ShopFactory, a_merge, accepted, an_order, contents, refused
from tests.api.test_rules import BASE, publishes

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
NO_STAFF = {"kind": "exclusion", "id": "staff", "when": "'staff' in member.tags"}


@pytest_asyncio.fixture(loop_scope="session")
async def shop(a_shop: ShopFactory) -> Shop:
    """A shop whose clock stands still, so that rules can be published for the past."""
    return await a_shop(fixed_now=NOON)


def path(member: dict[str, Any]) -> str:
    return f"/v1/members/{member['id']}/tags"


async def tags(shop: Shop, member: dict[str, Any], *words: str, reason: str = "on the list") -> dict[str, Any]:
    desk = shop.client("desk")
    return accepted(await desk.write("PUT", path(member), {"tags": list(words), "reason": reason}))


async def shown(shop: Shop, member: dict[str, Any]) -> list[str]:
    found: list[str] = accepted(await shop.till.get(f"/v1/members/{member['id']}"))["tags"]
    return found


async def test_the_desk_sets_tags_and_everybody_sees_them(shop: Shop) -> None:
    anna = await shop.enrols()
    assert await shown(shop, anna) == []
    said = await tags(shop, anna, "staff", "press")
    assert (said["id"], said["tags"], said["entries"]) == (anna["id"], ["press", "staff"], [])
    await tags(shop, anna, "press", reason="has left")
    assert await shown(shop, anna) == ["press"]

    page = accepted(await shop.till.get(path(anna), limit=1))
    [newest] = page["items"]
    assert (newest["tags"], newest["reason"]) == (["press"], "has left")
    assert newest["changed_by"].startswith("client-")
    rest = accepted(await shop.till.get(path(anna), cursor=page["next_cursor"]))
    assert [one["tags"] for one in rest["items"]] == [["press", "staff"]]
    assert rest["next_cursor"] is None


async def test_a_change_of_tags_is_an_event(shop: Shop) -> None:
    anna = await shop.enrols()
    for _ in range(2):
        await tags(shop, anna, "staff")
    events = accepted(await shop.client("finance").get("/v1/events"))["items"]
    assert [one["type"] for one in events] == ["member.enrolled", "member.tags_changed"]


async def test_words_that_are_no_tags_are_refused(shop: Shop, owner: AsyncEngine) -> None:
    anna = await shop.enrols()
    desk = shop.client("desk")
    before = await contents(owner, shop)
    many = [f"t{number}" for number in range(MOST_TAGS + 1)]
    for wrong in (["Staff"], ["1st"], ["st aff"], ["x" * 33], [""], ["staff\n"], many, "staff", None):
        refused(await desk.write("PUT", path(anna), {"tags": wrong, "reason": "r"}), 422, "invalid_request")
    refused(await desk.write("PUT", path(anna), {"tags": ["staff"]}), 422, "invalid_request")
    refused(await desk.write("PUT", path(anna), {"tags": ["staff"], "reason": " "}), 422, "invalid_request")
    assert await contents(owner, shop) == before


async def test_staff_earns_nothing_whichever_way_the_purchase_comes(shop: Shop, app: FastAPI) -> None:
    await publishes(shop.client("marketing"), BASE, NO_STAFF)
    anna, ben = await shop.enrols(), await shop.enrols()
    await tags(shop, anna, "staff")
    assert [(await shop.sells(one, 10_000))["points"] for one in (anna, ben)] == [0, 100]
    bulk = accepted(await shop.till.post("/v1/accruals/bulk", {"items": [an_order(anna), an_order(ben)]}))
    assert [one["body"]["points"] for one in bulk["results"]] == [0, 199]
    preview = accepted(await shop.till.post("/v1/accruals/preview", an_order(anna)))
    assert (preview["points"], preview["inputs"]["values"]) == (0, {"member.tags": ["staff"]})
    assert accepted(await shop.till.post("/v1/accruals", an_order(anna), dry_run="true"))["points"] == 0
    await tags(shop, anna)
    assert (await shop.sells(anna, 10_000))["points"] == 100
    service: Service = app.state.service
    assert (await verify(service.database, shop.programme)).findings == []


async def test_an_entry_explains_itself_by_the_tags_of_its_time(shop: Shop) -> None:
    await publishes(shop.client("marketing"), BASE, NO_STAFF)
    anna = await shop.enrols()
    await tags(shop, anna, "staff")
    sale = await shop.sells(anna, 10_000)
    await tags(shop, anna)
    told = accepted(await shop.till.get(f"/v1/entries/{sale['entry']['id']}/explanation"))["earning"]
    assert told["inputs"]["values"] == {"member.tags": ["staff"]}
    assert [step["fired"] for step in told["steps"] if step["rule"]["id"] == "staff"] == [True]


async def test_a_condition_on_what_no_tag_can_be_is_not_published(shop: Shop) -> None:
    wrong = {**NO_STAFF, "when": "'Staff' in member.tags"}
    problem = refused(
        await shop.client("marketing").post("/v1/earning-rules", {"rules": [BASE, wrong]}), 422, "rules_unsound"
    )
    assert [(fault["rule"], fault["position"]) for fault in problem["faults"]] == [("staff", 1)]


async def test_a_merge_joins_the_tags_and_its_reversal_takes_off_what_it_brought(shop: Shop, app: FastAPI) -> None:
    anna, twice = await shop.enrols(), await shop.enrols()
    await tags(shop, anna, "press", "vip")
    await tags(shop, twice, "staff", "vip")
    desk = shop.client("desk")
    merge = await _merges(desk, twice, into=anna)
    assert await shown(shop, anna) == ["press", "staff", "vip"]
    refused(await desk.write("PUT", path(twice), {"tags": [], "reason": "r"}), 409, "member_merged")
    await tags(shop, anna, "press", "staff", "vip", "new")
    accepted(await desk.post(f"/v1/merges/{merge}/reverse", {"reason": "her sister"}))
    assert await shown(shop, anna) == ["new", "press", "vip"]
    assert await shown(shop, twice) == ["staff", "vip"]
    newest = accepted(await shop.till.get(path(anna)))["items"][0]
    assert (newest["reason"], newest["changed_by"]) == ("her sister", None)
    service: Service = app.state.service
    assert (await verify(service.database, shop.programme)).findings == []


async def test_two_members_whose_tags_are_too_many_together_are_not_merged(shop: Shop) -> None:
    anna, twice = await shop.enrols(), await shop.enrols()
    await tags(shop, anna, *(f"a{number}" for number in range(MOST_TAGS)))
    await tags(shop, twice, "staff")
    desk = shop.client("desk")
    refused(await desk.post("/v1/merges", a_merge(twice, into=anna)), 409, "too_many_tags")
    await tags(shop, anna)
    await _merges(desk, twice, into=anna)
    assert await shown(shop, anna) == ["staff"]


async def _merges(desk: Client, absorbed: dict[str, Any], *, into: dict[str, Any]) -> str:
    """The id of the merge."""
    return str(accepted(await desk.post("/v1/merges", a_merge(absorbed, into=into)))["merge"])
