"""What a merge and its reversal leave is what it would be had the other never come; a member apart shows it."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from loyalty.api.service import Service
from loyalty.domain.expiry import Expiry, Lifespan
from loyalty.domain.ladder import Down, Ladder, Pending, Period, Returns, Rung, Steps, Up, Window
from loyalty.domain.programme import Shortfall
from loyalty.recompute.verify import verify
from loyalty.worker.settling import settle_due
from tests.api.conftest import Shop, ShopFactory, a_merge, a_return, accepted

BEGIN = datetime(2024, 3, 10, 4, tzinfo=UTC)
RUNGS = (Rung("member", 0), Rung("silver", 1_000_00, 600_00), Rung("gold", 5_000_00))
BY_POINTS = Ladder(RUNGS, metric=(("points.points", 100),), pending=Pending.MATURING)
WHY = {"reason": "two after all"}
A_MONTH = Expiry(Lifespan.MONTHS, 1)


class Years:
    """A shop whose clock is set by hand; whatever happened, `verify` is content at the end."""

    def __init__(self, shop: Shop, service: Service, owner: AsyncEngine) -> None:
        self.shop = shop
        self.service = service
        self.desk = shop.client("desk")
        self._owner = owner

    async def until(self, day: str, *, settling: bool = True) -> None:
        """It is noon of that day, and what is due by then is done."""
        now = datetime.fromisoformat(f"{day}T12:00:00+08:00")
        change = (
            "update programme set settings = jsonb_set(settings, '{fixed_now}', cast(:now as jsonb)) where id = :it"
        )
        async with self._owner.begin() as connection:
            asked = {"now": json.dumps(now.isoformat()), "it": self.shop.programme.id}
            await connection.execute(text(change), asked)
        self.shop.programme = self.shop.programme._replace(fixed_now=now)
        self.service.keys.forget()
        if settling:
            await settle_due(self.service.database, self.service.lanes, self.shop.programme)

    async def enrol(self, count: int) -> list[dict[str, Any]]:
        return [await self.shop.enrols() for _ in range(count)]

    async def merge(self, absorbed: dict[str, Any], into: dict[str, Any]) -> str:
        merge: str = accepted(await self.desk.post("/v1/merges", a_merge(absorbed, into=into)))["merge"]
        return merge

    async def reverse(self, merge: str) -> None:
        accepted(await self.desk.post(f"/v1/merges/{merge}/reverse", WHY))

    async def returned(self, sale: dict[str, Any]) -> dict[str, Any]:
        return accepted(await self.shop.till.post("/v1/returns", a_return({"entry": sale["entry"]["id"]}, full=True)))

    async def tier(self, member: dict[str, Any]) -> tuple[str, str | None]:
        """The tier, and its last day."""
        found = accepted(await self.shop.till.get(f"/v1/members/{member['id']}/tier"))
        return found["tier"], found["valid_through"]

    async def score(self, member: dict[str, Any]) -> int:
        score: int = accepted(await self.shop.till.get(f"/v1/members/{member['id']}/tier"))["score"]
        return score


@pytest_asyncio.fixture(loop_scope="session")
async def years(a_shop: ShopFactory, app: FastAPI, owner: AsyncEngine) -> AsyncIterator[Any]:
    made: list[Years] = []

    async def make(*, pending_days: int = 0, expiry: Expiry | None = None, **settings: Any) -> Years:
        plain = await a_shop()
        wallet = plain.programme.wallets["points"]._replace(pending=timedelta(days=pending_days))
        wallets = {"points": wallet if expiry is None else wallet._replace(expiry=expiry)}
        made.append(Years(await a_shop(fixed_now=BEGIN, wallets=wallets, **settings), app.state.service, owner))
        return made[-1]

    yield make
    for one in made:
        assert (await verify(one.service.database, one.shop.programme)).findings == []


@pytest.mark.parametrize(
    ("ladder", "day", "kept"),
    [(Ladder(RUNGS, down=Down.NEVER), "2026-03-10", None), (Ladder(RUNGS, grace_days=60), "2026-01-10", "2026-03-01")],
)
async def test_a_tier_that_the_survivor_reached_by_itself_stays(
    years: Any, ladder: Ladder, day: str, kept: str | None
) -> None:
    at = await years(ladder=ladder)
    anna, twice = await at.enrol(2)
    merge = await at.merge(twice, anna)
    await at.shop.sells(anna, 6_000_00)
    await at.until(day)
    assert await at.tier(anna) == ("gold", kept)
    await at.reverse(merge)
    assert await at.tier(anna) == ("gold", kept)


async def test_a_tier_that_the_survivor_never_reached_goes(years: Any) -> None:
    at = await years(ladder=Ladder(RUNGS))
    anna, twice = await at.enrol(2)
    await at.shop.sells(anna, 700_00)  # it would keep silver, and never reached it
    await at.shop.sells(twice, 6_000_00)
    merge = await at.merge(twice, anna)
    assert await at.tier(anna) == ("gold", "2025-12-31")
    await at.reverse(merge)
    assert await at.tier(anna) == ("member", None)
    assert await at.tier(twice) == ("gold", "2025-12-31")


async def test_reviews_that_were_due_meanwhile_are_done_once_they_part(years: Any) -> None:
    at = await years(ladder=Ladder(RUNGS))
    anna, twice, apart = await at.enrol(3)
    for member in (twice, apart):
        await at.shop.sells(member, 6_000_00)
    merge = await at.merge(twice, anna)
    await at.until("2027-06-10")
    await at.reverse(merge)
    assert await at.tier(twice) == await at.tier(apart) == ("member", None)


async def test_what_came_back_meanwhile_demotes_whoever_it_would_have_demoted(years: Any) -> None:
    at = await years(ladder=Ladder(RUNGS, returns=Returns.DEMOTE))
    anna, twice = await at.enrol(2)
    sale = await at.shop.sells(twice, 6_000_00)
    merge = await at.merge(twice, anna)
    assert (await at.tier(anna))[0] == "gold"
    await at.returned(sale)
    assert (await at.tier(anna))[0] == "member"
    await at.reverse(merge)
    assert (await at.tier(twice))[0] == "member"


async def test_a_merge_prolongs_no_tier(years: Any) -> None:
    at = await years(ladder=Ladder(RUNGS, grace_days=30))
    [twice] = await at.enrol(1)
    await at.shop.sells(twice, 6_000_00)
    await at.until("2026-01-10")
    [new] = await at.enrol(1)
    assert await at.tier(twice) == ("gold", "2026-01-30")
    await at.merge(twice, new)
    assert await at.tier(new) == ("gold", "2026-01-30")


async def test_who_climbs_a_step_at_a_time_climbs_none_by_a_merge(years: Any) -> None:
    window = Window(Period.ROLLING, 3)
    at = await years(ladder=Ladder(RUNGS, window=window, up=Up.NEXT_PERIOD, up_steps=Steps.ONE))
    anna, twice, apart = await at.enrol(3)
    for member in (twice, apart):
        await at.shop.sells(member, 6_000_00)
    await at.until("2024-04-02")
    assert (await at.tier(twice))[0] == "silver"
    await at.merge(twice, anna)
    assert await at.tier(anna) == await at.tier(apart)
    await at.until("2024-05-02")
    assert await at.tier(anna) == await at.tier(apart)


async def test_points_that_ripen_after_a_merge_count_once(years: Any) -> None:
    at = await years(ladder=BY_POINTS, pending_days=7)
    anna, twice = await at.enrol(2)
    sale = await at.shop.sells(twice, 6_000_00)
    merge = await at.merge(twice, anna)
    await at.until("2024-03-20")
    assert await at.score(anna) == 6_000_00
    part = [{"line_id": "1", "quantity": 0, "amount": 100_00}]
    accepted(await at.shop.till.post("/v1/returns", a_return({"entry": sale["entry"]["id"]}, lines=part)))
    assert await at.score(anna) == 5_900_00
    await at.reverse(merge)
    assert (await at.score(anna), await at.score(twice)) == (0, 5_900_00)


@pytest.mark.parametrize("how", Shortfall)
async def test_a_return_after_a_merge_finds_the_survivors_points(years: Any, how: Shortfall) -> None:
    at = await years(return_shortfall=how)
    anna, twice, apart = await at.enrol(3)
    sales = [await at.shop.sells(member, 100_00) for member in (twice, apart)]
    merge = await at.merge(twice, anna)
    for member in (anna, apart):
        await at.shop.redeems(member, 80)
        await at.shop.gives(member, 50)
    told = [await at.returned(sale) for sale in sales]
    for name in ("points", "owed", "withhold"):
        assert told[0][name] == told[1][name], name
    assert await at.shop.balance(anna) == await at.shop.balance(apart)
    await at.reverse(merge)


async def test_a_review_that_nobody_has_done_yet_is_part_of_what_a_channel_is_compared_with(years: Any) -> None:
    at = await years(ladder=Ladder(RUNGS))
    channel = at.shop.client("admin")
    accepted(await channel.post("/v1/channels", {"name": "tmall", "adapter": "tmall", "secret": "what it signs with"}))
    ouid = {"type": "ouid", "value": "t-1"}
    member = await at.shop.enrols(identities=[{"channel": "tmall", **ouid}])
    await at.shop.sells(member, 6_000_00)
    await at.until("2026-03-15", settling=False)
    for day, points, tier in (("2025-12-31", 6_000, "gold"), ("2026-02-10", 0, "member")):
        copy = {"identity": ouid, "as_of": f"{day}T12:00:00+08:00", "points": points, "tier": tier}
        [said] = accepted(await channel.post("/v1/channels/tmall/drift", {"copies": [copy]}))["results"]
        assert said["body"]["verdict"] != "differs", said


async def test_a_difference_of_somebody_who_is_merged_is_settled(years: Any) -> None:
    at = await years()
    channel = at.shop.client("admin")
    accepted(await channel.post("/v1/channels", {"name": "tmall", "adapter": "tmall", "secret": "what it signs with"}))
    ouid = {"type": "ouid", "value": "t-1"}
    twice = await at.shop.enrols(identities=[{"channel": "tmall", **ouid}])
    copy = {"identity": ouid, "as_of": BEGIN.isoformat(), "points": 7}
    accepted(await channel.post("/v1/channels/tmall/drift", {"copies": [copy]}))
    assert len(accepted(await channel.get("/v1/channels/tmall/drift"))["items"]) == 1
    [anna] = await at.enrol(1)
    await at.merge(twice, anna)
    assert accepted(await channel.get("/v1/channels/tmall/drift"))["items"] == []


@pytest.mark.parametrize("down", [Down.NEVER, Down.REASSESS])
async def test_a_tier_that_was_given_goes_with_whom_it_was_given_and_ends_when_it_ends(years: Any, down: Down) -> None:
    at = await years(ladder=Ladder(RUNGS, down=down))
    anna, twice = await at.enrol(2)
    grant = {**WHY, "approved_by": "desk-7", "tier": "gold", "until": "2024-04-01T00:00:00+08:00"}
    accepted(await at.desk.post(f"/v1/members/{twice['id']}/tier-grants", grant))
    merge = await at.merge(twice, anna)
    assert await at.tier(anna) == ("gold", "2024-03-31")
    await at.reverse(merge)
    assert [await at.tier(one) for one in (anna, twice)] == [("member", None), ("gold", "2024-03-31")]
    await at.merge(twice, anna)
    await at.until("2024-04-02")
    assert await at.tier(anna) == ("member", None)


async def test_of_two_tiers_that_were_given_the_higher_holds_unless_the_survivors_is_locked(years: Any) -> None:
    at = await years(ladder=Ladder(RUNGS))
    anna, ben, gold = await at.enrol(3)
    grant = {**WHY, "approved_by": "desk-7"}
    for member, tier, locked in ((anna, "silver", False), (ben, "silver", True), (gold, "gold", False)):
        path = f"/v1/members/{member['id']}/tier-grants"
        accepted(await at.desk.post(path, {**grant, "tier": tier, "locked": locked}))
    merge = await at.merge(gold, anna)
    assert (await at.tier(anna))[0] == "gold"
    await at.reverse(merge)
    assert [(await at.tier(one))[0] for one in (anna, gold)] == ["silver", "gold"]
    merge = await at.merge(gold, ben)
    assert (await at.tier(ben))[0] == "silver"
    accepted(await at.desk.post(f"/v1/members/{ben['id']}/tier-grants", {**grant, "tier": "gold"}))
    await at.reverse(merge)
    assert (await at.tier(ben))[0] == "gold", "what was decided since stays"


@pytest.mark.parametrize("parted", [False, True])
async def test_what_lapsed_after_a_merge_is_not_asked_for_again(years: Any, parted: bool) -> None:
    at = await years(expiry=A_MONTH)
    anna, twice = await at.enrol(2)
    sale = await at.shop.sells(twice, 100_00)
    merge = await at.merge(twice, anna)
    await at.until("2024-06-20")
    if parted:
        await at.reverse(merge)
    assert (await at.returned(sale))["owed"] == 0
    assert [(await at.shop.balance(one))["owed"] for one in (anna, twice)] == [0, 0]
