"""Deny by default: every route asks for a scope, and nothing is seen or changed across programmes."""

from collections.abc import Iterator
from typing import Any

import httpx2
import orjson
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from loyalty.api.access import SCOPES_OF_ROLE, new_key
from loyalty.api.app import create_app
from loyalty.api.service import Service
from loyalty.config import Settings
from loyalty.domain.ladder import Ladder, Rung
from loyalty.store import programmes
from loyalty.store.sealing import Sealer
from loyalty.worker.parked import cure_parked
from tests.api.conftest import (
    SECRET,
    Client,
    Shop,
    ShopFactory,
    a_grant,
    a_reassignment,
    a_redemption,
    a_reference,
    accepted,
    an_order,
    named,
    refused,
    running,
)

EVERYONE = ("/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/docs/{name}")
"""What is told without a key."""
SIGNED = ("/v1/inbound/{programme}/{channel}/{message}",)
"""What bears no key, but a platform's signature: see `tests/channels`."""

ROUTES = {
    ("POST", "/v1/members"): "members:write",
    ("GET", "/v1/members/{id}"): "members:read",
    ("GET", "/v1/members/{id}/balance"): "members:read",
    ("GET", "/v1/tiers"): "members:read",
    ("GET", "/v1/members/{id}/tier"): "members:read",
    ("GET", "/v1/members/{id}/tier/history"): "members:read",
    ("GET", "/v1/members/{id}/tags"): "members:read",
    ("PUT", "/v1/members/{id}/tags"): "members:manage",
    ("POST", "/v1/members/{id}/tier-grants"): "members:manage",
    ("POST", "/v1/merges"): "members:manage",
    ("POST", "/v1/merges/{id}/reverse"): "members:manage",
    ("POST", "/v1/members/{id}/tier-grants/end"): "members:manage",
    ("GET", "/v1/members/{id}/entries"): "members:read",
    ("GET", "/v1/members/{id}/lots"): "members:read",
    ("GET", "/v1/members/{id}/statement"): "members:read",
    ("GET", "/v1/entries"): "members:read",
    ("GET", "/v1/entries/{id}"): "members:read",
    ("GET", "/v1/entries/{id}/explanation"): "members:read",
    ("GET", "/v1/events"): "events:read",
    ("GET", "/v1/analytics/tier-transitions"): "analytics:read",
    ("GET", "/v1/earning-rules"): "rules:read",
    ("POST", "/v1/earning-rules"): "rules:write",
    ("GET", "/v1/earning-rules/{id}"): "rules:read",
    ("POST", "/v1/earning-rules/{id}/publish"): "rules:write",
    ("POST", "/v1/earning-rules/{id}/what-if"): "rules:write",
    ("GET", "/v1/what-ifs/{id}"): "rules:read",
    ("POST", "/v1/accruals/preview"): "members:read",
    ("GET", "/v1/members/{id}/code"): "codes:read",
    ("GET", "/v1/members/{id}/code/image"): "codes:read",
    ("GET", "/v1/members/{id}/identities"): "members:read",
    ("POST", "/v1/members/{id}/identities"): "identities:write",
    ("DELETE", "/v1/members/{id}/identities/{identity}"): "identities:write",
    ("POST", "/v1/members/resolve"): "members:read",
    ("POST", "/v1/accruals"): "accruals:write",
    ("POST", "/v1/accruals/bulk"): "accruals:write",
    ("POST", "/v1/redemptions"): "redemptions:write",
    ("GET", "/v1/ledger/trial-balance"): "ledger:read",
    ("GET", "/v1/channels"): "channels:read",
    ("POST", "/v1/channels"): "channels:write",
    ("GET", "/v1/channels/{id}"): "channels:read",
    ("PATCH", "/v1/channels/{id}"): "channels:write",
    ("POST", "/v1/channels/{id}/secret"): "channels:write",
    ("GET", "/v1/channels/{id}/drift"): "drift:read",
    ("POST", "/v1/channels/{id}/drift"): "drift:write",
    ("GET", "/v1/drift/{id}"): "drift:read",
    ("POST", "/v1/redemptions/{id}/refund"): "redemptions:write",
    ("POST", "/v1/holds"): "redemptions:write",
    ("GET", "/v1/holds/{id}"): "members:read",
    ("POST", "/v1/holds/{id}/capture"): "redemptions:write",
    ("POST", "/v1/holds/{id}/release"): "redemptions:write",
    ("POST", "/v1/returns"): "accruals:write",
    ("POST", "/v1/returns/reserve"): "accruals:write",
    ("GET", "/v1/returns/{id}"): "members:read",
    ("POST", "/v1/returns/{id}/confirm"): "accruals:write",
    ("POST", "/v1/returns/{id}/cancel"): "accruals:write",
    ("POST", "/v1/reassignments"): "adjustments:write",
    ("GET", "/v1/parked"): "members:read",
    ("GET", "/v1/parked/{id}"): "members:read",
    ("GET", "/v1/reviews"): "reviews:read",
    ("GET", "/v1/reviews/{id}"): "reviews:read",
    ("POST", "/v1/reviews/{id}/resolve"): "reviews:write",
    ("POST", "/v1/transfers"): "transfers:write",
    ("POST", "/v1/adjustments"): "adjustments:write",
    ("POST", "/v1/adjustments/{id}/approve"): "adjustments:write",
    ("POST", "/v1/adjustments/{id}/reject"): "adjustments:write",
    ("PATCH", "/v1/members/{id}"): "members:manage",
    ("POST", "/v1/members/{id}/close"): "members:manage",
}
"""Written down once more, so that a scope that changes is a visible diff."""


