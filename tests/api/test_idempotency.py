"""Nothing twice: keys replay, references are taken for ever, and only what was decided is frozen."""

import asyncio
from typing import Any

import httpx2
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from loyalty.api.app import create_app
from loyalty.config import Settings
from tests.api.conftest import Client, Shop, ShopFactory, a_grant, a_redemption, accepted, an_order, refused, running


def replayed(response: httpx2.Response) -> bool:
    return bool(response.headers.get("idempotency-replayed") == "true")


async def traces(owner: AsyncEngine, shop: Shop) -> list[int]:
    """How many rows the programme has in every table that a write may touch."""
    tables = ("member", "entry", "posting", "lot", "draw", "book", "replay", "reference", "identity", "person", "event")
    async with owner.connect() as connection:
        counts = [
            await connection.scalar(
                text(f"select count(*) from {table} where programme_id = :id"), {"id": shop.programme.id}
            )
            for table in tables
        ]
    return [int(count or 0) for count in counts]


@pytest.mark.parametrize("path", ["/v1/members", "/v1/accruals", "/v1/redemptions"])
async def test_the_same_key_and_request_replay_the_same_status_and_bytes(shop: Shop, path: str) -> None:
    member = await shop.enrols()
    await shop.gives(member, 500)
    body = {
        "/v1/members": {"name": "Li Lei"},
        "/v1/accruals": an_order(member),
        "/v1/redemptions": a_redemption(member),
    }[path]
    first = await shop.till.post(path, body, key="k-1")
    again = await shop.till.post(path, body, key="k-1")
    assert first.status_code == again.status_code == 201
    assert first.content == again.content
    assert (replayed(first), replayed(again)) == (False, True)


async def test_the_quoted_and_the_bare_key_are_the_same_key(shop: Shop) -> None:
    member = await shop.enrols()
    body = a_grant(member)
    first = await shop.till.post("/v1/accruals", body, key='"k-1"')
    again = await shop.till.post("/v1/accruals", body, key="k-1")
    assert replayed(again)
    assert first.content == again.content


async def test_a_key_is_the_same_however_the_body_is_written_down(shop: Shop) -> None:
    member = await shop.enrols()
    body = a_grant(member, occurred_at="2026-11-01T10:00:00+08:00")
    rearranged = dict(reversed(body.items())) | {"occurred_at": "2026-11-01T02:00:00Z"}
    first = await shop.till.post("/v1/accruals", body, key="k-1")
    again = await shop.till.post("/v1/accruals", rearranged, key="k-1")
    assert replayed(again)
    assert first.content == again.content


async def test_a_key_that_came_with_another_body_is_refused(shop: Shop) -> None:
    member = await shop.enrols()
    body = a_grant(member, 10)
    accepted(await shop.till.post("/v1/accruals", body, key="k-1"))
    other = await shop.till.post("/v1/accruals", {**body, "points": 11}, key="k-1")
    refused(other, 422, "idempotency_key_reused")
    assert not replayed(other)


async def test_a_key_that_came_with_another_member_is_refused_and_tells_nothing_of_the_first(shop: Shop) -> None:
    first, second = await shop.enrols(), await shop.enrols()
    body = a_grant(first, 10)
    accepted(await shop.till.post("/v1/accruals", body, key="k-1"))
    problem = await shop.till.post("/v1/accruals", {**body, "member": {"id": second["id"]}}, key="k-1")
    refused(problem, 422, "idempotency_key_reused")
    assert first["id"] not in problem.text
    assert await shop.figures(second) == (0, 0)


async def test_a_key_that_came_with_another_path_is_refused(shop: Shop) -> None:
    member = await shop.enrols()
    accepted(await shop.till.post("/v1/accruals", a_grant(member), key="k-1"))
    refused(await shop.till.post("/v1/redemptions", a_redemption(member), key="k-1"), 422, "idempotency_key_reused")


async def test_two_clients_of_a_programme_do_not_share_their_keys(shop: Shop) -> None:
    member = await shop.enrols()
    for role in ("pos", "marketing"):
        answer = await shop.client(role).post("/v1/accruals", a_grant(member, 10), key="k-1")
        assert (answer.status_code, replayed(answer)) == (201, False)
    assert await shop.figures(member) == (0, 20)


async def test_a_reference_is_taken_once_for_ever_and_the_refusal_names_the_entry(shop: Shop) -> None:
    first, second = await shop.enrols(), await shop.enrols()
    taken = await shop.sells(first, 19900, reference="SH-1")
    for member in (first, second):
        problem = refused(
            await shop.till.post("/v1/accruals", an_order(member, reference="SH-1")), 409, "reference_taken"
        )
        assert problem["entry"] == taken["entry"]["id"]
        assert (problem["source"], problem["reference"]) == ("pos-1", "SH-1")
    assert await shop.figures(first) == (199, 0)
    assert await shop.figures(second) == (0, 0)


