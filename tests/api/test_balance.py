"""A balance is told as if everything due were settled; asking writes nothing."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from loyalty.store.programmes import settings_json
from tests.api.conftest import Shop, ShopFactory, a_hold, a_redemption, accepted, refused
from tests.makers import a_wallet


def ahead(**time: float) -> str:
    return (datetime.now(UTC) + timedelta(**time)).isoformat()


async def entries_of(owner: AsyncEngine, member: dict[str, Any]) -> int:
    async with owner.connect() as connection:
        found = await connection.scalar(
            text("select count(*) from entry where member_id = :id"), {"id": member["id"].removeprefix("mem_")}
        )
    return int(found or 0)


NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


class TimeMachine:
    """A shop whose clock stands still until a test moves it; whoever asks next asks under a key not used before."""

    def __init__(self, shop: Shop, owner: AsyncEngine) -> None:
        self.shop = shop
        self._owner = owner
        self._roles = iter(("admin", "store", "desk"))

    async def moves(self, **time: float) -> None:
        programme = self.shop.programme
        assert programme.fixed_now is not None
        self.shop.programme = programme._replace(fixed_now=programme.fixed_now + timedelta(**time))
        async with self._owner.begin() as connection:
            await connection.execute(
                text("update programme set settings = cast(:new as jsonb) where id = :id"),
                {"new": settings_json(self.shop.programme), "id": programme.id},
            )
        self.shop.till = self.shop.client(next(self._roles))


@pytest_asyncio.fixture(loop_scope="session")
async def clock(a_shop: ShopFactory, owner: AsyncEngine) -> TimeMachine:
    return TimeMachine(await a_shop(fixed_now=NOON), owner)


async def test_points_whose_window_is_over_are_told_as_available_and_nothing_is_written(
    clock: TimeMachine, owner: AsyncEngine
) -> None:
    shop = clock.shop
    member = await shop.enrols()
    await shop.sells(member, 10_000)
    assert await shop.figures(member) == (100, 0)
    await clock.moves(days=6, hours=23)
    assert await shop.figures(member) == (100, 0)
    await clock.moves(hours=1)
    for _ in range(3):
        assert await shop.figures(member) == (0, 100)
    assert await entries_of(owner, member) == 1


async def test_points_whose_time_is_over_are_not_told_and_nothing_is_written(
    clock: TimeMachine, owner: AsyncEngine
) -> None:
    shop = clock.shop
    member = await shop.enrols()
    await shop.gives(member, 100, expires_at="2026-06-03T00:00:00Z")
    await shop.gives(member, 50, pending_until="2026-06-02T00:00:00Z", expires_at="2026-06-04T00:00:00Z")
    await shop.gives(member, 7)
    await clock.moves(days=2)
    balance = await shop.balance(member)
    assert (balance["pending"], balance["available"]) == (0, 57)
    assert [one["points"] for one in balance["expiring"]] == [50, 7]
    await clock.moves(days=1)
    balance = await shop.balance(member)
    assert (balance["pending"], balance["available"]) == (0, 7)
    assert [one["points"] for one in balance["expiring"]] == [7]
    assert await entries_of(owner, member) == 3


async def test_an_expired_point_is_not_spendable_however_late_the_sweep(clock: TimeMachine) -> None:
    shop = clock.shop
    member = await shop.enrols()
    await shop.gives(member, 100, expires_at="2026-06-03T00:00:00Z")
    await shop.gives(member, 30, pending_until="2026-06-02T00:00:00Z")
    await clock.moves(days=2)
    refused(await shop.till.post("/v1/redemptions", a_redemption(member, 31)), 409, "insufficient_points")
    await shop.redeems(member, 30)
    assert await shop.figures(member) == (0, 0)


async def test_expiring_sums_to_available_when_every_point_ends(clock: TimeMachine) -> None:
    shop = clock.shop
    member = await shop.enrols()
    for month in range(7, 13):
        await shop.gives(member, month, expires_at=f"2026-{month:02}-15T00:00:00Z")
    await shop.sells(member, 10_000)
    await shop.redeems(member, 10)
    await clock.moves(days=8)  # the purchase is ripe, and nobody has settled it
    balance = await shop.balance(member)
    days = [one["valid_through"] for one in balance["expiring"]]
    assert days == sorted(set(days))
    assert sum(one["points"] for one in balance["expiring"]) == balance["available"] == 57 - 10 + 100


async def test_at_most_12_expiries_are_told_the_next_ones_first(shop: Shop) -> None:
    member = await shop.enrols()
    for number in range(14):
        await shop.gives(member, number + 1, expires_at=ahead(days=10 * (number + 1)))
    balance = await shop.balance(member)
    assert [one["points"] for one in balance["expiring"]] == list(range(1, 13))
    assert balance["available"] == 105


async def test_a_ripe_lot_that_ends_after_the_12_that_are_told_is_counted(clock: TimeMachine) -> None:
    shop = clock.shop
    member = await shop.enrols()
    for number in range(14):
        await shop.gives(member, 1, expires_at=f"2027-01-{number + 1:02}T00:00:00Z")
    await shop.gives(member, 50, pending_until="2026-06-02T00:00:00Z", expires_at="2029-01-01T00:00:00Z")
    await clock.moves(days=2)
    balance = await shop.balance(member)
    assert (balance["available"], len(balance["expiring"])) == (64, 12)


async def test_points_that_never_end_are_not_among_the_expiring(a_shop: ShopFactory) -> None:
    shop = await a_shop(wallets={"points": a_wallet()})
    member = await shop.enrols()
    await shop.gives(member, 100)
    await shop.gives(member, 5, expires_at=ahead(days=3))
    balance = await shop.balance(member)
    assert balance["available"] == 105
    assert [one["points"] for one in balance["expiring"]] == [5]


async def test_expiries_on_one_business_day_are_told_as_one(shop: Shop) -> None:
    member = await shop.enrols()
    await shop.gives(member, 3, expires_at="2030-01-01T02:00:00+08:00")
    await shop.gives(member, 4, expires_at="2030-01-01T01:00:00+08:00")
    balance = await shop.balance(member)
    assert balance["expiring"] == [{"valid_through": "2030-01-01", "points": 7}]


async def test_every_wallet_of_the_programme_is_told(a_shop: ShopFactory) -> None:
    shop = await a_shop(wallets={"points": a_wallet(), "miles": a_wallet("miles", points=2)})
    member = await shop.enrols()
    said = await shop.sells(member, 10_000)
    assert said["points_by_wallet"] == {"points": 100, "miles": 200}
    assert said["points"] == said["receipt"]["earned"] == 100
    answer = accepted(await shop.till.get(f"/v1/members/{member['id']}/balance"))
    assert {name: one["available"] for name, one in answer["wallets"].items()} == {"points": 100, "miles": 200}


async def test_a_programme_whose_clock_stands_still_is_asked_as_of_then(a_shop: ShopFactory) -> None:
    shop = await a_shop(fixed_now=datetime(2020, 6, 1, tzinfo=UTC))
    member = await shop.enrols()
    await shop.sells(member, 10_000, occurred_at="2020-05-20T10:00:00Z")
    await shop.sells(member, 5_000, occurred_at="2020-05-30T10:00:00Z")
    answer = accepted(await shop.till.get(f"/v1/members/{member['id']}/balance"))
    assert answer["as_of"] == "2020-06-01T00:00:00Z"
    assert (answer["wallets"]["points"]["pending"], answer["wallets"]["points"]["available"]) == (50, 100)


async def test_points_of_a_hold_that_has_ended_by_itself_are_told_with_their_last_day(clock: TimeMachine) -> None:
    shop = clock.shop
    member = await shop.enrols()
    await shop.gives(member, 100)
    before = (await shop.balance(member))["expiring"]
    accepted(await shop.till.post("/v1/holds", a_hold(member, 100, expires_in=60)))
    assert (await shop.balance(member))["expiring"] == []
    await clock.moves(seconds=60)
    ended = await shop.balance(member)
    assert (ended["available"], ended["expiring"]) == (100, before)