def served(app: FastAPI) -> Iterator[tuple[str, str, Any]]:
    """Every (method, path, route) that the application answers to, whether documented or not."""
    waiting: list[Any] = list(app.router.routes)
    while waiting:
        route = waiting.pop()
        inner = getattr(route, "original_router", None) or getattr(route, "router", None)
        if inner is not None:
            waiting.extend(inner.routes)
            continue
        for method in sorted(route.methods - {"HEAD"}):
            yield method, route.path, route


def test_every_route_asks_for_a_scope_or_is_for_everyone(app: FastAPI) -> None:
    found = {(method, path): route for method, path, route in served(app)}
    asked = {
        place: (route.openapi_extra or {}).get("x-scope")
        for place, route in found.items()
        if place[1] not in EVERYONE + SIGNED
    }
    assert asked == ROUTES


A_COPY = {"identity": {"type": "ouid", "value": "t-1"}, "as_of": "2026-01-01T00:00:00Z", "points": 1}


def sample(method: str, path: str, member: dict[str, Any], entry: str) -> tuple[str, bytes | None]:
    """A good request to the route: its path and its body."""
    bodies: dict[str, Any] = {
        "/v1/members": {},
        "/v1/accruals": an_order(member),
        "/v1/accruals/bulk": {"items": [a_grant(member)]},
        "/v1/redemptions": a_redemption(member, 1),
        "/v1/redemptions/{id}/refund": {"source": "s", "reference": a_reference()},
        "/v1/holds": {"member": named(member), "points": 1, "source": "s", "reference": a_reference()},
        "/v1/returns": {"accrual": {"entry": entry}, "full": True, "source": "s", "reference": a_reference()},
        "/v1/reassignments": a_reassignment({"entry": entry}, member),
        "/v1/transfers": {**a_redemption(member, 1), "from": named(member), "to": named(member)},
        "/v1/adjustments": {**a_grant(member), "reason": "r"},
        "/v1/members/{id}": {"status": "active"},
        "/v1/members/{id}/tags": {"tags": ["staff"], "reason": "r"},
        "/v1/merges": {"survivor": named(member), "absorbed": named(member), "reason": "r"},
        "/v1/merges/{id}/reverse": {"reason": "r"},
        "/v1/members/{id}/tier-grants": {"tier": "gold", "reason": "r", "approved_by": "a"},
        "/v1/members/{id}/tier-grants/end": {"reason": "r", "approved_by": "a"},
        "/v1/reviews/{id}/resolve": {"reason": "r"},
        "/v1/members/{id}/identities": {"identity": {"channel": "wechat", "type": "openid", "value": "oX1"}},
        "/v1/members/resolve": {"member": named(member)},
        "/v1/earning-rules": {"rules": [{"kind": "base", "id": "b", "wallet": "points", "points": 1, "per": 100}]},
        "/v1/earning-rules/{id}/what-if": {"from": "2026-11-01", "to": "2026-11-30"},
        "/v1/earning-rules/{id}/publish": {"effective_from": "2030-01-01T00:00:00Z"},
        "/v1/accruals/preview": an_order(member),
        "/v1/channels": {"name": "tmall", "adapter": "tmall", "secret": "what it signs with"},
        "/v1/channels/{id}": {"points_per_unit": 10},
        "/v1/channels/{id}/secret": {"secret": "what it signs with next"},
        "/v1/channels/{id}/drift": {"copies": [A_COPY]},
    }
    bodies["/v1/transfers"].pop("member")
    bodies["/v1/returns/reserve"] = bodies["/v1/returns"]
    prefixes = {"redemptions": "red", "holds": "hld", "returns": "rsv", "adjustments": "adj", "entries": "ent"}
    prefix = {
        **prefixes,
        "parked": "prk",
        "reviews": "rev",
        "earning-rules": "erl",
        "what-ifs": "wif",
        "drift": "dif",
    }.get(path.split("/")[2])
    id_ = f"{prefix}_{entry.removeprefix('ent_')}" if prefix else member["id"]
    if path.startswith("/v1/channels"):
        id_ = "tmall"
    queries = {
        "/v1/entries": "?source=crm&reference=R-1",
        "/v1/analytics/tier-transitions": "?from=2026-11-01&to=2026-11-30",
        "/v1/members/{id}/statement": "?from=2026-11-01&to=2026-11-30",
    }
    content = orjson.dumps(bodies.get(path, {})) if method in ("POST", "PATCH", "PUT") else None
    return path.format(id=id_, identity=f"idn_{'0' * 32}") + (queries.get(path, "") if method == "GET" else ""), content


