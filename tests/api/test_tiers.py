"""Tiers over HTTP: progress, tiers given by hand, and how members moved."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI

from loyalty.api.service import Service
from loyalty.domain.ids import MemberId
from loyalty.domain.ladder import Down, Ladder, Pending, Period, Returns, Rung, Steps, Up, Window
from loyalty.operations.door import Submission
from loyalty.operations.lanes import Lanes
from loyalty.recompute.verify import verify
from loyalty.store.programmes import from_settings, settings_json
from loyalty.worker import settling
from loyalty.worker.settling import settle_due
from loyalty.worker.unasked import decided
from tests.api.conftest import Shop, ShopFactory, accepted, an_order, refused

NOON = datetime(2026, 11, 22, 4, tzinfo=UTC)  # noon in Shanghai
RUNGS = (Rung("member", 0), Rung("silver", 100_000, 60_000), Rung("gold", 500_000))
WHY = {"reason": "a good customer", "approved_by": "desk-7"}


async def progress(shop: Shop, member: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = accepted(await shop.till.get(f"/v1/members/{member['id']}/tier"))
    return found


async def test_progress_says_what_is_missing_to_rise_and_to_stay(a_shop: ShopFactory) -> None:
    shop = await a_shop(fixed_now=NOON, ladder=Ladder(RUNGS, window=Window(Period.ROLLING, 12), grace_days=30))
    member = await shop.enrols()
    await shop.sells(member, 150_000)
    assert await progress(shop, member) == {
        "tier": "silver",
        "since": "2026-11-22T04:00:00Z",
        # November 2026 stands in the windows that end by 1 November 2027, and not in the next; then a month of grace.
        "valid_through": "2027-12-30",
        "review_at": "2027-12-30T16:00:00Z",
        "then": "member",
        "score": 150_000,
        "window_from": "2025-12-01",
        "window_through": "2026-11-30",
        "next": {"tier": "gold", "reached_at": 500_000, "missing": 350_000},
        "stay": {"through": "2027-12-30", "missing": 60_000},
        "granted": None,
    }


async def test_a_tier_is_given_by_hand_and_taken_back(a_shop: ShopFactory, app: FastAPI) -> None:
    shop = await a_shop(fixed_now=NOON, ladder=Ladder(RUNGS))
    member, desk = await shop.enrols(), shop.client("desk")
    path = f"/v1/members/{member['id']}/tier-grants"
    given = accepted(await desk.post(path, {**WHY, "tier": "gold", "until": "2027-06-01T00:00:00+08:00"}))
    assert (given["tier"], given["review_at"], given["entry"]["kind"]) == ("gold", "2027-05-31T16:00:00Z", "tier")
    shown = await progress(shop, member)
    assert (shown["tier"], shown["valid_through"], shown["then"]) == ("gold", "2027-05-31", "member")
    assert shown["granted"] == {"tier": "gold", "until": "2027-05-31T16:00:00Z", "locked": False, "earned": "member"}
    await shop.sells(member, 100_000)
    assert accepted(await desk.post(f"{path}/end", WHY))["tier"] == "silver"
    refused(await desk.post(f"{path}/end", WHY), 409, "no_tier_granted")
    service: Service = app.state.service
    assert (await verify(service.database, shop.programme)).findings == []


@pytest.mark.parametrize(
    ("grant", "status", "code"),
    [
        ({"tier": "platinum"}, 422, "unknown_tier"),
        ({"tier": "gold", "until": "2026-11-22T04:00:00Z"}, 409, "dates_contradict"),
        ({"tier": "gold", "reason": " "}, 422, "invalid_request"),
        ({"tier": "gold", "approved_by": ""}, 422, "invalid_request"),
        ({"tier": "gold", "locked": "yes"}, 422, "invalid_request"),
    ],
)
async def test_a_grant_that_makes_no_sense_changes_nothing(
    a_shop: ShopFactory, grant: dict[str, Any], status: int, code: str
) -> None:
    shop = await a_shop(fixed_now=NOON)
    member = await shop.enrols()
    answer = await shop.client("desk").post(f"/v1/members/{member['id']}/tier-grants", {**WHY, **grant})
    assert (answer.status_code, answer.json()["code"]) in {(status, code), (422, code)}
    assert (await progress(shop, member))["tier"] == "member"


async def test_whoever_closed_its_account_is_given_nothing(a_shop: ShopFactory) -> None:
    shop = await a_shop(fixed_now=NOON)
    member, desk = await shop.enrols(), shop.client("desk")
    accepted(await desk.post(f"/v1/members/{member['id']}/close", {"reason": "leaves"}))
    for path, body in (("tier-grants", {**WHY, "tier": "gold"}), ("tier-grants/end", WHY)):
        refused(await desk.post(f"/v1/members/{member['id']}/{path}", body), 409, "member_closed")


async def test_the_sweep_reviews_tiers_and_whoever_looks_meanwhile_sees_it_done(
    a_shop: ShopFactory, app: FastAPI
) -> None:
    service: Service = app.state.service
    last_year = NOON - timedelta(days=700)
    shop = await a_shop(fixed_now=last_year, ladder=Ladder(RUNGS))
    member = await shop.enrols()
    await shop.sells(member, 150_000)
    later = shop.programme._replace(fixed_now=NOON + timedelta(days=60))
    assert await settle_due(service.database, service.lanes, later) == 1
    assert await settle_due(service.database, service.lanes, later) == 0
    assert (await verify(service.database, later)).findings == []


@pytest.mark.parametrize(("failing", "settled", "tried"), [(1, 4, 5), (5, 0, 2)])
async def test_a_sweep_tries_once_whose_settling_fails_and_ends_when_all_do(
    a_shop: ShopFactory, app: FastAPI, monkeypatch: pytest.MonkeyPatch, failing: int, settled: int, tried: int
) -> None:
    service: Service = app.state.service
    shop = await a_shop(fixed_now=NOON - timedelta(days=700), ladder=Ladder(RUNGS))
    people = [await shop.enrols() for _ in range(5)]
    for member in people:
        await shop.sells(member, 150_000)
    fail = {MemberId(member["id"].removeprefix("mem_")) for member in people[:failing]}
    asked: list[MemberId] = []

    async def decided_but_some(lanes: Lanes, asks: Sequence[Submission]) -> list[bool]:
        asked.extend(ask.command.member_id for ask in asks)
        sent = await decided(lanes, [ask for ask in asks if ask.command.member_id not in fail])
        done = iter(sent)
        return [ask.command.member_id not in fail and next(done) for ask in asks]

    monkeypatch.setattr(settling, "decided", decided_but_some)
    monkeypatch.setattr(settling, "BATCH", 2)
    later = shop.programme._replace(fixed_now=NOON + timedelta(days=60))
    assert await settle_due(service.database, service.lanes, later) == settled
    assert len(asked) == len(set(asked)) == tried


async def test_a_tier_that_was_given_is_kept_by_nothing_that_is_missing(a_shop: ShopFactory) -> None:
    shop = await a_shop(fixed_now=NOON, ladder=Ladder(RUNGS))
    member, desk = await shop.enrols(), shop.client("desk")
    path = f"/v1/members/{member['id']}/tier"
    await shop.sells(member, 120_000)
    assert accepted(await shop.till.get(path))["stay"]["through"] == "2027-12-31"
    accepted(await desk.post(f"{path}-grants", {**WHY, "tier": "gold"}))
    given = accepted(await shop.till.get(path))
    assert (given["tier"], given["valid_through"], given["stay"], given["next"]) == ("gold", None, None, None)
    accepted(await desk.post(f"{path}-grants", {**WHY, "tier": "silver"}))
    assert accepted(await shop.till.get(path))["stay"] is not None, "it is earned, too"
    accepted(await desk.post(f"{path}-grants", {**WHY, "tier": "member", "locked": True}))
    locked = accepted(await shop.till.get(path))
    assert (locked["tier"], locked["stay"], locked["next"]) == ("member", None, None)


async def test_a_score_beyond_all_bounds_is_as_good_as_the_highest(a_shop: ShopFactory) -> None:
    rungs = (Rung("member", 0), Rung("silver", 10**15))
    shop = await a_shop(fixed_now=NOON, ladder=Ladder(rungs, metric=(("net_spend", 1_000_000),)))
    member = await shop.enrols()
    lines = [
        {"line_id": str(number), "sku": "S", "category": "c", "quantity": 1, "amount": 10**12} for number in range(20)
    ]
    await shop.sells(member, 0, lines=lines)
    shown = accepted(await shop.till.get(f"/v1/members/{member['id']}/tier"))
    assert (shown["tier"], shown["score"]) == ("silver", 2**53 - 1)


async def test_the_ladder_is_told_in_the_words_of_the_settings(a_shop: ShopFactory) -> None:
    plain = await a_shop(ladder=Ladder(RUNGS))
    assert accepted(await plain.till.get("/v1/tiers")) == {
        "ladder": [
            {"tier": "member", "reached_at": 0, "kept_at": 0},
            {"tier": "silver", "reached_at": 100_000, "kept_at": 60_000},
            {"tier": "gold", "reached_at": 500_000, "kept_at": 500_000},
        ],
        "metric": {"net_spend": 1},
        "window": {"period": "calendar_year", "months": None},
        "up": "at_once",
        "up_steps": "all",
        "down": "reassess",
        "grace_days": 0,
        "returns": "next_review",
        "pending_points": "earning",
    }
    ladder = Ladder(
        (Rung("member", 0, 0), Rung("silver", 300, 200)),
        metric=(("visits", 10), ("points.points", 2)),
        window=Window(Period.ROLLING, 6),
        up=Up.NEXT_PERIOD,
        up_steps=Steps.ONE,
        down=Down.ONE_STEP,
        grace_days=30,
        returns=Returns.PROTECT,
        pending=Pending.MATURING,
    )
    chosen = await a_shop(ladder=ladder)
    told = accepted(await chosen.till.get("/v1/tiers"))
    written = json.loads(settings_json(chosen.programme))
    assert from_settings(0, "told", {**written, "tiers": told}).ladder == ladder


async def test_every_step_of_a_history_says_what_decided_it(a_shop: ShopFactory, app: FastAPI) -> None:
    service: Service = app.state.service
    shop = await a_shop(fixed_now=NOON - timedelta(days=700), ladder=Ladder(RUNGS))  # 2024-12-22
    member, desk = await shop.enrols(), shop.client("desk")
    said = await shop.sells(member, 150_000)
    accepted(await desk.post(f"/v1/members/{member['id']}/tier-grants", {**WHY, "tier": "gold"}))
    accepted(await desk.post(f"/v1/members/{member['id']}/tier-grants/end", WHY))
    path = f"/v1/members/{member['id']}/tier/history"
    later = shop.programme._replace(fixed_now=NOON + timedelta(days=60))
    assert await settle_due(service.database, service.lanes, later) == 1
    page = accepted(await shop.till.get(path, limit=3))
    rest = accepted(await shop.till.get(path, limit=3, cursor=page["next_cursor"]))
    assert (len(page["items"]), rest["next_cursor"]) == (3, None)
    history: list[dict[str, Any]] = page["items"] + rest["items"]
    fell, ended, given, rose = history
    assert [(one["before"], one["after"], one["cause"]) for one in (rose, given, ended, fell)] == [
        ("member", "silver", "earn"),
        ("silver", "gold", "tier"),
        ("gold", "silver", "tier"),
        ("silver", "member", "review"),
    ]
    year = {"window_from": "2024-01-01", "window_through": "2024-12-31"}
    assert rose["entry"] == said["entry"]["id"]
    assert rose["decided_by"] == {**year, "score": 150_000, "needed": 100_000}
    assert (given["decided_by"], ended["decided_by"]) == (None, None)
    year = {"window_from": "2025-01-01", "window_through": "2025-12-31"}
    assert fell["decided_by"] == {**year, "score": 0, "needed": 60_000}
    assert (fell["entry"], fell["occurred_at"]) == (None, "2025-12-31T16:00:00Z")
    told = [one["id"] for one in accepted(await shop.client("admin").get("/v1/events", limit=100))["items"]]
    assert {one["event"] for one in (rose, given, ended, fell)} <= set(told)
    refused(await shop.till.get(path, cursor="x"), 400, "invalid_cursor")
    assert (await verify(service.database, later)).findings == []


async def test_the_matrix_says_who_moved_and_why(a_shop: ShopFactory) -> None:
    shop = await a_shop(fixed_now=NOON, ladder=Ladder(RUNGS))
    people = [await shop.enrols() for _ in range(4)]
    for member in people[:2]:
        await shop.sells(member, 150_000)
    await shop.sells(people[1], 400_000)
    accepted(await shop.client("desk").post(f"/v1/members/{people[2]['id']}/tier-grants", {**WHY, "tier": "gold"}))
    found = accepted(
        await shop.client("marketing").get(
            "/v1/analytics/tier-transitions", **{"from": "2026-11-01", "to": "2026-11-30"}
        )
    )
    assert found["members"] == 4
    told = [(one["before"], one["after"], one["members"], one["percent"], one["causes"]) for one in found["tiers"]]
    assert told == [
        (None, "member", 1, 25.0, []),
        (None, "silver", 1, 25.0, [{"cause": "earn", "members": 1}]),
        (None, "gold", 2, 50.0, [{"cause": "earn", "members": 1}, {"cause": "tier", "members": 1}]),
    ]
    assert [(one["after"], one["members"]) for one in found["activity"]] == [("new", 4)]


async def test_who_had_joined_before_stands_with_the_tier_of_then(a_shop: ShopFactory) -> None:
    """Four orders a month apart, at a clock that stands still: the past is told as it was."""
    shop = await a_shop(fixed_now=NOON, ladder=Ladder(RUNGS))
    member = await shop.enrols()
    for when, amount in (("2026-11-22T03:00:00Z", 150_000),):
        accepted(await shop.till.post("/v1/accruals", an_order(member, amount, occurred_at=when)))
    after = {"from": "2026-11-23", "to": "2026-12-31"}
    found = accepted(await shop.client("marketing").get("/v1/analytics/tier-transitions", **after))
    assert [(one["before"], one["after"], one["members"], one["percent"]) for one in found["tiers"]] == [
        ("silver", "silver", 1, 100.0)
    ]
    assert [(one["before"], one["after"]) for one in found["activity"]] == [("new", "active")]
    refused(
        await shop.client("marketing").get(
            "/v1/analytics/tier-transitions", **{"from": "2026-12-01", "to": "2026-11-30"}
        ),
        422,
        "invalid_request",
    )
