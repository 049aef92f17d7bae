"""Nothing twice, for every verb beyond the first three: keys replay, references are taken, a dry run leaves nothing."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import httpx2
import pytest
import pytest_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.api.conftest import (
    Client,
    Shop,
    ShopFactory,
    a_hold,
    a_reassignment,
    a_redemption,
    a_reference,
    a_refund,
    a_return,
    a_transfer,
    accepted,
    an_adjustment,
    an_order,
    contents,
    refused,
    whom,
)


class Ask(NamedTuple):
    """A request that succeeds once; and the same endpoint asked for something else, which would succeed as well."""

    role: str
    path: str
    body: dict[str, Any]
    other: tuple[str, dict[str, Any]]
    method: str = "POST"

    async def send(self, shop: Shop, key: str | None, **params: Any) -> httpx2.Response:
        return await shop.client(self.role).write(self.method, self.path, self.body, key=key, **params)


@pytest_asyncio.fixture(loop_scope="session")
async def market(a_shop: ShopFactory) -> Shop:
    return await a_shop(adjustment_limit=100)


async def rich(shop: Shop) -> dict[str, Any]:
    member = await shop.enrols()
    await shop.gives(member, 500)
    return member


async def hold(shop: Shop) -> Ask:
    body = a_hold(await rich(shop), 100)
    return Ask("pos", "/v1/holds", body, ("/v1/holds", {**body, "points": 101}))


async def an_open_hold(shop: Shop) -> str:
    opened = accepted(await shop.till.post("/v1/holds", a_hold(await rich(shop), 100)))
    return f"/v1/holds/{opened['hold']['id']}"


async def capture(shop: Shop) -> Ask:
    path = f"{await an_open_hold(shop)}/capture"
    return Ask("pos", path, {"points": 20}, (path, {"points": 21}))


async def capture_all(shop: Shop) -> Ask:
    return Ask("pos", f"{await an_open_hold(shop)}/capture", {}, (f"{await an_open_hold(shop)}/capture", {}))


async def release(shop: Shop) -> Ask:
    path = await an_open_hold(shop)
    return Ask("pos", f"{path}/release", {}, (f"{path}/capture", {}))


async def forced(shop: Shop) -> Ask:
    body = a_redemption(await rich(shop), 600, forced=True, source="pos-offline", occurred_at="2026-01-01T10:00:00Z")
    return Ask("pos", "/v1/redemptions", body, ("/v1/redemptions", {**body, "occurred_at": "2026-01-01T10:00:01Z"}))


async def refund(shop: Shop) -> Ask:
    spent = await shop.redeems(await rich(shop), 100)
    path, body = f"/v1/redemptions/{spent['redemption']['id']}/refund", a_refund(points=40)
    return Ask("pos", path, body, (path, {**body, "points": 41}))


async def refund_all(shop: Shop) -> Ask:
    paths = [f"/v1/redemptions/{(await shop.redeems(await rich(shop), 100))['redemption']['id']}/refund" for _ in "ab"]
    body = a_refund()
    return Ask("pos", paths[0], body, (paths[1], body))


async def take_back(shop: Shop) -> Ask:
    entry = (await shop.sells(await rich(shop), 199_99))["entry"]["id"]
    body = a_return({"entry": entry}, lines=[{"line_id": "1", "quantity": 0, "amount": 10_00}])
    return Ask("pos", "/v1/returns", body, ("/v1/returns", {**body, "reason": "broken"}))


async def take_back_all(shop: Shop) -> Ask:
    order = an_order(await rich(shop), 199_99)
    entry = accepted(await shop.till.post("/v1/accruals", order))["entry"]["id"]
    body = a_return({"source": order["source"], "reference": order["reference"]}, full=True)
    return Ask("pos", "/v1/returns", body, ("/v1/returns", {**body, "accrual": {"entry": entry}}))


async def reserve(shop: Shop) -> Ask:
    entry = (await shop.sells(await rich(shop), 199_99))["entry"]["id"]
    body = a_return({"entry": entry}, lines=[{"line_id": "1", "quantity": 0, "amount": 10_00}])
    return Ask("pos", "/v1/returns/reserve", body, ("/v1/returns/reserve", {**body, "expires_in": 60}))


async def a_reserved_return(shop: Shop) -> str:
    entry = (await shop.sells(await rich(shop), 199_99))["entry"]["id"]
    reserved = accepted(await shop.till.post("/v1/returns/reserve", a_return({"entry": entry}, full=True)))
    return f"/v1/returns/{reserved['reservation']['id']}"


async def confirmation(shop: Shop) -> Ask:
    path = await a_reserved_return(shop)
    return Ask("pos", f"{path}/confirm", {}, (f"{path}/cancel", {}))


async def cancellation(shop: Shop) -> Ask:
    return Ask("pos", f"{await a_reserved_return(shop)}/cancel", {}, (f"{await a_reserved_return(shop)}/cancel", {}))


async def reassignment(shop: Shop) -> Ask:
    entry = (await shop.sells(await rich(shop), 199_99))["entry"]["id"]
    body = a_reassignment({"entry": entry}, await rich(shop))
    other = {**body, "to": whom(await rich(shop))}
    return Ask("desk", "/v1/reassignments", body, ("/v1/reassignments", other))


async def transfer(shop: Shop) -> Ask:
    giver, taker = await rich(shop), await rich(shop)
    body = a_transfer(giver, taker, 30)
    return Ask("app", "/v1/transfers", body, ("/v1/transfers", {**body, "from": body["to"], "to": body["from"]}))


async def adjustment(shop: Shop) -> Ask:
    body = an_adjustment(await rich(shop), -20)
    return Ask("desk", "/v1/adjustments", body, ("/v1/adjustments", {**body, "points": 20}))


async def large_adjustment(shop: Shop) -> Ask:
    body = an_adjustment(await rich(shop), 101)
    return Ask("desk", "/v1/adjustments", body, ("/v1/adjustments", {**body, "points": 102}))


async def one_that_waits(shop: Shop) -> str:
    answer = await shop.client("desk").post("/v1/adjustments", an_adjustment(await rich(shop), 101))
    return f"/v1/adjustments/{answer.json()['adjustment']}"


async def approval(shop: Shop) -> Ask:
    path = await one_that_waits(shop)
    return Ask("finance", f"{path}/approve", {}, (f"{path}/reject", {}))


async def rejection(shop: Shop) -> Ask:
    path = await one_that_waits(shop)
    return Ask("finance", f"{path}/reject", {}, (f"{await one_that_waits(shop)}/reject", {}))


async def closing(shop: Shop) -> Ask:
    path = f"/v1/members/{(await rich(shop))['id']}/close"
    return Ask("desk", path, {"reason": "asked to"}, (path, {"reason": "died"}))


async def freezing(shop: Shop) -> Ask:
    path = f"/v1/members/{(await rich(shop))['id']}"
    return Ask("desk", path, {"status": "frozen"}, (path, {"status": "earn_only"}), "PATCH")


async def tagging(shop: Shop) -> Ask:
    path = f"/v1/members/{(await rich(shop))['id']}/tags"
    body = {"tags": ["staff"], "reason": "on the list"}
    return Ask("desk", path, body, (path, {**body, "tags": []}), "PUT")


async def sale_that_waits(shop: Shop) -> Ask:
    body = an_order({"identity": {"channel": "tmall", "type": "ouid", "value": a_reference()}}, 199_99)
    return Ask("pos", "/v1/accruals", body, ("/v1/accruals", {**body, "store": "SH-002"}))


async def return_that_waits(shop: Shop) -> Ask:
    body = a_return({"source": "pos", "reference": a_reference()}, full=True)
    return Ask("pos", "/v1/returns", body, ("/v1/returns", {**body, "reason": "broken"}))


async def resolution(shop: Shop) -> Ask:
    await shop.redeems(await rich(shop), 600, forced=True, source="pos-offline")
    [review, *_] = accepted(await shop.client("desk").get("/v1/reviews", status="open"))["items"]
    path = f"/v1/reviews/{review['review']}/resolve"
    return Ask("desk", path, {"reason": "it repays"}, (path, {"reason": "waived"}))


Prepare = Callable[[Shop], Awaitable[Ask]]
REFERRING = (
    *(hold, forced, refund, refund_all, take_back, take_back_all, reserve),
    *(reassignment, transfer, adjustment, large_adjustment),
)
RESOLVING = (
    *(capture, capture_all, release, confirmation, cancellation),
    *(approval, rejection, closing, freezing, tagging, resolution),
)
WAITING = (sale_that_waits, return_that_waits)
every_verb = pytest.mark.parametrize("prepare", [*REFERRING, *RESOLVING, *WAITING], ids=lambda verb: verb.__name__)
IDS, TIMES = ("ent_", "hld_", "rsv_", "red_", "adj_", "prk_", "rev_"), ("_at", "_from", "until")


def same_but_for_ids_and_times(answer: Any) -> Any:
    """The answer without what differs between any two decisions."""
    if isinstance(answer, dict):
        return {name: same_but_for_ids_and_times(one) for name, one in answer.items() if not name.endswith(TIMES)}
    if isinstance(answer, list):
        return [same_but_for_ids_and_times(one) for one in answer]
    return answer[:4] if isinstance(answer, str) and answer.startswith(IDS) else answer


@every_verb
async def test_the_same_key_and_request_replay_the_same_bytes_and_nothing_happens(
    market: Shop, owner: AsyncEngine, prepare: Prepare
) -> None:
    ask = await prepare(market)
    first = await ask.send(market, "k-1")
    assert first.status_code in (200, 201, 202), first.text
    assert "idempotency-replayed" not in first.headers
    before = await contents(owner, market)
    for key in ("k-1", '"k-1"'):
        again = await ask.send(market, key)
        assert again.status_code == first.status_code
        assert again.content == first.content
        assert again.headers["idempotency-replayed"] == "true"
    assert await contents(owner, market) == before


@every_verb
async def test_a_key_that_came_with_another_request_is_refused(
    market: Shop, owner: AsyncEngine, prepare: Prepare
) -> None:
    ask = await prepare(market)
    first = await ask.send(market, "k-1")
    before = await contents(owner, market)
    path, body = ask.other
    client: Client = market.client(ask.role)
    refused(await client.write(ask.method, path, body, key="k-1"), 422, "idempotency_key_reused")
    nowhere = f"/v1/redemptions/red_{'0' * 32}/refund"
    if prepare in (refund, refund_all):  # even where what is named was never there
        refused(await client.write("POST", nowhere, ask.body, key="k-1"), 422, "idempotency_key_reused")
    assert await contents(owner, market) == before
    assert (await ask.send(market, "k-1")).content == first.content, "the key still is what it was"


@every_verb
async def test_a_dry_run_decides_the_same_and_leaves_no_trace(
    market: Shop, owner: AsyncEngine, prepare: Prepare
) -> None:
    ask = await prepare(market)
    before = await contents(owner, market)
    dry = [await ask.send(market, key, dry_run="true") for key in (None, "k-1")]
    assert await contents(owner, market) == before
    real = await ask.send(market, "k-1")
    assert "idempotency-replayed" not in real.headers
    for one in dry:
        assert one.status_code == real.status_code
        assert same_but_for_ids_and_times(one.json()) == same_but_for_ids_and_times(real.json())
    assert await contents(owner, market) != before


@every_verb
async def test_a_write_without_a_key_is_refused(market: Shop, owner: AsyncEngine, prepare: Prepare) -> None:
    ask = await prepare(market)
    before = await contents(owner, market)
    refused(await ask.send(market, None), 400, "idempotency_key_missing")
    assert await contents(owner, market) == before


@pytest.mark.parametrize("prepare", REFERRING, ids=lambda verb: verb.__name__)
async def test_the_same_reference_under_a_new_key_is_refused_and_names_the_entry(
    market: Shop, owner: AsyncEngine, prepare: Prepare
) -> None:
    ask = await prepare(market)
    told = (await ask.send(market, "k-1")).json()
    before = await contents(owner, market, but="replay")
    for params, key in (({"dry_run": "true"}, None), ({}, "k-2")):
        problem = refused(await ask.send(market, key, **params), 409, "reference_taken")
        named = told["entry"]["id"] if told["entry"] else told["adjustment"].replace("adj_", "ent_")
        assert problem["entry"] == named
        assert (problem["source"], problem["reference"]) == (ask.body["source"], ask.body["reference"])
    assert await contents(owner, market, but="replay") == before


@pytest.mark.parametrize("path", ["/v1/redemptions", "/v1/holds", "/v1/transfers"])
async def test_a_receipt_sent_twice_is_told_that_it_is_booked_and_not_that_points_are_missing(
    market: Shop, path: str
) -> None:
    member, other = await rich(market), await market.enrols()
    body = {
        "/v1/redemptions": a_redemption(member, 500),
        "/v1/holds": a_hold(member, 500),
        "/v1/transfers": a_transfer(member, other, 500),
    }[path]
    admin = market.client("admin")
    told = accepted(await admin.post(path, body))
    assert refused(await admin.post(path, body), 409, "reference_taken")["entry"] == told["entry"]["id"]


async def test_what_is_resolved_refuses_a_new_key_and_replays_the_old_one(market: Shop) -> None:
    for prepare, code in (
        *((verb, "hold_resolved") for verb in (capture, capture_all, release)),
        *((verb, "adjustment_decided") for verb in (approval, rejection)),
        (closing, "member_closed"),
        (resolution, "review_resolved"),
    ):
        ask = await prepare(market)
        first = await ask.send(market, f"first-{prepare.__name__}")
        again = await ask.send(market, f"second-{prepare.__name__}")
        refused(again, 409, code)
        refused(await ask.send(market, None, dry_run="true"), 409, code)
        replay = await ask.send(market, f"first-{prepare.__name__}")
        assert (replay.status_code, replay.content) == (first.status_code, first.content)


async def test_a_refused_capture_stays_refused_under_its_key_and_takes_nothing(market: Shop) -> None:
    path = await an_open_hold(market)
    first = await market.till.post(f"{path}/capture", {"points": 101}, key="k-1")
    refused(first, 409, "exceeds_hold")
    accepted(await market.till.post(f"{path}/capture", {}, key="k-2"))
    again = await market.till.post(f"{path}/capture", {"points": 101}, key="k-1")
    assert (again.content, again.headers["idempotency-replayed"]) == (first.content, "true")


async def test_a_refused_write_takes_no_reference(market: Shop) -> None:
    poor = await market.enrols()
    body = a_hold(poor, 10)
    refused(await market.till.post("/v1/holds", body), 409, "insufficient_points")
    await market.gives(poor, 10)
    accepted(await market.till.post("/v1/holds", body))


async def test_every_verb_has_references_of_its_own(market: Shop) -> None:
    member, other = await rich(market), await rich(market)
    same: dict[str, Any] = {"source": "s", "reference": "1"}
    till, desk = market.till, market.client("desk")
    bought = await market.sells(member, 10_00, **same)
    spent = await market.redeems(member, 10, **same)
    accepted(await till.post("/v1/holds", {**a_hold(member), **same}))
    accepted(await till.post(f"/v1/redemptions/{spent['redemption']['id']}/refund", same))
    accepted(await till.post("/v1/returns", a_return({"entry": bought["entry"]["id"]}, full=True, **same)))
    accepted(await desk.post("/v1/transfers", {**a_transfer(member, other), **same}))
    accepted(await desk.post("/v1/adjustments", {**an_adjustment(member), **same}))


async def test_a_hold_that_is_not_known_is_not_frozen(market: Shop, owner: AsyncEngine) -> None:
    before = await contents(owner, market)
    for path in (f"/v1/holds/hld_{'0' * 32}/capture", f"/v1/holds/hld_{'0' * 32}/release"):
        refused(await market.till.post(path, {}, key="k-1"), 404, "hold_not_found")
    assert await contents(owner, market) == before


async def test_a_retry_is_answered_after_its_members_have_closed(market: Shop) -> None:
    ask = await transfer(market)
    first = await ask.send(market, "k-1")
    for side in ("from", "to"):
        accepted(await market.client("desk").post(f"/v1/members/{ask.body[side]['id']}/close", {}))
    assert (await ask.send(market, "k-1")).content == first.content
    refused(await ask.send(market, "k-2"), 409, "member_closed")


async def test_the_second_person_may_use_the_key_that_the_first_one_used(market: Shop) -> None:
    """A key belongs to one API client."""
    body = an_adjustment(await rich(market), 101)
    asked = (await market.client("desk").post("/v1/adjustments", body, key="k-1")).json()
    answer = await market.client("finance").post(f"/v1/adjustments/{asked['adjustment']}/approve", {}, key="k-1")
    assert accepted(answer)["status"] == "approved"
    assert whom(body["member"]) == {"id": accepted(answer)["entry"]["member"]}