async def ask(client: Client, method: str, path: str, content: bytes | None) -> httpx2.Response:
    headers = {"Content-Type": "application/json"} if content else {}
    if method != "GET":
        headers["Idempotency-Key"] = "k"
    response: httpx2.Response = await client.send(method, path, content=content, headers=headers)
    return response


@pytest.mark.parametrize("role", sorted(SCOPES_OF_ROLE))
async def test_a_role_reaches_what_its_scopes_open_and_nothing_else(shop: Shop, role: str) -> None:
    member = await shop.enrols()
    entry = (await shop.gives(member, 100))["entry"]["id"]
    client = shop.client(role)
    for (method, path), scope in ROUTES.items():
        answer = await ask(client, method, *sample(method, path, member, entry))
        if scope in SCOPES_OF_ROLE[role]:
            # 422: the key "k" was used before; 404, 409: it is no hold, no redemption, no purchase.
            assert answer.status_code in (200, 201, 404, 409, 422), (path, answer.text)
        else:
            problem = refused(answer, 403, "forbidden")
            assert problem["scope"] == scope


@pytest.mark.parametrize("place", sorted(ROUTES))
async def test_nobody_gets_anywhere_without_a_valid_key(shop: Shop, place: tuple[str, str]) -> None:
    method, path = place
    member = await shop.enrols()
    path, content = sample(method, path, member, f"ent_{'0' * 32}")
    token = shop.keys["pos"]
    wrong = ["", "Bearer", "Bearer ", f"Basic {token}", token, f"Bearer {token}x", f"Bearer {token[:-1]}"]
    wrong += ["Bearer lk_", "Bearer lk__", "Bearer lk_\u00e9_x", "Bearer lk_%_x", "Bearer " + "lk_1_" + "x" * 500]
    for authorization in wrong:
        headers = {"Authorization": authorization.encode("latin-1")}
        answer = await shop.client(None).send(method, path, content=content, headers=headers)
        refused(answer, 401, "unauthenticated")
        assert answer.headers["www-authenticate"] == "Bearer"
    refused(await ask(shop.client(None), method, path, content), 401, "unauthenticated")


