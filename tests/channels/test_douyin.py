"""Douyin: a join that is answered with points, level and whether they are new; "retry" and "final" codes."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

from tests.api.conftest import Shop, accepted, an_order
from tests.channels.conftest import Douyin, connects

PHONE = "13527153122"
SEALED = "2yxFypQ39OrifivISATEqA=="
A_NEW_ONE = {
    "error_code": 0,
    "description": "success",
    "point_amount_cent": 0,
    "user_level": 1,
    "is_new_member": True,
}


async def who(shop: Shop, open_id: str) -> dict[str, Any]:
    name = {"identity": {"channel": "douyin", "type": "open_id", "value": open_id}}
    return accepted(await shop.till.post("/v1/members/resolve", {"member": name}, key=None))


async def kinds(shop: Shop, member: dict[str, Any]) -> list[tuple[str, str]]:
    found = accepted(await shop.till.get(f"/v1/members/{member['id']}/identities"))["items"]
    return [(one["channel"], one["type"]) for one in found]


async def test_somebody_joins_and_is_new_however_often_it_is_told(shop: Shop, douyin: Douyin) -> None:
    assert await douyin.joins("o-1", mobile=PHONE) == A_NEW_ONE
    assert await douyin.joins("o-1", mobile=PHONE) == A_NEW_ONE, "a message of its own, and the same join"
    member = await who(shop, "o-1")
    assert await kinds(shop, member) == [("douyin", "open_id"), ("phone", "phone"), ("programme", "number")]
    await shop.gives(member, 12)
    assert (await douyin.joins("o-1"))["point_amount_cent"] == 1200


async def test_a_phone_that_the_platform_vouches_for_joins_its_member(shop: Shop, douyin: Douyin) -> None:
    member = await shop.enrols(phone=f"+86{PHONE}", phone_verified=True)
    await shop.gives(member, 250)
    await shop.till.post("/v1/accruals", an_order(member, 6_000_00))
    said = await douyin.joins("o-1", mobile=PHONE)
    assert said == {**A_NEW_ONE, "point_amount_cent": 25_000, "user_level": 3, "is_new_member": False}
    assert (await who(shop, "o-1"))["id"] == member["id"]
    assert (await douyin.joins("o-1", mobile=PHONE))["is_new_member"] is False


async def test_a_phone_that_comes_later_is_bound_to_who_has_joined(shop: Shop, douyin: Douyin) -> None:
    assert await douyin.joins("o-1") == A_NEW_ONE
    assert await douyin.joins("o-1", mobile=PHONE) == A_NEW_ONE
    member = await who(shop, "o-1")
    assert ("phone", "phone") in await kinds(shop, member)
    assert (await douyin.joins("o-2", mobile=PHONE))["description"] == "identity_conflict", "it is theirs"


async def test_a_phone_that_nobody_vouches_for_joins_nobody(shop: Shop, http: httpx2.AsyncClient) -> None:
    douyin = Douyin(http, (await connects(shop, "douyin"))["path"])
    member = await shop.enrols(phone=f"+86{PHONE}", phone_verified=True)
    assert await douyin.joins("o-1", mobile=PHONE) == A_NEW_ONE
    stranger = await who(shop, "o-1")
    assert stranger["id"] != member["id"]
    assert await kinds(shop, stranger) == [("douyin", "open_id"), ("programme", "number")]


async def test_a_phone_that_only_the_platform_can_read_is_an_identity_of_its_own(shop: Shop, douyin: Douyin) -> None:
    assert await douyin.joins("o-1", mobile=SEALED) == A_NEW_ONE
    member = await who(shop, "o-1")
    assert await kinds(shop, member) == [("douyin", "mobile"), ("douyin", "open_id"), ("programme", "number")]


async def test_who_leaves_keeps_everything_and_may_come_back_by_the_phone(shop: Shop, douyin: Douyin) -> None:
    await douyin.joins("o-1", mobile=PHONE)
    member = await who(shop, "o-1")
    await shop.gives(member, 40)
    for _ in range(2):
        left = await douyin.posts("leave", {"open_id": "o-1", "account_id": "1"})
        assert left.json() == {"data": {"error_code": 0, "description": "success"}}
    assert await kinds(shop, member) == [("phone", "phone"), ("programme", "number")]
    assert await shop.figures(member) == (0, 40)
    back = await douyin.joins("o-1", mobile=PHONE)
    assert (back["point_amount_cent"], back["is_new_member"]) == (4_000, False)


async def test_the_same_person_on_two_channels_at_once_is_one_member(shop: Shop, douyin: Douyin) -> None:
    async def at_the_till() -> None:
        accepted(await shop.client("app").post("/v1/members", {"phone": f"+86{PHONE}", "phone_verified": True}))

    said, _, again = await asyncio.gather(
        douyin.joins("o-1", mobile=PHONE), at_the_till(), douyin.joins("o-1", mobile=PHONE)
    )
    assert {said["error_code"], again["error_code"]} <= {0, 100}
    assert (await douyin.joins("o-1", mobile=PHONE))["error_code"] == 0
    events = accepted(await shop.client("finance").get("/v1/events"))["items"]
    assert [one["type"] for one in events].count("member.enrolled") == 1


async def test_a_join_is_not_heard_again_as_a_leave(shop: Shop, douyin: Douyin) -> None:
    """The platform's signature does not cover the path."""
    now = datetime.now(UTC)
    joined = await douyin.posts("join", {"open_id": "o-1"}, at=now)
    assert joined.json()["data"]["error_code"] == 0
    heard = await douyin.posts("leave", {"open_id": "o-1"}, at=now)
    assert heard.json()["data"]["error_code"] == 200
    again = await douyin.posts("join", {"open_id": "o-1"}, at=now)
    assert again.content == joined.content


@pytest.mark.parametrize("birthday", ["0001-01-01", "1800-01-01", 946_684_800, 0, "2000-01-01T00:00:00Z"])
async def test_a_birthday_is_a_day_of_our_days(douyin: Douyin, birthday: Any) -> None:
    assert (await douyin.joins("o-1", birthday=birthday))["error_code"] == 200


async def test_who_is_under_age_is_refused_for_good(shop: Shop, douyin: Douyin) -> None:
    said = await douyin.joins("o-1", birthday="2020-01-01")
    assert said == {"error_code": 200, "description": "under_age"}
    assert (await shop.till.get("/v1/parked")).json()["items"] == []


async def test_a_join_that_lacks_what_the_programme_requires_is_refused_for_good(
    a_shop: Any, http: httpx2.AsyncClient
) -> None:
    strict = await a_shop(enrolment_requires=frozenset({"phone"}))
    douyin = Douyin(http, (await connects(strict, "douyin"))["path"])
    assert await douyin.joins("o-1") == {"error_code": 200, "description": "field_required"}
    assert await douyin.joins("o-1", mobile=PHONE) == A_NEW_ONE


async def test_a_member_who_is_known_by_another_open_id_is_tried_again(shop: Shop, douyin: Douyin) -> None:
    """Somebody at the desk unbinds the one, and the next try finds its member."""
    await douyin.joins("o-1", mobile=PHONE)
    assert await douyin.joins("o-2", mobile=PHONE) == {"error_code": 100, "description": "identity_conflict"}
    await douyin.posts("leave", {"open_id": "o-1"})
    assert (await douyin.joins("o-2", mobile=PHONE))["error_code"] == 0
