"""`verify` names what was changed of a hold, a reversal, an adjustment or a lot that lapsed."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from bench.rules import publish_at_once
from loyalty.api.service import Service
from loyalty.demo import DEMO
from loyalty.domain.expiry import Expiry, Lifespan
from loyalty.domain.ladder import Ladder, Rung
from loyalty.domain.programme import Wallet
from loyalty.domain.rules import Base, Bonus, Cap, CapPer
from loyalty.recompute.verify import verify
from loyalty.worker.parked import cure_parked
from tests.api.conftest import Shop, ShopFactory, a_merge, accepted, an_order

OF_EVERY_VERB: dict[str, Any] = {
    "transfers": True,
    "adjustment_limit": 100,
    "wallets": {**DEMO.wallets, "stars": Wallet("stars", 0, 100, timedelta(0), Expiry(Lifespan.SLIDING, 6), 0)},
    "ladder": Ladder(
        (Rung("member", 0), Rung("silver", 1_000_00), Rung("gold", 5_000_00)), metric=(("net_spend", 1), ("visits", 1))
    ),
}
"""Settings under which a day can fill every table."""


@pytest_asyncio.fixture(loop_scope="session")
async def day(a_shop: ShopFactory, app: FastAPI, owner: AsyncEngine) -> Shop:
    return await a_day_of_every_verb(await a_shop(**OF_EVERY_VERB), app, owner)


async def a_day_of_every_verb(shop: Shop, app: FastAPI, owner: AsyncEngine) -> Shop:
    """A programme with a day of every verb behind it."""
    till, desk, finance = shop.till, shop.client("desk"), shop.client("finance")
    consents = [{"purpose": "membership", "text_version": "2026-01"}]
    anna = await shop.enrols(phone="+8613800138000", name="Anna", consents=consents)
    ben, cleo = await shop.enrols(), await shop.enrols()
    for member in (anna, ben, cleo):
        await shop.gives(member, 500)
    await shop.gives(anna, 5, wallet="stars")

    async def hold(member: dict[str, Any], points: int, reference: str) -> str:
        body = {"member": {"id": member["id"]}, "points": points, "source": "pos", "reference": reference}
        return f"/v1/holds/{accepted(await till.post('/v1/holds', body))['hold']['id']}"

    accepted(await till.post(f"{await hold(anna, 100, 'captured')}/capture", {"points": 60}))
    accepted(await till.post(f"{await hold(anna, 50, 'released')}/release", {}))
    await hold(anna, 30, "open")
    redemption = (await shop.redeems(anna, 40))["redemption"]["id"]
    refund = {"points": 15, "source": "pos", "reference": "refunded"}
    accepted(await till.post(f"/v1/redemptions/{redemption}/refund", refund))
    await shop.sells(ben, 1_500_00)  # he rises
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
    dora = await shop.enrols()
    for reference, points in (("not covered", 30), ("looked at", 40)):
        await shop.redeems(dora, points, source="pos-offline", reference=reference, forced=True)
    [newest, _] = accepted(await desk.get("/v1/reviews", status="open"))["items"]
    accepted(await desk.post(f"/v1/reviews/{newest['review']}/resolve", {"reason": "repaid"}))
    eve = {"identity": {"channel": "tmall", "type": "ouid", "value": "eve"}}
    for reference in ("cured", "cured as well", "refused"):
        assert (await till.post("/v1/accruals", an_order(eve, reference=reference))).status_code == 202
    await shop.sells(ben, 1_00, reference="refused")
    early = {"accrual": {"source": "pos-1", "reference": "never"}, "full": True, "source": "pos", "reference": "lapsed"}
    parked = (await till.post("/v1/returns", early)).json()["parked"]
    await _over(owner, parked)
    await shop.enrols(identities=[eve["identity"]])
    service = app.state.service
    assert await cure_parked(service.database, service.lanes, shop.programme) == 4
    still = {"identity": {"channel": "tmall", "type": "ouid", "value": "nobody"}}
    assert (await till.post("/v1/accruals", an_order(still, reference="waiting"))).status_code == 202
    shown = accepted(await shop.client("app").get(f"/v1/members/{anna['id']}/code"))["code"]
    await shop.gives({"code": shown}, 1, reference="by code")
    why = {"reason": "r", "approved_by": "desk"}
    accepted(await desk.post(f"/v1/members/{anna['id']}/tier-grants", {**why, "tier": "gold"}))
    accepted(await desk.post(f"/v1/members/{ben['id']}/tier-grants", {**why, "tier": "gold"}))
    accepted(await desk.post(f"/v1/members/{ben['id']}/tier-grants/end", why))
    tagged = {"tags": ["staff"], "reason": "on the staff list"}
    accepted(await desk.write("PUT", f"/v1/members/{anna['id']}/tags", tagged))
    accepted(await desk.write("PUT", f"/v1/members/{anna['id']}/tags", {**tagged, "tags": []}))
    await _merged(shop)
    await _by_published_rules(shop, service)
    await _by_a_channels_copy(shop, eve["identity"])
    return shop


async def _merged(shop: Shop) -> None:
    """One stays merged, with a purchase that came back since; another was parted again."""
    desk = shop.client("desk")
    gina, twice, hanna = [await shop.enrols() for _ in range(3)]
    sale = (await shop.sells(twice, 300_00, reference="of twice"))["entry"]["id"]
    merges = list[str]()
    for one in (twice, hanna):
        await shop.gives(one, 25)
        merges.append(accepted(await desk.post("/v1/merges", a_merge(one, into=gina)))["merge"])
    part = [{"line_id": "1", "quantity": 0, "amount": 10_00}]
    back = {"accrual": {"entry": sale}, "lines": part, "source": "pos", "reference": "of twice, back"}
    accepted(await shop.till.post("/v1/returns", back))
    accepted(await desk.post(f"/v1/merges/{merges[-1]}/reverse", {"reason": "her sister"}))


async def _by_published_rules(shop: Shop, service: Service) -> None:
    """Purchases by two versions of rules."""
    welcome = Bonus("welcome", "points", 10, when="member.first_purchase && member.tier == 'member'")
    daily = Cap("daily", "points", 150, CapPer.DAY)
    fay = await shop.enrols()
    await publish_at_once(service.database, shop.programme, Base("base", "points", 1, 100), welcome, daily)
    service.keys.forget()
    assert [(await shop.sells(fay, 100_00, reference=of))["points"] for of in ("fay", "fay again")] == [110, 40]
    ever = Cap("ever", "points", 60, CapPer.MEMBER)
    await publish_at_once(service.database, shop.programme, Base("base", "points", 1, 100), ever)
    service.keys.forget()
    assert (await shop.sells(fay, 100_00, reference="fay at last"))["points"] == 60


async def _by_a_channels_copy(shop: Shop, identity: dict[str, Any]) -> None:
    """A channel shows something else than there is; of one such difference it learns, and then shows what there is."""
    admin, value = shop.client("admin"), {"type": "ouid", "value": identity["value"]}
    accepted(await admin.post("/v1/channels", {"name": "tmall", "adapter": "tmall", "secret": "s" * 16}))
    for points in (999, 0, 998):
        copy = {"identity": value, "as_of": datetime.now(UTC).isoformat(), "points": points}
        accepted(await admin.post("/v1/channels/tmall/drift", {"copies": [copy]}))


async def _over(owner: AsyncEngine, parked: str) -> None:
    """The time of the parked event is over."""
    async with owner.begin() as connection:
        late = text("update parked_event set until = now() where id = cast(:id as uuid)")
        await connection.execute(late, {"id": parked.removeprefix("prk_")})


async def test_a_day_of_every_verb_is_sound(day: Shop, app: FastAPI) -> None:
    report = await verify(app.state.service.database, day.programme)
    assert report.findings == []
    assert report.checked["hold"] == 6
    assert report.checked["reversal"] == 4
    assert report.checked["parked_event"] == 5
    assert report.checked["review"] == 4
    assert report.checked["difference"] == 2


async def test_corrections_of_a_programme_with_a_clock_of_its_own_are_sound(a_shop: ShopFactory, app: FastAPI) -> None:
    """The day on which a reference is taken is that of the programme's clock; when it was asked for, of the wall's."""
    then = datetime(2020, 5, 4, 12, tzinfo=UTC)
    shop = await a_shop(restarting_sources=frozenset({"desk"}), adjustment_limit=100, fixed_now=then)
    member, desk = await shop.enrols(), shop.client("desk")
    for points in (10, 500):
        about = {"member": {"id": member["id"]}, "points": points, "reason": "goodwill"}
        answer = await desk.post("/v1/adjustments", {**about, "source": "desk", "reference": f"A-{points}"})
        assert answer.status_code == (201 if points == 10 else 202)
    report = await verify(app.state.service.database, shop.programme)
    assert report.findings == []


def of(reference: str) -> str:
    """The row that the entry of the reference stands for."""
    found = f"select entry_id from reference where programme_id = :p and reference = '{reference}'"
    return f"programme_id = :p and id = ({found})"


REDEEMED = "programme_id = :p and kind = 'redemption.not_covered' and reference ="

TAMPERINGS = {
    "a rule of a version": (
        "update rule_draft set rules = (select json_agg(rule) from"
        " json_array_elements(rules) rule where rule ->> 'kind' <> 'cap')"
        " where id = (select draft_id from rule_version v where v.programme_id = :p and version = 1)",
        "rule_version",
        6,
    ),
    "terms that are not those of the rule": (
        "update rule_draft set rules = (select json_agg(case rule ->> 'kind' when 'base'"
        " then (rule::jsonb || jsonb_build_object('pending_seconds', 5))::json else rule end)"
        " from json_array_elements(rules) rule)"
        " where id = (select draft_id from rule_version v where v.programme_id = :p and version = 1)",
        "entry",
        6,
    ),
    "a version's time": (
        "update rule_version set effective_from = effective_from - interval '1 s' where programme_id = :p",
        "rule_version",
        6,
    ),
    "a lost draft": (
        "delete from rule_draft where id ="
        " (select draft_id from rule_version v where v.programme_id = :p and version = 1)",
        "rule_draft",
        6,
    ),
    "a cap that is used less": (
        "update cap_use set points = points - 1 where programme_id = :p and cap = 'daily'",
        "cap_use",
        14,
    ),
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
    **{
        f"the reference of {which} taken on {day!r}": (
            f"update reference set business_date = '{day}' where programme_id = :p and reference = '{which}'",
            "reference",
            7,
        )
        for which, day in (("approved", "x"), ("approved", "2020-01-01"), ("awaiting", "x"), ("captured", "2020-01-01"))
    },
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
    "a review item that vanished": (f"delete from review where {REDEEMED} 'not covered'", "posting", 6),
    "a review item of less": (f"update review set points = points - 1 where {REDEEMED} 'not covered'", "review", 6),
    "a review item of somebody else": (
        f"update review set member_id = ('ff' || right(member_id::text, 34))::uuid where {REDEEMED} 'not covered'",
        "review",
        6,
    ),
    "a review item opened later": (
        f"update review set opened_at = opened_at + interval '1 second' where {REDEEMED} 'looked at'",
        "review",
        6,
    ),
    "a review item of a redemption that was covered": (
        "insert into review select bucket, programme_id, id, 'redemption.not_covered', member_id, 'points', 1, source,"
        " reference, recorded_at, 'open' from entry where programme_id = :p and reference = 'captured'",
        "review",
        6,
    ),
    "a review item of another kind": (
        "update review set kind = 'parked.lapsed' where programme_id = :p and kind = 'parked.refused'",
        "review",
        6,
    ),
    "a review item of what was given up that vanished": (
        "delete from review where programme_id = :p and kind = 'parked.lapsed'",
        "parked_event",
        6,
    ),
    "a parked event called lapsed": (
        "update parked_event set status = 'lapsed' where programme_id = :p and reference = 'waiting'",
        "parked_event",
        6,
    ),
    "a parked event that vanished": (
        "delete from parked_event where programme_id = :p and status = 'refused'",
        "review",
        6,
    ),
    "a parked event cured by the entry of another": (
        "update parked_event set outcome = (select outcome from parked_event where programme_id = :p"
        " and reference = 'cured as well') where programme_id = :p and reference = 'cured'",
        "parked_event",
        6,
    ),
    "a parked event cured by nothing": (
        "update parked_event set outcome = 'x' where programme_id = :p and reference = 'cured'",
        "parked_event",
        6,
    ),
    "a lot that lapsed less": ("update lot set lapsed = lapsed - 1 where programme_id = :p and lapsed > 0", "lot", 5),
    "points put back": (
        "update lot set restored = restored - 1 where programme_id = :p and restored > 0 and drawn < points + restored",
        "lot",
        5,
    ),
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
