"""Tmall: a points change is done once and answered the same; a join that comes late loses nothing."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from loyalty.api.app import create_app
from loyalty.config import Settings
from tests.api.conftest import Shop, accepted, patched, running
from tests.channels.conftest import Cure, Tmall, a_change, ago, known_by


async def a_member(shop: Shop, points: int = 0, ouid: str = "t-1") -> dict[str, Any]:
    member = await shop.enrols(identities=[known_by(ouid)["identity"]])
    if points:
        await shop.gives(member, points)
    return member


async def test_a_credit_is_an_accrual_and_a_debit_a_redemption(shop: Shop, tmall: Tmall) -> None:
    member = await a_member(shop)
    credit = await tmall.changes(100, record=17, desc="sign-in")
    assert (credit.status_code, credit.json()) == (
        200,
        {"record_id": 17, "result": 0, "error_code": "", "point": 100},
    )
    debit = await tmall.changes(-30, record="18")
    assert debit.json() == {"record_id": "18", "result": 0, "error_code": "", "point": 70}
    entries = accepted(await shop.till.get(f"/v1/members/{member['id']}/entries"))["items"]
    told = [(one["kind"], one["source"], one["reference"], one["reason"]) for one in entries]
    assert told == [("spend", "channel:tmall", "18", None), ("earn", "channel:tmall", "17", "sign-in")]


async def test_a_record_is_done_once_and_answered_the_same_however_often_it_comes(
    shop: Shop, tmall: Tmall, settings: Settings
) -> None:
    member = await a_member(shop, 500)
    at_once = await asyncio.gather(*(tmall.changes(-100, record=1) for _ in range(20)))
    assert {one.content for one in at_once} == {b'{"record_id":1,"result":0,"error_code":"","point":400}'}
    await shop.gives(member, 7)
    async with running(create_app(settings)) as fresh:  # a process that remembers nothing
        again = await Tmall(fresh, tmall.path).changes(-100, record=1)
    assert again.content == at_once[0].content
    assert await shop.figures(member) == (0, 407)


async def test_a_record_with_another_body_is_refused(shop: Shop, tmall: Tmall) -> None:
    member = await a_member(shop)
    await tmall.changes(100, record=1)
    other = await tmall.changes(101, record=1)
    assert other.json() == {
        "record_id": 1,
        "result": 1,
        "error_code": "add-fail:idempotency-key-reused",
        "point": None,
    }
    assert other.status_code == 200, "it is final"
    assert await shop.figures(member) == (0, 100)


@pytest.mark.parametrize(("status", "code"), [("frozen", "member-frozen"), ("earn_only", "member-earn-only")])
async def test_what_may_not_be_is_final(shop: Shop, tmall: Tmall, status: str, code: str) -> None:
    member = await a_member(shop, 100)
    accepted(await patched(shop.client("desk"), f"/v1/members/{member['id']}", {"status": status}))
    answer = await tmall.changes(-30, record=3)
    assert (answer.status_code, answer.json()["error_code"]) == (200, f"deduct-fail:{code}")
    assert await shop.figures(member) == (0, 100)


async def test_a_debit_that_is_not_covered_is_final_and_stays_so(shop: Shop, tmall: Tmall) -> None:
    member = await a_member(shop, 20)
    short = await tmall.changes(-30, record=5)
    assert (short.status_code, short.json()) == (
        200,
        {"record_id": 5, "result": 1, "error_code": "deduct-fail:point-no-enough", "point": None},
    )
    await shop.gives(member, 100)
    assert (await tmall.changes(-30, record=5)).content == short.content, "the platform has given up on it"
    assert await shop.figures(member) == (0, 120)


async def test_a_points_change_is_no_join(tmall: Tmall) -> None:
    """Its signature would be good for one."""
    answer = await tmall.posts("register", a_change(5))
    assert (answer.status_code, answer.json()["register_code"]) == (200, "E05"), answer.text


async def test_what_comes_before_its_member_waits_and_nothing_is_lost(shop: Shop, tmall: Tmall, cures: Cure) -> None:
    """Credit, debit, then the join: the platform enrolled somebody while it did not ask us."""
    early = await tmall.changes(100, record=1)
    assert early.json() == {"record_id": 1, "result": 0, "error_code": "", "point": None}, "it need not come again"
    spent = await tmall.changes(-40, record=2)
    assert (spent.status_code, spent.json()["error_code"]) == (503, "E04"), "a debit is never promised"

    joined = await tmall.registers("t-1", omid="brand-1", mix_mobile="sealed")
    assert joined.json() == {"register_code": "SUC", "error_code": "", "member": {"point": 0, "level": 1}}
    assert (await tmall.changes(-40, record=2)).status_code == 503, "the credit that came before it still waits"
    assert await cures() == 1
    spent = await tmall.changes(-40, record=2)
    assert (spent.status_code, spent.json()["point"]) == (200, 60)
    member = accepted(await shop.till.post("/v1/members/resolve", {"member": known_by("t-1")}, key=None))
    assert await shop.figures(member) == (0, 60)
    assert (await tmall.changes(100, record=1)).content == early.content
    assert await cures() == 0
    assert await shop.figures(member) == (0, 60)


async def test_a_debit_that_was_done_is_answered_again_whoever_has_left_since(shop: Shop, tmall: Tmall) -> None:
    member = await a_member(shop, 100)
    spent = await tmall.changes(-40, record=2)
    await shop.client("desk").post(f"/v1/members/{member['id']}/close", {})
    assert (await tmall.changes(-40, record=2)).content == spent.content
    assert (await tmall.changes(-40, record=3)).status_code == 503


async def test_a_join_that_is_filled_in_again_finds_who_joined(shop: Shop, tmall: Tmall) -> None:
    first = await tmall.registers("t-1", mix_mobile="sealed")
    await tmall.changes(100)
    again = await tmall.posts("register", {"ouid": "t-1", "mix_mobile": "another phone by now"}, at=ago(seconds=2))
    assert again.json() == {"register_code": "SUC", "error_code": "", "member": {"point": 100, "level": 1}}
    assert first.json()["member"] == {"point": 0, "level": 1}
    found = accepted(await shop.till.post("/v1/members/resolve", {"member": known_by("t-1")}, key=None))
    identities = accepted(await shop.till.get(f"/v1/members/{found['id']}/identities"))["items"]
    assert [(one["channel"], one["type"]) for one in identities] == [
        ("programme", "number"),
        ("tmall", "mix_mobile"),
        ("tmall", "ouid"),
    ]


async def test_twenty_joins_at_once_make_one_member(shop: Shop, tmall: Tmall) -> None:
    answers = await asyncio.gather(*(tmall.registers("t-1", omid="brand", n=n) for n in range(20)))
    assert {one.json()["register_code"] for one in answers} <= {"SUC", "E04"}
    assert (await tmall.registers("t-1")).json()["register_code"] == "SUC"
    events = accepted(await shop.client("finance").get("/v1/events"))["items"]
    assert [one["type"] for one in events].count("member.enrolled") == 1


async def test_too_many_that_wait_for_the_same_come_again(shop: Shop, tmall: Tmall) -> None:
    answers = [await tmall.changes(1) for _ in range(102)]
    assert [one.status_code for one in answers] == [200] * 100 + [503] * 2


async def test_the_record_of_a_change_is_named_even_where_the_change_cannot_be_read(tmall: Tmall) -> None:
    answer = await tmall.posts("points", {**a_change(1, record=9), "point": -1})
    assert answer.json() == {
        "record_id": 9,
        "result": 1,
        "error_code": "add-fail:malformed-message",
        "point": None,
    }


async def test_a_forgotten_answer_is_still_done_once(shop: Shop, tmall: Tmall, owner: AsyncEngine) -> None:
    member = await a_member(shop)
    await tmall.changes(100, record=1)
    async with owner.begin() as connection:
        await connection.execute(text("delete from replay where programme_id = :p"), {"p": shop.programme.id})
    assert (await tmall.changes(100, record=1)).json()["result"] == 0
    assert await shop.figures(member) == (0, 100)
