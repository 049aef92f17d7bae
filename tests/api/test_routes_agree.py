"""The law of `LeanRoute`: with `StrictRoute` in its place only speed changes."""

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import orjson
import pytest
import pytest_asyncio
from fastapi import APIRouter

from loyalty.api import (
    accruals,
    adjustments,
    holds,
    members,
    merges,
    reassignments,
    redemptions,
    returns,
    reviews,
    transfers,
)
from loyalty.api.app import create_app
from loyalty.api.lean import LeanRoute, StrictRoute
from loyalty.config import Settings
from tests.api.conftest import Client, Shop, a_grant, a_redemption, an_order, running
from tests.api.test_access import served
from tests.api.test_strictness import raw

VARIABLE = re.compile(
    rb'"(?:id|request_id|member|entry|number|as_of|now|horizon)":"[^"]*"|"(?:recorded|effective|occurred|enrolled|earned)_at":"[^"]*"'
    rb'|"available_from":"[^"]*"|mem_[0-9a-f]{32}'
)


@pytest_asyncio.fixture(loop_scope="session")
async def strict_http(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx2.AsyncClient]:
    """The same application with every lean route replaced by a strict one."""
    modules = (accruals, redemptions, holds, returns, transfers, adjustments, reassignments, reviews, merges)
    for module, name in (*((module, "router") for module in modules), (members, "lean")):
        monkeypatch.setattr(module, name, strict(getattr(module, name)))
    app = create_app(settings)
    assert not [route for _, _, route in served(app) if isinstance(route, LeanRoute)]
    async with running(app) as http:
        yield http


def strict(router: APIRouter) -> APIRouter:
    """The router with its routes as `StrictRoute` would serve them."""
    found = APIRouter(route_class=StrictRoute)
    for route in router.routes:
        assert type(route) is LeanRoute
        found.add_api_route(
            route.path,
            route.endpoint,
            methods=list(route.methods or ()),
            status_code=route.status_code,
            openapi_extra=route.openapi_extra,
        )
    assert found.routes
    return found


def corpus(member: dict[str, Any]) -> list[tuple[str, Any]]:
    """Requests of every kind of right and wrong: the path and the body, as JSON or as raw bytes."""
    order, grant, spend = an_order(member), a_grant(member), a_redemption(member, 1)
    line = order["lines"][0]
    good = [
        ("/v1/accruals", order),
        ("/v1/accruals", grant),
        ("/v1/accruals", {**a_grant({"number": member["number"]}), "occurred_at": "2026-11-01T10:00:00.5+08:00"}),
        ("/v1/accruals", an_order(member, tenders=[{"type": "cash", "amount": 5}], occurred_at="2026-11-01t10:00:00z")),
        ("/v1/accruals", an_order(member, lines=[{**line, "kind": "shipping", "discount": 0}], store=None)),
        ("/v1/redemptions", spend),
        ("/v1/redemptions", a_redemption(member, 1, as_discount={"currency": "CNY"}, reason=None)),
        ("/v1/accruals/bulk", {"items": [an_order(member), a_grant(member), a_grant({"phone": "+8613800138099"})]}),
    ]
    refused = [
        ("/v1/accruals", a_grant({"phone": "+8613800138099"})),
        ("/v1/accruals", an_order(member, currency="XXX")),
        ("/v1/redemptions", a_redemption(member, 10**9)),
        ("/v1/redemptions", a_redemption(member, 1, wallet="miles")),
    ]
    literals = ['"12"', "12.0", "true", "null", "NaN", "-Infinity", "1e3", "-0", "0", str(2**63), "9" * 5000, "[", "{}"]
    numbers = [
        (path, raw(body, points=one))
        for path, body in (("/v1/accruals", grant), ("/v1/redemptions", spend))
        for one in literals
    ]
    times = [
        '"2026-11-01"',
        '"2026-11-01T10:00:00"',
        "1",
        "1.5",
        '"1700000000"',
        "null",
        '"1999-01-01T00:00:00Z"',
        "[]",
    ]
    dated = [("/v1/accruals", raw(grant, occurred_at=one)) for one in times]
    wholes = [
        b"",
        b" ",
        b"{",
        b"[]",
        b"null",
        b"1",
        b'"x"',
        b"{}",
        b"{}{}",
        b"\xff",
        b"\xef\xbb\xbf{}",
        b'{"a":1,"a":2}',
    ]
    wholes += [
        b'{"points": 1}',
        b'{"points": 1, "points": 2}',
        b"[" * 5000,
        b'{"a": "\\ud800"}',
        b'{"member": {"id": 1}}',
    ]
    shapes = [(path, whole) for path in ("/v1/accruals", "/v1/accruals/bulk", "/v1/redemptions") for whole in wholes]
    broken = [
        {**order, "lines": []},
        {**order, "lines": [line] * 501},
        {**order, "lines": [{**line, "kind": "other"}]},
        {**order, "lines": [{**line, "tax_included": 1}]},
        {**order, "lines": {"0": line}},
        {**order, "lines": [line, 1, None, {**line, "colour": "red"}]},
        {**order, "currency": "cny"},
        {**order, "tenders": [{"type": "shells", "amount": 1.0}]},
        {**order, "source": "a\x00b"},
        {**order, "reference": ""},
        {**order, "reference": 12},
        {**order, "member": {}},
        {**order, "member": {"phone": "12"}},
        {**order, "member": {"id": "mem_1"}},
        {**order, "member": {"identity": {"channel": "a", "type": "b"}}},
        {**order, "colour": "red", "shape": "round"},
        {},
    ]
    unfit = [(path, body) for body in broken for path in ("/v1/accruals", "/v1/redemptions")]
    unfit += [("/v1/accruals/bulk", {"items": [order, body]}) for body in broken]
    unfit += [("/v1/accruals/bulk", {"items": []}), ("/v1/accruals/bulk", {"items": order})]
    return [*good, *refused, *numbers, *dated, *shapes, *unfit]


