"""Drift: what a channel shows is held against what there is; a difference is explained, told, or listed for finance."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine

from loyalty.store import drift as store
from loyalty.store.drift import AFTER_ALL_DIFFERENCES
from loyalty.store.parts import PROGRAMME
from tests.api.conftest import Client, Shop, ShopFactory, accepted, contents, refused
from tests.api.test_lists import every_page, sealed
from tests.plans import plan

DRIFT = "/v1/channels/tmall/drift"


@pytest_asyncio.fixture(loop_scope="session")
async def channel(shop: Shop) -> Client:
    """Whoever speaks for a channel that is connected."""
    await connects(shop)
    return shop.client("app")


async def connects(shop: Shop, **more: Any) -> None:
    body = {"name": "tmall", "adapter": "tmall", "secret": "what it signs with", **more}
    accepted(await shop.client("admin").post("/v1/channels", body))


async def a_member(shop: Shop, points: int = 0, ouid: str = "t-1") -> dict[str, Any]:
    member = await shop.enrols(identities=[{"channel": "tmall", "type": "ouid", "value": ouid}])
    if points:
        await shop.gives(member, points)
    return member


def a_copy(points: int, *, ouid: str = "t-1", at: datetime | None = None, **more: Any) -> dict[str, Any]:
    as_of = (at or datetime.now(UTC)).isoformat()
    return {"identity": {"type": "ouid", "value": ouid}, "as_of": as_of, "points": points, **more}


async def shows(channel: Client, *copies: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    """What came of each copy."""
    answer = await channel.post(DRIFT, {"copies": list(copies)}, key=None, **more)
    assert answer.status_code == 200, answer.text
    return [one["body"] for one in answer.json()["results"]]


async def verdicts(channel: Client, *copies: dict[str, Any]) -> list[str]:
    return [one["verdict"] for one in await shows(channel, *copies)]


async def events(shop: Shop) -> list[dict[str, Any]]:
    found = accepted(await shop.client("finance").get("/v1/events", limit=200))["items"]
    return [one for one in found if one["type"] == "channel.balance_differs"]


async def is_open(client: Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = accepted(await client.get(DRIFT))["items"]
    return found


async def test_what_agrees_leaves_nothing(shop: Shop, channel: Client) -> None:
    member = await a_member(shop, 50)
    [said] = await shows(channel, a_copy(50, tier="member"))
    assert said == {
        "member": member["id"],
        "verdict": "agrees",
        "shown": {"points": 50, "tier": "member"},
        "ours": {"points": 50, "tier": "member"},
        "difference": None,
    }
    assert await is_open(channel) == []
    assert await events(shop) == []


async def test_a_difference_is_told_to_the_channel_and_holds_nothing_personal(shop: Shop, channel: Client) -> None:
    member = await a_member(shop, 50)
    at = datetime.now(UTC)
    [said] = await shows(channel, a_copy(70, at=at, tier="gold"))
    assert (said["verdict"], said["ours"]) == ("differs", {"points": 50, "tier": "member"})
    [found] = await is_open(channel)
    assert {**found, "found_at": ""} == {
        "difference": said["difference"],
        "channel": "tmall",
        "member": member["id"],
        "points_master": "ours",
        "shown": {"points": 70, "tier": "gold"},
        "ours": {"points": 50, "tier": "member"},
        "as_of": at.isoformat().replace("+00:00", "Z"),
        "found_at": "",
        "status": "open",
        "ended_at": None,
    }
    [event] = await events(shop)
    assert event["id"] == said["difference"].replace("dif_", "evt_")
    assert event["member"] == member["id"]
    assert event["entry"] is None
    assert accepted(await channel.get(f"/v1/drift/{said['difference']}")) == found
    assert "t-1" not in str((said, found, event))


async def test_where_the_channel_is_the_master_finance_is_told_and_nobody_else(shop: Shop) -> None:
    await connects(shop, points_master="channel")
    await a_member(shop, 50)
    finance = shop.client("finance")
    [said] = await shows(finance, a_copy(70))
    [found] = await is_open(finance)
    assert (found["difference"], found["points_master"]) == (said["difference"], "channel")
    assert await events(shop) == []


async def test_a_channel_that_shows_whole_units_is_explained(shop: Shop) -> None:
    await connects(shop, points_per_unit=100)
    channel = shop.client("app")
    await a_member(shop, 1_234)
    assert await verdicts(channel, a_copy(12)) == ["rounded"]
    assert await verdicts(channel, a_copy(13)) == ["differs"]
    assert await verdicts(channel, a_copy(1_234)) == ["differs"], "it is not in its units"
    await shop.gives({"identity": {"channel": "tmall", "type": "ouid", "value": "t-1"}}, 66)
    assert await verdicts(channel, a_copy(13)) == ["agrees"]


async def test_what_was_right_when_the_copy_was_taken_is_explained(shop: Shop, channel: Client) -> None:
    member = await a_member(shop, 50)
    then = datetime.now(UTC)
    await shop.redeems(member, 20)
    [said] = await shows(channel, a_copy(50, at=then))
    assert (said["verdict"], said["ours"]["points"], said["difference"]) == ("later_entries", 50, None)
    assert await verdicts(channel, a_copy(50)) == ["differs"]


async def test_a_tier_is_compared_as_of_the_copy(shop: Shop, channel: Client) -> None:
    member = await a_member(shop)
    then = datetime.now(UTC)
    await shop.sells(member, 6_000_00)  # pending, and gold
    [said] = await shows(channel, a_copy(0, at=then, tier="member"))
    assert (said["verdict"], said["ours"]["tier"]) == ("later_entries", "member")
    assert await verdicts(channel, a_copy(0, tier="gold")) == ["agrees"]
    assert await verdicts(channel, a_copy(0)) == ["agrees"]
    [said] = await shows(channel, a_copy(0, tier="silver"))
    assert (said["verdict"], said["ours"]["tier"]) == ("differs", "gold")


async def test_a_later_copy_settles_or_replaces_what_is_open(shop: Shop, channel: Client) -> None:
    await a_member(shop, 50)
    [first] = await shows(channel, a_copy(70))
    [second] = await shows(channel, a_copy(71))
    assert [one["difference"] for one in await is_open(channel)] == [second["difference"]]
    old = accepted(await channel.get(f"/v1/drift/{first['difference']}"))
    assert (old["status"], old["ended_at"] is not None) == ("replaced", True)
    assert len(await events(shop)) == 2, "the channel is told again"
    assert await verdicts(channel, a_copy(50)) == ["agrees"]
    assert await is_open(channel) == []
    assert accepted(await channel.get(f"/v1/drift/{second['difference']}"))["status"] == "settled"


async def test_copies_may_come_out_of_order_and_more_than_one_at_a_time(shop: Shop, channel: Client) -> None:
    await a_member(shop, 50)
    before = datetime.now(UTC)
    [late, early] = await shows(channel, a_copy(70), a_copy(71, at=before))
    assert early["difference"] == late["difference"], "what the later copy found stays"
    assert await verdicts(channel, a_copy(50, at=before - timedelta(seconds=1))) == ["agrees"]
    assert [one["shown"]["points"] for one in await is_open(channel)] == [70]


async def test_a_copy_that_is_sent_again_is_answered_the_same(shop: Shop, channel: Client) -> None:
    await a_member(shop, 50)
    copy = a_copy(70)
    first = await shows(channel, copy)
    await shop.gives({"identity": {"channel": "tmall", "type": "ouid", "value": "t-1"}}, 20)
    assert await shows(channel, copy) == first
    assert len(await events(shop)) == 1
    answer = await channel.post(DRIFT, {"copies": [{**copy, "points": 71}]}, key=None)
    [again] = answer.json()["results"]
    assert (again["status"], again["body"]["code"]) == (422, "idempotency_key_reused")


async def test_one_copy_of_nobody_disturbs_no_other(shop: Shop, channel: Client) -> None:
    await a_member(shop, 50)
    ahead = datetime.now(UTC) + timedelta(hours=1)
    copies = [a_copy(1, ouid="nobody"), a_copy(50), a_copy(50, at=ahead)]
    answer = await channel.post(DRIFT, {"copies": copies}, key=None)
    assert [(one["status"], one["body"].get("code")) for one in answer.json()["results"]] == [
        (404, "member_not_found"),
        (200, None),
        (422, "occurred_at_in_future"),
    ]


async def test_a_dry_run_says_the_same_and_leaves_nothing(shop: Shop, channel: Client, owner: AsyncEngine) -> None:
    await a_member(shop, 50)
    before = await contents(owner, shop)
    [said] = await shows(channel, a_copy(70), dry_run="true")
    assert said["verdict"] == "differs"
    assert await contents(owner, shop) == before


async def test_a_thousand_copies_at_once_are_listed_page_by_page(shop: Shop, channel: Client) -> None:
    joining = [{"channel": "tmall", "type": "ouid", "value": f"t-{n}"} for n in range(30)]
    for identity in joining:
        await shop.enrols(identities=[identity])
    copies = [
        a_copy(n + 1, ouid=f"t-{n % 30}", at=datetime.now(UTC) - timedelta(seconds=1_000 - n)) for n in range(1_000)
    ]
    said = await shows(channel, *copies)
    assert {one["verdict"] for one in said} == {"differs"}
    whole = await is_open(channel)
    assert sorted(one["shown"]["points"] for one in whole) == list(range(971, 1_001)), "the last of each"
    assert [one["difference"] for one in whole] == sorted((one["difference"] for one in whole), reverse=True)
    for limit in (1, 7, 200):
        assert await every_page(channel, DRIFT, limit=limit) == whole
    refused(await channel.post(DRIFT, {"copies": [*copies, copies[0]]}), 422, "invalid_request")


@pytest.mark.parametrize(
    "copy",
    [
        a_copy(-1),
        {**a_copy(1), "points": "1"},
        {**a_copy(1), "points": 2**53},
        {**a_copy(1), "as_of": "today"},
        a_copy(1, tier=""),
        a_copy(1, ouid=""),
        {**a_copy(1), "identity": {"channel": "tmall", "type": "ouid", "value": "t-1"}},
    ],
)
async def test_what_is_no_copy_is_refused(channel: Client, copy: dict[str, Any]) -> None:
    refused(await channel.post(DRIFT, {"copies": [copy]}), 422, "invalid_request")
    refused(await channel.post(DRIFT, {"copies": []}), 422, "invalid_request")


async def test_what_is_not_there_is_not_found(shop: Shop, channel: Client) -> None:
    nobody = "/v1/channels/nobody/drift"
    refused(await channel.get(nobody), 404, "channel_not_found")
    refused(await channel.post(nobody, {"copies": [a_copy(1)]}), 404, "channel_not_found")
    for id_ in ("x", f"dif_{'0' * 32}", f"evt_{'0' * 32}"):
        refused(await channel.get(f"/v1/drift/{id_}"), 404, "difference_not_found")
    refused(await channel.get(DRIFT, cursor=sealed(["x"])), 400, "invalid_cursor")


async def test_differences_of_another_programme_are_not_ours(a_shop: ShopFactory, shop: Shop, channel: Client) -> None:
    await a_member(shop, 50)
    [said] = await shows(channel, a_copy(70))
    other = await a_shop()
    await connects(other)
    assert await is_open(other.client("app")) == []
    refused(await other.client("app").get(f"/v1/drift/{said['difference']}"), 404, "difference_not_found")
    answer = await other.client("app").post(DRIFT, {"copies": [a_copy(70)]}, key=None)
    assert [one["status"] for one in answer.json()["results"]] == [404]


async def test_the_list_comes_in_the_order_of_its_index(shop: Shop, owner: AsyncEngine) -> None:
    values = {PROGRAMME: shop.programme.id, "the_channel": "tmall", "before": AFTER_ALL_DIFFERENCES, "at_most": 50}
    async with owner.connect() as connection:
        steps = await plan(connection, store._PAGE, values)
    assert [step.over for step in steps if step.over] == ["difference_listed"]
    assert not any(step.type == "Sort" for step in steps)