async def test_another_source_or_another_kind_may_use_the_same_reference(shop: Shop) -> None:
    member = await shop.enrols()
    await shop.gives(member, 100, source="a", reference="1")
    await shop.gives(member, 100, source="b", reference="1")
    await shop.redeems(member, 50, source="a", reference="1")
    assert await shop.figures(member) == (0, 150)


async def test_a_source_whose_numbers_restart_may_use_a_reference_again_on_another_day(a_shop: ShopFactory) -> None:
    shop = await a_shop(restarting_sources=frozenset({"till"}))
    member = await shop.enrols()
    for day in ("2026-11-01", "2026-11-02"):
        await shop.gives(member, 10, source="till", reference="1", occurred_at=f"{day}T12:00:00+08:00")
    again = a_grant(member, 10, source="till", reference="1", occurred_at="2026-11-02T20:00:00+08:00")
    refused(await shop.till.post("/v1/accruals", again), 409, "reference_taken")


async def test_insufficient_points_stay_refused_under_their_key_after_the_member_earns(shop: Shop) -> None:
    member = await shop.enrols()
    body = a_redemption(member, 100)
    first = await shop.till.post("/v1/redemptions", body, key="k-1")
    refused(first, 409, "insufficient_points")
    await shop.gives(member, 1000)
    again = await shop.till.post("/v1/redemptions", body, key="k-1")
    assert again.content == first.content
    assert replayed(again)
    accepted(await shop.till.post("/v1/redemptions", body, key="k-2"))
    assert await shop.figures(member) == (0, 900)


async def test_an_unknown_phone_is_refused_until_its_owner_enrols_and_then_the_same_key_succeeds(shop: Shop) -> None:
    body = a_grant({"phone": "+8613800138000"}, 10)
    for _ in range(2):
        answer = await shop.till.post("/v1/accruals", body, key="k-1")
        refused(answer, 404, "member_not_found")
        assert not replayed(answer)
    await shop.enrols(phone="+8613800138000")
    answer = await shop.till.post("/v1/accruals", body, key="k-1")
    accepted(answer)
    assert not replayed(answer)


async def test_an_unknown_member_id_is_not_frozen_either(shop: Shop, owner: AsyncEngine) -> None:
    before = await traces(owner, shop)
    answer = await shop.till.post("/v1/accruals", a_grant({"id": f"mem_{'0' * 32}"}), key="k-1")
    refused(answer, 404, "member_not_found")
    assert await traces(owner, shop) == before


async def test_what_occurs_in_the_future_is_refused_but_not_frozen(shop: Shop, owner: AsyncEngine) -> None:
    member = await shop.enrols()
    before = await traces(owner, shop)
    body = a_grant(member, occurred_at="2199-01-01T00:00:00Z")
    refused(await shop.till.post("/v1/accruals", body, key="k-1"), 422, "occurred_at_in_future")
    assert await traces(owner, shop) == before


async def test_a_body_that_does_not_fit_leaves_its_key_free(shop: Shop) -> None:
    member = await shop.enrols()
    refused(await shop.till.post("/v1/accruals", {**a_grant(member), "points": 0}, key="k-1"), 422, "invalid_request")
    accepted(await shop.till.post("/v1/accruals", a_grant(member), key="k-1"))


@pytest.mark.parametrize("path", ["/v1/members", "/v1/accruals", "/v1/redemptions"])
@pytest.mark.parametrize("with_key", [False, True])
async def test_a_dry_run_decides_and_leaves_no_trace(shop: Shop, owner: AsyncEngine, path: str, with_key: bool) -> None:
    member = await shop.enrols()
    await shop.gives(member, 100)
    body = {
        "/v1/members": {"phone": "+8613800138000"},
        "/v1/accruals": an_order(member),
        "/v1/redemptions": a_redemption(member),
    }[path]
    before = await traces(owner, shop)
    key = "k-1" if with_key else None
    dry = await shop.till.post(path, body, key=key, dry_run="true")
    assert dry.status_code == 201
    assert await traces(owner, shop) == before
    real = await shop.till.post(path, body, key="k-1")
    assert (real.status_code, replayed(real)) == (201, False)


