"""What if other rules had held: past orders, worked out anew."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from bench.rules import publish_at_once
from loyalty.api.service import Service
from loyalty.config import Settings
from loyalty.domain.ladder import Ladder, Rung
from loyalty.domain.rules import Base, Bonus, Cap, CapPer, Exclusion, Multiplier, OnReturn, Rule, RuleSet, rules_json
from loyalty.recompute.tally import Question, Tally, report
from loyalty.recompute.what_if import what_if
from loyalty.worker import what_ifs as worker
from loyalty.worker.what_ifs import work_off
from tests.api.conftest import Shop, ShopFactory, a_reassignment, a_return, accepted, an_order, refused
from tests.api.test_rules import BASE, NOON, publishes

NOW = datetime.now(UTC)
TODAY = NOW.date()
SPAN = {"from": (TODAY - timedelta(days=2)).isoformat(), "to": (TODAY + timedelta(days=2)).isoformat()}
PLAIN = Base("base", "points", 1, 100)
LADDER = Ladder((Rung("member", 0), Rung("silver", 300)), metric=(("points.points", 1),))


@pytest_asyncio.fixture(loop_scope="session")
async def shop(a_shop: ShopFactory) -> Shop:
    return await a_shop(ladder=LADDER)


async def asked(settings: Settings, shop: Shop, *rules: Rule) -> dict[str, Any]:
    question = Question(RuleSet("", None, None, rules), TODAY - timedelta(days=2), TODAY + timedelta(days=3))
    tally = await what_if(settings.database_url, shop.programme.code, question, processes=2)
    return report(shop.programme, question, tally)


def points(answer: dict[str, Any]) -> tuple[int, int]:
    wallet = answer["wallets"]["points"]
    return wallet["given"], wallet["would_be_given"]


async def sells(shop: Shop, member: dict[str, Any], amount: int, **more: Any) -> str:
    entry: str = accepted(await shop.till.post("/v1/accruals", an_order(member, amount, **more)))["entry"]["id"]
    return entry


async def test_the_rules_that_decided_give_what_was_given(shop: Shop, settings: Settings, app: FastAPI) -> None:
    """Caps, first purchases, tiers, returns, a reassignment: worked out anew, nothing differs."""
    rules = (
        PLAIN,
        Multiplier("silver", "points", 150, "member.tier == 'silver'"),
        Bonus("welcome", "points", 20, "member.first_purchase", on_return=OnReturn.PROPORTION),
        Bonus("big", "points", 30, "order.net_spend >= 20000"),
        Cap("daily", "points", 520, CapPer.DAY),
    )
    service: Service = app.state.service
    await publish_at_once(service.database, shop.programme, *rules)
    service.keys.forget()
    anna, ben = await shop.enrols(), await shop.enrols()
    sold = [await sells(shop, anna, amount) for amount in (150_00, 250_00, 90_00, 300_00)]
    line = {"line_id": "1", "quantity": 0, "amount": 40_00}
    for entry in sold[:2]:
        accepted(await shop.till.post("/v1/returns", a_return({"entry": entry}, lines=[line])))
    accepted(await shop.client("desk").post("/v1/reassignments", a_reassignment({"entry": sold[2]}, ben)))
    await shop.gives(ben, 400)
    answer = await asked(settings, shop, *rules)
    then, now = points(answer)
    assert then == now > 0
    assert (answer["members"], answer["purchases"]) == (2, 5)
    assert answer["wallets"]["points"]["purchases_more"] == answer["wallets"]["points"]["purchases_less"] == 0
    assert all(one["is"] == one["would_be"] for one in answer["tiers"])
    assert answer["tiers_follow_rules"]


async def test_a_generous_draft_says_what_it_costs_and_who_rises(shop: Shop, settings: Settings) -> None:
    people = [await shop.enrols() for _ in range(3)]
    sold = [await sells(shop, member, amount) for member, amount in zip(people, (100_00, 160_00, 310_00), strict=True)]
    line = {"line_id": "1", "quantity": 0, "amount": 50_00}
    accepted(await shop.till.post("/v1/returns", a_return({"entry": sold[0]}, lines=[line])))
    answer = await asked(
        settings, shop, Base("base", "points", 2, 100), Bonus("big", "points", 7, "order.net_spend > 30000")
    )
    wallet = answer["wallets"]["points"]
    assert points(answer) == (50 + 160 + 310, 100 + 320 + 627)
    assert (wallet["difference"], wallet["liability"]) == (527, 527)
    assert (wallet["members_more"], wallet["largest_gain"], wallet["largest_loss"]) == (3, 317, 0)
    assert answer["rules"] == [
        {"rule": "base", "purchases": 3, "points": 0, "amount": 570_00},
        {"rule": "big", "purchases": 1, "points": 7, "amount": 0},
    ]
    assert sorted((one["is"], one["would_be"], one["members"]) for one in answer["tiers"]) == [
        ("member", "member", 1), ("member", "silver", 1), ("silver", "silver", 1)
    ]  # fmt: skip


async def test_what_nobody_knows_any_more_is_said_and_not_guessed(shop: Shop, settings: Settings) -> None:
    await sells(shop, await shop.enrols(), 100_00)
    birthday = Bonus("birthday", "points", 100, "member.birthday_month")
    staff = Exclusion("staff", None, "'staff' in member.tags")
    answer = await asked(settings, shop, PLAIN, birthday, staff)
    assert points(answer) == (100, 100), "nobody is taken for staff"
    assert answer["unknown"] == [
        {"variable": "member.birthday_month", "purchases": 1},
        {"variable": "member.tags", "purchases": 1},
    ]


async def test_orders_of_other_days_are_left_as_they_were(shop: Shop, settings: Settings) -> None:
    member = await shop.enrols()
    await sells(shop, member, 100_00)
    question = Question(
        RuleSet("", None, None, (Base("base", "points", 9, 100),)), TODAY - timedelta(days=9), TODAY - timedelta(days=3)
    )
    answer = report(
        shop.programme, question, await what_if(settings.database_url, shop.programme.code, question, processes=1)
    )
    assert (answer["members"], answer["purchases"], answer["wallets"]) == (0, 0, {})


async def drafted(shop: Shop, *rules: Rule) -> str:
    body = f'{{"rules": {rules_json(rules)}}}'.encode()
    answer = await shop.client("marketing").send(
        "POST",
        "/v1/earning-rules",
        content=body,
        headers={"Content-Type": "application/json", "Idempotency-Key": f"draft-{len(body)}"},
    )
    found: str = accepted(answer)["id"]
    return found


async def test_it_is_asked_over_http_worked_off_by_the_worker_and_read(
    shop: Shop, settings: Settings, app: FastAPI
) -> None:
    marketing, service = shop.client("marketing"), app.state.service
    await sells(shop, await shop.enrols(), 100_00)
    rules = await drafted(shop, Base("base", "points", 3, 100))
    first = await marketing.post(f"/v1/earning-rules/{rules}/what-if", SPAN, key="w")
    assert first.status_code == 202
    said = first.json()
    assert (said["status"], said["progress"], said["report"]) == ("waiting", 0.0, None)
    assert (await marketing.post(f"/v1/earning-rules/{rules}/what-if", SPAN, key="w")).json() == said
    counted = await asyncio.gather(*(work_off(settings, service.database) for _ in range(2)))
    assert sum(counted) == 1, "two workers share what there is"
    read = accepted(await marketing.get(f"/v1/what-ifs/{said['id']}"))
    assert (read["status"], read["progress"]) == ("done", 1.0)
    assert read["report"]["wallets"]["points"]["difference"] == 200
    assert (read["report"]["from"], read["report"]["to"]) == (SPAN["from"], SPAN["to"])


async def test_what_a_killed_worker_left_is_begun_again_once_its_lease_is_over(
    shop: Shop, settings: Settings, app: FastAPI, owner: AsyncEngine
) -> None:
    marketing, service = shop.client("marketing"), app.state.service
    rules = await drafted(shop, PLAIN)
    said = (await marketing.post(f"/v1/earning-rules/{rules}/what-if", SPAN)).json()
    digits = said["id"].removeprefix("wif_")
    for minutes, worked in ((1, 0), (-1, 1)):
        async with owner.begin() as connection:
            await connection.execute(
                text(
                    "update what_if set status = 'running', done = 100,"
                    " claimed_until = now() + make_interval(mins => :minutes) where id = cast(:id as uuid)"
                ),
                {"id": digits, "minutes": minutes},
            )
        assert await work_off(settings, service.database) == worked
    assert accepted(await marketing.get(f"/v1/what-ifs/{said['id']}"))["status"] == "done"


async def test_a_worker_that_lost_its_lease_leaves_the_what_if_to_the_other_and_goes_on(
    shop: Shop, settings: Settings, app: FastAPI, owner: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    marketing, service = shop.client("marketing"), app.state.service
    said = (await marketing.post(f"/v1/earning-rules/{await drafted(shop, PLAIN)}/what-if", SPAN)).json()
    digits = said["id"].removeprefix("wif_")

    async def taken_over_meanwhile(*_: Any, **__: Any) -> Tally:
        async with owner.begin() as connection:
            await connection.execute(
                text("update what_if set claimed_until = now() + interval '1 hour' where id = cast(:id as uuid)"),
                {"id": digits},
            )
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")

    with monkeypatch.context() as patched:
        patched.setattr(worker, "what_if", taken_over_meanwhile)
        patched.setattr(worker, "TOLD_EVERY_S", 0.01)
        assert await work_off(settings, service.database) == 1
    assert accepted(await marketing.get(f"/v1/what-ifs/{said['id']}"))["status"] == "running"
    again = (await marketing.post(f"/v1/earning-rules/{await drafted(shop, PLAIN)}/what-if", SPAN)).json()
    assert await work_off(settings, service.database) == 1
    assert accepted(await marketing.get(f"/v1/what-ifs/{again['id']}"))["status"] == "done"


async def test_what_a_cap_let_through_before_and_what_lapsed_before_it_came_back_differ_in_nothing(
    a_shop: ShopFactory, settings: Settings, app: FastAPI
) -> None:
    plain = await a_shop()
    wallet = plain.programme.wallets["points"]._replace(pending=timedelta(0))
    shop = await a_shop(fixed_now=NOON, wallets={"points": wallet}, ladder=LADDER)
    cap = {"kind": "cap", "id": "monthly", "wallet": "points", "points": 150, "per": "month"}
    await publishes(shop.client("marketing"), BASE, cap)
    anna, ben = await shop.enrols(), await shop.enrols()
    for day in ("2026-06-10", "2026-06-20"):
        await shop.sells(anna, 10_000, occurred_at=f"{day}T12:00:00+08:00")
    gone = await shop.sells(ben, 10_000, occurred_at="2026-06-20T12:00:00+08:00")
    accepted(await shop.client("desk").post(f"/v1/members/{ben['id']}/close", {"reason": "leaves"}))
    said = await shop.till.post("/v1/returns", a_return({"entry": gone["entry"]["id"]}, full=True))
    assert said.status_code == 201, said.text

    question = Question(
        RuleSet("", None, None, (PLAIN, Cap("monthly", "points", 150, CapPer.MONTH))),
        date(2026, 6, 15),
        date(2026, 7, 2),
    )
    tally = await what_if(settings.database_url, shop.programme.code, question, processes=1)
    found = report(shop.programme, question, tally)["wallets"]["points"]
    assert (found["given"], found["would_be_given"]) == (50, 50)
    assert tally.tiers == {"member\x1fmember": 2}


async def test_what_makes_no_sense_is_refused(shop: Shop, settings: Settings, app: FastAPI) -> None:
    marketing = shop.client("marketing")
    rules = await drafted(shop, PLAIN)
    wrong = {"from": "2026-02-01", "to": "2026-01-01"}
    refused(await marketing.post(f"/v1/earning-rules/{rules}/what-if", wrong), 422, "invalid_request")
    nobodys = f"erl_{'0' * 32}"
    refused(await marketing.post(f"/v1/earning-rules/{nobodys}/what-if", SPAN), 404, "rules_not_found")
    refused(await marketing.get(f"/v1/what-ifs/wif_{'0' * 32}"), 404, "what_if_not_found")
    for _ in range(10):
        assert (await marketing.post(f"/v1/earning-rules/{rules}/what-if", SPAN)).status_code == 202
    refused(await marketing.post(f"/v1/earning-rules/{rules}/what-if", SPAN), 409, "too_many_what_ifs")
    assert await work_off(settings, app.state.service.database) == 10