async def test_lean_and_strict_routes_give_the_same_status_and_bytes(
    shop: Shop, strict_http: httpx2.AsyncClient
) -> None:
    strict_till = Client(strict_http, shop.contract, shop.keys["store"])
    # Two members alike, so that a request that is accepted by one route meets the same state in the other.
    left, right = await shop.enrols(), await shop.enrols()
    for member in (left, right):
        await shop.gives(member, 10_000)
    pairs = zip(corpus(left), corpus(right), strict=True)
    for (path, body), (_, same) in pairs:
        lean = await shop.client("pos").post(path, body)
        strict_ = await strict_till.post(path, same)
        assert told(lean) == told(strict_), (path, str(body)[:300])


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"as_of": "2026-11-01T10:00:00Z"},
        {"known_at": "2026-11-01T10:00:00Z"},
        {"known_at": "2199-01-01T10:00:00Z"},
        {"as_of": "yesterday"},
        {"colour": "red"},
    ],
)
async def test_a_lean_read_says_what_a_strict_one_says_with_a_query_and_without(
    shop: Shop, strict_http: httpx2.AsyncClient, query: dict[str, str]
) -> None:
    member = await shop.enrols()
    await shop.gives(member, 10)
    path = f"/v1/members/{member['id']}/balance"
    strict_ = await Client(strict_http, shop.contract, shop.keys["pos"]).get(path, **query)
    assert told(await shop.till.get(path, **query)) == told(strict_)


def told(response: httpx2.Response) -> tuple[int, str, bytes]:
    """What was answered, but for ids, references and times."""
    body = re.sub(rb"R-[0-9a-f]{16}", b"R", response.content)
    return response.status_code, response.headers["content-type"], VARIABLE.sub(b"", body)


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/json"},
        {"Content-Type": "application/json", "Idempotency-Key": "two words"},
        {"Content-Type": "text/plain", "Idempotency-Key": "k"},
        {"Idempotency-Key": "k"},
        {"Content-Type": "application/json", "Idempotency-Key": "k", "Authorization": "Bearer lk_1_2"},
        {"Content-Type": "application/json", "Idempotency-Key": "k", "Authorization": "Basic eA=="},
    ],
)
async def test_lean_and_strict_routes_admit_alike(
    shop: Shop, strict_http: httpx2.AsyncClient, headers: dict[str, str]
) -> None:
    strict_till = Client(strict_http, shop.contract, shop.keys["pos"])
    member = await shop.enrols()
    for path, body in (("/v1/accruals", a_grant(member)), ("/v1/redemptions", a_redemption(member, 1))):
        content = orjson.dumps(body)
        answers = [await till.send("POST", path, content=content, headers=headers) for till in (shop.till, strict_till)]
        assert told(answers[0]) == told(answers[1])


async def test_lean_and_strict_routes_read_alike(shop: Shop, strict_http: httpx2.AsyncClient) -> None:
    strict_till = Client(strict_http, shop.contract, shop.keys["pos"])
    member = await shop.enrols()
    await shop.gives(member, 10)
    for id_ in (member["id"], "mem_1", f"mem_{'0' * 32}", "%00", "mem_%F0%9F%A6%84"):
        answers = [await till.get(f"/v1/members/{id_}/balance") for till in (shop.till, strict_till)]
        assert told(answers[0]) == told(answers[1])