async def test_a_dry_run_refuses_what_the_real_call_would(shop: Shop) -> None:
    member = await shop.enrols()
    answer = await shop.till.post("/v1/redemptions", a_redemption(member), key=None, dry_run="true")
    refused(answer, 409, "insufficient_points")


async def test_a_request_has_one_key(shop: Shop) -> None:
    headers = [("Idempotency-Key", "k-1"), ("Idempotency-Key", "k-2"), ("Content-Type", "application/json")]
    headers.append(("Authorization", f"Bearer {shop.till.token}"))
    answer = await shop.till.http.post("/v1/members", content=b"{}", headers=headers)
    refused(answer, 400, "idempotency_key_invalid")


async def test_dry_run_is_true_or_false(shop: Shop) -> None:
    answer = await shop.till.post("/v1/members", {}, dry_run="perhaps")
    refused(answer, 422, "invalid_request")


async def test_a_retry_is_answered_even_when_its_member_is_no_longer_found(
    shop: Shop, owner: AsyncEngine, settings: Settings
) -> None:
    await shop.enrols(phone="+8613800138000")
    body = a_grant({"phone": "+8613800138000"}, 10)
    first = await shop.till.post("/v1/accruals", body, key="k-1")
    async with owner.begin() as connection:
        await connection.execute(
            text("delete from identity where programme_id = :id and channel = 'phone'"), {"id": shop.programme.id}
        )
    async with running(create_app(settings)) as http:  # a process that remembers nothing
        till = Client(http, shop.contract, shop.keys["pos"])
        again = await till.post("/v1/accruals", body, key="k-1")
        assert again.content == first.content
        assert replayed(again)
        refused(await till.post("/v1/accruals", {**body, "points": 11}, key="k-1"), 422, "idempotency_key_reused")
        refused(await till.post("/v1/accruals", body, key="k-2"), 404, "member_not_found")


async def test_a_bulk_retry_is_answered_even_when_its_members_are_no_longer_found(
    shop: Shop, owner: AsyncEngine, settings: Settings
) -> None:
    await shop.enrols(phone="+8613800138000")
    body = {"items": [a_grant({"phone": "+8613800138000"}, 10)]}
    first = await shop.till.post("/v1/accruals/bulk", body)
    async with owner.begin() as connection:
        await connection.execute(
            text("delete from identity where programme_id = :id and channel = 'phone'"), {"id": shop.programme.id}
        )
    async with running(create_app(settings)) as http:
        again = await Client(http, shop.contract, shop.keys["pos"]).post("/v1/accruals/bulk", body)
    assert again.content == first.content


async def test_impatient_tills_under_one_key_earn_once(shop: Shop) -> None:
    member = await shop.enrols()
    body = an_order(member)
    answers = await asyncio.gather(*(shop.till.post("/v1/accruals", body, key="k-1") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert await shop.figures(member) == (199, 0)


async def test_impatient_enrolments_under_one_key_make_one_member(shop: Shop) -> None:
    body: dict[str, Any] = {"phone": "+8613800138000"}
    answers = await asyncio.gather(*(shop.till.post("/v1/members", body, key="k-1") for _ in range(10)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1


async def test_one_receipt_under_many_keys_earns_once(shop: Shop) -> None:
    members = [await shop.enrols() for _ in range(8)]
    asks = (shop.till.post("/v1/accruals", an_order(member, reference="SH-1")) for member in members)
    answers = await asyncio.gather(*asks)
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7


async def test_an_identity_belongs_to_one_member(shop: Shop) -> None:
    await shop.enrols(phone="+8613800138000")
    problem = refused(await shop.till.post("/v1/members", {"phone": "+86 13800138000"}), 409, "identity_taken")
    assert (problem["channel"], problem["identity_type"]) == ("phone", "phone")


@pytest.mark.parametrize("path", ["/v1/members", "/v1/accruals", "/v1/redemptions"])
async def test_a_write_without_a_key_is_refused(shop: Shop, path: str) -> None:
    member = await shop.enrols()
    body = {"/v1/members": {}, "/v1/accruals": a_grant(member), "/v1/redemptions": a_redemption(member)}[path]
    refused(await shop.till.post(path, body, key=None), 400, "idempotency_key_missing")


@pytest.mark.parametrize("key", ["", '""', "two words", "k" * 256, "k\t1"])
async def test_a_key_is_1_to_255_printable_characters(shop: Shop, key: str) -> None:
    refused(await shop.till.post("/v1/members", {}, key=key), 400, "idempotency_key_invalid")


async def test_a_key_of_255_characters_is_taken(shop: Shop) -> None:
    assert (await shop.till.post("/v1/members", {}, key="k" * 255)).status_code == 201
