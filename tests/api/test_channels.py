"""Channels over HTTP: connected once, listed without their secrets, changed, and given a new secret."""

import asyncio
from typing import Any

import pytest

from tests.api.conftest import Client, Shop, accepted, contents, patched, refused
from tests.api.test_lists import every_page, sealed

SECRET = "what the platform signs with"
CHANNELS = "/v1/channels"


@pytest.fixture
def admin(shop: Shop) -> Client:
    return shop.client("admin")


def a_channel(**more: Any) -> dict[str, Any]:
    return {"name": "tmall", "adapter": "tmall", "secret": SECRET, **more}


async def test_a_channel_is_connected_and_its_secret_is_never_shown(shop: Shop, admin: Client) -> None:
    said = await admin.post(CHANNELS, a_channel(points_master="channel", points_per_unit=10, phones_verified=True))
    found = accepted(said)
    assert {**found, "secret_since": "", "connected_at": "", "connected_by": ""} == {
        "name": "tmall",
        "adapter": "tmall",
        "points_master": "channel",
        "wallet": "points",
        "points_per_unit": 10,
        "phones_verified": True,
        "path": f"/v1/inbound/{shop.programme.code}/tmall/",
        "messages": ["points", "register"],
        "secret_since": "",
        "former_secret_until": None,
        "connected_at": "",
        "connected_by": "",
    }
    read, listed = await admin.get(f"{CHANNELS}/tmall"), await admin.get(CHANNELS)
    assert accepted(read) == found
    assert accepted(listed)["items"] == [found]
    assert all(SECRET not in one.text for one in (said, read, listed))


async def test_a_key_that_is_sent_again_with_another_secret_is_refused(admin: Client) -> None:
    first = await admin.post(CHANNELS, a_channel(), key="k")
    assert (await admin.post(CHANNELS, a_channel(), key="k")).content == first.content
    refused(
        await admin.post(CHANNELS, a_channel(secret="another, and as long"), key="k"), 422, "idempotency_key_reused"
    )


async def test_a_name_is_connected_once_also_at_the_same_moment(admin: Client) -> None:
    answers = await asyncio.gather(*(admin.post(CHANNELS, a_channel()) for _ in range(8)))
    assert sorted(one.status_code for one in answers) == [201] + [409] * 7
    refused(await admin.post(CHANNELS, a_channel(adapter="douyin")), 409, "channel_connected")


async def test_a_dry_run_connects_nothing(shop: Shop, admin: Client, owner: Any) -> None:
    before = await contents(owner, shop)
    accepted(await admin.post(CHANNELS, a_channel(), key=None, dry_run="true"))
    assert await contents(owner, shop) == before
    refused(await admin.get(f"{CHANNELS}/tmall"), 404, "channel_not_found")


async def test_settings_change_one_by_one(admin: Client) -> None:
    before = accepted(await admin.post(CHANNELS, a_channel()))
    changed = accepted(await patched(admin, f"{CHANNELS}/tmall", {"points_per_unit": 100}))
    assert changed == {**before, "points_per_unit": 100}
    changed = accepted(await patched(admin, f"{CHANNELS}/tmall", {"points_master": "channel", "phones_verified": True}))
    assert changed == {**before, "points_per_unit": 100, "points_master": "channel", "phones_verified": True}
    refused(await patched(admin, f"{CHANNELS}/tmall", {"wallet": "coins"}), 422, "unknown_wallet")
    assert accepted(await admin.get(f"{CHANNELS}/tmall")) == changed


async def test_a_secret_is_replaced_and_the_one_before_ends_when_it_was_told(admin: Client) -> None:
    before = accepted(await admin.post(CHANNELS, a_channel()))
    body = {"secret": "the one that follows", "former_until": "2100-01-01T00:00:00Z"}
    after = accepted(await admin.post(f"{CHANNELS}/tmall/secret", body))
    assert after == {
        **before,
        "secret_since": after["secret_since"],
        "former_secret_until": "2100-01-01T00:00:00Z",
    }
    assert after["secret_since"] > before["secret_since"]
    after = accepted(await admin.post(f"{CHANNELS}/tmall/secret", {"secret": "the one after that"}))
    assert after["former_secret_until"] is None


@pytest.mark.parametrize(
    "body",
    [
        a_channel(name="Tmall"),
        a_channel(name="phone"),
        a_channel(name="programme"),
        a_channel(name="x" * 33),
        a_channel(name="a/b"),
        a_channel(name="tmall\n"),
        a_channel(secret="too short"),
        a_channel(secret="x" * 257),
        a_channel(secret="what cannot be\x00 typed"),
        a_channel(adapter="nobody"),
        a_channel(points_per_unit=0),
        a_channel(points_per_unit=10**7),
        a_channel(points_master="nobody"),
        a_channel(phones_verified="yes"),
        a_channel(colour="red"),
        {"name": "tmall", "adapter": "tmall"},
    ],
)
async def test_what_is_no_channel_is_refused(admin: Client, body: dict[str, Any]) -> None:
    problem = refused(await admin.post(CHANNELS, body), 422, "invalid_request")
    assert SECRET not in str(problem)


async def test_a_wallet_that_there_is_not_is_refused(admin: Client) -> None:
    refused(await admin.post(CHANNELS, a_channel(wallet="coins")), 422, "unknown_wallet")


@pytest.mark.parametrize("body", [{}, {"wallet": None}, {"secret": SECRET}, {"adapter": "douyin"}])
async def test_what_cannot_be_changed_is_refused(admin: Client, body: dict[str, Any]) -> None:
    accepted(await admin.post(CHANNELS, a_channel()))
    refused(await patched(admin, f"{CHANNELS}/tmall", body), 422, "invalid_request")


@pytest.mark.parametrize("name", ["nobody", "%00", "Tmall", "x" * 100])
async def test_a_channel_that_is_not_connected_is_not_found(admin: Client, name: str) -> None:
    refused(await admin.get(f"{CHANNELS}/{name}"), 404, "channel_not_found")
    refused(await patched(admin, f"{CHANNELS}/{name}", {"points_per_unit": 2}), 404, "channel_not_found")
    refused(await admin.post(f"{CHANNELS}/{name}/secret", {"secret": SECRET}), 404, "channel_not_found")


async def test_channels_are_listed_by_name_page_by_page(admin: Client) -> None:
    names = [f"channel-{n}" for n in range(5)]
    for name in reversed(names):
        accepted(await admin.post(CHANNELS, a_channel(name=name)))
    for limit in (1, 2, 5):
        assert [one["name"] for one in await every_page(admin, CHANNELS, limit=limit)] == names
    for place in (["\x00"], [1], ["a", "b"], ["a\u200b"]):
        refused(await admin.get(CHANNELS, cursor=sealed(place)), 400, "invalid_cursor")