@pytest.mark.parametrize("place", sorted(ROUTES))
async def test_a_programme_sees_and_moves_nothing_of_another(a_shop: ShopFactory, place: tuple[str, str]) -> None:
    ours, theirs = await a_shop(), await a_shop(ladder=Ladder((Rung("theirs", 0),)))
    phone = "+8613800138000"
    member = await theirs.enrols(phone=phone)
    entry = (await theirs.gives(member, 100, reference="R-1"))["entry"]["id"]
    accepted(await ask(theirs.client("admin"), "POST", *sample("POST", "/v1/channels", member, entry)))
    method, path = place
    answer = await ask(ours.client("admin"), method, *sample(method, path, member, entry))
    match place:
        case ("POST", "/v1/members" | "/v1/earning-rules" | "/v1/channels"):
            accepted(answer)
        case ("GET", "/v1/what-ifs/{id}"):
            refused(answer, 404, "what_if_not_found")
        case ("POST", "/v1/merges/{id}/reverse"):
            refused(answer, 404, "merge_not_found")
        case ("POST", "/v1/accruals/bulk"):
            assert [one["status"] for one in answer.json()["results"]] == [404]
        case ("GET", "/v1/analytics/tier-transitions"):
            assert answer.json()["members"] == 0
        case ("GET", "/v1/tiers"):
            assert [rung["tier"] for rung in answer.json()["ladder"]] == ["member", "silver", "gold"]
        case ("GET", "/v1/ledger/trial-balance"):
            assert answer.json()["debit_total"] == 0
        case (
            "GET",
            "/v1/events" | "/v1/entries" | "/v1/parked" | "/v1/reviews" | "/v1/earning-rules" | "/v1/channels",
        ):
            assert answer.json()["items"] == []
        case (_, "/v1/drift/{id}"):
            refused(answer, 404, "difference_not_found")
        case (_, "/v1/channels/{id}" | "/v1/channels/{id}/secret" | "/v1/channels/{id}/drift"):
            refused(answer, 404, "channel_not_found")
        case (_, "/v1/entries/{id}" | "/v1/entries/{id}/explanation"):
            refused(answer, 404, "entry_not_found")
        case (_, "/v1/members/{id}/code" | "/v1/members/{id}/code/image"):
            refused(answer, 403, "forbidden")
            app = ours.client("app")
            refused(await ask(app, method, *sample(method, path, member, entry)), 404, "member_not_found")
        case (_, "/v1/earning-rules/{id}" | "/v1/earning-rules/{id}/publish" | "/v1/earning-rules/{id}/what-if"):
            refused(answer, 404, "rules_not_found")
        case (_, "/v1/returns" | "/v1/returns/reserve" | "/v1/reassignments"):
            refused(answer, 404, "entry_not_found")
        case (_, "/v1/returns/{id}" | "/v1/returns/{id}/confirm" | "/v1/returns/{id}/cancel"):
            refused(answer, 404, "reservation_not_found")
        case (_, "/v1/parked/{id}"):
            refused(answer, 404, "parked_not_found")
        case (_, "/v1/reviews/{id}" | "/v1/reviews/{id}/resolve"):
            refused(answer, 404, "review_not_found")
        case (_, "/v1/members/{id}/identities/{identity}"):
            refused(answer, 404, "identity_not_found")
        case (_, "/v1/redemptions/{id}/refund"):
            refused(answer, 404, "redemption_not_found")
        case (_, "/v1/holds/{id}" | "/v1/holds/{id}/capture" | "/v1/holds/{id}/release"):
            refused(answer, 404, "hold_not_found")
        case (_, "/v1/adjustments/{id}/approve" | "/v1/adjustments/{id}/reject"):
            refused(answer, 404, "adjustment_not_found")
        case _:
            refused(answer, 404, "member_not_found")
    assert await theirs.figures(member) == (0, 100)


async def test_no_name_reaches_a_member_of_another_programme(a_shop: ShopFactory, app: FastAPI) -> None:
    ours, theirs = await a_shop(), await a_shop()
    identity = {"channel": "wechat", "type": "openid", "value": "oX1"}
    member = await theirs.enrols(phone="+8613800138000", identities=[identity])
    for name in ({"phone": "+8613800138000"}, {"number": member["number"]}):
        refused(await ours.till.post("/v1/accruals", a_grant(name)), 404, "member_not_found")
    assert (await ours.till.post("/v1/accruals", a_grant({"identity": identity}))).status_code == 202
    service: Service = app.state.service
    assert await cure_parked(service.database, service.lanes, ours.programme) == 0, "it waits for somebody of ours"
    assert await theirs.figures(member) == (0, 0)
    await ours.enrols(phone="+8613800138000", identities=[identity])  # the same person may join both


async def test_references_and_keys_of_two_programmes_do_not_meet(a_shop: ShopFactory) -> None:
    for shop in (await a_shop(), await a_shop()):
        member = await shop.enrols()
        body = a_grant(member, 10, reference="R-1")
        answer = await shop.till.post("/v1/accruals", body, key="k-1")
        assert answer.status_code == 201
        assert "idempotency-replayed" not in answer.headers


async def test_a_key_that_has_expired_or_was_revoked_opens_nothing(
    shop: Shop, owner: AsyncEngine, settings: Settings
) -> None:
    token, key = new_key(Sealer(SECRET.encode()), shop.programme.id, "pos")
    async with owner.begin() as connection:
        await programmes.add_key(connection, key)
        await connection.execute(
            text("update api_key set expires_at = now() - interval '1 second' where id = :id"), {"id": key.id}
        )
    refused(await Client(shop.till.http, shop.contract, token).post("/v1/members", {}), 401, "unauthenticated")

    accepted(await shop.till.post("/v1/members", {}))
    async with owner.begin() as connection:
        await connection.execute(text("delete from api_key where id = :id"), {"id": shop.keys["pos"].split("_")[1]})
    async with running(create_app(settings)) as http:  # another process remembers no key
        till = Client(http, shop.contract, shop.keys["pos"])
        refused(await till.post("/v1/members", {}), 401, "unauthenticated")


async def test_a_key_kept_under_another_secret_opens_nothing(shop: Shop, settings: Settings) -> None:
    other = settings.model_copy(update={"secret": type(settings.secret)("another secret, and just as long as it")})
    async with running(create_app(other)) as http:
        till = Client(http, shop.contract, shop.keys["pos"])
        refused(await till.post("/v1/members", {}), 401, "unauthenticated")
