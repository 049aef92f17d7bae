"""`openapi/loyalty.json` says what the service does. (Every answer in these rooms is held against it as well.)"""

from pathlib import Path
from typing import Any

import httpx2
import orjson

from loyalty.api import problems
from loyalty.domain import refusals
from tests.api.conftest import (
    Contract,
    Shop,
    a_grant,
    a_hold,
    a_merge,
    a_reassignment,
    a_redemption,
    a_refund,
    a_return,
    accepted,
    an_adjustment,
    an_order,
    refused,
)

KEPT = Path(__file__).parents[2] / "openapi" / "loyalty.json"


def test_the_committed_contract_is_the_one_of_the_code(contract: Contract) -> None:
    kept = orjson.loads(KEPT.read_bytes())
    assert kept == contract.document, "run `make openapi`"


def test_every_operation_says_what_it_needs_and_what_it_answers(contract: Contract) -> None:
    for method, path, operation in contract.operations():
        if not path.startswith("/v1/"):
            continue
        assert operation["x-scope"], path
        assert operation["security"] == [{"key": []}], path
        assert operation["summary"], path
        assert {"401", "403", "422", "500", "503"} <= operation["responses"].keys(), path
        if method == "POST":
            assert {"400", "413", "415"} <= operation["responses"].keys(), path
            writes = path not in ("/v1/members/resolve", "/v1/accruals/preview")
            assert not writes or {one["name"] for one in operation["parameters"]} >= {"Idempotency-Key", "dry_run"}, (
                path
            )


def test_every_status_of_every_code_is_one_that_writes_or_reads_document(contract: Contract) -> None:
    documented = {int(status) for _, _, operation in contract.operations() for status in operation["responses"]}
    told = {status for status, _ in problems.TITLES.values()} | set(problems.STATUS_OF_REFUSAL.values())
    assert told - documented <= {405}, "405 is said of paths that the contract does not have"


def test_every_refusal_has_a_status() -> None:
    assert set(refusals.vocabulary()) == set(problems.STATUS_OF_REFUSAL)


def test_no_code_is_told_in_two_ways() -> None:
    codes = [refusal.code for refusal in refusals.vocabulary()]
    assert len(codes) == len(set(codes))
    assert not set(codes) & set(problems.TITLES)


def test_no_schema_of_ours_takes_unknown_fields(contract: Contract) -> None:
    schemas: dict[str, Any] = contract.document["components"]["schemas"]
    loose = {name for name, one in schemas.items() if one.get("type") == "object" and "additionalProperties" not in one}
    assert loose == set()


async def test_every_read_answers_what_its_schema_says(shop: Shop) -> None:
    member = await shop.enrols(phone="+8613800138000", store="SH-001")
    await shop.gives(member, 100, expires_at="2027-06-01T00:00:00Z")
    said = await shop.sells(member, 200_000)
    await shop.redeems(member, 30)
    for path in ("", "/balance", "/tier", "/tier/history", "/entries", "/lots"):
        accepted(await shop.till.get(f"/v1/members/{member['id']}{path}"))
    accepted(await shop.till.get(f"/v1/entries/{said['entry']['id']}"))
    accepted(await shop.client("finance").get("/v1/ledger/trial-balance", as_of="2026-11-22"))


