"""Two members who are one person: what the one had is the other's, and goes back where that was wrong."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from loyalty.api import holds, writing
from loyalty.api.service import Service
from loyalty.domain.expiry import Expiry, Lifespan
from loyalty.domain.ladder import Ladder, Rung
from loyalty.recompute.verify import verify
from loyalty.worker.parked import cure_parked
from loyalty.worker.settling import settle_due
from tests.api.conftest import (
    Shop,
    ShopFactory,
    a_grant,
    a_hold,
    a_merge,
    a_reassignment,
    a_redemption,
    a_refund,
    a_return,
    a_transfer,
    accepted,
    an_adjustment,
    an_order,
    patched,
    refused,
)
from tests.api.test_races import audit

WHY = {"reason": "joined twice"}
WECHAT = {"channel": "wechat", "type": "openid", "value": "oX1"}
TMALL = {"channel": "tmall", "type": "ouid", "value": "t1"}
LADDER = Ladder(
    (Rung("member", 0), Rung("silver", 1_000_00), Rung("gold", 5_000_00)), metric=(("net_spend", 1), ("visits", 1))
)


class Merged:
    """A shop in which Anna has joined twice, and whatever happened, `verify` is content at the end."""

    def __init__(self, shop: Shop, service: Service) -> None:
        self.shop = shop
        self.service = service
        self.desk = shop.client("desk")
        self.merges: dict[str, str] = {}
        """The newest of each member who was absorbed."""

    async def merge(self, absorbed: dict[str, Any], into: dict[str, Any]) -> dict[str, Any]:
        body = {**WHY, "survivor": {"id": into["id"]}, "absorbed": {"number": absorbed["number"]}}
        found: dict[str, Any] = accepted(await self.desk.post("/v1/merges", body))
        self.merges[absorbed["id"]] = found["merge"]
        return found

    async def unmerge(self, absorbed: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = accepted(await self.desk.post(f"/v1/merges/{self.merges[absorbed['id']]}/reverse", WHY))
        return found

    async def balance(self, member: dict[str, Any]) -> dict[str, int]:
        found = await self.shop.balance(member)
        return {name: found[name] for name in ("pending", "available", "held", "owed")}

    async def tier(self, member: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = accepted(await self.shop.till.get(f"/v1/members/{member['id']}/tier"))
        return found


@pytest_asyncio.fixture(loop_scope="session")
async def at(a_shop: ShopFactory, app: FastAPI, owner: AsyncEngine) -> AsyncIterator[Merged]:
    plain = await a_shop()
    wallet = plain.programme.wallets["points"]._replace(pending=timedelta(days=7), expiry=Expiry(Lifespan.MONTHS, 12))
    shop = await a_shop(wallets={"points": wallet}, ladder=LADDER, forced_sources=frozenset({"pos-offline"}))
    service: Service = app.state.service
    yield Merged(shop, service)
    await audit(owner, shop)
    assert (await verify(service.database, shop.programme)).findings == []


def points(pending: int = 0, available: int = 0, held: int = 0, owed: int = 0) -> dict[str, int]:
    return {"pending": pending, "available": available, "held": held, "owed": owed}


async def test_a_merge_carries_lots_with_their_dates_tier_and_identities(at: Merged) -> None:
    anna, twice = await at.shop.enrols(identities=[WECHAT]), await at.shop.enrols(identities=[TMALL])
    await at.shop.gives(anna, 30)
    await at.shop.gives(twice, 100, expires_at="2199-06-01T00:00:00Z")
    await at.shop.sells(twice, 1_500_00)
    said = await at.merge(twice, anna)
    assert (said["survivor"], said["absorbed"], said["tier"]) == (anna["id"], twice["id"], "silver")
    assert await at.balance(anna) == points(pending=1_500, available=130)
    assert await at.balance(twice) == points()
    lots = accepted(await at.shop.till.get(f"/v1/members/{anna['id']}/lots"))["items"]
    assert {(lot["remaining"], lot["state"]) for lot in lots} == {
        (30, "available"),
        (100, "available"),
        (1500, "pending"),
    }
    assert (await at.tier(anna))["score"] == 1_500_01, "what counted for both counts for one"
    for identity in (WECHAT, TMALL):
        found = accepted(await at.shop.till.post("/v1/members/resolve", {"member": {"identity": identity}}))
        assert found["id"] == anna["id"]
    shown = accepted(await at.shop.till.get(f"/v1/members/{twice['id']}"))
    assert (shown["status"], shown["merged_into"]) == ("merged", anna["id"])


async def test_whoever_names_the_merged_member_means_the_survivor(at: Merged) -> None:
    anna, twice = await at.shop.enrols(), await at.shop.enrols()
    card = {"number": twice["number"]}
    await at.shop.gives(card, 5)  # the service remembers the card
    await at.merge(twice, anna)
    await at.shop.gives(card, 10)
    await at.shop.gives({"id": twice["id"]}, 20)
    await at.shop.redeems(card, 3)
    bulk = accepted(
        await at.shop.till.post(
            "/v1/accruals/bulk", {"items": [a_grant(twice, 40), a_grant(anna, 1), a_grant(card, 2)]}
        )
    )
    assert [one["status"] for one in bulk["results"]] == [201, 201, 201]
    assert await at.balance(anna) == points(available=5 + 10 + 20 - 3 + 43)
    order = {name: value for name, value in an_order({"id": twice["id"]}, 300_00).items() if name != "reference"}
    assert accepted(await at.shop.till.post("/v1/accruals/preview", order, key=None))["points"] == 300
    problem = refused(await patched(at.desk, f"/v1/members/{twice['id']}", {"status": "frozen"}), 409, "member_merged")
    assert problem["survivor"] == anna["id"]


async def test_what_the_merged_member_bought_comes_back_from_its_own_points_first(at: Merged) -> None:
    anna, twice = await at.shop.enrols(), await at.shop.enrols()
    sale = (await at.shop.sells(twice, 200_00))["entry"]["id"]
    await at.shop.gives(anna, 50)
    await at.merge(twice, anna)
    assert await at.balance(anna) == points(pending=200, available=50)
    line = {"line_id": "1", "quantity": 0, "amount": 80_00}
    back = accepted(await at.shop.till.post("/v1/returns", a_return({"entry": sale}, lines=[line])))
    assert (back["points"], back["owed"]) == (80, 0)
    assert await at.balance(anna) == points(pending=120, available=50)
    assert (await at.tier(anna))["score"] == 120_01
    rest = accepted(await at.shop.till.post("/v1/returns", a_return({"entry": sale}, full=True)))
    assert rest["points"] == 120
    assert await at.balance(anna) == points(available=50)
    assert await at.balance(twice) == points()


async def test_a_return_in_two_steps_goes_on_after_a_merge(at: Merged) -> None:
    anna, twice = await at.shop.enrols(), await at.shop.enrols()
    sale = (await at.shop.sells(twice, 200_00))["entry"]["id"]
    asked = a_return({"entry": sale}, full=True)
    kept = accepted(await at.shop.till.post("/v1/returns/reserve", asked))["reservation"]["id"]
    await at.merge(twice, anna)
    accepted(await at.shop.till.post(f"/v1/returns/{kept}/confirm", {}))
    assert await at.balance(anna) == points()
    other = (await at.shop.sells({"number": twice["number"]}, 100_00))["entry"]
    assert other["member"] == anna["id"]


async def test_a_hold_and_a_redemption_of_before_go_on_after_a_merge(at: Merged) -> None:
    anna, twice = await at.shop.enrols(), await at.shop.enrols()
    await at.shop.gives(twice, 100)
    spent = (await at.shop.redeems(twice, 30))["redemption"]["id"]
    holds = [
        accepted(await at.shop.till.post("/v1/holds", a_hold(twice, 20, expires_in=600)))["hold"]["id"]
        for _ in range(2)
    ]
    await at.merge(twice, anna)
    assert await at.balance(anna) == points(available=30)
    assert await at.balance(twice) == points(held=40), "held at a till until that is done with it"
    accepted(await at.shop.till.post(f"/v1/holds/{holds[0]}/capture", {"points": 5}))
    assert await at.balance(anna) == points(available=45)
    accepted(await at.shop.till.post(f"/v1/holds/{holds[1]}/release", {}))
    accepted(await at.shop.till.post(f"/v1/redemptions/{spent}/refund", a_refund(points=10)))
    assert await at.balance(anna) == points(available=75)
    assert await at.balance(twice) == points()


async def test_a_hold_that_ends_by_itself_is_carried_on_by_the_worker(a_shop: ShopFactory, app: FastAPI) -> None:
    now = datetime.now(UTC)
    at = Merged(await a_shop(fixed_now=now), app.state.service)
    anna, twice = await at.shop.enrols(), await at.shop.enrols()
    await at.shop.gives(twice, 100)
    accepted(await at.shop.till.post("/v1/holds", a_hold(twice, 60, expires_in=600)))
    await at.merge(twice, anna)
    later = at.shop.programme._replace(fixed_now=now + timedelta(seconds=601))
    assert await settle_due(at.service.database, at.service.lanes, later) == 1
    assert await at.balance(anna) == points(available=100)
    assert (await verify(at.service.database, later)).findings == []


async def test_a_return_that_waited_for_the_sale_of_a_merged_member_is_done(at: Merged) -> None:
    anna, twice = await at.shop.enrols(), await at.shop.enrols()
    early = a_return({"source": "pos-1", "reference": "later"}, full=True)
    assert (await at.shop.till.post("/v1/returns", early)).status_code == 202
    await at.shop.sells(twice, 100_00, reference="later")
    await at.merge(twice, anna)
    assert await cure_parked(at.service.database, at.service.lanes, at.shop.programme) == 1
    assert await at.balance(anna) == points()


async def test_debts_are_carried_too_and_paid_by_what_the_survivor_has(at: Merged) -> None:
    anna, twice = await at.shop.enrols(), await at.shop.enrols()
    await at.shop.gives(anna, 30)
    await at.shop.redeems(twice, 50, source="pos-offline", forced=True)
    await at.merge(twice, anna)
    assert await at.balance(anna) == points(owed=20)
    await at.shop.gives(anna, 25)
    await at.unmerge(twice)
    assert await at.balance(twice) == points(owed=50)
    assert await at.balance(anna) == points(available=55)


async def test_a_merge_that_was_wrong_is_reversed(at: Merged) -> None:
    anna, daughter = await at.shop.enrols(identities=[WECHAT]), await at.shop.enrols(identities=[TMALL])
    await at.shop.gives(anna, 30)
    await at.shop.gives(daughter, 100)
    await at.shop.sells(daughter, 5_500_00)
    await at.merge(daughter, anna)
    await at.shop.sells({"identity": TMALL}, 10_00)
    await at.shop.redeems(anna, 50)
    said = await at.unmerge(daughter)
    assert (said["survivor"], said["absorbed"], said["tier"]) == (anna["id"], daughter["id"], "gold")
    mine, hers = await at.balance(anna), await at.balance(daughter)
    assert mine["available"] + hers["available"] == 80, "what was spent is gone"
    assert (mine["pending"], hers["pending"]) == (10, 5_500), "what came since stays where it came"
    assert ((await at.tier(anna))["tier"], (await at.tier(anna))["score"]) == ("member", 10_01)
    found = accepted(await at.shop.till.post("/v1/members/resolve", {"member": {"identity": TMALL}}))
    assert found["id"] == daughter["id"]
    await at.shop.gives({"number": daughter["number"]}, 1)
    assert (await at.balance(daughter))["available"] == hers["available"] + 1
    again = await at.merge(daughter, anna)
    assert again["tier"] == "gold"


async def test_a_merge_replays_like_any_write(at: Merged) -> None:
    anna, twice = await at.shop.enrols(), await at.shop.enrols()
    body, path = a_merge(twice, into=anna), "/v1/merges"
    first = accepted(await at.desk.post(path, body, key="m"))
    assert accepted(await at.desk.post(path, body, key="m")) == first
    refused(await at.desk.post(path, body, key="n"), 422, "same_member")  # its names are the survivor's now
    path = f"/v1/merges/{first['merge']}/reverse"
    back = accepted(await at.desk.post(path, WHY, key="u"))
    assert (back["merge"], back["survivor"], back["absorbed"]) == (first["merge"], anna["id"], twice["id"])
    assert accepted(await at.desk.post(path, WHY, key="u")) == back
    refused(await at.desk.post(path, WHY, key="v"), 404, "merge_not_found")
    again = await at.merge(twice, anna)
    refused(await at.desk.post(path, WHY, key="w"), 404, "merge_not_found")
    carried = accepted(await at.shop.till.get(f"/v1/members/{twice['id']}/entries", limit=1))["items"][0]["id"]
    assert again["merge"].removeprefix("mrg_") == carried.removeprefix("ent_")
    for wrong in (f"mrg_{again['entry']['id'].removeprefix('ent_')}", carried, "mrg_x"):
        refused(await at.desk.post(f"/v1/merges/{wrong}/reverse", WHY), 404, "merge_not_found")


async def test_what_contradicts_itself_is_refused_and_changes_nothing(at: Merged) -> None:
    anna = await at.shop.enrols(identities=[WECHAT], phone="+8613800138000")
    other = await at.shop.enrols(identities=[{**WECHAT, "value": "oX2"}])
    third = await at.shop.enrols()

    async def tries(absorbed: dict[str, Any], into: dict[str, Any], status: int, code: str) -> None:
        refused(await at.desk.post("/v1/merges", a_merge(absorbed, into=into)), status, code)

    await tries(anna, anna, 422, "same_member")
    await tries(other, anna, 409, "identity_conflict")
    await tries(anna, {"id": "mem_" + "0" * 32}, 404, "member_not_found")
    accepted(await patched(at.desk, f"/v1/members/{third['id']}", {"status": "frozen"}))
    await tries(third, anna, 409, "member_frozen")
    await tries(anna, third, 409, "member_frozen")
    accepted(await patched(at.desk, f"/v1/members/{third['id']}", {"status": "earn_only"}))
    await tries(third, anna, 409, "member_earn_only")
    accepted(await patched(at.desk, f"/v1/members/{third['id']}", {"status": "active"}))
    await at.merge(third, anna)
    fourth = await at.shop.enrols()
    await tries(anna, fourth, 409, "member_absorbs")
    await at.merge(fourth, anna)
    reverse = f"/v1/merges/{at.merges[third['id']]}/reverse"
    assert refused(await at.desk.post(reverse, WHY), 409, "merge_not_last")["absorbed"] == fourth["id"]
    await at.unmerge(fourth)
    await at.unmerge(third)
    await at.merge(fourth, anna)
    await tries(anna, third, 409, "member_absorbs")
    accepted(await at.desk.post(f"/v1/members/{third['id']}/close", {}))
    await tries(third, anna, 409, "member_closed")


async def test_whatever_happens_at_the_same_moment_is_counted_once(at: Merged) -> None:
    anna, twice = await at.shop.enrols(), await at.shop.enrols()
    sale = (await at.shop.sells(twice, 100_00))["entry"]["id"]
    card = {"number": twice["number"]}

    async def earn(n: int) -> int:
        answer = await at.shop.till.post("/v1/accruals", a_grant(card, 10, reference=f"at-once-{n}"))
        return answer.status_code

    async def merge() -> int:
        return (await at.desk.post("/v1/merges", a_merge(twice, into=anna))).status_code

    async def back(amount: int) -> int:
        line = {"line_id": "1", "quantity": 0, "amount": amount}
        answer = await at.shop.till.post("/v1/returns", a_return({"entry": sale}, lines=[line]))
        return answer.status_code

    earned = [earn(n) for n in range(8)]
    said = await asyncio.gather(*earned, *(back(10_00) for _ in range(4)), merge(), merge())
    assert set(said[:12]) == {201}
    assert sorted(said[12:]) == [201, 422]
    assert await at.balance(anna) == points(pending=60, available=80)


async def test_what_the_survivor_may_not_do_is_not_done_through_whom_it_absorbed(at: Merged) -> None:
    for status, code in (("frozen", "member_frozen"), ("closed", "member_closed")):
        anna, twice = await at.shop.enrols(), await at.shop.enrols()
        await at.shop.gives(twice, 100)
        spent = (await at.shop.redeems(twice, 30))["redemption"]["id"]
        await at.merge(twice, anna)
        if status == "closed":
            accepted(await at.desk.post(f"/v1/members/{anna['id']}/close", {"reason": "leaves"}))
        else:
            accepted(await patched(at.desk, f"/v1/members/{anna['id']}", {"status": status}))
        refused(await at.shop.till.post(f"/v1/redemptions/{spent}/refund", a_refund()), 409, code)


async def test_what_is_free_again_after_the_survivor_has_left_is_forfeited(a_shop: ShopFactory, app: FastAPI) -> None:
    service, now = app.state.service, datetime.now(UTC)
    shop = await a_shop(fixed_now=now)
    at = Merged(shop, service)
    anna, twice = await shop.enrols(), await shop.enrols()
    await shop.gives(twice, 100)
    accepted(await shop.till.post("/v1/holds", a_hold(twice, 20, expires_in=600)))
    await at.merge(twice, anna)
    accepted(await at.desk.post(f"/v1/members/{anna['id']}/close", {"reason": "leaves"}))
    later = shop.programme._replace(fixed_now=now + timedelta(days=1))
    assert await settle_due(service.database, service.lanes, later) == 1
    for member in (anna, twice):
        assert await at.balance(member) == points()
    entries = accepted(await shop.till.get(f"/v1/members/{twice['id']}/entries"))["items"]
    assert [one["kind"] for one in entries[:2]] == ["forfeit", "release"]
    assert (await verify(service.database, later)).findings == []


async def test_a_sale_that_moves_between_two_merged_members_is_their_survivors(at: Merged) -> None:
    anna, twice, ben, again = [await at.shop.enrols() for _ in range(4)]
    sale = await at.shop.sells(twice, 10_000)
    await at.merge(twice, anna)
    await at.merge(again, ben)
    accepted(
        await at.shop.client("admin").post("/v1/reassignments", a_reassignment({"entry": sale["entry"]["id"]}, again))
    )
    assert [await at.balance(one) for one in (anna, twice, again)] == [points(), points(), points()]
    assert await at.balance(ben) == points(pending=100)


async def test_a_card_leads_to_its_own_member_again_as_soon_as_they_have_parted(at: Merged) -> None:
    anna, twice = await at.shop.enrols(), await at.shop.enrols()
    card = {"number": twice["number"]}
    accepted(await at.shop.till.post("/v1/accruals", a_grant(card, 5)))
    await at.merge(twice, anna)
    accepted(await at.shop.till.post("/v1/accruals", a_grant(card, 7)))
    assert await at.balance(anna) == points(available=12)
    await at.unmerge(twice)
    accepted(await at.shop.till.post("/v1/accruals", a_grant(card, 30)))
    assert await at.balance(anna) == points(available=7), "earned as the survivor, and kept"
    assert await at.balance(twice) == points(available=35)
    refused(await at.shop.till.post("/v1/redemptions", a_redemption(card, 40)), 409, "insufficient_points")


async def test_parting_lifts_no_freeze(at: Merged) -> None:
    anna, twice = await at.shop.enrols(), await at.shop.enrols()
    await at.shop.gives(twice, 100)
    await at.merge(twice, anna)
    accepted(await patched(at.desk, f"/v1/members/{anna['id']}", {"status": "frozen"}))
    await at.unmerge(twice)
    refused(await at.shop.till.post("/v1/redemptions", a_redemption(twice, 10)), 409, "member_frozen")


async def test_a_hold_of_a_merged_member_is_captured_within_its_grace_though_it_was_swept(
    a_shop: ShopFactory, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, now = app.state.service, datetime.now(UTC)
    at = Merged(await a_shop(hold_grace=timedelta(minutes=10)), service)
    anna, twice = await at.shop.enrols(), await at.shop.enrols()
    await at.shop.gives(twice, 100)
    held = accepted(await at.shop.till.post("/v1/holds", a_hold(twice, 40, expires_in=60)))["hold"]["id"]
    await at.merge(twice, anna)
    later = now + timedelta(seconds=70)
    for module in (holds, writing):
        monkeypatch.setattr(module, "wall_clock", lambda: later)
    assert await settle_due(service.database, service.lanes, at.shop.programme._replace(fixed_now=later)) == 1
    assert await at.balance(anna) == points(available=100)
    accepted(await at.shop.till.post(f"/v1/holds/{held}/capture", {}))
    assert [await at.balance(one) for one in (anna, twice)] == [points(available=60), points()]
    swept = at.shop.programme._replace(fixed_now=later)
    assert (await verify(service.database, swept)).findings == []


async def test_a_correction_that_waited_for_a_second_person_is_decided_after_a_merge(
    a_shop: ShopFactory, app: FastAPI
) -> None:
    at = Merged(await a_shop(adjustment_limit=100), app.state.service)
    finance = at.shop.client("admin")
    for verb, left in (("approve", 500), ("reject", 0)):
        anna, twice = await at.shop.enrols(), await at.shop.enrols()
        waiting = (await at.desk.post("/v1/adjustments", an_adjustment(twice, 500))).json()["adjustment"]
        await at.merge(twice, anna)
        accepted(await finance.post(f"/v1/adjustments/{waiting}/{verb}", {}))
        assert await at.balance(anna) == points(available=left)
    assert (await verify(at.service.database, at.shop.programme)).findings == []


async def test_a_code_is_used_once_though_the_other_turned_out_to_be_merged(at: Merged, a_shop: ShopFactory) -> None:
    shop = await a_shop(transfers=True)
    phone = shop.client("app")
    anna, twice, giver = [await shop.enrols() for _ in range(3)]
    await shop.gives(giver, 100)
    accepted(await shop.client("desk").post("/v1/merges", a_merge(twice, into=anna)))
    code = accepted(await phone.get(f"/v1/members/{giver['id']}/code"))["code"]
    accepted(await phone.post("/v1/transfers", {**a_transfer(giver, twice, 40), "from": {"code": code}}))
    assert (await shop.balance(anna))["available"] == 40


async def test_two_merges_in_a_row_at_the_same_moment_make_one_person_or_one_is_refused(at: Merged) -> None:
    """They share a batch: what the first has done, the second knows."""
    for _ in range(5):
        one, two, three = [await at.shop.enrols() for _ in range(3)]
        asked = [a_merge(one, into=two), a_merge(two, into=three)]
        said = await asyncio.gather(*(at.desk.post("/v1/merges", body) for body in asked))
        told = [answer.json().get("code", answer.json().get("survivor")) for answer in said]
        assert told in ([two["id"], "member_absorbs"], [three["id"], three["id"]])