async def test_every_link_leads_where_it_says(shop: Shop, contract: Contract) -> None:
    """The id that an answer holds is the one that the other operation takes."""
    at = {operation["operationId"]: (method, path) for method, path, operation in contract.operations()}
    admin, desk, app = shop.client("admin"), shop.client("desk"), shop.client("app")
    followed = 0

    async def follow(source: str, said: httpx2.Response) -> None:
        nonlocal followed
        answers = contract.document["paths"][source][said.request.method.lower()]["responses"]
        links = answers[str(said.status_code)]["links"]
        for link in links.values():
            found = said.json()
            for name in link["parameters"]["id"].removeprefix("$response.body#/").split("/"):
                found = found[int(name) if name.isdigit() else name]
            method, path = at[link["operationId"]]
            path = path.format(id=found)
            if method == "GET":
                reader = app if "/code" in path else admin
                assert (await reader.get(path)).status_code == 200, path
            else:
                bodies = {"refund": a_refund(), "resolve": {"reason": "repaid"}, "reverse": {"reason": "two after all"}}
                body = bodies.get(path.rpartition("/")[2], {})
                assert (await admin.post(path, body, dry_run="true", key=None)).status_code == 201, path
            followed += 1

    async def says(path: str, body: Any, *, under: str | None = None) -> httpx2.Response:
        client = desk if path == "/v1/adjustments" else admin
        said = await client.post(path, body)
        await follow(under or path, said)
        return said

    member = (await says("/v1/members", {})).json()
    await says("/v1/accruals", a_grant(member))
    sold = (await says("/v1/accruals", an_order(member))).json()
    await says("/v1/redemptions", a_redemption(member))
    hold = (await says("/v1/holds", a_hold(member, 10))).json()["hold"]["id"]
    await says(f"/v1/holds/{hold}/capture", {}, under="/v1/holds/{id}/capture")
    other = await shop.enrols()
    await says("/v1/reassignments", a_reassignment({"entry": sold["entry"]["id"]}, other))
    await says("/v1/merges", a_merge(await shop.enrols(), into=other))
    await says("/v1/returns/reserve", a_return({"entry": sold["entry"]["id"]}, lines=[A_PART]))
    await says("/v1/returns", a_return({"entry": sold["entry"]["id"]}, full=True))
    await says("/v1/adjustments", an_adjustment(member, 10_001))
    await says("/v1/accruals", a_grant({"identity": {"channel": "tmall", "type": "ouid", "value": "nobody"}}))
    await says("/v1/returns", a_return({"source": "pos-1", "reference": "never"}, full=True))
    await shop.redeems(member, 10_000, source="pos-offline", forced=True)
    await follow("/v1/reviews", await admin.get("/v1/reviews"))
    await says("/v1/channels", {"name": "tmall", "adapter": "tmall", "secret": "what it signs with"})
    ouid = {"type": "ouid", "value": "t-1"}
    await shop.enrols(identities=[{"channel": "tmall", **ouid}])
    copy = {"identity": ouid, "as_of": "2026-01-01T00:00:00Z", "points": 1}
    accepted(await admin.post("/v1/channels/tmall/drift", {"copies": [copy]}))
    await follow("/v1/channels/{id}/drift", await admin.get("/v1/channels/tmall/drift"))
    linked = [
        link
        for _, _, operation in contract.operations()
        for answer in operation["responses"].values()
        for link in answer.get("links", {})
    ]
    assert followed >= len(linked) > 15, "all of them were followed"


A_PART = {"line_id": "1", "quantity": 0, "amount": 100}


async def test_a_tier_tells_what_the_next_one_takes(shop: Shop) -> None:
    member = await shop.enrols()
    await shop.sells(member, 150_000)
    tier = accepted(await shop.till.get(f"/v1/members/{member['id']}/tier"))
    assert (tier["tier"], tier["score"]) == ("silver", 150_000)
    assert tier["next"] == {"tier": "gold", "reached_at": 500_000, "missing": 350_000}
    assert accepted(await shop.till.get(f"/v1/members/{member['id']}"))["tier"] == "silver"


async def test_the_day_of_a_trial_balance_is_a_date(shop: Shop) -> None:
    for day in ("today", "1700000000", "2026-11-22T00:00:00Z", "20261122"):
        refused(await shop.client("finance").get("/v1/ledger/trial-balance", as_of=day), 422, "invalid_request")


async def test_an_earlier_trial_balance_leaves_out_what_came_later(shop: Shop) -> None:
    member = await shop.enrols()
    for day in ("2026-10-01", "2026-10-02"):
        await shop.sells(member, 10_000, occurred_at=f"{day}T12:00:00+08:00")
    issued = []
    for day in ("2026-09-30", "2026-10-01", "2026-10-02"):
        balance = accepted(await shop.client("finance").get("/v1/ledger/trial-balance", as_of=day))
        issued.append(sum(one["balance"] for one in balance["accounts"] if one["account"] == "issued"))
    assert issued == [0, 100, 200]


async def test_health_is_told_without_a_key(shop: Shop) -> None:
    nobody = shop.client(None)
    for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"):
        assert (await nobody.http.get(path)).status_code == 200, path


async def test_every_answer_forbids_sniffing_and_storing(shop: Shop) -> None:
    member = await shop.enrols()
    for answer in (await shop.till.get(f"/v1/members/{member['id']}"), await shop.till.post("/v1/accruals", b"")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-request-id"]


async def test_metrics_name_routes_and_never_paths(shop: Shop) -> None:
    member = await shop.enrols()
    await shop.till.post("/v1/accruals", an_order(member))
    await shop.balance(member)
    await shop.till.get("/v1/members/13800138000")
    metrics = (await shop.till.http.get("/metrics")).text
    assert 'route="/v1/members/{id}/balance"' in metrics
    assert member["id"] not in metrics
    assert "13800138000" not in metrics
